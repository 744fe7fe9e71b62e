"""The columns of every table of rows: in a terminal, in Markdown and on the page.

Those of figures come from ``METRICS``, by how each says that it is shown; only what takes more than one figure to show
is written here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ecgedge.devices.boards import HOST
from ecgedge.evaluate.metric import Metric
from ecgedge.evaluate.portable import VERDICTS
from ecgedge.run.measurement import TimeRatio
from ecgedge.run.metrics import BULK, METRICS, metrics_of
from ecgedge.run.row import Row
from ecgedge.run.rows import UNSTEADY

if TYPE_CHECKING:
    from ecgedge.report.relative import Relative

NOTHING = "–"  # on the page; elsewhere a hyphen
USUAL = 64  # beats a call, in the largest batch; others are told
OWN = "*"  # behind a figure that the session measured itself
MARKS = {"tie": "=", UNSTEADY: "?"}  # before a ratio of times


@dataclass(frozen=True)
class Cell:
    """Of the page. ``below``: a second line, for intervals; ``key``: number or word by which rows are sorted, None goes
    last."""

    text: str
    below: str = ""
    key: float | str | None = None
    class_: str = ""


@dataclass(frozen=True)
class Column:
    """What a column shows.

    Attributes:
        head: in a terminal and in Markdown; empty: it is not there.
        text: there.
        name: on the page; empty: it is not there.
        show: there.
        unit: below its name.
        words: whether it is text, and aligned as such.
        means: for who hovers or listens.
        metric: whose best values are marked.
    """

    head: str
    text: Callable[[Row], str]
    name: str = ""
    show: Callable[[Row], Cell] = lambda _: Cell(NOTHING)
    unit: str = ""
    words: bool = False
    means: str = ""
    metric: str = ""


def text_columns(
    rows: Sequence[Row], task: str, ratios: Column | None = None, relative: Relative | None = None
) -> list[Column]:
    """Of a table of one task in a terminal or in Markdown; those of ``IDENTITY``, and ``ROUTE``, come first.

    Args:
        ratios: another one, after size and memory.
        relative: times against one reference form; None: each against its fp32 form.
    """
    return [column for column in all_columns(rows, task, ratios, relative) if column.head]


def page_columns(rows: Sequence[Row], task: str, relative: Relative | None = None) -> list[Column]:
    """Of the page's table of one task; a figure that no row has is left out."""
    metrics = metrics_of(rows)
    known = {name for name, metric in metrics.items() if any(metric.value(row) is not None for row in rows)}
    return [
        column
        for column in all_columns(rows, task, relative=relative)
        if column.name and (column.metric in known or column.metric not in metrics)
    ]


def all_columns(
    rows: Sequence[Row], task: str, ratios: Column | None = None, relative: Relative | None = None
) -> list[Column]:
    shown = [metric for metric in METRICS.values() if metric.shown]
    sizes = [of_metric(metric) for metric in shown if metric.kind == "bytes"]
    quality = [of_metric(metric) for metric in shown if metric.task == task]
    times = [column for metric in shown if metric.kind in ("time", "rate", "energy") for column in of_time(metric)]
    route = [ROUTE] if rivals(rows) else []
    extra = [ratios] if ratios else []
    own = [of_metric(metric) for name, metric in metrics_of(rows).items() if name not in METRICS]
    own += [MEASURED] if any(row.meters for row in rows) else []
    place = [PLACE] if several_places(rows) else []
    portable = [PORTABLE, of_metric(METRICS["portability_flips"])] if any(row.portable for row in rows) else []
    return [
        *IDENTITY,
        *place,
        *route,
        *sizes,
        *extra,
        relative_to(relative),
        *quality,
        CHANGES[task],
        *times,
        *own,
        *portable,
        STATUS,
    ]


def several_places(rows: Sequence[Row]) -> bool:
    """Whether rows are of boards, or of cores that are played, so that the device has to be named."""
    return any(row.place != HOST for row in rows)


def rivals(rows: Sequence[Row]) -> bool:
    """Whether two routes lead to the same form of a model, so that the table has to name them."""
    forms = [(row.model, row.format, row.precision_words, row.runtime, row.board) for row in rows]
    return len(set(forms)) < len(forms)


def of_metric(metric: Metric) -> Column:
    """The column of a figure, as ``Metric.shown`` says."""
    assert metric.shown is not None
    shown = metric.shown

    def text(row: Row) -> str:
        value = metric.value(row)
        return "-" if value is None else shown.text(value) + OWN * bool(source_of(metric, row))

    def show(row: Row) -> Cell:
        value, ends = metric.value(row), metric.interval(row)
        if value is None:
            return Cell(NOTHING)
        below = span((shown.text(end, page=True) for end in ends), "–") if ends else ""
        mark = "unsteady, " if below and metric.unsteady(row) else ""
        return Cell(shown.text(value, page=True), mark + below, value * shown.scale)

    return Column(shown.head, text, shown.title, show, shown.unit, means=shown.means, metric=metric.name)


def source_of(metric: Metric, row: Row) -> str | None:
    """The clock or meter of the session that a figure of a row is by; None: ecgedge measured it."""
    if row.meters is None:
        return None
    if metric.name.startswith(("latency", "throughput")):
        return row.meters.clock
    return {"memory": row.meters.memory_source, "energy": row.meters.energy_source}.get(metric.name)


def measured_by(row: Row) -> str:
    """What a session measured itself, and by what; empty where that is nothing."""
    if row.meters is None:
        return ""
    told = (("times", row.meters.clock), ("RAM", row.meters.memory_source), ("energy", row.meters.energy_source))
    return "; ".join(f"{what} by {source}" for what, source in told if source)


def of_time(metric: Metric) -> list[Column]:
    """The column of a figure of the timed calls; in a terminal with one of its interval, where it has one."""
    column = of_metric(metric)
    if metric is BULK:
        return [replace(column, show=bulk)]
    spread = metric.shown is not None and metric.shown.spread
    return [column, Column("+-", partial(half_width, metric))] if spread else [column]


def half_width(metric: Metric, row: Row) -> str:
    """Of the 95% interval of a figure, in percent of it; with ``?`` where it is unsteady."""
    value, ends = metric.value(row), metric.interval(row)
    if not value or ends is None:
        return "-"
    half = 50 * (ends[1] - ends[0]) / value
    return (f"{half:.1f}" if half < 9.95 else f"{half:.0f}") + "?" * metric.unsteady(row)


def bulk(row: Row) -> Cell:
    """Beats a second in the largest batch, which is told where it is not the usual one."""
    if not row.throughput:
        return Cell(NOTHING)
    size = max(row.throughput)
    found = row.throughput[size]
    return Cell(f"{found:,.0f}", "" if size == USUAL else f"{size:,} a call", key=round(found))


def relative_to(relative: Relative | None) -> Column:
    """The column of times against one reference form; by itself each is relative to its fp32 form."""
    if relative is None:
        return TIMES

    def text(row: Row) -> str:
        return ratio_text(relative.ratios.get(row.id), row.id in relative.references)

    def show(row: Row) -> Cell:
        return ratio_cell(relative.ratios.get(row.id), row.id in relative.references)

    means = f"p50 relative to {relative.asked} of the same model, with its 95% interval"
    return replace(TIMES, text=text, show=show, unit=f"of {relative.asked}", means=means)


def ratio_text(found: TimeRatio | None, is_base: bool) -> str:
    """A ratio of times; ``=`` where the two tie, ``?`` where too few rounds were quick to tell.

    Args:
        is_base: the row is what others are held against.
    """
    if is_base:
        return "1.00"
    return f"{MARKS.get(found.result, '')}{found.ratio:.2f}" if found else "-"


def times_text(row: Row) -> str:
    """Latency relative to fp32."""
    return ratio_text(row.time_ratio, row.is_whole and row.latency is not None)


def times(row: Row) -> Cell:
    """Relative to the fp32 form of the same model, route, format and runtime."""
    return ratio_cell(row.time_ratio, row.is_whole and row.latency is not None)


def ratio_cell(found: TimeRatio | None, is_base: bool) -> Cell:
    """A ratio of times on the page."""
    if is_base:
        return Cell("1.00", key=1.0)
    if not found:
        return Cell(NOTHING)
    word = f"{found.result}, " if found.result in MARKS else ""
    within = span((f"{found.low:.3f}", f"{found.high:.3f}"), "–")
    return Cell(f"{found.ratio:.2f}", f"{word}{within}", found.ratio, found.result)


def verdict(row: Row) -> Cell:
    """The change in points of accuracy, or in AUROC; sorted by it."""
    found = row.verdict
    if not found:
        return Cell(NOTHING)
    if "identical" in found.text:
        return Cell("same", found.text.partition("(")[2].rstrip(")"), found.difference)
    digits, scale = (2, 100) if row.task == "classification" else (5, 1)
    change, ends = signed(scale * found.difference, digits), (scale * found.low, scale * found.high)
    within = span((signed(positive(end, digits), digits) for end in ends), " to ")
    return Cell(f"{found.result} {change}", within, found.difference, found.result)


def signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def positive(value: float, digits: int) -> float:
    """A value that is rounded, where that leaves nothing without the sign that it had: there is one zero."""
    return round(value, digits) + 0.0


def span(ends: Iterable[str], between: str) -> str:
    """The ends of an interval as they are shown; one where they are the same when they are rounded."""
    return between.join(dict.fromkeys(ends))


def status(row: Row) -> Cell:
    gates = len(row.gates)
    told = ["1 gate" if gates == 1 else f"{gates} gates"] * bool(gates) + [UNSTEADY] * row.unsteady
    return Cell(row.status, ", ".join(told), row.status, "" if row.status == "ok" else f"status-{row.status}")


def portability(row: Row) -> Cell:
    """The verdict of its certificate, and on how many beats a decision changes; the best is sorted first."""
    found = row.portable
    if found is None:
        return Cell(NOTHING)
    flips = f"{found.flips:,} beat{'' if found.flips == 1 else 's'} decided otherwise" if found.flips else ""
    place = (*VERDICTS, row.portability).index(row.portability)
    return Cell(row.portability, flips, place, "worse" if row.portability == VERDICTS[-1] else "")


def word(name: str, value: Callable[[Row], str | None]) -> Column:
    return Column(
        name, lambda row: value(row) or "-", name, lambda row: Cell(value(row) or NOTHING, key=value(row)), words=True
    )


def change(unit: str) -> Column:
    """Against the trained model; a terminal has the word alone."""
    means = (
        f"{'of accuracy ' if unit == 'points' else ''}against the trained model, beats paired, with its 95% interval"
    )
    return Column(
        "verdict", lambda row: row.verdict.result if row.verdict else "-", "change", verdict, unit, means=means
    )


IDENTITY = [
    word("model", lambda row: row.model),
    word("format", lambda row: row.format),
    word("precision", lambda row: row.precision_words),
    word("runtime", lambda row: row.runtime),
]
PLACE = word("device", lambda row: row.place)
ROUTE = Column(
    "route", lambda row: " ".join([*row.route, row.quantizer or "-"]),
    "route", lambda row: Cell(" → ".join([*row.route, row.quantizer or NOTHING])), words=True,
)  # fmt: skip
TIMES = Column(
    "time x", times_text, "time ×", times, "of fp32",
    means="p50 relative to fp32 of the same model, format and runtime, with its 95% interval",
)  # fmt: skip
MEASURED = Column(
    "", lambda _: "",
    "measured by", lambda row: Cell(measured_by(row) or NOTHING, key=measured_by(row) or None), words=True,
    means="the device's own clock and meters, where a row's times, memory or energy are by them",
)  # fmt: skip
CHANGES = {"classification": change("points"), "multilabel": change("macro AUROC"), "anomaly": change("AUROC")}
PORTABLE = Column(
    "portability", lambda row: row.portability if row.portable else "-",
    "portability", lambda row: portability(row), words=True,
    means="whether it answers alike with other kernels, and on other processors",
)  # fmt: skip
STATUS = Column("status", lambda row: UNSTEADY if row.unsteady else row.status, "status", status, words=True)
