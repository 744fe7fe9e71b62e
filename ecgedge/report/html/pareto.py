"""Quality against latency: what is worth its time."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from markupsafe import Markup

from ecgedge.evaluate.metric import Metric
from ecgedge.report.html import svg
from ecgedge.report.html.figures import Figure, Key, Looks, form, swatch
from ecgedge.report.html.labels import Box, Place, Point, place
from ecgedge.report.html.latency import other_clocks
from ecgedge.report.html.svg import Scale
from ecgedge.run.metrics import METRICS, QUALITY
from ecgedge.run.row import Row

WIDTH, HEIGHT = 900, 440
FRAME = Box(64, 34, 856, 386)
LARGEST, SMALLEST, USUAL = 26.0, 3.5, 5.5  # radius of a marker, pixels; USUAL: of the smallest file where all fit
SIZE = METRICS["size"]
LONGEST = 20  # characters of a model in a label
MOST_NAMED, MOST_LABELLED = 24, 120  # of the front, marks that are named; of all marks, with more of which no other is
ROOM = 1.15  # of the axis, relative to what it has to show


def pareto(rows: Sequence[Row], task: str, front: Collection[str], chosen: str | None, looks: Looks) -> Figure | None:
    """All forms that were timed; None where there are none.

    Args:
        front: ids of the rows that no other beats, which are joined and labelled.
        chosen: the id of the chosen row.
    """
    quality = QUALITY[task]
    name = quality.shown.title if quality.shown else quality.name
    shown = [row for row in rows if row.status == "ok" and row.latency and quality.value(row) is not None]
    if not shown:
        return None
    half = float(np.median([(high - low) / 2 for low, high in filter(None, map(quality.interval, shown))]))
    x, y = x_scale(shown), y_scale(shown, quality, half)
    radius = radii(shown)
    named = named_of(shown, front, chosen)
    points = [
        Point(x(row.times.p50_us), y(quality.known(row)), radius[row.id], name_of(row, named), must=row.id in named)
        for row in shown
    ]
    words = [f"{row.model} {form(row)}: {told(row, quality, name)}" for row in shown]
    parts = [svg.axes(x, y, "latency, median of one beat a call, µs (log scale)", name, svg.plain, svg.plain)]
    parts += [front_line([point for point, row in zip(points, shown) if row.id in front]), interval_bar(y, half)]
    for i in sorted(range(len(shown)), key=lambda i: -points[i].radius):
        row = shown[i]
        class_ = f"mark {looks.colour(row.model)}{' chosen' if row.id == chosen else ''}"
        parts.append(svg.marker(looks.shape(row.format), points[i].x, points[i].y, points[i].radius, class_, words[i]))
    labelled = points if len(points) <= MOST_LABELLED else [point for point in points if point.must]
    parts += [label(point, one) for point, one in zip(labelled, place(labelled, FRAME)) if one]
    best = [words[i] for i in range(len(shown)) if shown[i].id in front]
    more = f"; and {len(best) - MOST_NAMED} more" if len(best) > MOST_NAMED else ""
    description = f"{len(shown)} forms. On the Pareto front: {'; '.join(best[:MOST_NAMED]) or 'not known'}{more}."
    caption = (
        f"{'The mark with the heavy outline is the choice. ' if chosen else ''}Up and to the left is better. The "
        "area of a mark is the size of the file, the line joins the Pareto front. "
        f"The bar on the right is as long as a 95% interval of {name}, ±{half:.4f}; forms of one model are told apart "
        "more sharply, beat by beat, by the changes in the table."
    ) + other_clocks(shown)
    return Figure(
        svg.picture(WIDTH, HEIGHT, f"{name} against latency", description, *parts, class_="pareto"),
        caption, legend(shown, looks, radius), wide=True,
    )  # fmt: skip


def named_of(rows: Sequence[Row], front: Collection[str], chosen: str | None) -> set[str | None]:
    """The ids that are labelled in any case: the chosen one and the front, of a long one evenly spaced by latency."""
    ordered = [row.id for row in sorted(rows, key=lambda row: row.times.p50_us) if row.id in front]
    step = max(1, math.ceil(len(ordered) / MOST_NAMED))
    return {chosen, *ordered[::step]}


def name_of(row: Row, named: Collection[str | None]) -> str:
    """In full for those that matter; colour and marker tell the rest of the others."""
    return f"{svg.cut(row.model, LONGEST)} {form(row)}" if row.id in named else str(row.precision_words)


def told(row: Row, quality: Metric, name: str) -> str:
    return f"{row.times.p50_us:,.1f} µs, {name} {quality.known(row):.4f}, {SIZE.known(row) / 1e3:,.1f} kB"


def x_scale(rows: Sequence[Row]) -> Scale:
    found = [row.times.p50_us for row in rows]
    return Scale(min(found) / 1.4, max(found) * 1.4, FRAME.left, FRAME.right, log=True)


def y_scale(rows: Sequence[Row], quality: Metric, half: float) -> Scale:
    """At least as high as an interval of the quality: what is noise must not look like a difference."""
    found = [quality.known(row) for row in rows]
    middle = (min(found) + max(found)) / 2
    reach = ROOM * max((max(found) - min(found)) / 2, half, 1e-6)
    return Scale(middle - reach, middle + reach, FRAME.bottom, FRAME.top)


def radii(rows: Sequence[Row]) -> dict[str, float]:
    """Of the markers by row; the area is the size, but for files too small to be seen."""
    roots = {row.id: math.sqrt(SIZE.known(row)) for row in rows}
    scale = min(USUAL / min(roots.values()), LARGEST / max(roots.values()))
    return {name: max(SMALLEST, scale * root) for name, root in roots.items()}


def front_line(points: Sequence[Point]) -> Markup:
    ordered = sorted(points, key=lambda point: point.x)
    return svg.path([(point.x, point.y) for point in ordered], "front") if len(ordered) > 1 else Markup("")


def interval_bar(y: Scale, half: float) -> Markup:
    """How long the 95% interval of one row's quality is."""
    middle, at = (y.low + y.high) / 2, FRAME.right + 16
    top, bottom = y(middle + half), y(middle - half)
    words = svg.text(0, 0, "95% interval", anchor="middle")
    return svg.element(
        "g", svg.line(at, top, at, bottom, "bar"), svg.line(at - 4, top, at + 4, top, "bar"),
        svg.line(at - 4, bottom, at + 4, bottom, "bar"),
        svg.element("g", words, transform=f"translate({at + 16:.1f} {y(middle):.1f}) rotate(-90)"), class_="interval",
    )  # fmt: skip


def label(point: Point, found: Place) -> Markup:
    box = found.box
    middle = ((box.left + box.right) / 2, (box.top + box.bottom) / 2)
    words = svg.text(
        middle[0], middle[1] + 4, point.words, anchor="middle", class_="label must" if point.must else "label"
    )
    if not found.leader:
        return words
    return svg.element("g", svg.line(*found.leader[0], *found.leader[-1], "leader"), words)


def legend(rows: Sequence[Row], looks: Looks, radius: dict[str, float]) -> list[Key]:
    """Models, formats, and the size of the smallest and the largest file."""
    shown = Looks.of(rows)
    ends = sorted({SIZE.known(row): radius[row.id] for row in rows}.items())
    sizes = [ends[0], ends[-1]] if len(ends) > 1 else ends
    more = [Key(Markup(""), f"and {len(shown.models) - MOST_NAMED} models more")] * (len(shown.models) > MOST_NAMED)
    return [
        *(Key(swatch("circle", looks.colour(model)), model) for model in shown.models[:MOST_NAMED]),
        *more,
        *(Key(swatch(looks.shape(format), "plain"), format) for format in shown.formats),
        *(Key(dot(size_radius), f"{size / 1e3:,.0f} kB") for size, size_radius in sizes),
    ]


def dot(radius: float) -> Markup:
    side = 2 * radius + 2
    mark = svg.marker("circle", radius + 1, radius + 1, radius, "mark plain")
    return svg.element("svg", mark, width=float(side), height=float(side), aria_hidden="true")
