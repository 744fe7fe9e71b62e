"""``ecgedge predict``: beats in, decisions out, in pieces of any number."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from ecgedge.api import multilabel, tasks
from ecgedge.api.artifact import Anomaly, Artifact, Multilabel
from ecgedge.errors import ConversionError, EcgEdgeError, counted

if TYPE_CHECKING:  # the rest is imported when something is predicted: ``import ecgedge`` is to stay quick
    from ecgedge.data.readers import Columns
    from ecgedge.run import Told
    from ecgedge.workers.client import Limits
    from ecgedge.workers.standins import SessionElsewhere

CHUNK = 256  # beats held at a time


@dataclass(frozen=True)
class Classes:
    """The class of each beat, and its probability ``(N,)``."""

    labels: tuple[str, ...]
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Anomalies:
    """The anomaly score of each beat ``(N,)``, and whether it is an anomaly ``(N,)`` bool."""

    scores: np.ndarray
    flags: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Labelled:
    """Which labels hold for each beat ``(N, K)`` bool, and the probability of each ``(N, K)``; ``labels``: K names."""

    labels: tuple[str, ...]
    holds: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.holds)

    @property
    def words(self) -> list[str]:
        """The labels of each beat in one word, as ``AF+PVC``; ``none`` without any."""
        return ["+".join(self.labels[k] for k in np.flatnonzero(row)) or "none" for row in self.holds]


Decisions = Classes | Anomalies | Labelled


def predict(
    target: str | os.PathLike[str],
    beats: np.ndarray | str | os.PathLike[str],
    *,
    row: str | Sequence[str] = (),
    runtime: str | None = None,
    normalize: bool = False,
    label_column: str | None = None,
    ignore_columns: str | Sequence[str] = (),
    leads: str | Sequence[str] = (),
    layout: str | None = None,
    threshold: float | None = None,
    told: Told | None = None,
    trust: bool = False,
    threads: int = 1,
    timeout: float = 300,
    memory: int | None = None,
) -> Decisions:
    """Decide beat by beat: the class of each and its probability, or its anomaly score and whether it is one.

    Args:
        target: the name of a model, a folder of a checkpoint, a file, or the folder of a run, whose beats were
            normalised if those of the run were.
        beats: ``(N, L)``, or ``(N, C, L)`` of C leads, as the model takes them, or a file: any that data sets are read
            from; a line of text has the samples of one lead after those of the other.
        row: of a run: the id of a row, or words that only it has; empty: the row that the run suggests.
        runtime: that runs it; None: that of the row, else the first that takes it and works here.
        normalize: bring each beat to mean 0 and standard deviation 1, as the built-in weights expect. A model whose
            record says that it was trained so gets them so in any case.
        label_column, ignore_columns: of a file: columns that hold no samples, by name or number.
        leads, layout: of a ``.npy`` or ``.npz``: which are wanted and where they lie, as for ``MatrixRequest``.
        threshold: of an autoencoder without a record: a score above is an anomaly.
        told: what is to be known of a file without a record.
        trust: code that a file brings may run.
        threads: of the model.
        timeout: seconds that a step in a child process may take.
        memory: millions of bytes that a child process may take; None: no limit.

    Raises:
        EcgEdgeError: there is no such file, it is not known what it does, or the beats have another length or other
            leads.
        ConversionError: it gives no answers, such as ones that are not finite.
    """
    from ecgedge.commands.loading import columns_of, limits_of, settled
    from ecgedge.run import Told

    request = settled(
        label_column=label_column, ignore_columns=ignore_columns, leads=leads, layout=layout, told=told or Told(),
        threads=threads, timeout=timeout, memory=memory,
    )  # fmt: skip
    with opened(target, row, runtime, threshold, request.told, trust, threads, limits_of(request)) as predictor:
        normalize = normalize or predictor.normalize
        if isinstance(beats, np.ndarray):
            as_trained = prepared_as_trained(predictor.artifact, normalize)
            return predictor.decide(normalized(as_beats(beats, predictor.artifact), as_trained))
        with beats_in(Path(beats), predictor.artifact, columns_of(request), normalize) as pieces:
            return joined([predictor.decide(x) for x in pieces], predictor.artifact)


@dataclass(frozen=True)
class Predictor:
    """A model or file that is loaded.

    Attributes:
        normalize: it is of a run that z-normalised its beats.
    """

    artifact: Artifact
    session: SessionElsewhere
    normalize: bool = False

    def decide(self, x: np.ndarray) -> Decisions:
        """The decisions for beats ``(N, C, L)``. Raises ConversionError where its outputs are no answers."""
        task = self.artifact.task
        outputs = self.session.infer(x)
        if reason := tasks.wrong(outputs, x, task):
            raise ConversionError(f"{self.artifact.path} gives no answers: {reason}")
        decided = tasks.decide(outputs, x, task)
        if isinstance(task, Anomaly):
            return Anomalies(tasks.anomaly_scores(outputs, x, task.window), decided.astype(bool))
        if isinstance(task, Multilabel):
            return Labelled(task.labels, decided.astype(bool), multilabel.shares(outputs, task.scores))
        shares = tasks.probabilities(tasks.of_classes(outputs, task), task.scores)
        return Classes(tuple(task.labels[i] for i in decided), shares[np.arange(len(decided)), decided])


@contextlib.contextmanager
def opened(
    target: str | os.PathLike[str],
    row: str | Sequence[str],
    runtime: str | None,
    threshold: float | None,
    told: Told,
    trust: bool,
    threads: int,
    limits: Limits,
) -> Iterator[Predictor]:
    """A model or file, loaded as long as the block lasts; the arguments are those of ``predict``."""
    from ecgedge.commands.loading import load_parts
    from ecgedge.commands.of_run import check_row, row_of_run
    from ecgedge.convert.opening import opener, with_meaning
    from ecgedge.workers.availability import pick_runtime

    parts = load_parts()
    found = row_of_run(target, row, parts, trust) if check_row(target, row) else None
    if found and threshold is not None:
        raise EcgEdgeError(f"{target}: the run says already what --threshold would say", "leave --threshold out")
    with opener(parts, limits, told, trust, threads) as files:
        if found:
            artifact, runtime = found.artifact, runtime or found.row.runtime
        else:
            artifact = with_meaning(files.find_artifact(os.fspath(target)), threshold, files)
        session = pick_runtime(artifact.format, runtime, parts, files.workers).load(artifact, threads)
        yield Predictor(artifact, session, normalize=bool(found and found.normalize))


def as_beats(beats: np.ndarray, artifact: Artifact) -> np.ndarray:
    """Beats ``(N, C, L)`` float32. Raises EcgEdgeError where the array holds none that the model takes."""
    leads, length = artifact.input.leads, artifact.input.length
    x = beats[:, None] if beats.ndim == 2 else beats
    if x.ndim != 3 or not x.size or leads not in (None, x.shape[1]) or length not in (None, x.shape[2]):
        wanted = f"(N, {leads or 'C'}, {length or 'L'})"
        wanted = f"(N, {length or 'L'}) or {wanted}" if leads == 1 else wanted
        raise EcgEdgeError(f"{artifact.name} does not take beats of shape {beats.shape}", f"it takes {wanted}")
    return x.astype(np.float32)


def joined(pieces: Sequence[Decisions], artifact: Artifact) -> Decisions:
    """The decisions of several pieces as one."""
    if isinstance(artifact.task, Anomaly):
        found = [each for each in pieces if isinstance(each, Anomalies)]
        scores, flags = ([getattr(each, name) for each in found] for name in ("scores", "flags"))
        return Anomalies(np.concatenate([np.zeros(0), *scores]), np.concatenate([np.zeros(0, bool), *flags]))
    if isinstance(artifact.task, Multilabel):
        none = np.zeros((0, len(artifact.task.labels)))
        several = [each for each in pieces if isinstance(each, Labelled)]
        return Labelled(
            artifact.task.labels,
            np.concatenate([none.astype(bool), *(each.holds for each in several)]),
            np.concatenate([none, *(each.probabilities for each in several)]),
        )
    of = [each for each in pieces if isinstance(each, Classes)]
    labels = tuple(label for each in of for label in each.labels)
    return Classes(labels, np.concatenate([np.zeros(0), *(each.probabilities for each in of)]))


def label_left_out(asked: Columns, labelled: bool) -> Columns:
    """The columns as the user names them, ``--labelled`` among it. Raises EcgEdgeError where it names two labels."""
    if not labelled:
        return asked
    if asked.label is not None:
        raise EcgEdgeError("--labelled is --label-column 1, and another is named", "leave one of them out")
    return replace(asked, label=":1")


def open_beats(path: Path) -> IO[str]:
    """The lines of a file of beats, or standard input where the path is ``-``. Raises EcgEdgeError where it cannot be
    read."""
    from ecgedge.data.readers import check_file

    if str(path) == "-":
        return sys.stdin
    check_file(path, most=None)
    try:
        with path.open("rb") as file:
            wide = file.read(2) in (b"\xff\xfe", b"\xfe\xff")  # as spreadsheets write what they call Unicode text
        return path.open(encoding="utf-16" if wide else "utf-8-sig", errors="backslashreplace")
    except OSError as error:
        raise EcgEdgeError(
            f"{path} cannot be read: {error.strerror}", "name a file of beats, or - for stdin"
        ) from error


@contextlib.contextmanager
def beats_in(path: Path, artifact: Artifact, asked: Columns, normalize: bool) -> Iterator[Iterator[np.ndarray]]:
    """Beats ``(n, C, L)`` float32 of a file, or of standard input where the path is ``-``.

    They come in pieces of ``CHUNK`` at most. A text is read as it comes, other files as a whole.
    What was guessed of either is a note. They are z-normalised where that is asked for, or was so in training.

    Raises:
        EcgEdgeError: the file cannot be read, or holds beats that the model does not take.
    """
    from ecgedge.api.records.beats import check_lead_names, check_leads
    from ecgedge.data.readers import WHOLE, read_unlabelled
    from ecgedge.files.notices import note

    normalize = prepared_as_trained(artifact, normalize)
    if isinstance(artifact.task, Multilabel):
        asked = replace(asked, known=artifact.task.labels)
    if path.suffix.lower() not in WHOLE:
        with open_beats(path) as source:
            yield chunks(source, str(path), artifact, asked, normalize)
        return
    leads, length = artifact.input.leads, artifact.input.length
    found = read_unlabelled(path, asked, leads, length)
    if found.told:
        note(f"{path}: {found.told}" if str(path) not in found.told else found.told)
    check_leads(artifact, found.x.shape[1], path.name)
    check_lead_names(artifact, found.leads, path.name)
    if length not in (None, found.x.shape[2]):
        told = f"{artifact.name} takes beats of {length} samples, those of {path.name} have {found.x.shape[2]}"
        raise EcgEdgeError(told, "cut them to that length, or resample them")
    yield (normalized(found.x[at : at + CHUNK], normalize) for at in range(0, len(found.x), CHUNK))


def chunks(
    source: Iterable[str], name: str, artifact: Artifact, asked: Columns, normalize: bool
) -> Iterator[np.ndarray]:
    """Beats ``(n, C, L)`` float32, at most ``CHUNK`` at a time; what was guessed of the lines is a note.

    A line has the samples of one lead after those of the other.

    Raises:
        EcgEdgeError: the model takes beats of other leads or of another length; and in the reading, what is wrong with
            a line.
    """
    if asked.leads or asked.layout:
        option = "--leads" if asked.leads else "--layout"
        raise EcgEdgeError(f"{name} holds lines: {option} has no place", "it is for .npy and .npz files: leave it out")
    return read_chunks(source, name, artifact, asked, normalize)


def read_chunks(
    source: Iterable[str], name: str, artifact: Artifact, asked: Columns, normalize: bool
) -> Iterator[np.ndarray]:
    """As ``chunks``, of lines."""
    from ecgedge.data.readers import read_stream
    from ecgedge.files.notices import note

    leads, length = artifact.input.leads or 1, artifact.input.length
    stream = read_stream(source, name, asked, length and leads * length)
    if stream.told:
        note(f"{name}: {stream.told}")
    while beats := list(islice(stream.beats, CHUNK)):
        if beats[0].size % leads:
            told = (
                f"{name}: {counted(beats[0].size, 'number')} a line, and {artifact.name} takes beats of {leads} leads"
            )
            raise EcgEdgeError(told, "a line has the samples of one lead after those of the other, as many of each")
        yield normalized(np.stack(beats).reshape(len(beats), leads, -1), normalize)


def prepared_as_trained(artifact: Artifact, normalize: bool) -> bool:
    """Whether beats are z-normalised: the user asks for it, or the model's record says that its training did so, which
    is a note.

    Raises:
        EcgEdgeError: the user asks for it, and the record says that its training did not.
    """
    from ecgedge.api.records.beats import check_not_normalized, wants_normalized
    from ecgedge.files.notices import note

    check_not_normalized(artifact, normalize)
    if normalize or not wants_normalized(artifact):
        return normalize
    note(f"{artifact.name} was trained on z-normalised beats, so these are normalised, as by --normalize")
    return True


def normalized(x: np.ndarray, wanted: bool) -> np.ndarray:
    """Beats ``(N, C, L)`` float32, each lead z-normalised where that is wanted; one that never varies becomes zeros."""
    if wanted:
        spread = x.std(axis=2, ddof=1, keepdims=True)
        x = (x - x.mean(axis=2, keepdims=True)) / np.where(spread > 0, spread, 1)
    return x.astype(np.float32)
