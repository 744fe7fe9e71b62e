"""A classifier's forms against each other: who decides what, how sure, and at whose cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from ecgedge.api import tasks
from ecgedge.evaluate import intervals
from ecgedge.report.columns import positive, span
from ecgedge.report.html import svg
from ecgedge.report.html.figures import Figure, Key, form, stroke, swatch
from ecgedge.report.html.svg import Scale
from ecgedge.run.row import Row

SIDE = 380  # of a square plot, pixels
MOST = 30  # classes that a table or plot shows; of more, those that tell most
TOP, LEFT, RIGHT, FORM_HEIGHT = 12, 120, 860, 13  # of the recall plot


@dataclass(frozen=True)
class Confusion:
    """``counts[true][decided]``, shares of the true class, and the change to another form's counts.

    ``left_out`` says why it is not of all classes; it is empty where it is.
    """

    name: str
    labels: Sequence[str]
    counts: list[list[int]]
    shares: list[list[float]]
    changes: list[list[int]] | None
    left_out: str = ""


def confusion(row: Row, labels: Sequence[str], against: Row | None = None) -> Confusion:
    """The confusion matrix of a form; of more than ``MOST`` classes, those that ``against`` (or it) confuses most."""
    counts = confusion_of(row)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    before = confusion_of(against) if against else counts
    wrong = before.sum(axis=0) + before.sum(axis=1) - 2 * np.diag(before)
    shown = np.sort(np.argsort(-wrong, kind="stable")[:MOST])
    part = np.ix_(shown, shown)
    changes = (counts - before)[part].tolist() if against else None
    left_out = (
        f"{len(labels):,} classes make too large a table: these {MOST} take part in most of the wrong decisions; "
        "the counts of all are in rows.jsonl"
        if len(labels) > MOST
        else ""
    )
    names = [labels[index] for index in shown]
    return Confusion(form(row), names, counts[part].tolist(), shares[part].tolist(), changes, left_out)


def confusion_of(row: Row) -> np.ndarray:
    """Counts, ``(C, C)``, of a classifier's row that is ``ok``."""
    assert row.quality is not None and row.quality.confusion is not None
    return np.array(row.quality.confusion)


@dataclass(frozen=True)
class Change:
    """Of the recall of one class in one form, with its 95% interval, in points; ``flagged`` by a gate."""

    difference: float
    low: float
    high: float
    flagged: bool

    @property
    def within(self) -> str:
        """The interval, as the table has it."""
        return span((f"{positive(end, 2):+.2f}" for end in (self.low, self.high)), " to ")


@dataclass(frozen=True)
class Recall:
    """One class: its beats, the recall of fp32 and the change in each other form."""

    label: str
    beats: int
    recall: float
    changes: list[Change]


def recalls(
    whole: np.ndarray, others: Sequence[tuple[Row, np.ndarray]], y: np.ndarray, labels: Sequence[str]
) -> list[Recall]:
    """Of every class that has beats.

    Args:
        whole: decisions of the fp32 form, ``(N,)``.
        others: the other forms with theirs.
    """
    found = []
    for c, label in enumerate(labels):
        of_class = y == c
        if of_class.any():
            was = whole[of_class] == c
            changes = []
            for row, decided in others:
                difference, low, high = (100 * v for v in intervals.paired_share(decided[of_class] == c, was))
                flagged = any(gate.gate == "recall" and gate.label == label for gate in row.gates)
                changes.append(Change(difference, low, high, flagged))
            found.append(Recall(label, int(of_class.sum()), float(was.mean()), changes))
    return found


def recall_plot(found: Sequence[Recall], rows: Sequence[Row]) -> Figure:
    """A lane a class, in it a mark a form; of more than ``MOST`` classes, those that lose most."""
    total = len(found)
    if total > MOST:
        losers = sorted(found, key=lambda one: min(change.difference for change in one.changes))[:MOST]
        found = [one for one in found if one in losers]
    height = FORM_HEIGHT * len(rows) + 14
    bottom = TOP + height * len(found)
    ends = [value for one in found for change in one.changes for value in (change.low, change.high)]
    reach = 1.05 * max(1.0, *(abs(value) for value in ends))
    x = Scale(-reach, reach, LEFT, RIGHT)
    ticks = x.ticks(8)
    parts = [svg.line(x(tick), bottom, x(tick), TOP, "grid") for tick in ticks]
    parts += [svg.text(x(tick), bottom + 16, f"{tick:+g}" if tick else "0", anchor="middle") for tick in ticks]
    parts.append(svg.line(x(0), bottom, x(0), TOP, "axis"))
    parts.append(svg.text((LEFT + RIGHT) / 2, bottom + 36, "change of recall, points", anchor="middle", class_="title"))
    parts += [recall_lane(one, rows, x, TOP + height * number, height) for number, one in enumerate(found)]
    keys = [Key(swatch(svg.shape(i), svg.colour(i)), form(row)) for i, row in enumerate(rows)]
    loss, label, name = min((c.difference, one.label, form(row)) for one in found for c, row in zip(one.changes, rows))
    description = f"The largest loss is {loss:+.2f} points, of class {label} in {name}; the table has all figures"
    caption = (
        "Recall of each class against fp32 on the same beats, with 95% intervals (paired). Rare classes have wide ones."
    )
    if total > MOST:
        caption += f" Of {total:,} classes, the {MOST} that lose most; all are in rows.jsonl."
    picture = svg.picture(RIGHT + 40, bottom + 44, "Change of recall by class", description, *parts)
    return Figure(picture, caption, keys, wide=True)


def recall_lane(one: Recall, rows: Sequence[Row], x: Scale, top: float, height: float) -> Markup:
    """One class; marks from the top in the order of the forms."""
    parts = [
        svg.line(x.start, top + height, x.end, top + height, "grid"),
        svg.text(x.start - 12, top + height / 2 - 2, svg.cut(f"class {one.label}", 16), anchor="end", class_="label"),
        svg.text(x.start - 12, top + height / 2 + 12, f"{one.beats:,} beats", anchor="end"),
    ]
    for i, (row, change) in enumerate(zip(rows, one.changes)):
        at = top + 7 + FORM_HEIGHT * (i + 0.5)
        within = f"[{change.low:+.2f}, {change.high:+.2f}]"
        words = f"class {one.label}, {form(row)}: {change.difference:+.2f} {within}"
        parts.append(svg.line(x(change.low), at, x(change.high), at, f"curve {svg.colour(i)}"))
        parts.append(svg.marker(svg.shape(i), x(change.difference), at, 4, f"mark {svg.colour(i)}", words))
    return svg.element("g", *parts)


def reliability(series: Sequence[tuple[str, np.ndarray]], y: np.ndarray, scores: str | None) -> Figure:
    """Accuracy against confidence.

    Args:
        series: forms with their class scores ``(N, C)``.
        scores: what these are, as for ``tasks.probabilities``; None, of an older run: as those of the first look.
    """
    x, up = Scale(0, 1, 48, SIDE - 16), Scale(0, 1, SIDE - 44, 26)
    parts = [svg.axes(x, up, "confidence", "accuracy", svg.plain, svg.plain)]
    parts.append(svg.line(x(0), up(0), x(1), up(1), "diagonal"))
    keys, words = [], []
    scores = scores or tasks.told_scores(series[0][1])
    for i, (name, outputs) in enumerate(series):
        figures = tasks.calibration_figures(outputs, y, scores)
        bins = [one for one in figures["reliability"] if one["beats"]]
        parts.append(svg.path([(x(one["confidence"]), up(one["accuracy"])) for one in bins], f"curve c{i}"))
        parts += [mark(one, x, up, i, len(y), name) for one in bins]
        keys.append(Key(stroke(f"c{i}"), f"{name}: ECE {figures['ece']:.4f}, NLL {figures['nll']:.3f}"))
        words.append(f"{name} has an expected calibration error of {figures['ece']:.4f}")
    caption = (
        "On the diagonal a model is as sure as it is right. Larger marks hold more beats; strokes are 95% intervals."
    )
    return Figure(svg.picture(SIDE, SIDE, "Reliability", "; ".join(words), *parts), caption, keys)


def mark(one: dict[str, Any], x: Scale, up: Scale, i: int, total: int, name: str) -> Markup:
    """A bin of the reliability plot."""
    low, high = intervals.wilson(round(one["accuracy"] * one["beats"]), one["beats"])
    at, radius = x(one["confidence"]), 2.5 + 5 * float(np.sqrt(one["beats"] / total))
    words = f"{name}: {one['beats']:,} beats, confidence {one['confidence']:.2f}, accuracy {one['accuracy']:.2f}"
    return svg.element(
        "g", svg.line(at, up(low), at, up(high), f"whisker c{i}"),
        svg.marker(svg.shape(i), at, up(one["accuracy"]), radius, f"mark c{i}", words),
    )  # fmt: skip
