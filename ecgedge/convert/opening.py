"""What the user names: a model, a checkpoint or a file from anywhere, opened and understood."""

from __future__ import annotations

import contextlib
import logging
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.api import multilabel, tasks
from ecgedge.api.artifact import (
    CHECKPOINT_FILE,
    TRUSTED,
    Anomaly,
    Artifact,
    Binary,
    Classification,
    Multilabel,
    Task,
    copy_to,
)
from ecgedge.api.parts import Runtime
from ecgedge.api.records import SIDECAR, read_sidecar, with_scores
from ecgedge.api.records.beats import check_lead_names, check_leads, notes_of_leads
from ecgedge.api.records.rules import SCORED, USER, values_of
from ecgedge.api.records.told import as_data_has_it, beat_of, check_told, check_values, told_task
from ecgedge.api.tensors import TensorSpec, samples_first
from ecgedge.convert.checkpoint import read_checkpoint
from ecgedge.convert.preparation import called, check_preparation
from ecgedge.convert.store import key_of, open_store
from ecgedge.data.dataset import Dataset, Split
from ecgedge.errors import ConversionError, EcgEdgeError, counted, unknown
from ecgedge.evaluate import precision_check
from ecgedge.files.notices import note
from ecgedge.plan.plan import takes
from ecgedge.workers.availability import is_installed, require
from ecgedge.workers.client import ChildError, Limits
from ecgedge.workers.hosts import hosts
from ecgedge.workers.standins import RuntimeElsewhere, Workers

if TYPE_CHECKING:
    from ecgedge.plugins import Parts
    from ecgedge.run import Told

RUN = "run.json"  # in the folder of a run
OTHER_DATA = "train it on this data (ecgedge train MODEL --dataset PATH), or name other data with --dataset"

log = logging.getLogger(__name__)


@contextlib.contextmanager
def opener(parts: Parts, limits: Limits, told: Told, trust: bool = False, threads: int = 1) -> Iterator[Opener]:
    """What opens files, in processes that last as long as the block."""
    with Workers(hosts(parts), limits, threads) as workers:
        yield Opener(parts, workers, told, trust)


@dataclass(frozen=True)
class Opener:
    """Opens what the user names.

    Attributes:
        workers: the processes in which files are looked at.
        told: what the user says of files that carry no record.
        trust: the user vouches for code that files bring.
    """

    parts: Parts
    workers: Workers
    told: Told
    trust: bool

    def find_model(self, name: str) -> Artifact:
        """The trained weights of a model by its name, or of a checkpoint folder.

        Raises:
            EcgEdgeError: neither, or a model without trained weights.
        """
        if name in self.parts.models:
            folder = self.parts.models[name].pretrained()
            if folder is None:
                raise EcgEdgeError(f"{name} has no trained weights", f"ecgedge train {name}")
            return read_checkpoint(folder, self.parts.models)
        if (Path(name) / SIDECAR).is_file():
            artifact = read_sidecar(Path(name))
            takers = [part for part in self.parts.runtimes.values() if takes(part.accepts, artifact.format)]
            reader = next((part for part in takers if is_installed(part)), None)
            return self.vouched(artifact, self.workers.runtime(reader).code_in(Path(name)) if reader else None)
        if (Path(name) / RUN).is_file():
            told = f"{name} is the folder of a run, and a model or a file is wanted"
            commands = "bundle, diverge, explain, portability and predict take RUN ROW"
            raise EcgEdgeError(told, f"ecgedge choose {name} names its files; {commands}")
        if Path(name).is_dir():
            return read_checkpoint(Path(name), self.parts.models)
        raise unknown("model", name, [*sorted(self.parts.models), "or the folder of a checkpoint"])

    def find_artifact(self, name: str, alone: bool = True, must_run: bool = True) -> Artifact:
        """As ``find_model``, or a file or folder that a runtime can read.

        Args:
            alone: no other file is opened by the command, so that ``--output-name`` is about this one.
            must_run: it is an error where it does not end, or kills the process that tries it out.

        Raises:
            EcgEdgeError: it is none of these; or it brings code of its own, and the user
                does not trust it.
        """
        path = Path(name)
        readers = sorted(self.parts.runtimes.values(), key=lambda part: not is_installed(part))  # the usable first
        reader = None if name in self.parts.models else reader_of(path, readers)
        if reader is None:
            if name in self.parts.models or path.is_dir():
                if alone and self.told.output:
                    raise EcgEdgeError(
                        f"{name} has one output", "--output-name is for files made elsewhere: leave it out"
                    )
                return self.find_model(name)
            suffixes = list(dict.fromkeys(suffix for part in readers for suffix in part.suffixes))
            if path.exists():
                raise EcgEdgeError(
                    f"{path}: no runtime reads {path.suffix or 'such'} files", f"known: {', '.join(suffixes)}"
                )
            raise unknown(
                "model or file", name, [*sorted(self.parts.models), f"or a {'/'.join(suffixes)} file or checkpoint"]
            )
        require(reader)
        runtime = self.workers.runtime(reader)
        code = runtime.code_in(path)
        self.check_trust(path, code)
        artifact = self.vouched(self.open_file(path, runtime, alone), code)
        return understood(artifact, runtime, must_run)

    def fit_to_data(self, artifact: Artifact, data: Dataset) -> Artifact:
        """The artifact as it is used on that data: what a user's file does is settled here (``file_options``).

        Raises:
            EcgEdgeError: it takes beats of another length or of other leads, or such as are z-normalised, or knows
                other classes; or it cannot be told what it does.
        """
        artifact, who = as_data_has_it(artifact, data.leads, data.length), called(artifact)
        check_leads(artifact, data.leads, data.name)
        check_lead_names(artifact, data.lead_names, data.name)
        length = artifact.input.length
        if length is not None and length != data.length:
            raise EcgEdgeError(
                f"{who} takes beats of {length} samples, those of {data.name} have {data.length}", OTHER_DATA
            )
        check_preparation(artifact, data)
        told = self.told
        if artifact.maker.get("part") == USER:
            artifact = self.with_scale(artifact)
            meaning = told_task(
                artifact, told.task, data.labels, data.length, told.normal, told.window, data.leads, data.multilabel
            )
            if meaning.kind in SCORED and not all(label.isdecimal() for label in data.labels):
                taken = f"its outputs are taken as {listed(data.labels)}, in that order"
                if isinstance(meaning, Binary):
                    taken = f"its one output is taken as the probability of {meaning.positive}, the second class"
                note(
                    f"{artifact.name} does not name its classes: {taken}; "
                    "--class-names FILE with these names in another order changes it"
                )
            notes = {**artifact.notes, **notes_of_leads(data.lead_names)}
            return check_told(replace(artifact, task=meaning, output=as_answer(artifact, meaning), notes=notes))
        if (artifact.task.kind == "multilabel") != data.multilabel:
            is_of = "beats of one class each" if data.multilabel else "beats of which several labels may hold"
            told_so = f"{who} is not for {data.name}: it was trained on {is_of}"
            raise EcgEdgeError(told_so, OTHER_DATA)
        if told.task and told.task != artifact.task.kind:
            raise EcgEdgeError(f"{who} is for {artifact.task.kind}, its record says", "leave --task out")
        if artifact.task.labels != data.labels:
            raise EcgEdgeError(
                f"{who} knows the classes {listed(artifact.task.labels)}; {data.name} has {listed(data.labels)}",
                OTHER_DATA,
            )
        return artifact

    def with_scale(self, artifact: Artifact) -> Artifact:
        """A file with an integer input, and the scale that it carries or that the user says.

        Raises:
            EcgEdgeError: neither.
        """
        given = artifact.input
        if given.scale is not None or given.dtype.startswith("float"):
            return artifact
        if not self.told.input_scale:
            raise EcgEdgeError(
                f"{artifact.path}: its input is {given.dtype} without a scale",
                "--input-scale and --input-zero-point tell it",
            )
        scaled = replace(given, scale=self.told.input_scale, zero_point=self.told.input_zero_point)
        return replace(artifact, input=scaled)

    def open_file(self, path: Path, runtime: Runtime, alone: bool) -> Artifact:
        """A file that the user brought, in one piece and with one output; a copy in the store where it was not.

        Args:
            alone: the output that ``--output-name`` names has to be one of this file.
        """
        with tempfile.TemporaryDirectory() as scratch:
            made = make_whole(path, runtime, self.told.output, Path(scratch) / path.name, alone)
            artifact = runtime.inspect(made)
            if made == path:
                return artifact

            def build(out: Path) -> Artifact:
                copy_to(made, out)
                return replace(artifact, path=out)

            return open_store().make(key_of(artifact, artifact.maker), path.name, artifact.maker, build)

    def vouched(self, artifact: Artifact, code: str | None) -> Artifact:
        """The artifact of a file, marked as trusted where it runs code and the user says that it may, only there."""
        self.check_trust(artifact.path, code)
        notes = {key: value for key, value in artifact.notes.items() if key != TRUSTED}
        return replace(artifact, notes=notes | ({TRUSTED: True} if code else {}))

    def check_trust(self, path: Path, code: str | None) -> None:
        """Raise EcgEdgeError where a file runs code of its own and the user does not say that this may be."""
        if code and not self.trust:
            raise EcgEdgeError(f"{path} holds {code}", "--trust runs it: give that for a file whose maker you trust")


def as_answer(artifact: Artifact, task: Task) -> TensorSpec:
    """The output of a user's file as its task has it: class scores, or reconstructions in the order of its axes."""
    returned = artifact.output
    if task.kind in SCORED:
        return replace(returned, layout="NC")
    return replace(returned, layout="NLC" if samples_first(returned.layout) else "NCL")


def reader_of(path: Path, readers: Iterable[Runtime]) -> Runtime | None:
    """The first runtime that reads such a file, or such a folder."""
    if path.is_dir():
        if any((path / file).is_file() for file in (SIDECAR, CHECKPOINT_FILE)):
            return None  # ours
        return next((part for part in readers if any((path / file).is_file() for file in part.folders)), None)
    return next((part for part in readers if path.suffix.lower() in part.suffixes), None)


def make_whole(path: Path, runtime: Runtime, output: str | None, out: Path, alone: bool) -> Path:
    """As the runtime's; among several files, one whose answer needs no name may have another."""
    if output is None or alone:
        return runtime.make_whole(path, output, out)
    try:
        return runtime.make_whole(path, None, out)
    except EcgEdgeError:
        return runtime.make_whole(path, output, out)


def understood(artifact: Artifact, runtime: RuntimeElsewhere, must_run: bool) -> Artifact:
    """A file with what only its answers and its graph tell, where nothing else does: see ``told_by_running``."""
    is_told = not isinstance(artifact.task, Classification) or artifact.task.scores
    if artifact.maker.get("part") != USER and is_told:
        return artifact
    return told_by_running(artifact, runtime, must_run)


def told_by_running(artifact: Artifact, runtime: RuntimeElsewhere, must_run: bool) -> Artifact:
    """The precision of a user's file, by its graph, and what class scores are, by those of a few synthetic beats.

    One that its library refuses to run stays as it is: whoever runs it will say why.

    Raises:
        EcgEdgeError, ConversionError: it does not end, or kills its process, and ``must_run``.
    """
    try:
        scores, graph = runtime.try_out(artifact)
    except Exception as error:  # of the runtime's library
        if must_run and isinstance(error.__cause__, ChildError) and error.__cause__.is_of_limits:
            raise
        log.info("%s was not run to tell what it is: %s", artifact.path, error)
        return artifact
    task = artifact.task
    if isinstance(task, Classification) and not task.scores:
        task = with_scores(task, scores)
    is_foreign = artifact.maker.get("part") == USER
    precision = precision_check.told_precision(graph) if is_foreign and graph else artifact.precision
    if precision == "fp32":  # with an input or output of another type it is not what quantizers take
        precision = artifact.precision
    return replace(artifact, task=task, precision=precision)


def with_meaning(artifact: Artifact, threshold: float | None, opener: Opener) -> Artifact:
    """A file with what its outputs mean; one without a record has to be told, since no data is at hand.

    Raises:
        EcgEdgeError: it is an autoencoder, or looks like one, and the options do not say so; or a threshold is told of
            what has one already, or none.
    """
    if artifact.maker.get("part") != USER:
        if threshold is not None:
            told = f"{artifact.path}: its record says already what --threshold would say"
            raise EcgEdgeError(told, "leave --threshold out")
        return artifact
    task, window = opener.told.task, opener.told.window
    check_values(artifact, task)
    artifact = opener.with_scale(artifact)
    beat = beat_of(artifact)
    if task is None and values_of(artifact.output) == beat:
        raise EcgEdgeError(
            f"{artifact.path} gives back {counted(beat, 'value')} a beat: scores or a reconstruction?",
            "say --task classification, or --task anomaly with --threshold",
        )
    if task != "anomaly":
        if threshold is not None:
            told = f"{artifact.path} is taken as a classifier, which has no --threshold"
            raise EcgEdgeError(told, "leave --threshold out, or say --task anomaly")
        return check_told(
            replace(artifact, task=undecided(artifact, task), output=replace(artifact.output, layout="NC"))
        )
    if threshold is None:
        raise EcgEdgeError(f"{artifact.path} carries no threshold", "say --threshold (ecgedge evaluate fits one)")
    meaning = Anomaly(threshold, float("nan"), "normal", ("normal", "anomaly"), window)
    return check_told(replace(artifact, task=meaning, output=as_answer(artifact, meaning)))


def undecided(artifact: Artifact, kind: str | None) -> Task:
    """What a user's file does whose outputs are scores, without data that name its classes: they are 0, 1, 2, ..."""
    told = artifact.task
    assert isinstance(told, Classification)
    if kind == "multilabel":
        return Multilabel(told.labels, told.scores)
    if values_of(artifact.output) == 1:
        return Binary(("0", "1"), told.scores)
    return told


def listed(labels: tuple[str, ...], most: int = 8) -> str:
    """Labels as an error may show them: the first few, and how many more there are."""
    more = f" and {len(labels) - most:,} more" if len(labels) > most else ""
    return ", ".join(labels[:most]) + more


def needs_thresholds(artifact: Artifact) -> bool:
    """Whether a user's file tells labels of which several may hold, and nothing says above which probabilities."""
    task = artifact.task
    return isinstance(task, Multilabel) and not task.thresholds and artifact.maker.get("part") == USER


def with_threshold(
    artifact: Artifact,
    data: Dataset,
    outputs_of: Callable[[Artifact, Split], np.ndarray],
    tell: Callable[[str], object],
) -> Artifact:
    """A user's file with the thresholds that it needs, fitted on the training beats, through the file itself: that of
    an autoencoder, and one of each label where several may hold.

    ``outputs_of(artifact, split)`` runs it; ``tell`` takes what was fitted, in one line. Anything else is returned as
    it is.
    """
    task = artifact.task
    is_open = math.isnan(task.threshold) if isinstance(task, Anomaly) else needs_thresholds(artifact)
    if not is_open:
        return artifact
    outputs = outputs_of(artifact, data.train)
    if reason := tasks.wrong(outputs, data.train.x, task):
        raise ConversionError(f"{artifact.path} gives no answers on the training beats: {reason}")
    if isinstance(task, Multilabel):
        if tasks.told_apart(outputs) == "probabilities":  # its graph may not say so
            task = replace(task, scores="probabilities")
        found = multilabel.choose_thresholds(multilabel.shares(outputs, task.scores), data.train.y)
        tell(f"{artifact.path}: thresholds {', '.join(f'{each:.3g}' for each in found)}, with the best F1 in training")
        return replace(artifact, task=replace(task, thresholds=found))
    assert isinstance(task, Anomaly)
    scores = tasks.anomaly_scores(outputs, data.train.x, task.window)
    threshold, quantile = tasks.choose_threshold(scores, data.train.y != data.labels.index(task.normal))
    tell(f"{artifact.path}: threshold {threshold:.6g}, quantile {quantile} of normal training scores")
    return replace(artifact, task=replace(task, threshold=threshold, quantile=quantile))
