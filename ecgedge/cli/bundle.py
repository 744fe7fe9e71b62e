"""``ecgedge bundle``."""

from __future__ import annotations

from pathlib import Path

import click

from ecgedge.cli import common
from ecgedge.cli.options import (
    NORMALIZE,
    FiniteRange,
    column_options,
    file_options,
    keep_normalize,
    limit_options,
    limits_of,
    told_columns,
    told_files,
    trusted,
)
from ecgedge.errors import EcgEdgeError, counted


@click.command()
@click.argument("file", metavar="FILE|RUN")
@click.argument("row", nargs=-1, metavar="[ROW]")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Write it into this zip or folder. Default: a zip here."
)
@click.option("--force", is_flag=True, help="Replace OUT where it exists.")
@click.option("--sign", "private", type=click.Path(path_type=Path), metavar="KEY.pem",
              help="Sign it with this Ed25519 key; ecgedge check --verify holds it to that.")  # fmt: skip
@click.option("--vectors", type=click.Path(path_type=Path),
              help="Take test vectors from this file, lines or an array, 1,000 beats at most; they travel in the "
                   "bundle. Default: synthetic beats.")  # fmt: skip
@click.option("--portability", "certificate", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Take along what ecgedge portability -o kept of this file; it bounds the vectors. Default: what "
                   "the run found, or what was found of these bytes before, by which more was tried.")  # fmt: skip
@click.option("--no-portability", "uncertified", is_flag=True, help="Take no such certificate.")
@click.option(
    "--labels", metavar="NAME,...", help="Name the classes of a foreign classifier, in the order of its outputs."
)
@click.option(
    "--threshold",
    type=FiniteRange(0),
    help="Call a beat an anomaly whose error is above this, of a foreign autoencoder.",
)
@click.option(
    "--dataset",
    metavar="ecg5000|synthetic|PATH",
    help="Take labels from this data and fit the threshold on its training beats, instead of naming them.",
)
@column_options
@click.option("--normalize", is_flag=True, expose_value=False, callback=keep_normalize,
              help="Let predict.py z-normalise each beat, as the built-in weights expect.")  # fmt: skip
@file_options
@limit_options
@click.pass_context
def bundle(ctx: click.Context, file: str, row: tuple[str, ...], out: Path | None, force: bool, private: Path | None,
           vectors: Path | None, certificate: Path | None, uncertified: bool, labels: str | None,
           threshold: float | None, dataset: str | None, timeout: float, memory: int | None) -> None:  # fmt: skip
    """Pack a file, or a folder of C, with all that it takes to run and check it without ecgedge.

    ONNX, TFLite; and as their frameworks saved them, to run there: Keras, SavedModel, .pt2, TorchScript.

    Of a run, ROW is the id of a row or words that only it has; without it, the row that the run suggests. The card
    then states what was measured of it, on which data and which machine.

    \b
    ecgedge bundle tcn.tflite -o tcn.zip
    ecgedge bundle runs/int8 tflite full-int8 -o tcn.zip
    ecgedge bundle theirs.onnx --labels normal,PVC,other -o theirs.zip
    ecgedge bundle tcn.tflite --sign key.pem
    """
    from ecgedge.cli.check import signing_key
    from ecgedge.commands.bundle import BundleRequest, make_bundle

    if uncertified and certificate:  # before the password of a key is asked for
        raise EcgEdgeError("--portability and --no-portability contradict each other", "leave one of them out")
    made = make_bundle(
        BundleRequest(
            file,
            row,
            out,
            force=force,
            key=private and signing_key(private),
            vectors=vectors,
            certificate=certificate,
            uncertified=uncertified,
            labels=labels,
            threshold=threshold,
            data=dataset,
            columns=told_columns(),
            normalize=bool(ctx.meta.get(NORMALIZE)),
            told=told_files(),
            trust=trusted(),
            limits=limits_of(timeout, memory),
        )
    )
    common.say(
        f"{made.path}: {made.name}, {counted(made.files, 'file')}, {made.size_bytes:,} bytes; "
        f"its own check passed on {counted(made.beats, 'beat')}"
    )
