"""``ecgedge predict``."""

from __future__ import annotations

import contextlib
import csv
import sys
from collections.abc import Iterable, Iterator
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
    told_files,
    trusted,
)
from ecgedge.files import escape

if TYPE_CHECKING:
    import numpy as np

    from ecgedge.api.artifact import Artifact
    from ecgedge.commands.predict import Decisions, Predictor


@click.command()
@click.argument("target", metavar="FILE|MODEL")
@click.argument("beats", type=click.Path(path_type=Path, allow_dash=True))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Default: standard output.")
@click.option("--labelled", is_flag=True, help="The first column is a label, and ignored (--label-column 1).")
@column_options
@click.option("--normalize", is_flag=True, help="z-normalise each beat; the built-in weights expect that.")
@click.option("--threshold", type=FiniteRange(0), help="Of a foreign autoencoder: an error above is an anomaly.")
@file_options
@click.option("--runtime", metavar="NAME", help="Default: the first that takes it and works here.")
@threads_option
@limit_options
def predict(target: str, beats: Path, out: Path | None, labelled: bool, normalize: bool, threshold: float | None,
            runtime: str | None, threads: int, timeout: float, memory: int | None) -> None:  # fmt: skip
    """Decide beat by beat: a line of numbers in, a line of answers out. BEATS: a text file, or - for
    stdin; or an .npz, .npy, .parquet, .arff or .ts.

    A line may hold a label and other columns, which are left out (--label-column, --ignore-column).
    A classifier gives class and probability, an autoencoder score and anomaly flag. The file may be of
    any length: it is read and answered in pieces.

    \b
    ecgedge predict tcn.tflite beats.csv -o answers.csv
    ecgedge predict tcn.tflite their-beats.csv --label-column last --ignore-column patient
    """
    from ecgedge.commands.predict import beats_in, label_left_out, opened

    asked, limits = label_left_out(told_columns(), labelled), limits_of(timeout, memory)
    with (
        opened(target, runtime, threshold, told_files(), trusted(), threads, limits) as predictor,
        beats_in(beats, predictor.artifact, asked, normalize) as pieces,
        open_answers(out) as answers,
    ):
        count = write_answers(answers, pieces, predictor)
    if not count:
        common.warn(f"{beats} holds no beats")


def write_answers(out: IO[str], beats: Iterable[np.ndarray], predictor: Predictor) -> int:
    """Write the table of answers, chunk by chunk; how many there are."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["beat", *columns(predictor.artifact)])
    count = 0
    for x in beats:
        for answer in answers_of(predictor.decide(x)):
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


def columns(artifact: Artifact) -> tuple[str, str]:
    return ("score", "anomaly") if artifact.task.kind == "anomaly" else ("class", "probability")


def answers_of(decisions: Decisions) -> Iterator[tuple[str, str]]:
    """Decisions as they are written."""
    from ecgedge.commands.predict import Anomalies

    if isinstance(decisions, Anomalies):
        for score, flag in zip(decisions.scores, decisions.flags, strict=True):
            yield f"{score:.6g}", str(int(flag))
    else:
        for label, probability in zip(decisions.labels, decisions.probabilities, strict=True):
            yield escape.csv_cell(label), f"{probability:.4f}"
