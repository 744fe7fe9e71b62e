"""An anomaly detector's scores: how they lie about the threshold, and what other thresholds would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from ecgedge.evaluate.judgement import Detection
from ecgedge.report.html import svg
from ecgedge.report.html.classes import SIDE
from ecgedge.report.html.figures import Figure, Key, form, stroke, swatch
from ecgedge.report.html.svg import Scale
from ecgedge.run.row import Row

WIDTH, PANEL, LEFT, RIGHT = 460, 150, 48, 444
BINS = 60


@dataclass(frozen=True)
class Scores:
    """A form's anomaly scores ``(N,)`` and the true anomalies ``(N,)``."""

    row: Row
    scores: np.ndarray
    positive: np.ndarray


def detection_of(row: Row) -> Detection:
    """Of a row that is ``ok``."""
    assert row.detection is not None
    return row.detection


def histograms(forms: Sequence[Scores], what: str) -> Figure:
    """One below the other on one axis, each with the threshold carried over and the one it would set itself.

    Args:
        what: the scores are, in words.
    """
    every = np.concatenate([one.scores for one in forms])
    least = max(float(every.min()), float(every.max()) * 1e-6, 1e-12)
    x = Scale(least, max(float(every.max()), least * 10), LEFT, RIGHT, log=True)
    parts, words = [], []
    for number, one in enumerate(forms):
        top = 40 + number * (PANEL + 74)
        parts.append(histogram(one, x, top))
        threshold = detection_of(one.row).threshold
        caught = float((one.scores[one.positive] > threshold).mean()) if one.positive.any() else 0.0
        alarms = float((one.scores[~one.positive] > threshold).mean()) if not one.positive.all() else 0.0
        words.append(
            f"{form(one.row)}: {caught:.1%} of anomalies and {alarms:.1%} of normal beats above {threshold:.4g}"
        )
    height = 40 + len(forms) * (PANEL + 74) - 22
    keys = [
        Key(swatch("square", "c0"), "normal"),
        Key(swatch("square", "c1"), "anomaly"),
        Key(stroke("threshold"), "threshold carried over"),
        Key(stroke("refitted"), "refitted on this form"),
    ]
    caption = (
        f"Scores of the beats: {what}, of beat and reconstruction. What is right of the threshold is called an anomaly."
    )
    return Figure(svg.picture(WIDTH, height, "Anomaly scores", "; ".join(words), *parts), caption, keys)


def histogram(one: Scores, x: Scale, top: float) -> Markup:
    edges = np.geomspace(x.low, x.high, BINS + 1)
    clipped = np.clip(one.scores, x.low, x.high)
    counts = [np.histogram(clipped[which], edges)[0] for which in (~one.positive, one.positive)]
    y = Scale(0, 1.05 * max(1, *(int(each.max()) for each in counts)), top + PANEL, top)
    parts = [svg.axes(x, y, "anomaly score (log scale)", "beats", svg.plain, svg.plain, ticks=4)]
    for i, each in enumerate(counts):
        outline = [(x(edges[0]), y(0))]
        for at, count in enumerate(each):
            outline += [(x(edges[at]), y(count)), (x(edges[at + 1]), y(count))]
        parts.append(svg.path([*outline, (x(edges[-1]), y(0))], f"shape c{i}", closed=True))
    refitted = one.row.refit.threshold if one.row.refit else None
    for value, class_ in ((detection_of(one.row).threshold, "threshold"), (refitted, "refitted")):
        if value is not None and x.low <= value <= x.high:
            parts.append(svg.line(x(value), y.start, x(value), y.end, f"curve {class_}"))
    parts.append(svg.text(RIGHT, top - 10, form(one.row), anchor="end", class_="label must"))
    return svg.element("g", *parts)


def roc(forms: Sequence[Scores]) -> Figure | None:
    """One curve a form, a mark where its threshold puts it; None where a class is missing."""
    if any(one.positive.all() or not one.positive.any() for one in forms):
        return None
    x, y = Scale(0, 1, 48, SIDE - 16), Scale(0, 1, SIDE - 44, 26)
    parts = [svg.axes(x, y, "share of normal beats flagged", "anomalies found", svg.plain, svg.plain)]
    parts.append(svg.line(x(0), y(0), x(1), y(1), "diagonal"))
    keys, words = [], []
    for i, one in enumerate(forms):
        parts.append(svg.path(thinned([(x(a), y(b)) for a, b in roc_points(one)]), f"curve c{i}"))
        flagged = one.scores > detection_of(one.row).threshold
        at = x(float(flagged[~one.positive].mean())), y(float(flagged[one.positive].mean()))
        parts.append(svg.marker(svg.shape(i), *at, 5, f"mark c{i}", f"{form(one.row)} at its threshold"))
        row, found = one.row, detection_of(one.row)
        told = f"AUROC {found.auroc:.4f} [{found.auroc_low:.4f}, {found.auroc_high:.4f}]"
        keys.append(Key(stroke(f"c{i}"), f"{form(row)}: {told}"))
        words.append(f"{form(row)}: {told}")
    caption = "ROC: every threshold at once. The marks are the thresholds in use."
    return Figure(svg.picture(SIDE, SIDE, "ROC", "; ".join(words), *parts), caption, keys)


def roc_points(one: Scores) -> np.ndarray:
    """False and true positive rates, ``(K, 2)``, one point a distinct score, from (0, 0) to (1, 1)."""
    order = np.argsort(-one.scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(one.scores[order])), len(order) - 1)
    hits, misses = np.cumsum(one.positive[order])[ends], np.cumsum(~one.positive[order])[ends]
    return np.vstack([[0, 0], np.column_stack([misses / misses[-1], hits / hits[-1]])])


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without the points that lie within half a pixel of the last one kept; the first and the last stay."""
    kept = [points[0]]
    for point in points[1:-1]:
        if max(abs(point[0] - kept[-1][0]), abs(point[1] - kept[-1][1])) >= 0.5:
            kept.append(point)
    return [*kept, points[-1]]
