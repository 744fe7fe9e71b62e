"""``ecgedge predict``."""

from __future__ import annotations

import contextlib
import csv
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from ecgedge.cli import common
from ecgedge.cli.options import (
    FiniteRange,
    column_options,
    file_options,
    limit_options,
    limits_of,
    threads_option,
    told_columns,
)
from ecgedge.errors import ConversionError, EcgEdgeError
from ecgedge.files import escape

if TYPE_CHECKING:
    import numpy as np

    from ecgedge.api.artifact import Artifact
    from ecgedge.convert.opening import Opener
    from ecgedge.data.readers import Columns
    from ecgedge.workers.standins import SessionElsewhere

CHUNK = 256  # beats held at a time


@click.command()
@click.argument("target", metavar="FILE|MODEL")
@click.argument("beats", type=click.Path(path_type=Path, allow_dash=True))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Default: standard output.")
@click.option("--labelled", is_flag=True, help="The first column is a label, and ignored (--label-column 1).")
@column_options
@click.option("--normalize", is_flag=True, help="z-normalise each beat; the built-in weights expect that.")
@click.option("--threshold", type=FiniteRange(0), help="Of a foreign autoencoder: an error above is an anomaly.")
@file_options
@click.option("--runtime", "runtime_name", metavar="NAME", help="Default: the first that takes it and works here.")
@threads_option
@limit_options
def predict(target: str, beats: Path, out: Path | None, labelled: bool, normalize: bool, threshold: float | None,
            runtime_name: str | None, threads: int, timeout: float, memory: int | None) -> None:  # fmt: skip
    """Decide beat by beat: a line of numbers in, a line of answers out. BEATS: a text file, or - for stdin.

    A line may hold a label and other columns, which are left out (--label-column, --ignore-column).
    A classifier gives class and probability, an autoencoder score and anomaly flag. The file may be of
    any length: it is read and answered in pieces.

    \b
    ecgedge predict tcn.tflite beats.csv -o answers.csv
    ecgedge predict tcn.tflite their-beats.csv --label-column last --ignore-column patient
    """
    from ecgedge.cli.evaluate import pick_runtime

    asked = label_left_out(told_columns(), labelled)
    parts = common.load_parts()
    with common.opener(parts, limits_of(timeout, memory), threads) as opener:
        artifact = with_meaning(opener.find_artifact(target), threshold, opener)
        session = pick_runtime(artifact, runtime_name, parts, opener.workers).load(artifact, threads)
        with open_beats(beats) as source, open_answers(out) as answers:
            count = write_answers(answers, chunks(source, str(beats), artifact, asked, normalize), session, artifact)
    if not count:
        common.warn(f"{beats} holds no beats")


def write_answers(out: IO[str], beats: Iterable[np.ndarray], session: SessionElsewhere, artifact: Artifact) -> int:
    """Write the table of answers, chunk by chunk; how many there are."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["beat", *columns(artifact)])
    count = 0
    for x in beats:
        for answer in decide(session, x, artifact):
            writer.writerow([count, *answer])
            count += 1
        out.flush()  # whoever reads them may be waiting
    return count


def label_left_out(asked: Columns, labelled: bool) -> Columns:
    """The columns as the user names them, ``--labelled`` among it. Raises EcgEdgeError where it names two labels."""
    if not labelled:
        return asked
    if asked.label is not None:
        raise EcgEdgeError("--labelled is --label-column 1, and another is named", "leave one of them out")
    return replace(asked, label=":1")


def with_meaning(artifact: Artifact, threshold: float | None, opener: Opener) -> Artifact:
    """A file with what its outputs mean; one without a record has to be told, since no data is at hand.

    Raises:
        EcgEdgeError: it is an autoencoder, or looks like one, and the options do not say so.
    """
    from ecgedge.api.artifact import Anomaly
    from ecgedge.api.records import USER, check_told, check_values
    from ecgedge.api.records.rules import values_of

    if artifact.maker.get("part") != USER:
        return artifact
    task, window = opener.told.task, opener.told.window
    check_values(artifact, task)
    artifact = opener.with_scale(artifact)
    length = artifact.input.length
    if task is None and values_of(artifact.output) == length:
        raise EcgEdgeError(
            f"{artifact.path} gives back {length} values a beat: scores or a reconstruction?",
            "say --task classification, or --task anomaly with --threshold",
        )
    if task != "anomaly":
        return check_told(replace(artifact, output=replace(artifact.output, layout="NC")))
    if threshold is None:
        raise EcgEdgeError(f"{artifact.path} carries no threshold", "say --threshold (ecgedge evaluate fits one)")
    meaning = Anomaly(threshold, float("nan"), "normal", ("normal", "anomaly"), window)
    return check_told(replace(artifact, task=meaning, output=replace(artifact.output, layout="NCL")))


def open_beats(path: Path) -> IO[str]:
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
def open_answers(out: Path | None) -> Iterator[IO[str]]:
    """The output: standard output, or a file that appears when all went well."""
    if out is None:
        yield sys.stdout
        return
    with common.written(out, "w", encoding="utf-8", newline="") as file:
        yield file


def chunks(
    source: Iterable[str], name: str, artifact: Artifact, asked: Columns, normalize: bool
) -> Iterator[np.ndarray]:
    """Beats ``(n, 1, L)`` float32, at most ``CHUNK`` at a time; prints what was guessed of the lines."""
    import numpy as np

    from ecgedge.data.readers import read_stream

    stream = read_stream(source, name, asked, artifact.input.length)
    if stream.told:
        common.note(f"{name}: {stream.told}")
    while beats := list(islice(stream.beats, CHUNK)):
        x = np.stack(beats)
        if normalize:
            spread = x.std(axis=1, ddof=1, keepdims=True)
            x = (x - x.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
        yield x[:, None].astype(np.float32)


def columns(artifact: Artifact) -> tuple[str, str]:
    return ("score", "anomaly") if artifact.task.kind == "anomaly" else ("class", "probability")


def decide(session: SessionElsewhere, x: np.ndarray, artifact: Artifact) -> Iterator[tuple[str, str]]:
    """The answers for a chunk of beats, as they are written."""
    from ecgedge.api import tasks
    from ecgedge.api.artifact import Anomaly

    outputs = session.infer(x)
    if reason := tasks.wrong(outputs, x, artifact.task):
        raise ConversionError(f"{artifact.path} gives no answers: {reason}")
    decided = tasks.decide(outputs, x, artifact.task)
    if isinstance(artifact.task, Anomaly):
        for score, flag in zip(tasks.anomaly_scores(outputs, x, artifact.task.window), decided):
            yield f"{score:.6g}", str(int(flag))
    else:
        labels = [escape.csv_cell(label) for label in artifact.task.labels]
        for shares, index in zip(tasks.probabilities(outputs, artifact.task.scores), decided):
            yield labels[index], f"{shares[index]:.4f}"
