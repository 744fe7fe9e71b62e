"""``ecgedge predict``."""

from __future__ import annotations

import contextlib
import csv
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from ecgedge.cli import common
from ecgedge.cli.cutting import Asked, asked_of, cut_options
from ecgedge.cli.options import (
    FiniteRange,
    column_options,
    file_options,
    limit_options,
    limits_of,
    threads_option,
    told_columns,
    told_files,
    trusted,
)
from ecgedge.errors import EcgEdgeError
from ecgedge.files import escape

if TYPE_CHECKING:
    import numpy as np

    from ecgedge.api.artifact import Artifact
    from ecgedge.commands.predict import Decisions, Predictor

Piece = TypeVar("Piece")


@click.command()
@click.argument("target", metavar="FILE|MODEL|RUN")
@click.argument("row", nargs=-1, metavar="[ROW]")
@click.argument("beats", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Write the answers into this file. Default: standard output."
)
@click.option("--labelled", is_flag=True, help="Leave out the first column, which is a label (--label-column 1).")
@column_options
@click.option(
    "--normalize",
    is_flag=True,
    help="Bring each beat to mean 0 and standard deviation 1, as the built-in weights expect.",
)
@click.option(
    "--threshold",
    type=FiniteRange(0),
    help="Call a beat an anomaly whose error is above this, of a foreign autoencoder.",
)
@file_options
@click.option(
    "--runtime", metavar="NAME", help="Run it on this runtime. Default: the first that takes it and works here."
)
@threads_option
@limit_options
@cut_options
@click.option(
    "--like",
    type=click.Path(path_type=Path),
    metavar="DATA|CHECKPOINT",
    help="Cut a record as this data set of ecgedge data cut was, or as a checkpoint's was.",
)
@click.option(
    "--annotations-out",
    type=click.Path(path_type=Path),
    metavar="NAME.EXT",
    help="Write the answers as a WFDB annotation file, too, of a record.",
)
def predict(target: str, row: tuple[str, ...], beats: Path, out: Path | None, labelled: bool, normalize: bool,
            threshold: float | None, runtime: str | None, threads: int, timeout: float, memory: int | None,
            like: Path | None, annotations_out: Path | None, **given: Any) -> None:  # fmt: skip
    """Decide beat by beat: a line of numbers in, a line of answers out. BEATS: a text file, or - for
    stdin; or an .npz, .npy, .parquet, .arff or .ts.

    A line may hold a label and other columns, which are left out (--label-column, --ignore-column).
    A classifier gives class and probability, an autoencoder score and anomaly flag. The file may be of
    any length: it is read and answered in pieces.

    BEATS may be a WFDB or EDF record, too: 100, 100.hea, night.edf. It is cut as --like says, or as the checkpoint
    was trained, or as the options say; answers come with their times.

    Of a run, ROW is the id of a row or words that only it has; without it, the row that the run suggests.

    \b
    ecgedge predict tcn.tflite beats.csv -o answers.csv
    ecgedge predict tcn.tflite their-beats.csv --label-column last --ignore-column patient
    ecgedge predict checkpoints/tcn 100 --detect --annotations-out 100.tcn
    ecgedge predict runs/int8 tflite full-int8 beats.csv
    """
    from ecgedge.commands.predict import beats_in, label_left_out, opened
    from ecgedge.commands.predict_record import check_annotations_out
    from ecgedge.data.records import is_record

    if out:
        common.check_ending(out, (".csv", ".txt", ""), "a table of answers")
    asked, limits = label_left_out(told_columns(), labelled), limits_of(timeout, memory)
    cutting = asked_of(given, None)
    load = partial(opened, target, row, runtime, threshold, told_files(), trusted(), threads, limits)
    if is_record(beats):
        if asked or asked.layout:
            raise EcgEdgeError(f"{beats} is a record: it has no columns and no layout", "leave these options out")
        if annotations_out:
            check_annotations_out(annotations_out)
        predict_record(load, beats, out, cutting, asked.leads, normalize, like, annotations_out)
        return
    of_records = [*cutting.named(), *(["--like"] if like else []), *(["--annotations-out"] if annotations_out else [])]
    if of_records:
        told = f"{beats} is no record: {of_records[0]} has no place"
        raise EcgEdgeError(told, "leave it out, or name a WFDB or EDF record")
    with (
        load() as predictor,
        beats_in(beats, predictor.artifact, asked, normalize or predictor.normalize) as pieces,
        open_answers(out) as answers,
    ):
        count = write_answers(answers, pieces, predictor)
    if not count:
        common.warn(f"{beats} holds no beats")


def predict_record(
    load: Callable[[], AbstractContextManager[Predictor]], path: Path, out: Path | None, cutting: Asked,
    leads: Sequence[str], normalize: bool, like: Path | None, annotations_out: Path | None,
) -> None:  # fmt: skip
    """Write the answers for a record, each with its time, as they come."""
    from ecgedge.commands import predict_record as command
    from ecgedge.data.records import Left

    record = command.opened_record(path)
    with load() as predictor:
        start = command.start_of(like, predictor.artifact)
        if cutting.stride is not None and start.window is None:
            start = command.in_segments(
                replace(start, rate=cutting.rate or start.rate), cutting.stride, record, predictor.artifact
            )
        recipe = cutting.heeded(start, leads, normalize or predictor.normalize)
        command.compare_with_training(predictor.artifact, recipe, record.name)
        way = command.way_for(record, recipe, predictor.artifact)
        common.note(f"{record.name} is cut into {recipe.describe()}")
        left, kept, count = Left(), command.Annotations(), 0
        begin = time.monotonic()
        found = command.answers(record, way, predictor, left)
        with open_answers(out) as file:
            writer = csv.writer(file, lineterminator="\n")
            for timed in headed(found, writer, ["beat", "seconds", "sample", *columns(predictor.artifact)]):
                rows = zip(timed.seconds, timed.samples, answers_of(timed.decisions), strict=True)
                for second, sample, answer in rows:
                    writer.writerow([count, f"{second:.3f}", sample, *answer])
                    count += 1
                file.flush()
                if annotations_out:
                    kept.add(timed)
        spent = time.monotonic() - begin
    if annotations_out:
        kept.write(annotations_out, record.rate)
    length = command.seconds_of(record)
    pace = f"{length:,.0f} s of {record.name} in {spent:.1f} s, {length / max(spent, 1e-9):,.0f} times real time"
    common.aside(f"{count:,} answers; {pace}")
    if left.tell():
        common.note(f"left out: {left.tell()}")
    if not count:
        common.warn(f"no beat was found in {record.name}")


def headed(found: Iterable[Piece], writer: Any, names: Sequence[str]) -> Iterator[Piece]:
    """What is found, with the head of the table written before the first of it: an error has none before it."""
    pieces = iter(found)
    first = list(islice(pieces, 1))
    writer.writerow(names)
    yield from chain(first, pieces)


def write_answers(out: IO[str], beats: Iterable[np.ndarray], predictor: Predictor) -> int:
    """Write the table of answers, chunk by chunk; how many there are."""
    writer = csv.writer(out, lineterminator="\n")
    count = 0
    for decisions in headed(map(predictor.decide, beats), writer, ["beat", *columns(predictor.artifact)]):
        for answer in answers_of(decisions):
            writer.writerow([count, *answer])
            count += 1
        out.flush()  # whoever reads them may be waiting
    return count


@contextlib.contextmanager
def open_answers(out: Path | None) -> Iterator[IO[str]]:
    """The output: standard output, or a file that appears when all went well."""
    if out is None:
        yield sys.stdout
        return
    with common.written(out, "w", encoding="utf-8", newline="") as file:
        yield file


def columns(artifact: Artifact) -> tuple[str, ...]:
    heads = {"anomaly": ("score", "anomaly"), "multilabel": ("labels", *map(escape.csv_cell, artifact.task.labels))}
    return heads.get(artifact.task.kind, ("class", "probability"))


def answers_of(decisions: Decisions) -> Iterator[tuple[str, ...]]:
    """Decisions as they are written."""
    from ecgedge.commands.predict import Anomalies, Labelled

    if isinstance(decisions, Labelled):
        for words, found in zip(decisions.words, decisions.probabilities, strict=True):
            yield escape.csv_cell(words), *(f"{share:.4f}" for share in found)
        return

    if isinstance(decisions, Anomalies):
        for score, flag in zip(decisions.scores, decisions.flags, strict=True):
            yield f"{score:.6g}", str(int(flag))
    else:
        for label, probability in zip(decisions.labels, decisions.probabilities, strict=True):
            yield escape.csv_cell(label), f"{probability:.4f}"
