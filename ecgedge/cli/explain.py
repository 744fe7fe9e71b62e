"""``ecgedge explain``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from ecgedge.cli import common
from ecgedge.cli.options import (
    MOST_BEATS,
    limit_options,
    named_output,
    part_option,
    threads_option,
    told_files,
    trust_option,
    trusted,
)
from ecgedge.errors import counted
from ecgedge.files import escape

if TYPE_CHECKING:
    from ecgedge.commands.explain import Explained
    from ecgedge.explain.explanation import Explanation, Line

COLUMNS = ("operation", "name", "runs on", "in", "us", "share", "MACs", "bytes", "GMAC/s", "of peak")
PRECISIONS = ("fp32", "tf32", "fp16", "int8")  # of which there may be a peak
WORDS = 4  # of the columns that are text
WIDEST = (38, 24, 12, 9)  # characters of each of these


@click.command()
@click.argument("target", metavar="FILE|MODEL|RUN")
@click.argument("row", nargs=-1, metavar="[ROW]")
@click.option(
    "--runtime",
    metavar="NAME",
    help="Run it on this runtime. Default: the row's, else the first that takes it and works here.",
)
@click.option(
    "--device", metavar="NAME", help="Measure on this board (ecgedge board ls). Default: the row's, else this machine."
)
@named_output
@click.option(
    "--batch",
    type=click.IntRange(1, MOST_BEATS),
    help="Give it so many beats a call. Default: what the file was made for, else 1.",
)
@click.option("--against", metavar="FILE", help="Time this file in turns with it, too, one beat a call.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@trust_option
@part_option
@threads_option
@limit_options
def explain(target: str, row: tuple[str, ...], runtime: str | None, device: str | None, batch: int | None,
            against: str | None, as_json: bool, chosen: dict[str, str], threads: int, timeout: float,
            memory: int | None) -> None:  # fmt: skip
    """Say why a file takes its time: each operation, how far it is from the machine's limit, and what to do.

    Of a run, ROW is the id of a row or words that only it has; without it, the row that the run suggests.

    \b
    ecgedge explain tcn.tflite
    ecgedge explain theirs-int8.onnx --against theirs.onnx
    ecgedge explain tcn.tflite --device pi4
    ecgedge explain runs/int8 tflite full-int8
    """
    from ecgedge.commands.explain import explain as look_into

    found = look_into(target, row=row, runtime=runtime, device=device, batch=batch, against=against, told=told_files(),
                      trust=trusted(),
                      options=chosen, threads=threads, timeout=timeout, memory=memory)  # fmt: skip
    if as_json:
        click.echo(json.dumps(found.record(), indent=1))
    else:
        show(str(found.explanation.artifact.path) if row else target, found, threads)


def show(target: str, explained: Explained, threads: int) -> None:
    """Print it: the file, the table, how its times were measured, the machine's peak, the findings."""
    e, place = explained.explanation, f", {explained.board.board.name}" if explained.board else ""
    beats, processors = counted(explained.batch, "beat"), counted(threads, "thread")
    common.say(f"{target}: {e.artifact.format} {e.precision} on {e.runtime}{place}, {beats} a call, {processors}")
    common.say(f"{e.graph.placement()}; passes: {', '.join(e.artifact.passes) or 'none'}")
    click.echo()
    click.echo(table(e))
    click.echo()
    for line in (*of_times(e), *of_peaks(e), *e.notes):
        common.say(line)
    click.echo()
    for finding in explained.findings:
        common.say(f"- {finding.text}")
        if finding.remedy:
            common.say(f"  {finding.remedy}")


def table(e: Explanation) -> str:
    """A row an operation, the kernels of a partition below it and set in; then the sum and the whole call."""
    from tabulate import tabulate

    from ecgedge.explain.findings import between, in_table
    from ecgedge.report.grid import NARROW

    rows = [cells_of(line, e.tick) for line in e.lines]
    rows.append(["sum of operations", "", "", "", us_of(e.ops_us, 0.0), "", short(e.macs), short(e.bytes), "", ""])
    rate = f"{e.macs / e.whole_us / 1e3:.1f}" if e.macs else "-"
    of_limit = "-"
    if e.limit_us and e.limit_most_us:
        of_limit = in_table(between(e.limit_us / e.whole_us, e.limit_most_us / e.whole_us))
    rows.append(["whole call", "", "", "", us_of(e.whole_us, 0.0), "", short(e.macs), short(e.bytes), rate, of_limit])
    has_peak = any(precision in e.peaks for precision in PRECISIONS)
    shown = [*range(len(COLUMNS))] if has_peak else [*range(len(COLUMNS) - 1)]
    align = ["left"] * WORDS + ["right"] * (len(shown) - WORDS)
    chosen = [[row[i] for i in shown] for row in rows]
    headers = [COLUMNS[i] for i in shown]
    return tabulate(chosen, headers, tablefmt=NARROW, colalign=align, disable_numparse=True)


def cells_of(line: Line, tick: float) -> list[str]:
    from ecgedge.evaluate.metric import percent_of
    from ecgedge.explain.findings import between, in_table

    told = [("  " if line.kind == "kernel" else "") + line.op, line.name, line.placement, line.precision]
    words = [escape.line(word) for word in told]
    return [
        *(word if len(word) <= most else word[: most - 2] + ".." for word, most in zip(words, WIDEST, strict=True)),
        us_of(line.us, tick),
        "-" if line.share is None else in_table(percent_of(line.share)),
        short(line.macs) if line.macs != 0 else "",
        short(line.bytes),
        "" if line.gmacs is None else f"{line.gmacs:.1f}",
        in_table(between(line.of_peak, line.of_peak_most)),
    ]


def us_of(us: float | None, tick: float) -> str:
    if us is None:
        return "-"
    return f"<{tick:g}" if us < tick else f"{us:.1f}"


def short(count: int | None) -> str:
    """``1.2M``, ``34k``."""
    if count is None:
        return "-"
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)


def of_times(e: Explanation) -> list[str]:
    """How the times were measured, and what the profiler costs."""
    if e.profiled_us is None or e.told_us is None:
        return [f"times: a whole call {e.whole_us:.1f} us, the median"]
    clock = f", counted in whole {e.tick:g} us" if e.tick else ""
    told = [
        f"times: medians of {e.calls} calls under the runtime's profiler{clock}",
        f"       operations {e.told_us:.1f} us; whole call {e.profiled_us:.1f} us with it, {e.whole_us:.1f} us without",
    ]
    if e.cost_us:
        more = "; more beats a call (--batch 64) tell more" if e.artifact.input.batch is None else ""
        told.append(f"       {e.cost_us:.1f} us are taken off each operation: the profiler's own time{more}")
    return told


def of_peaks(e: Explanation) -> list[str]:
    """How the machine's peak was measured, and where it moved between two measurements."""
    from ecgedge.measure.peaks import known

    told = []
    for precision in PRECISIONS:
        if peak := e.peaks.get(precision):
            size = e.peaks["size"]
            told.append(
                f"peak:  {precision} {peak['gmacs']:.1f} GMAC/s, the best of {peak['calls']} calls of {peak['by']}, "
                f"{size} x {size} (median {peak['median']:.1f})"
            )
            if not known(peak["low"], peak["gmacs"]):
                told.append(f"       not steady: {peak['low']:.1f} at the least; the machine changed its speed")
    if told and e.isa:
        told.append(f"       {', '.join(e.isa)}")
    return told
