"""Every timed call of every form of a model, as one lane a form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from markupsafe import Markup

from ecgedge.report.html import svg
from ecgedge.report.html.figures import Figure, form
from ecgedge.report.html.svg import Scale
from ecgedge.run.row import Row

WIDTH, LANE, TOP, RIGHT = 900, 34, 14, 880
BINS = 300  # over the whole axis
TAIL = 0.999  # the axis ends at the slowest thousandth of a form; later calls are counted in words

Calls = Callable[[str], "np.ndarray | None"]


def latencies(rows: Sequence[Row], calls: Calls, colour: str) -> Figure | None:
    """Distributions of the model's own time, one beat a call, on a log scale; None where nothing was timed.

    Args:
        calls: the raw samples of a row by its id, microseconds ``(calls,)``.
    """
    timed = [(row, found) for row in rows if row.status == "ok" and (found := calls(row.id)) is not None]
    if not timed:
        return None
    ends = [(found.min(), np.quantile(found, TAIL)) for _, found in timed]
    low, high = min(end[0] for end in ends) / 1.05, max(end[1] for end in ends) * 1.05
    bottom = TOP + LANE * len(timed)
    left = 16 + max(svg.width_of(form(row)) for row, _ in timed)
    x, y = Scale(low, high, left, RIGHT, log=True), Scale(0, 1, bottom, TOP)
    parts = [frame(x, y)]
    words = []
    for number, (row, found) in enumerate(timed):
        base = TOP + LANE * (number + 1) - 6
        parts.append(lane(row, found, x, base, colour))
        words.append(f"{form(row)}: median {row.times.p50_us:,.1f} µs, 95th percentile {row.times.p95_us:,.1f}")
    total, beyond = sum(len(found) for _, found in timed), sum(int((found > high).sum()) for _, found in timed)
    caption = (
        f"{total:,} timed calls, of which {beyond:,} were so slow that they lie beyond the axis. Heights go with the "
        "square root of the number of calls, so that the slow ones are seen. Long stroke: median; short stroke: "
        "95th percentile; bar below: 95% interval of the median, from the blocks."
    )
    if any(row.times.blocks_quick not in (None, row.times.blocks) for row, _ in timed):
        caption += (
            " Calls of all blocks are drawn; strokes and bars are of the blocks in the machine's usual quick state, or "
            "of all where a form is unsteady."
        )
    caption += other_clocks([row for row, _ in timed])
    return Figure(
        svg.picture(WIDTH, bottom + 44, "Latency of each form", "; ".join(words), *parts, class_="lanes"),
        caption,
        wide=True,
    )


def other_clocks(rows: Sequence[Row]) -> str:
    """A sentence for each clock of their own that forms were timed by; empty where there is none."""
    forms: dict[str, list[str]] = {}
    for row in rows:
        if row.clock:
            forms.setdefault(row.clock, []).append(form(row))
    return "".join(f" By {clock}: {', '.join(dict.fromkeys(names))}." for clock, names in forms.items())


def frame(x: Scale, y: Scale) -> Markup:
    """The axis below, and gridlines through all lanes."""
    ticks = x.ticks(8)
    lines = [svg.line(x(tick), y.start, x(tick), y.end, "grid") for tick in ticks]
    numbers = [svg.text(x(tick), y.start + 16, svg.plain(tick), anchor="middle") for tick in ticks]
    title = svg.text((x.start + x.end) / 2, y.start + 36, "µs a call (log scale)", anchor="middle", class_="title")
    return svg.element("g", *lines, *numbers, svg.line(x.start, y.start, x.end, y.start, "axis"), title, class_="axes")


def lane(row: Row, found: np.ndarray, x: Scale, base: float, colour: str) -> Markup:
    edges = np.geomspace(x.low, x.high, BINS + 1)
    counts = np.histogram(found, edges)[0]
    heights = np.sqrt(counts / counts.max()) * (LANE - 10)
    first, last = np.flatnonzero(counts)[[0, -1]]
    outline = [(x(edges[first]), base)]
    for i in range(first, last + 1):
        outline += [(x(edges[i]), base - heights[i]), (x(edges[i + 1]), base - heights[i])]
    outline.append((x(edges[last + 1]), base))
    p50, p95 = x(row.times.p50_us), x(row.times.p95_us)
    low, high = x(row.times.p50_low_us), x(row.times.p50_high_us)
    return svg.element(
        "g",
        svg.text(x.start - 12, base - 4, form(row), anchor="end", class_="label"),
        svg.line(x.start, base, x.end, base, "grid"),
        svg.path(outline, f"shape {colour}", closed=True),
        svg.line(p50, base + 4, p50, base - LANE + 8, "stroke"),
        svg.line(p95, base + 4, p95, base - 8, "stroke"),
        svg.line(low, base + 2.5, high, base + 2.5, "bar"),
    )
