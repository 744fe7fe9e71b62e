"""``ecgedge explain``."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecgedge.cli import common
from ecgedge.cli.options import (
    MOST_BEATS,
    limit_options,
    limits_of,
    output_option,
    threads_option,
    told_files,
    trust_option,
)
from ecgedge.errors import EcgEdgeError
from ecgedge.files import escape

if TYPE_CHECKING:
    from ecgedge.api.artifact import Artifact
    from ecgedge.explain.explanation import Explanation, Line
    from ecgedge.explain.findings import Finding
    from ecgedge.plugins import Parts
    from ecgedge.run.turns import Setting

COLUMNS = ("operation", "name", "runs on", "in", "us", "share", "MACs", "bytes", "GMAC/s", "of peak")
PRECISIONS = ("fp32", "tf32", "fp16", "int8")  # of which there may be a peak
WORDS = 4  # of the columns that are text
WIDEST = (38, 24, 12, 9)  # characters of each of these


@click.command()
@click.argument("target", metavar="FILE|MODEL")
@click.option("--runtime", "runtime_name", metavar="NAME", help="Default: the first that takes it and works here.")
@output_option
@click.option("--batch", type=click.IntRange(1, MOST_BEATS), help="Beats a call. Default: that of the file, else 1.")
@click.option("--against", metavar="FILE", help="Also time this file in turns with it, one beat a call.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@trust_option
@threads_option
@limit_options
def explain(target: str, runtime_name: str | None, batch: int | None, against: str | None, as_json: bool,
            threads: int, timeout: float, memory: int | None) -> None:  # fmt: skip
    """Say why a file takes its time: each operation, how far it is from the machine's limit, and what to do.

    \b
    ecgedge explain tcn.tflite
    ecgedge explain theirs-int8.onnx --against theirs.onnx
    """
    from ecgedge.cli.evaluate import pick_runtime
    from ecgedge.explain import study
    from ecgedge.explain.findings import find
    from ecgedge.files.locks import gate
    from ecgedge.run.turns import Setting
    from ecgedge.workers.hosts import networked, runtime_hosts

    parts, limits = common.load_parts(), limits_of(timeout, memory)
    with common.opener(parts, limits) as opener:
        artifact = opener.find_artifact(target)
        runtime = pick_runtime(artifact, runtime_name, parts, opener.workers).name
        size = chosen_batch(artifact, batch)
        other = opener.find_artifact(against, alone=False) if against else None
        if other:
            name = runtime if other.format == artifact.format else None
            pair = other, pick_runtime(other, name, parts, opener.workers).name
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        beats = study.write_beats(artifact, size, folder / "call.npy")
        setting = Setting(folder, beats, gate(), threads, seconds=limits.seconds, memory=limits.memory,
                          hosts=runtime_hosts(parts), networked=networked(parts))  # fmt: skip
        explanation = named(study.study(artifact, runtime, setting), target, parts)
        if other:
            timed = dataclasses.replace(setting, beats=study.write_beats(artifact, study.BEATS, folder / "beats.npy"))
            explanation = dataclasses.replace(explanation, ratio=compare(explanation, *pair, timed))
    found = find(explanation)
    if as_json:
        click.echo(json.dumps(record(explanation, found, size, threads), indent=1))
    else:
        show(target, explanation, found, size, threads)


def named(explanation: Explanation, target: str, parts: Parts) -> Explanation:
    """With what a command may call its source: the model, or the file itself where passes can still be applied."""
    artifact = explanation.artifact
    if artifact.name in parts.models:
        return dataclasses.replace(explanation, source=artifact.name)
    if artifact.format == "onnx" and explanation.precision in ("fp32", "float32"):
        output = told_files().output
        return dataclasses.replace(explanation, source=target + (f" --output {output}" if output else ""))
    return explanation


def chosen_batch(artifact: Artifact, wanted: int | None) -> int:
    """Beats a call. Raises EcgEdgeError where the file fixes another number, or so many need too much memory."""
    from ecgedge.measure.bench import check_size

    fixed = artifact.input.batch
    if wanted and fixed and wanted != fixed:
        raise EcgEdgeError(
            f"{artifact.path} takes {fixed} beat{'' if fixed == 1 else 's'} a call, not {wanted}",
            f"make another: ecgedge convert MODEL --to {artifact.format} --batch {wanted}",
        )
    check_size(artifact, wanted or fixed or 1)
    return wanted or fixed or 1


def compare(explanation: Explanation, other: Artifact, runtime: str, setting: Setting) -> dict[str, Any]:
    """How long the file takes, relative to another one on its runtime."""
    from ecgedge.api.records import USER
    from ecgedge.run.turns import time_in_turns
    from ecgedge.workers.client import ChildError

    mine, runtimes = explanation.artifact, (runtime, explanation.runtime)
    try:
        pair = time_in_turns((other, mine), runtimes, setting)
    except ChildError as error:
        raise EcgEdgeError(f"{mine.path} and {other.path} cannot be timed in turns: {error}", error.hint) from None
    known = other.maker.get("part") != USER
    return {
        "against": str(other.path),
        "precision": other.precision if known else other.path.name,
        "runtime": runtimes[0],
        "us": pair.second,
        "against_us": pair.first,
        "ratio": pair.ratio,
        "low": pair.low,
        "high": pair.high,
        "result": pair.result,
        "rounds": pair.rounds,
        "rounds_timed": pair.timed,
    }


def record(e: Explanation, found: list[Finding], batch: int, threads: int) -> dict[str, Any]:
    """Everything that the command says, as data."""
    from ecgedge.measure import machine

    return {
        "file": str(e.artifact.path),
        "format": e.artifact.format,
        "precision": e.precision,
        "passes": list(e.artifact.passes),
        "runtime": e.runtime,
        "batch": batch,
        "threads": threads,
        "placement": e.graph.placement(),
        "operations": [dataclasses.asdict(line) for line in e.lines],
        "total": {
            "whole_us": e.whole_us,
            "operations_us": e.ops_us,
            "profiled_us": e.profiled_us,
            "told_us": e.told_us,
            "profiler_cost_us": e.cost_us,
            "cpu_share": e.cpu_share,
            "tick_us": e.tick,
            "calls": e.calls,
            "macs": e.macs,
            "bytes": e.bytes,
            "limit_us": e.limit_us,
        },
        "peaks": dict(e.peaks),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "notes": list(e.notes),
        "against": dict(e.ratio) or None,
        "findings": [dataclasses.asdict(finding) for finding in found],
    }


def show(target: str, e: Explanation, found: list[Finding], batch: int, threads: int) -> None:
    """Print it: the file, the table, how its times were measured, the machine's peak, the findings."""
    beats, processors = counted(batch, "beat"), counted(threads, "thread")
    common.say(f"{target}: {e.artifact.format} {e.precision} on {e.runtime}, {beats} a call, {processors}")
    common.say(f"{e.graph.placement()}; passes: {', '.join(e.artifact.passes) or 'none'}")
    click.echo()
    click.echo(table(e))
    click.echo()
    for line in (*of_times(e), *of_peaks(e), *e.notes):
        common.say(line)
    click.echo()
    for finding in found:
        common.say(f"- {finding.text}")
        if finding.remedy:
            common.say(f"  {finding.remedy}")


def table(e: Explanation) -> str:
    """A row an operation, the kernels of a partition below it and set in; then the sum and the whole call."""
    from tabulate import tabulate

    from ecgedge.explain.findings import between
    from ecgedge.report.grid import NARROW

    rows = [cells_of(line, e.tick) for line in e.lines]
    rows.append(["sum of operations", "", "", "", us_of(e.ops_us, 0.0), "", short(e.macs), short(e.bytes), "", ""])
    rate = f"{e.macs / e.whole_us / 1e3:.1f}" if e.macs else "-"
    of_limit = "-"
    if e.limit_us and e.limit_most_us:
        of_limit = between(e.limit_us / e.whole_us, e.limit_most_us / e.whole_us).replace("% to ", "-")
    rows.append(["whole call", "", "", "", us_of(e.whole_us, 0.0), "", short(e.macs), short(e.bytes), rate, of_limit])
    has_peak = any(precision in e.peaks for precision in PRECISIONS)
    shown = [*range(len(COLUMNS))] if has_peak else [*range(len(COLUMNS) - 1)]
    align = ["left"] * WORDS + ["right"] * (len(shown) - WORDS)
    chosen = [[row[i] for i in shown] for row in rows]
    headers = [COLUMNS[i] for i in shown]
    return tabulate(chosen, headers, tablefmt=NARROW, colalign=align, disable_numparse=True)


def cells_of(line: Line, tick: float) -> list[str]:
    from ecgedge.explain.findings import between

    told = [("  " if line.kind == "kernel" else "") + line.op, line.name, line.placement, line.precision]
    words = [escape.line(word) for word in told]
    return [
        *(word if len(word) <= most else word[: most - 2] + ".." for word, most in zip(words, WIDEST, strict=True)),
        us_of(line.us, tick),
        "-" if line.share is None else f"{line.share:.0%}",
        short(line.macs) if line.macs != 0 else "",
        short(line.bytes),
        "" if line.gmacs is None else f"{line.gmacs:.1f}",
        between(line.of_peak, line.of_peak_most).replace("% to ", "-"),
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


def counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


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
