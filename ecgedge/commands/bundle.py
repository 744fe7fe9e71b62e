"""``ecgedge bundle``: a file, packed with all that it takes to run and check it without ecgedge."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api import tasks
from ecgedge.api.artifact import Artifact, Classification, copy_to, digest_of
from ecgedge.api.parts import Runtime
from ecgedge.api.records.rules import USER
from ecgedge.api.records.told import check_told
from ecgedge.audit.signature import SIGNATURE, SUMS
from ecgedge.bundle import FOLDER, TARGETS, Facts, Vectors, check_target, contents, model_files, place
from ecgedge.commands.bundle_certificate import portable, widest_certificate
from ecgedge.commands.loading import load_data, load_parts
from ecgedge.commands.of_run import RowOfRun, check_row, row_of_run
from ecgedge.commands.predict import beats_in, prepared_as_trained
from ecgedge.convert import opening
from ecgedge.convert.opening import Opener
from ecgedge.data.dataset import Dataset
from ecgedge.data.readers import ANY_COLUMNS, Columns
from ecgedge.data.synthetic import synthetic_beats
from ecgedge.environments.versions import VERSION, version_of
from ecgedge.errors import ConversionError, EcgEdgeError
from ecgedge.files import escape
from ecgedge.files.locks import usable_folder
from ecgedge.files.notices import note
from ecgedge.measure import machine
from ecgedge.plugins import Parts
from ecgedge.run import Told
from ecgedge.workers.availability import pick_runtime
from ecgedge.workers.client import ChildError, Limits
from ecgedge.workers.standins import RuntimeElsewhere, SessionElsewhere

BEATS = 20  # synthetic ones, as test vectors: each class is there
MOST_VECTORS = 1000  # of a user's file: check.py runs them all, and C has them as an array


@dataclass(frozen=True)
class BundleRequest:
    """What is to be packed, and what the user says of it.

    Attributes:
        file: a file, or a run.
        row: of a run, its id or words that only it has; empty: the one that the run suggests.
        out: a zip or a folder; None: a zip here.
        force: replace ``out`` where it exists.
        key: signs the bundle; None: it is not signed.
        vectors: a file whose beats are the test vectors; None: synthetic beats.
        certificate: the folder of a certificate of portability; None: the one by which most was tried.
        uncertified: take none, whatever ``certificate`` says.
        labels: the classes of a foreign classifier, with commas between them.
        threshold: of a foreign autoencoder: an error above is an anomaly.
        data: where labels, and beats to fit the threshold on, come from instead.
        columns: how a table is read.
        normalize: beats are z-normalised one by one before the model gets them.
        told: what is to be known of a file without a record.
        trust: code that a file brings may run.
        limits: of what a child process may take.
    """

    file: str
    row: tuple[str, ...] = ()
    out: Path | None = None
    force: bool = False
    key: Any = None
    vectors: Path | None = None
    certificate: Path | None = None
    uncertified: bool = False
    labels: str | None = None
    threshold: float | None = None
    data: str | None = None
    columns: Columns = ANY_COLUMNS
    normalize: bool = False
    told: Told = field(default_factory=Told)
    trust: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Bundled:
    """What was packed: where, under which name, how many files and bytes, and the beats of its own check."""

    path: Path
    name: str
    files: int
    size_bytes: int
    beats: int


def make_bundle(asked: BundleRequest) -> Bundled:
    """Pack a file, run the bundle's own check where nothing else lies, and put it where it is wanted.

    Raises:
        EcgEdgeError: it cannot be bundled, or what the user says of it contradicts what is known.
        ConversionError: it gives no answers, or the bundle does not pass its own check; nothing is written.
    """
    parts = load_parts()
    opened = opening.opener(parts, asked.limits, asked.told, asked.trust)
    with tempfile.TemporaryDirectory() as scratch, opened as opener:
        of_run = row_of_run(asked.file, asked.row, parts, asked.trust) if check_row(asked.file, asked.row) else None
        artifact = of_run.artifact if of_run else opener.find_artifact(asked.file)
        check_format(artifact, asked.file, of_run)
        name = bundle_name(artifact, of_run)
        target = asked.out or Path(f"{name}.zip")
        usable_folder(target.absolute().parent)
        check_target(target, asked.force)
        if of_run:
            given = {"--labels": asked.labels, "--threshold": asked.threshold, "--dataset": asked.data}
            check_nothing_told(artifact, given)
        data = load_data(asked.data, asked.normalize, asked.columns) if asked.data else None
        if not of_run:
            artifact = with_meaning(artifact, data, asked.labels, asked.threshold, opener)
        runtime = pick_runtime(artifact.format, TARGETS[artifact.format].runtime, parts, opener.workers)
        session, model = load_alone(artifact, runtime, Path(scratch))
        if data:
            artifact = opening.with_threshold(artifact, data, lambda _, split: infer(artifact, session, split.x), note)
        normalize = prepared_as_trained(artifact, asked.normalize or bool(of_run and of_run.normalize))
        beats, origin = vector_beats(artifact, asked.vectors, data, normalize, asked.columns)
        outputs = infer(artifact, session, beats)
        artifact = replace(artifact, input=artifact.input.settled(beats, artifact.input.batch))
        told = () if of_run else told_by_user(artifact, data, asked.labels)
        facts = facts_of(artifact, name, runtime, parts, told, normalize, of_run.measured() if of_run else ())
        certificate = None if asked.uncertified else asked.certificate or widest_certificate(artifact, of_run)
        facts = replace(
            facts,
            portability=portable(certificate, artifact) if certificate else None,
            code=(runtime.code_in(artifact.path) or "") if artifact.trusted else "",
        )
        files = contents(artifact, model, Vectors.of(artifact, beats, outputs, origin), facts)
        if asked.key:
            files |= {SIGNATURE: asked.key.sign(files[SUMS])}
        prove(files, Path(scratch), runtime)
    place(files, name, target)
    size = target.stat().st_size if target.is_file() else sum(map(len, files.values()))
    return Bundled(target, name, len(files), size, len(beats))


def check_format(artifact: Artifact, file: str, of_run: RowOfRun | None) -> None:
    """Raise EcgEdgeError for a format that no bundle takes."""
    if artifact.format in TARGETS:
        return
    *others, last = TARGETS
    raise EcgEdgeError(
        f"{artifact.path} is {artifact.format}, a bundle takes {', '.join(others)} or {last}",
        f"name a row of these: ecgedge choose {file}" if of_run else f"first: ecgedge convert {file} --to tflite",
    )


def bundle_name(artifact: Artifact, of_run: RowOfRun | None) -> str:
    """Of the folder in the zip: model and precision, or the name of the user's file."""
    if of_run:
        return escape.file_name(f"{Path(of_run.row.model).stem}-{artifact.precision}")
    name = artifact.name if artifact.maker.get("part") == USER else f"{artifact.name}-{artifact.precision}"
    return escape.file_name(name)


def check_nothing_told(artifact: Artifact, given: Mapping[str, object]) -> None:
    """Raise EcgEdgeError where an option says what the run knows of its files."""
    if option := next((name for name, value in given.items() if value is not None), None):
        raise EcgEdgeError(f"{artifact.path}: its run says already what {option} would say", f"leave {option} out")


def with_meaning(
    artifact: Artifact, data: Dataset | None, labels: str | None, threshold: float | None, opener: Opener
) -> Artifact:
    """The file with what its outputs mean: by its record, by data, or as the options say.

    Raises:
        EcgEdgeError: they do not say it, or say what is known already.
    """
    for option, value in (("--labels", labels), ("--threshold", threshold)):
        if value is not None and (data or artifact.maker.get("part") != USER):
            source = f"the data {data.name}" if data else "its record"
            raise EcgEdgeError(f"{artifact.path}: {source} says already what {option} would say", f"leave {option} out")
    if data:
        return opener.fit_to_data(artifact, data)
    artifact = opening.with_meaning(artifact, threshold, opener)
    if labels is None:
        return artifact
    names = tuple(name.strip() for name in labels.split(","))
    if not isinstance(artifact.task, Classification):
        raise EcgEdgeError(f"{artifact.path} is an autoencoder, which has no --labels", "leave --labels out")
    if len(names) != len(artifact.task.labels) or len({*names}) != len(names) or "" in names:
        raise EcgEdgeError(
            f"--labels {labels}: {artifact.path} gives {len(artifact.task.labels)} scores", "name each, once"
        )
    return check_told(replace(artifact, task=replace(artifact.task, labels=names)))


def load_alone(
    artifact: Artifact, runtime: RuntimeElsewhere, scratch: Path
) -> tuple[SessionElsewhere, dict[str, bytes]]:
    """The file or folder loaded from where nothing else is, as in the bundle, and its bytes by their names there.

    Raises:
        EcgEdgeError: it needs another file, or more time or memory than it may take.
    """
    alone = scratch / (f"model.{artifact.format}" if artifact.path.is_file() else FOLDER)
    copy_to(artifact.path, alone)
    moved = replace(artifact, path=alone)
    model = model_files(moved)
    try:
        session = runtime.load(moved, threads=1)
        session.about = artifact.path
        return session, model
    except EcgEdgeError as error:
        if isinstance(error.__cause__, ChildError):  # of time or memory, wherever it lies
            raise EcgEdgeError(error.message.replace(str(alone), str(artifact.path)), error.hint) from error
        reason = error.message.replace(str(alone), "it")
        raise EcgEdgeError(
            f"{artifact.path} cannot be used away from its folder: {reason}"[:300],
            "save it with its weights inside (torch.onnx.export: external_data=False)",
        ) from error


def infer(artifact: Artifact, session: SessionElsewhere, beats: np.ndarray) -> np.ndarray:
    """Outputs for all beats. Raises ConversionError where they are no answers."""
    outputs = session.infer(beats)
    if reason := tasks.wrong(outputs, beats, artifact.task):
        raise ConversionError(f"{artifact.path} gives no answers: {reason}")
    return outputs


def vector_beats(
    artifact: Artifact, path: Path | None, data: Dataset | None, normalize: bool, columns: Columns = ANY_COLUMNS
) -> tuple[np.ndarray, str]:
    """The beats of the test vectors, ``(N, C, L)`` float32 as the model takes them, and whose they are."""
    if path is None:
        length = artifact.input.length or (data.length if data else 140)
        leads = artifact.input.leads or (data.leads if data else 1)
        return synthetic_beats(BEATS, length, leads), "synthetic beats"
    parts: list[np.ndarray] = []
    with beats_in(path, artifact, columns, normalize) as pieces:
        for piece in pieces:
            parts.append(piece)
            if sum(map(len, parts)) > MOST_VECTORS:
                break
    if not parts:
        raise EcgEdgeError(f"{path} holds no beats", "name another file with --vectors")
    beats = np.concatenate(parts)
    if len(beats) <= MOST_VECTORS:
        return beats, f"beats of {path.name}"
    note(f"{path} holds more beats than a bundle takes along: the first {MOST_VECTORS:,} are its test vectors")
    return beats[:MOST_VECTORS], f"the first beats of {path.name}"


def facts_of(artifact: Artifact, name: str, runtime: Runtime, parts: Parts, told: tuple[str, ...], normalize: bool,
             measured: Sequence[str]) -> Facts:  # fmt: skip
    """What the record does not say: the card of the weights, what the user told, what a run found, who bundled."""
    versions = machine.versions()
    library = next((f"{key} {versions[key]}" for key in runtime.libraries if key in versions), runtime.name)
    return Facts(
        name,
        source=artifact.path.name,
        normalize=normalize,
        weights=card_of_weights(artifact, parts),
        told=told,
        measured=tuple(measured),
        bundled={"by": f"ecgedge {VERSION}", "with": library, "on": machine.describe()["cpu"]},
        requirements=tuple(map(required, ("numpy", *runtime.libraries))),
    )


def required(distribution: str) -> str:
    """A distribution as pip takes it, in the version that is installed; what is local to a build is left out."""
    version = version_of(distribution)
    return f"{distribution}=={version.partition('+')[0]}" if version else distribution


def told_by_user(artifact: Artifact, data: Dataset | None, labels: str | None) -> tuple[str, ...]:
    """Who says what the outputs of a user's file mean, for its card."""
    if artifact.maker.get("part") != USER:
        return ()
    if data:
        fitted = ", threshold: fitted on their training beats" if artifact.task.kind == "anomaly" else ""
        return (f"labels: of the data {data.name}, digest {data.digest}{fitted}",)
    if artifact.task.kind == "anomaly":
        return ("threshold: as its user said, not in the file",)
    return (
        "labels: as its user said, not in the file" if labels else "labels: not known; outputs are numbered from 0",
    )


def card_of_weights(artifact: Artifact, parts: Parts) -> str:
    """The card of the weights that it was made from, where they are those that ecgedge itself ships; else empty."""
    owner = parts.owners.get(("model", artifact.name))
    folder = parts.models[artifact.name].pretrained() if owner and owner.distribution == "ecgedge" else None
    if folder is None or digest_of(folder) not in artifact.parents:
        return ""
    return (folder / "README.md").read_text(encoding="utf-8")


def prove(files: dict[str, bytes], scratch: Path, runtime: RuntimeElsewhere) -> None:
    """Unpack the bundle and run its ``check.py``. Raises ConversionError where it fails."""
    folder = scratch / "bundle"
    place(files, folder.name, folder)
    if reason := runtime.prove(folder):
        raise ConversionError(f"the bundle does not pass its own check and was not written: {reason}")
