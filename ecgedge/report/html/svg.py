"""SVG as escaped text: elements, scales, axes, markers.

Colours and fonts are left to classes (``c0`` ... are the colours of a series), so that the page's style
sheet rules them in light and dark alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

COLOURS = 8  # that the style sheet knows
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "wedge")
CHARACTER, BOLD = 0.64, 0.67  # width of one, relative to the font's size: more than text of mixed letters takes
FONT = 12  # pixels, of all text unless said otherwise

Number = Callable[[float], str]


def element(tag: str, *children: str, **attributes: Any) -> Markup:
    """An element; ``class_`` is class, ``_`` else ``-``; floats are rounded, and what is None is left out."""
    told = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), short(value))
        for key, value in attributes.items()
        if value is not None
    )
    inner = Markup("").join(escape(child) for child in children)
    return Markup("<{}{}>{}</{}>").format(tag, told, inner, tag)


def short(value: Any) -> Any:
    """A tenth of a pixel is enough."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value


def picture(width: float, height: float, title: str, description: str, *children: str, **attributes: Any) -> Markup:
    """A whole picture, which screen readers take as one with its title and description."""
    told = f"{title}. {description}"
    box = f"0 0 {short(float(width))} {short(float(height))}"
    inner = (element("title", title), element("desc", description), *children)
    size: dict[str, Any] = {"viewBox": box, "width": float(width), "height": float(height)}
    return element("svg", *inner, role="img", aria_label=told, **size, **attributes)


def text(x: float, y: float, *words: str, anchor: str = "start", **attributes: Any) -> Markup:
    """``anchor``: start, middle or end."""
    return element("text", *words, x=float(x), y=float(y), text_anchor=anchor, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)


def path(points: Sequence[tuple[float, float]], class_: str, closed: bool = False) -> Markup:
    """Straight from point to point."""
    steps = " ".join(f"{short(float(x))},{short(float(y))}" for x, y in points)
    return element("path", d=f"M{steps}{'z' if closed else ''}", class_=class_)


def marker(shape: str, x: float, y: float, radius: float, class_: str, title: str = "") -> Markup:
    """One of ``SHAPES``, each with the area of a circle of that radius."""
    inner = [element("title", title)] if title else []
    if shape == "circle":
        return element("circle", *inner, cx=float(x), cy=float(y), r=float(radius), class_=class_)
    corners = OUTLINES[shape]
    scale = radius * math.sqrt(math.pi / area(corners))
    steps = " ".join(f"{short(x + scale * dx)},{short(y + scale * dy)}" for dx, dy in corners)
    return element("path", *inner, d=f"M{steps}z", class_=class_)


def area(corners: Sequence[tuple[float, float]]) -> float:
    """Of a polygon, by the shoelace formula."""
    following = [*corners[1:], corners[0]]
    return abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(corners, following))) / 2


def shape(number: int) -> str:
    """Of a series; they repeat."""
    return SHAPES[number % len(SHAPES)]


def colour(number: int) -> str:
    """The class of a series; they repeat."""
    return f"c{number % COLOURS}"


OUTLINES: dict[str, list[tuple[float, float]]] = {
    "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    "triangle": [(0, -1.15), (1, 0.58), (-1, 0.58)],
    "diamond": [(0, -1), (1, 0), (0, 1), (-1, 0)],
    "cross": [
        (-0.4, -1), (0.4, -1), (0.4, -0.4), (1, -0.4), (1, 0.4), (0.4, 0.4),
        (0.4, 1), (-0.4, 1), (-0.4, 0.4), (-1, 0.4), (-1, -0.4), (-0.4, -0.4),
    ],
    "wedge": [(0, 1.15), (1, -0.58), (-1, -0.58)],
}  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """From values ``low`` ... ``high`` to pixels ``start`` ... ``end``."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(max(value, 1e-300))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """About so many round values within."""
        return log_ticks(self.low, self.high, count) if self.log else linear_ticks(self.low, self.high, count)


def linear_ticks(low: float, high: float, count: int) -> list[float]:
    raw = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def log_ticks(low: float, high: float, count: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 4, 5, 6, 8), tuple(range(10, 100))):
        ticks = [factor * 10.0**decade / (10 if factors[0] == 10 else 1) for decade in decades for factor in factors]
        within = sorted(tick for tick in set(ticks) if low * 0.999 <= tick <= high * 1.001)
        if found and len(within) > count + 2:
            break
        found = within
        if len(found) >= count:
            break
    return found


def axes(x: Scale, y: Scale, x_title: str, y_title: str, x_number: Number, y_number: Number, ticks: int = 5) -> Markup:
    """Gridlines, numbers and titles; ``y.start`` is the bottom."""
    parts = []
    for tick in x.ticks(ticks):
        at = x(tick)
        parts += [line(at, y.start, at, y.end, "grid"), text(at, y.start + 16, x_number(tick), anchor="middle")]
    for tick in y.ticks(ticks):
        at = y(tick)
        parts += [line(x.start, at, x.end, at, "grid"), text(x.start - 6, at + 4, y_number(tick), anchor="end")]
    middle = (x.start + x.end) / 2
    parts += [
        line(x.start, y.start, x.end, y.start, "axis"),
        text(middle, y.start + 34, x_title, anchor="middle", class_="title"),
        text(x.start - 6, y.end - 10, y_title, anchor="start" if x.start < 60 else "middle", class_="title"),
    ]
    return element("g", *parts, class_="axes")


def width_of(words: str, bold: bool = False) -> float:
    """Pixels that a line of text takes at most."""
    return (BOLD if bold else CHARACTER) * FONT * len(words)


def cut(words: str, most: int) -> str:
    """At most so many characters."""
    return words if len(words) <= most else words[: most - 1] + "…"


def plain(value: float) -> str:
    """Without digits that say nothing: 0.5, 2, 1,000."""
    return f"{value:,.6g}" if value < 1e6 else f"{value:.3g}"
