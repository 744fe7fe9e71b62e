"""What a figure of the page is, and how its series look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from ecgedge.report.html import svg
from ecgedge.run.row import Row

SHAPES = {"torch": "circle", "onnx": "square", "tflite": "triangle", "saved_model": "diamond"}


@dataclass(frozen=True)
class Key:
    """An entry of a legend."""

    mark: Markup
    words: str


@dataclass(frozen=True)
class Figure:
    """A picture with its caption; a ``wide`` one scrolls in a box of its own on a narrow screen."""

    picture: Markup
    caption: str
    keys: Sequence[Key] = ()
    wide: bool = False


@dataclass(frozen=True)
class Looks:
    """A colour a model and a marker a format, the same in the whole page."""

    models: list[str] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Looks:
        found = list(rows)
        return cls(
            list(dict.fromkeys(row.model for row in found)),
            list(dict.fromkeys(row.format for row in found)),
        )

    def colour(self, model: str) -> str:
        """A class of the style sheet."""
        return svg.colour(self.models.index(model))

    def shape(self, format: str) -> str:
        """The same in every report for a format of the built-in parts; others get those that are left."""
        if format in SHAPES:
            return SHAPES[format]
        left = [shape for shape in svg.SHAPES if shape not in SHAPES.values()]
        others = [each for each in self.formats if each not in SHAPES]
        return left[others.index(format) % len(left)]


def swatch(shape: str, class_: str, radius: float = 5) -> Markup:
    """A mark for a legend; the words beside it say what it is."""
    mark = svg.marker(shape, 8, 8, radius, f"mark {class_}")
    return svg.element("svg", mark, viewBox="0 0 16 16", width=16, height=16, aria_hidden="true")


def stroke(class_: str) -> Markup:
    """A line for a legend."""
    mark = svg.line(0, 8, 22, 8, f"curve {class_}")
    return svg.element("svg", mark, viewBox="0 0 22 16", width=22, height=16, aria_hidden="true")


def form(row: Row) -> str:
    """What a row is, less its model: format, precision, and the runtime where the format does not say it."""
    words = [row.format, row.precision_words or "", "" if row.runtime == row.format else f"on {row.runtime}"]
    return " ".join(filter(None, words))
