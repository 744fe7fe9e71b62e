"""What forms of a model make of each label, where several may hold: a table, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgedge.api import multilabel
from ecgedge.api.artifact import Multilabel
from ecgedge.report.html import svg
from ecgedge.report.html.figures import Figure, Key, stroke
from ecgedge.report.html.svg import Scale
from ecgedge.run.row import Row

SIDE = 380
LABELS = 200  # in the table at most


@dataclass(frozen=True)
class Line:
    """Of one label: how many beats have it, above which probability it is said, and the cells of each form."""

    label: str
    support: int
    threshold: str
    cells: list[str]


def lines(forms: Sequence[tuple[Row, np.ndarray]], y: np.ndarray, task: Multilabel) -> list[Line]:
    """A line a label: AUROC, AUPRC and F1 of each form, from its outputs ``(N, K)``."""
    figures = [multilabel.figures(outputs, y, task)["per_label"] for _, outputs in forms]
    limits = multilabel.thresholds_of(task)
    return [
        Line(
            label,
            int(y[:, k].sum()),
            f"{limits[k]:.3f}",
            [told(each[label][name]) for name in ("auroc", "auprc", "f1") for each in figures],
        )
        for k, label in enumerate(task.labels[:LABELS])
    ]


def told(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def reliability(series: Sequence[tuple[str, np.ndarray]], y: np.ndarray, task: Multilabel) -> Figure:
    """How often a label holds against its probability, all labels together; forms with their outputs ``(N, K)``."""
    x, up = Scale(0, 1, 48, SIDE - 16), Scale(0, 1, SIDE - 44, 26)
    parts = [svg.axes(x, up, "probability", "share", svg.plain, svg.plain)]
    parts.append(svg.line(x(0), up(0), x(1), up(1), "diagonal"))
    keys, words = [], []
    for i, (name, outputs) in enumerate(series):
        found = multilabel.shares(outputs, task.scores)
        count, sure, hits = multilabel.reliability(found.ravel(), y.ravel() == 1)
        there = count > 0
        points = list(zip((sure[there] / count[there]).tolist(), (hits[there] / count[there]).tolist(), strict=True))
        parts.append(svg.path([(x(a), up(b)) for a, b in points], f"curve c{i}"))
        parts += [
            svg.marker(svg.shape(i), x(a), up(b), 4, f"mark c{i}", f"{name}: {a:.2f}, {b:.2f}") for a, b in points
        ]
        error = multilabel.figures(outputs, y, task)["label_ece"]
        keys.append(Key(stroke(f"c{i}"), f"{name}: ECE {error:.4f}"))
        words.append(f"{name} has an expected calibration error of {error:.4f}")
    caption = "On the diagonal a label holds as often as its probability says. All labels together."
    return Figure(svg.picture(SIDE, SIDE, "Reliability", "; ".join(words), *parts), caption, keys)
