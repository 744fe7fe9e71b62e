"""``ecgedge convert``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecgedge.cli import common
from ecgedge.cli.options import (
    MOST_BEATS,
    NORMALIZE,
    asked_of_columns,
    calibration_option,
    chosen_passes,
    dataset_option,
    file_options,
    limit_options,
    opset_option,
    options_of,
    part_option,
    passes_options,
    quantizer_options,
    seed_option,
    told_files,
    trusted,
)

if TYPE_CHECKING:
    from ecgedge.commands.convert import Conversion
    from ecgedge.commands.converted import Comparison, Verification
    from ecgedge.run.turns import Pair


@click.command()
@click.argument("source", metavar="MODEL|CHECKPOINT|FILE")
@click.option(
    "--to", "format", required=True, metavar="FORMAT", help="Convert it to this format: onnx, saved_model, tflite, ..."
)
@click.option(
    "--quantize",
    "quantizer",
    default="none",
    show_default=True,
    metavar="Q",
    help="Make it in this precision: none, fp16, dynamic, full-int8, mixed; or by this quantizer.",
)
@click.option("--exporter", "exporters", multiple=True, metavar="NAME,...",
              help="Convert through these exporters, all in order. Default: the shortest route.")  # fmt: skip
@click.option(
    "--runtime",
    metavar="NAME",
    help="Make the file for this runtime, and verify it there. Default: the first that takes it and works here.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Write it into this file or folder. Default: NAME-PRECISION.FORMAT here.",
)
@click.option("--force", is_flag=True, help="Replace OUT where it exists.")
@click.option("--verify", type=click.Choice(["sample", "full"]), default="sample", show_default=True,
              help="Compare answers on 500 test beats, stratified (sample), or on all (full).")  # fmt: skip
@click.option(
    "--batch",
    type=click.IntRange(1, MOST_BEATS),
    default=1,
    show_default=True,
    help="Make the file for so many beats a call, where its format fixes that.",
)
@dataset_option
@calibration_option
@opset_option
@quantizer_options
@part_option
@passes_options
@file_options
@seed_option
@limit_options
@click.pass_context
def convert(ctx: click.Context, source: str, format: str, quantizer: str, exporters: tuple[str, ...],
            runtime: str | None, out: Path | None, force: bool, verify: str, batch: int, dataset: str | None,
            calibration: int, opset: int | None, passes: tuple[str, ...] | None, no_optimize: bool,
            seed: int, timeout: float, memory: int | None, **options: Any) -> None:  # fmt: skip
    """Make one artifact and prove that it answers as its source does.

    \b
    ecgedge convert tcn --to tflite --quantize full-int8 -o tcn.tflite
    ecgedge convert theirs.onnx --to onnx -o faster.onnx
    ecgedge convert tcn --to tflite --exporter onnx,onnx2tf --runtime tflite --verify full
    """
    from ecgedge.commands.convert import convert as make

    made = make(
        source,
        format,
        out,
        quantizer=quantizer,
        exporters=[name.strip() for words in exporters for name in words.split(",") if name.strip()],
        runtime=runtime,
        passes=chosen_passes(passes, no_optimize),
        options=options_of({"opset": opset, **options}),
        batch=batch,
        force=force,
        verify=verify,
        data=dataset,
        normalize=bool(ctx.meta.get(NORMALIZE)),
        **asked_of_columns(),
        calibration=calibration,
        seed=seed,
        told=told_files(),
        trust=trusted(),
        timeout=timeout,
        memory=memory,
    )
    if opset and "onnx" not in made.route:
        common.warn("--opset changes nothing here: no ONNX file is exported on this route")
    if batch != 1 and made.artifact.input.batch is None:
        common.warn(f"--batch changes nothing here: {format} files take any batch")
    summarize(made)


def summarize(made: Conversion) -> None:
    """Print what was made and how it answers."""
    artifact = made.artifact
    common.say(f"{made.path}: {artifact.format} {artifact.precision}, {artifact.size_bytes:,} bytes")
    common.say(f"route      {' -> '.join([artifact.name, *made.route, made.quantizer])}")
    if made.passes or artifact.passes:
        common.say(f"passes     {', '.join(artifact.passes) or 'none changed it'}")
    more = {"notes": artifact.notes.get("text"), "gain": told_gain(made.gain), "cost": told_cost(made.cost, artifact)}
    for what, text in more.items():
        if text:
            common.say(f"{what:<10} {text}")
    for what, spec in (("input", artifact.input), ("output", artifact.output)):
        shape = ", ".join("N" if axis is None else str(axis) for axis in spec.shape)
        common.say(f"{what:<10} {spec.name} ({shape}) {spec.dtype}")
    common.say(f"sha256     {artifact.digest}")
    if made.verification is None:
        common.say(f"parity     checked by its exporter; no runtime here takes {artifact.format}")
    else:
        tell_verification(made.verification, made.runtime)


def tell_verification(found: Verification, runtime: str) -> None:
    """Print how a file answers, and on which beats that was looked at."""
    part = f"{found.beats:,} of {found.test_beats:,}" if found.beats < found.test_beats else f"all {found.beats:,}"
    rest = "; all: --verify full" if found.beats < found.test_beats else ""
    common.say(f"verified   on {part} test beats, on {runtime}{rest}")
    if found.max_abs_diff is None:
        common.say("parity     not measured: no runtime here takes its source")
    else:
        common.say(
            f"parity     largest difference to its source {found.max_abs_diff:.2g}, "
            f"{found.changed_decisions} of {found.beats:,} decisions changed"
        )
    told = ", ".join(f"{key} {value:.4f}" for key, value in found.figures.items() if value is not None)
    common.say(f"quality    {told} ({found.data})")
    if found.loss:
        common.say(f"loss       {found.loss}")


def told_gain(found: Comparison | None) -> str:
    """What graph passes are worth, in one line; empty where that was not asked."""
    if found is None:
        return ""
    if found.pair is None:
        return f"not measured; without the passes: {found.reason}"
    remedy = "; --no-optimize leaves the passes out" if found.pair.result == "slower" else ""
    return told_pair(found.pair, found.runtime) + remedy


def told_cost(found: Comparison | None, artifact: Any) -> str:
    """What the layers left in float cost, in one line; empty where that was not asked."""
    if found is None:
        return ""
    if found.size_bytes is None:
        return f"not measured; full-int8: {found.reason}"
    sizes = f"{found.size_bytes:,} -> {artifact.size_bytes:,} bytes against full-int8"
    return f"{sizes}, {told_pair(found.pair, found.runtime)}" if found.pair else sizes


def told_pair(pair: Pair, runtime: str) -> str:
    """Medians and ratio of two files timed in turns."""
    return (
        f"p50 {pair.first:.1f} -> {pair.second:.1f} us on {runtime}{f' by {pair.clock}' if pair.clock else ''}, "
        f"x {pair.ratio:.2f} [{pair.low:.2f}, {pair.high:.2f}]{pair.told}"
    )
