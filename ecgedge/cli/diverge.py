"""``ecgedge diverge``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecgedge.cli import common
from ecgedge.cli.options import (
    NORMALIZE,
    FiniteRange,
    asked_of_columns,
    calibration_option,
    dataset_option,
    file_options,
    limit_options,
    part_option,
    seed_option,
    threads_option,
    told_files,
    trusted,
)
from ecgedge.files import escape

if TYPE_CHECKING:
    from ecgedge.diverge.chain import Stage
    from ecgedge.diverge.diverged import Diverged
    from ecgedge.diverge.fix import Fixed
    from ecgedge.diverge.lines import Line

STAGES = ("", "stage", "precision", "runtime", "to the first", "to the one before", "largest", "explained", "decisions")
LINES = ("", "operation", "type", "matched by", "as it ran", "steps", "alone", "steps", "explained", "times")
WIDE, TYPE = 34, 17  # characters of a name, and of an operation's type
MOST = 24  # operations that are shown; of more those that err most
SAME = 199.0  # dB, from which there is no difference


@click.command()
@click.argument("target", metavar="FILE|MODEL|RUN")
@click.argument("row", nargs=-1, metavar="[ROW]")
@click.option(
    "--against", metavar="FILE|MODEL", help="Compare it with this form of the same model, which counts as right."
)
@click.option("--to", metavar="FORMAT", help="Convert it to this format instead, and look at every stage on the way.")
@click.option(
    "--quantize",
    default="none",
    show_default=True,
    metavar="PRECISION",
    help="Convert it in this precision, with --to.",
)
@click.option(
    "--runtime",
    metavar="NAME",
    help="Run it on this runtime. Default: the row's, else the first that takes it and works here.",
)
@click.option(
    "--against-runtime",
    metavar="NAME",
    help="Run the other form on this runtime. Default: that of a row of the same format, else the first that takes it "
    "and works here.",
)
@click.option("--device", metavar="NAME", help="Run the form, or the last stage, on this board (ecgedge board ls).")
@click.option(
    "--beats",
    type=click.IntRange(2),
    default=500,
    show_default=True,
    help="Ask the forms about so many test beats, stratified.",
)
@click.option("--fix", is_flag=True, help="Try other precisions where the last stage of --to loses too much.")
@click.option("--max-drop", type=FiniteRange(min=0), default=0.1, show_default=True, metavar="POINTS",
              help="Let --fix lose so much on these beats, in hundredths of accuracy or AUROC.")  # fmt: skip
@click.option("--whole", is_flag=True, help="Measure every operation of a long graph, not those around the worst.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE",
              help="Write a page into this file, too; every stage is looked into for it.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@dataset_option
@file_options
@calibration_option
@seed_option
@part_option
@threads_option
@limit_options
@click.pass_context
def diverge(ctx: click.Context, target: str, row: tuple[str, ...], against: str | None, to: str | None, quantize: str,
            runtime: str | None, against_runtime: str | None, device: str | None, beats: int, fix: bool,
            max_drop: float, whole: bool, html: Path | None, as_json: bool, dataset: str | None, calibration: int,
            seed: int, chosen: dict[str, str], threads: int, timeout: float,
            memory: int | None) -> None:  # fmt: skip
    """Find where two forms of a model part: the stage, the operation, the decisions that change.

    Of a run, ROW is the id of a row or words that only it has; without it, the row that the run suggests. It is held
    against its fp32 form there, else against the trained model, on the run's data.

    \b
    ecgedge diverge tcn.tflite --against tcn
    ecgedge diverge theirs.onnx --against theirs.tflite
    ecgedge diverge tcn --to tflite --quantize full-int8 --html tcn.html
    ecgedge diverge runs/int8 tflite full-int8
    """
    from ecgedge.commands.diverge import diverge as look_into

    if html:
        common.check_ending(html, (".html", ".htm"), "a page")
        common.check_writable(html)
    found = look_into(target, row=row, against=against, to=to, quantizer=quantize, runtime=runtime,
                      against_runtime=against_runtime, device=device, beats=beats, fix=fix, max_drop=max_drop,
                      each_stage=html is not None, whole=whole, data=dataset, normalize=bool(ctx.meta.get(NORMALIZE)),
                      **asked_of_columns(), calibration=calibration, seed=seed, told=told_files(), trust=trusted(),
                      options=chosen, threads=threads, timeout=timeout, memory=memory)  # fmt: skip
    if as_json:
        click.echo(json.dumps(found.record(), indent=1, allow_nan=False))
    else:
        show(found)
    if html:
        from ecgedge.report.html.diverge import render

        with common.written(html, "w", encoding="utf-8", newline="") as file:
            file.write(render(found))


def show(found: Diverged) -> None:
    """Print it: the stages, the operations, what was found."""
    common.say(f"{found.beats} test beats of {found.data}")
    click.echo()
    click.echo(table(STAGES, [stage_cells(stage, found.parted) for stage in found.stages], 4))
    click.echo()
    if found.study:
        s = found.study
        by = ", ".join(f"{count} by {how}" for how, count in s.matched_by.items())
        common.say(
            f"operations of {found.form} against {found.against}: {s.matched:.0%} of {s.tensors} tensors matched"
            f"{f' ({by})' if by else ''}, on {found.tapped} beats"
        )
        if s.narrowed:
            common.say(
                f"{s.narrowed.operations} operations, cut at {s.narrowed.cuts} places in {s.narrowed.runs} runs: these "
                "are the ones around the stretch that errs most by itself; --whole measures all"
            )
        lines = s.lines if len(s.lines) <= MOST else s.ranked()[:MOST]
        if len(lines) < len(s.lines):
            common.say(f"the {len(lines)} of {len(s.lines)} that err most")
        click.echo()
        click.echo(table(LINES, [line_cells(line, line is s.culprit) for line in lines], 4))
        click.echo()
        if s.unfused:
            common.say(f"only there when they are read, since they are fused: {', '.join(s.unfused)}")
    for operation, count in sealed_at(found).items():
        at = f"sealed from {operation} on" if operation else "sealed at the output alone"
        common.say(f"{count} decision{'' if count == 1 else 's'} changed, {at}")
    for note in found.notes:
        common.say(note)
    common.say(f"culprit: {found.culprit or 'none'}")
    for finding in found.findings:
        common.say(f"- {finding.text}")
        if finding.remedy:
            common.say(f"  {finding.remedy}")
    if found.fixed:
        show_fixed(found.fixed)


def show_fixed(fixed: Fixed) -> None:
    """Print what was tried, and what mends the loss."""
    if fixed.was <= fixed.allowed:
        common.say(f"nothing to mend: {fixed.was:.2f} points are lost, {fixed.allowed:g} may be")
        return
    common.say(f"{fixed.was:.2f} points are lost, {fixed.allowed:g} may be; tried:")
    for each in fixed.tried:
        lost = each.reason if each.drop is None else (
            f"{each.drop:.2f} points lost, {each.changed} decisions changed, {each.size_bytes:,} bytes"
        )  # fmt: skip
        common.say(f"  {each.quantizer}: {lost}")
    common.say(f"mended by: {fixed.command}" if fixed.command else "none of them mends it")


def sealed_at(found: Diverged) -> Mapping[str | None, int]:
    """How many of the decisions that were looked into are sealed by which operation."""
    from collections import Counter

    return Counter(each.operation for each in found.study.decisions) if found.study else {}


def table(head: tuple[str, ...], cells: list[list[str]], words: int) -> str:
    from tabulate import tabulate

    from ecgedge.report.grid import NARROW

    align = ["left"] * words + ["right"] * (len(head) - words)
    rule = ["-" * max(len(each[i]) for each in ([*head], *cells)) if name else "" for i, name in enumerate(head)]
    return tabulate([[*head], rule, *cells], (), NARROW, colalign=align, disable_numparse=True)


def stage_cells(stage: Stage, parted: str | None) -> list[str]:
    changed = len(stage.changed)
    return [
        ">" if stage.name == parted else "",
        cut(stage.name, WIDE),
        cut(stage.precision, 12),
        cut(stage.runtime, 12),
        decibels(stage.snr),
        decibels(stage.before),
        f"{stage.largest:.2g}",
        stage.allowed,
        f"{changed} changed" if changed else "same",
    ]


def line_cells(line: Line, is_culprit: bool) -> list[str]:
    name = line.operation.lstrip("/") + (f" +{len(line.others)}" if line.others else "")
    return [
        ">" if is_culprit else "",
        cut(name, WIDE),
        cut(line.op, TYPE),
        line.how + (", unfused" if line.unfused else ""),
        decibels(line.snr),
        "" if line.steps is None else f"{line.steps:.2f}",
        decibels(line.local_snr),
        "" if line.local_steps is None else f"{line.local_steps:.2f}",
        decibels(line.explained),
        f"{line.excess:.2f}" if line.excess < 1e4 else f"{line.excess:.0e}",
    ]


def decibels(value: float) -> str:
    return "same" if value > SAME else f"{value:.1f} dB"


def cut(text: str, most: int) -> str:
    """The end of a name tells more than its beginning."""
    text = escape.line(text)
    return text if len(text) <= most else ".." + text[-(most - 2) :]
