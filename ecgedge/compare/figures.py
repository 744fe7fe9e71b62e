"""The verdict on each figure of a cell that both runs have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ecgedge.api.figures import Figure
from ecgedge.choose import by_figures
from ecgedge.compare import quality
from ecgedge.compare.metrics import METRICS, PORTABILITY, STATUS, Metric
from ecgedge.compare.quality import Beats
from ecgedge.compare.runs import Run
from ecgedge.evaluate.intervals import ALPHA, Change, amount, apart, median_interval
from ecgedge.evaluate.judgement import Gate
from ecgedge.evaluate.portable import PORTABLE, VERDICTS
from ecgedge.run.row import Row
from ecgedge.run.rows import TIE

BETTER, SAME, WORSE, CANNOT_TELL = "better", "same", "worse", "cannot tell"


@dataclass(frozen=True)
class Verdict:
    """What has become of one figure of a cell, from A to B.

    Attributes:
        change: B less A in the metric's unit, with its 95% interval; None where there is none.
        floor: the noise floor that it was held to, in the same unit; None where there is none.
        regression: it is worse beyond the tolerance.
    """

    metric: str
    result: str
    text: str
    change: float | None = None
    low: float | None = None
    high: float | None = None
    floor: float | None = None
    regression: bool = False


def status(a: Row, b: Row) -> Verdict:
    was, now = a.status, b.status
    if (was == "ok") == (now == "ok"):
        return Verdict(STATUS, SAME, f"{now} in both" if was == now else f"{was} in A, {now} in B")
    broken = now != "ok"
    reason = (b if broken else a).reason
    text = f"{was} in A, {now} in B: {reason}".splitlines()[0]
    return Verdict(STATUS, WORSE if broken else BETTER, text, regression=broken)


def of_quality(
    a: Run, row: Row, b: Run, other: Row, beats: Beats, tolerances: Mapping[str, float]
) -> tuple[list[Verdict], int | None]:
    """The verdicts on what was decided, and how many decisions are others."""
    one, two = quality.answers(a, row, beats.a), quality.answers(b, other, beats.b)
    changed = int((one.decided != two.decided).sum()) if beats.paired else None
    right = METRICS["exact_match" if row.task == "multilabel" else "accuracy"]
    verdicts = [judged(right, quality.accuracy(one, two, beats.paired), beats.paired, tolerances)]
    if row.task == "multilabel":
        found = quality.macro_auroc(one, two, beats.paired)
        missing = Verdict("macro_auroc", CANNOT_TELL, "no macro AUROC: no label has both kinds of beats")
        verdicts.append(judged(METRICS["macro_auroc"], found, beats.paired, tolerances) if found else missing)
    if row.task == "anomaly":
        change = quality.auroc(one, two, beats.paired, a.about["seed"])
        verdicts.append(
            judged(METRICS["auroc"], change, beats.paired, tolerances)
            if change
            else Verdict("auroc", CANNOT_TELL, "no AUROC: a class is missing")
        )
    elif beats.paired:
        verdicts.append(of_recall(quality.lost_classes(a, row, one, two), tolerances["class_recall"]))
    else:
        verdicts.append(Verdict("class_recall", CANNOT_TELL, "classes are compared on the same beats only"))
    return verdicts, changed


def judged(metric: Metric, change: Change, paired: bool, tolerances: Mapping[str, float]) -> Verdict:
    """The verdict on a share or an AUROC: a change is what chance does less often than ``ALPHA``."""
    scale = 100 if metric.unit == "points" else 1
    difference, low, high = (scale * value for value in change[:3])
    result = SAME if change.p >= ALPHA else BETTER if metric.better(difference) else WORSE
    digits = 2 if scale == 100 else 4
    size = f"{amount(difference, digits)} {metric.unit or metric.name.upper()}" if difference else "0"
    direction = "up" if difference > 0 else "down"
    text = f"{metric.name} {direction} by {size}" if difference else f"{metric.name} unchanged"
    text += f" [{low:+.{digits}f}, {high:+.{digits}f}] ({quality.told(change, paired)})"
    regression = result == WORSE and -difference > tolerances[metric.name]
    return Verdict(metric.name, result, text, difference, low, high, regression=regression)


def of_recall(lost: list[Gate], tolerance: float) -> Verdict:
    """The verdict on the classes: worse where one was lost, by the gates of ``verdicts``."""
    if not lost:
        return Verdict("class_recall", SAME, "no class lost recall beyond chance")
    worst = min((100 * gate.change for gate in lost if gate.change is not None), default=None)
    collapsed = any(gate.change is None for gate in lost)
    regression = collapsed or (worst is not None and -worst > tolerance)
    return Verdict("class_recall", WORSE, "; ".join(gate.text for gate in lost), worst, regression=regression)


def of_latency(a: Run, row: Row, b: Run, other: Row, tolerance: float) -> Verdict:
    """The verdict on the median time of one beat: changed where the interval of the ratio leaves out 1, and it is
    further from 1 than either run's noise floor.

    Two runs at two times are not paired, so the interval is that of two medians measured apart. Where either is
    unsteady, or they are by two clocks, nothing can be told.
    """
    if row.timed_by != other.timed_by:
        clocks = (f"{each.clock or 'the clock of its machine'} in {name}" for name, each in zip("AB", (row, other)))
        return Verdict("latency", CANNOT_TELL, f"times are by {' and by '.join(clocks)}")
    logs = [np.log(run.block_medians(each)) for run, each in ((b, other), (a, row))]
    medians = [(float(np.median(each)), median_interval(each)) for each in logs]
    log_ratio, low, high = apart(*medians[0], *medians[1])
    floors = [run.floors.get((row.model, row.timed_by)) for run in (a, b)]
    known = [floor for floor in floors if floor is not None]
    floor = max(*known, TIE) if len(known) == 2 else None
    change, least, most = (100 * math.expm1(value) for value in (log_ratio, low, high))
    text = f"{abs(change):.1f}% {'slower' if change > 0 else 'faster'} [{least:+.1f}%, {most:+.1f}%]"
    if odd := [f"{name} ({run.quick_blocks(each)})" for name, run, each in (("A", a, row), ("B", b, other))
               if run.timing.unsteady(each.id)]:  # fmt: skip
        return Verdict("latency", CANNOT_TELL, f"{text}, unsteady in {' and '.join(odd)}", change, least, most)
    if floor is None:
        unknown = " and ".join(name for name, known_floor in zip("AB", floors) if known_floor is None)
        return Verdict("latency", CANNOT_TELL, f"{text}, noise floor of {unknown} unknown", change, least, most)
    beyond = abs(log_ratio) > math.log1p(floor) and not low <= 0 <= high
    result = SAME if not beyond else BETTER if METRICS["latency"].better(change) else WORSE
    text += f", noise floors {' and '.join(f'{each:.1%}' for each in known)}, at least {TIE:.0%}"
    regression = result == WORSE and change > tolerance
    return Verdict("latency", result, text, change, least, most, 100 * floor, regression)


def of_size(a: Row, b: Row, tolerance: float) -> Verdict:
    """The verdict on the bytes, which are exact."""
    was, now = a.size_bytes, b.size_bytes
    assert was and now, "both rows are ok"
    change = 100 * (now - was) / was
    result = SAME if was == now else BETTER if METRICS["size"].better(change) else WORSE
    text = f"{now:,} bytes" if was == now else f"{was:,} -> {now:,} bytes ({change:+.2g}%)"
    return Verdict("size", result, text, change, regression=result == WORSE and change > tolerance)


def of_portability(a: Row, b: Row) -> Iterator[Verdict]:
    """The verdict on the certificates, where both runs were asked for them; a regression where B is not portable any
    more."""
    if a.portable is None or b.portable is None:
        return
    was, now = a.portability, b.portability
    text = f"portability {now} in both" if was == now else f"portability {was} in A, {now} in B"
    if not {was, now} <= {*VERDICTS}:
        yield Verdict(PORTABILITY, SAME if was == now else CANNOT_TELL, text)
        return
    change = VERDICTS.index(now) - VERDICTS.index(was)
    result = SAME if not change else WORSE if change > 0 else BETTER
    yield Verdict(PORTABILITY, result, text, regression=result == WORSE and now not in PORTABLE)


def of_runtime(a: Row, b: Row, metrics: Mapping[str, Metric], tolerances: Mapping[str, float]) -> Iterator[Verdict]:
    """The verdicts on the figures that both rows' runtimes declare and either tells, in A's order."""
    theirs = {figure.name: figure for figure in b.declared}
    for figure in a.declared:
        metric, name = metrics.get(figure.name), figure.name
        is_told = name in theirs and (name in a.figures or name in b.figures)
        if is_told and metric and metric.figure and metric.figure.of_runtime:
            yield of_figure(a, b, figure, theirs[name], metric, tolerances[name])


def of_figure(a: Row, b: Row, figure: Figure, other: Figure, metric: Metric, tolerance: float) -> Verdict:
    """The verdict on one figure that both rows declare: better or worse by its direction.

    One that is exact has changed where it is not the same. Of any other a change within the noise is none, as
    ``choose`` has it; the noise of a share or a bare number is not known. Declared otherwise it is not compared.
    """
    name = figure.name
    if (figure.unit, figure.better) != (other.unit, other.better):
        told = (f"{meaning(each)} in {run}" for each, run in ((figure, "A"), (other, "B")))
        return Verdict(name, CANNOT_TELL, f"{name} is declared otherwise, so not compared: {', '.join(told)}")
    assert metric.figure, "it is of rows"
    of_rows = replace(metric.figure, exact=figure.exact and other.exact)
    was, now = of_rows.value(a), of_rows.value(b)
    if was is None or now is None:
        lacking = " and ".join(run for run, value in (("A", was), ("B", now)) if value is None)
        return Verdict(name, CANNOT_TELL, f"{name} is not told as a number in {lacking}")
    unit = f" {figure.unit}" if figure.unit else ""
    if was == now:
        return Verdict(name, SAME, f"{name} {spoken(a.figures[name])}{unit} in both", 0.0)
    relative = 100 * (now - was) / abs(was) if was else None
    change = 100 * (now - was) if metric.unit == "points" else relative
    found = by_figures(of_rows, b, a)
    result = {"better": BETTER, "worse": WORSE}.get(found.result, SAME)
    size = "" if change is None else f" ({change:+.3g}{'%' if metric.unit == '%' else ' points'})"
    text = f"{name} {spoken(a.figures[name])} -> {spoken(b.figures[name])}{unit}{size}: {found.why}"
    beyond = change is None or abs(change) > tolerance
    return Verdict(name, result, text, change, regression=result == WORSE and beyond)


def spoken(value: float | str) -> str:
    """A figure as its runtime tells it."""
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def meaning(figure: Figure) -> str:
    """What a declared figure is in, and which way is better."""
    return f"{'in ' + figure.unit if figure.unit else 'a number'}, {figure.better} is better"
