"""The page of ``ecgedge diverge``: the graph as a strip, the worst tensor in both forms, the beats that change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ecgedge.diverge.diverged import Diverged, Example
from ecgedge.diverge.histogram import Histogram
from ecgedge.diverge.lines import Line
from ecgedge.report.html import svg
from ecgedge.report.html.beats import Trace, beat_plot, trace_keys
from ecgedge.report.html.figures import Figure, Key, stroke, swatch
from ecgedge.report.html.page import page_of

WIDTH, HEIGHT, LEFT, RIGHT, TOP = 900, 300, 46, 884, 26  # pixels
SPREAD = 180  # height of a histogram
LEAST = -160.0  # dB, below which errors are drawn as this: they are none
MOST_LINES = 400  # operations in the table; of more those that err most
NAME = 44  # characters of an operation in a picture


@dataclass(frozen=True)
class Curve:
    """One line of the strip: a word for it, its class, and ``(depth, error in dB)`` for each operation."""

    words: str
    class_: str
    points: Sequence[tuple[float, float]]


def render(found: Diverged) -> str:
    """One HTML page, which needs no other file."""
    study, worst = found.study, found.worst
    lines = list(study.lines) if study else []
    return page_of(
        "diverge.html",
        version(),
        found=found,
        worst=worst,
        lines=lines if len(lines) <= MOST_LINES else found.ranking()[:MOST_LINES],
        strip=strip(found),
        spread=histogram(study.histogram, found, worst) if study and study.histogram and worst else None,
        beats=[(beat(each, found), each) for each in found.examples],
        keys=trace_keys(("beat", *([found.against, found.form] if found.examples[0].outputs else [])))
        if found.examples and found.examples[0].outputs else (),
        decibels=decibels,
    )  # fmt: skip


def version() -> str:
    from ecgedge.environments.versions import version_of

    return version_of("ecgedge") or ""


def decibels(value: float) -> str:
    return "same" if value > -LEAST else f"{value:.1f} dB"


def error_of(ratio: float) -> float:
    """An error in dB above the signal, of a signal-to-noise ratio."""
    return min(60.0, max(LEAST, -ratio))


def strip(found: Diverged) -> Figure | None:
    """Errors along the depth of the graph: of the form that was looked into as it ran and alone, of others as they ran.

    None where no operation was measured.
    """
    study, worst = found.study, found.worst
    if study is None or worst is None:
        return None
    curves = [
        Curve(f"{found.form}, as it ran", "c0", [(line.depth, error_of(line.snr)) for line in study.lines]),
        Curve("its operations alone", "c1", [(line.depth, error_of(line.local_snr)) for line in study.lines]),
        Curve("what its precision explains", "refitted",
              [(line.depth, error_of(line.explained)) for line in study.lines]),
        *(Curve(f"{each.form}, as it ran", svg.colour(2 + place),
                [(line.depth, error_of(line.snr)) for line in each.lines])
          for place, each in enumerate(found.strips) if each.lines),
    ]  # fmt: skip
    every = [error for curve in curves for _, error in curve.points]
    low, high = 20 * math.floor(min(every) / 20), 20 * math.ceil((max(every) + 4) / 20)
    x, y = svg.Scale(0, 1, LEFT, RIGHT), svg.Scale(low, max(high, low + 20), HEIGHT - 44, TOP)
    parts = [svg.axes(x, y, "depth: share of the operations before it", "error, dB above the signal", svg.plain,
                      svg.plain)]  # fmt: skip
    for curve in curves:
        points = [(x(depth), y(error)) for depth, error in curve.points]
        parts.append(svg.path(points, f"curve {curve.class_}") if len(points) > 1 else svg.marker(
            "diamond", *points[0], 3, f"mark {curve.class_}", curve.words))  # fmt: skip
    for line in study.lines:
        told = f"{line.operation}: alone {decibels(line.local_snr)}, {line.excess:.2g} times what is explained"
        parts.append(svg.marker("circle", x(line.depth), y(error_of(line.local_snr)), 3, "mark c1", told))
    at = x(worst.depth), y(error_of(worst.local_snr))
    name = svg.cut(worst.operation, NAME)
    is_left = at[0] < (LEFT + RIGHT) / 2
    parts += [
        svg.marker("circle", *at, 7, "mark c1 chosen", f"{worst.operation}: the worst"),
        svg.text(at[0] + (12 if is_left else -12), max(at[1] - 8, TOP - 12), name,
                 anchor="start" if is_left else "end", class_="label must"),
    ]  # fmt: skip
    title = "Errors along the depth of the graph"
    role = "is at fault" if study.culprit else "errs most for what its precision explains, and is at no fault"
    told = (
        f"{len(study.lines)} operations of {found.form} against {found.against}; {worst.operation}, at "
        f"{worst.depth:.0%} of the depth, {role}"
    )
    besides = ", ".join(f"{each.form} against {each.against} on {each.beats} beats" for each in found.strips)
    caption = (
        f"Signal-to-noise ratios upside down: what is higher is worse. {told}. Alone is the operation given the "
        f"reference's values.{f' The other lines: {besides}.' if besides else ''} The table below has every figure."
    )
    picture = svg.picture(WIDTH, HEIGHT, title, told, *parts)
    return Figure(picture, caption, [Key(stroke(curve.class_), curve.words) for curve in curves]
                  + [Key(swatch("circle", "c1 chosen"), "the worst operation")], wide=True)  # fmt: skip


def histogram(told: Histogram, found: Diverged, line: Line) -> Figure:
    """The worst operation's tensor, as it ran in the form and in the reference."""
    bottom, most = SPREAD - 44, max(*told.form, *told.expected, 1)
    x = svg.Scale(told.edges[0], told.edges[-1], LEFT, RIGHT)
    y = svg.Scale(0, math.sqrt(most), bottom, TOP)
    parts = [svg.line(x(tick), bottom, x(tick), TOP, "grid") for tick in x.ticks(8)]
    parts += [svg.text(x(tick), bottom + 16, svg.plain(tick), anchor="middle") for tick in x.ticks(8)]
    for counts, class_ in ((told.expected, "c2"), (told.form, "c1")):
        outline: list[tuple[float, float]] = [(x(told.edges[0]), bottom)]
        for place, count in enumerate(counts):
            height = y(math.sqrt(count))
            outline += [(x(told.edges[place]), height), (x(told.edges[place + 1]), height)]
        parts.append(svg.path([*outline, (x(told.edges[-1]), bottom)], f"shape {class_}", closed=True))
    parts.append(svg.line(LEFT, bottom, RIGHT, bottom, "axis"))
    parts.append(svg.text((LEFT + RIGHT) / 2, bottom + 34, "value", anchor="middle", class_="title"))
    ends = [f"{name} {least:.3g} to {last:.3g}" for name, (least, last) in (
        (found.form, ends_of(told.edges, told.form)), (found.against, ends_of(told.edges, told.expected)))]  # fmt: skip
    caption = (
        f"Values of {told.tensor}, which {line.operation} makes, in {found.form} as it ran, and of {told.reference} in "
        f"{found.against}: {', '.join(ends)}. Heights go with the square root of the number of values."
    )
    picture = svg.picture(WIDTH, SPREAD, "The worst tensor in both forms", "; ".join(ends), *parts)
    keys = [Key(swatch("square", "c1"), found.form), Key(swatch("square", "c2"), found.against)]
    return Figure(picture, caption, keys, wide=True)


def ends_of(edges: Sequence[float], counts: Sequence[int]) -> tuple[float, float]:
    """Between which values all counts lie."""
    held = [place for place, count in enumerate(counts) if count]
    return (edges[held[0]], edges[held[-1] + 1]) if held else (edges[0], edges[0])


def beat(one: Example, found: Diverged) -> Figure:
    """A beat that is decided otherwise, and what an autoencoder made of it in both forms."""
    told = f"beat {one.beat}, which is {one.label}: {one.reference} by {found.against}, {one.form} by {found.form}"
    sealed = f"; sealed from {one.operation} on" if one.operation else ""
    traces = [Trace("beat", one.values)]
    if one.outputs:
        traces += [Trace(name, made) for name, made in zip((found.against, found.form), one.outputs, strict=True)]
    return beat_plot(f"Beat {one.beat}", f"{told}{sealed}", traces, one.leads)
