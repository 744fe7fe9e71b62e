"""Whether a cell decides as well as it did: paired beat by beat where both runs scored the same beats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecgedge.api import multilabel, scores, tasks
from ecgedge.api.artifact import Anomaly, Classification, Multilabel
from ecgedge.compare.runs import Run
from ecgedge.evaluate import labels
from ecgedge.evaluate.gates import collapse_gates, recall_gates
from ecgedge.evaluate.intervals import (
    ALPHA,
    Change,
    apart,
    bootstrap_auroc,
    p_value,
    paired_p,
    paired_share,
    wilson,
)
from ecgedge.evaluate.judgement import Gate
from ecgedge.run.row import Row


@dataclass(frozen=True)
class Beats:
    """The beats that two runs are compared on.

    Attributes:
        a, b: their places among the scored beats of either run, ``(N,)``; None: not the same data, so not paired.
        why: in words.
    """

    a: np.ndarray | None
    b: np.ndarray | None
    why: str

    @property
    def paired(self) -> bool:
        return self.a is not None


def common_beats(a: Run, b: Run) -> Beats:
    """The test beats that both runs scored."""
    if a.about["data_digest"] != b.about["data_digest"] or a.about["labels"] != b.about["labels"]:
        return Beats(
            None, None, "not paired: the two runs scored other data, so their figures are compared as they are"
        )
    _, here, there = np.intersect1d(a.index, b.index, return_indices=True)
    if not len(here):
        return Beats(None, None, "not paired: the two runs scored other beats of the data")
    return Beats(here, there, f"paired, on the {len(here):,} beats that both runs scored")


@dataclass(frozen=True)
class Answers:
    """What a cell answered: of each beat whether it was decided right, what, and the true class, ``(N,)`` each.

    Where several labels may hold, a beat is right where all are, and decisions and truth are ``(N, K)``.

    Attributes:
        scores: anomaly scores, or the probabilities ``(N, K)`` of labels; None for a classifier.
        positive: the true anomalies, None for any other.
    """

    right: np.ndarray
    decided: np.ndarray
    y: np.ndarray
    scores: np.ndarray | None
    positive: np.ndarray | None


def answers(run: Run, row: Row, places: np.ndarray | None) -> Answers:
    """Of a cell, on those of the scored beats or on all."""
    chosen = slice(None) if places is None else places
    task, x, y = run.tasks[row.id], run.x[chosen], run.y[chosen]
    outputs = run.outputs(row)[chosen]
    decided = tasks.decide(outputs, x, task)
    if isinstance(task, Classification):
        return Answers(decided == y, decided, y, None, None)
    if isinstance(task, Multilabel):
        return Answers((decided == y).all(axis=1), decided, y, multilabel.shares(outputs, task.scores), None)
    positive = y != task.labels.index(task.normal)
    return Answers(decided == positive, decided, y, tasks.anomaly_scores(outputs, x, task.window), positive)


def accuracy(a: Answers, b: Answers, paired: bool) -> Change:
    """Change from A to B in the share of beats that are decided right; an autoencoder decides by its threshold."""
    if paired:
        return Change(*paired_share(b.right, a.right), paired_p(b.right, a.right))
    shares = [(float(each.right.mean()), wilson(int(each.right.sum()), len(each.right))) for each in (b, a)]
    return unpaired(*shares)


def auroc(a: Answers, b: Answers, paired: bool, seed: int) -> Change | None:
    """Change from A to B in AUROC; None where a class is missing."""
    if any(each.positive is None or each.positive.all() or not each.positive.any() for each in (a, b)):
        return None
    if paired:
        return bootstrap_auroc(b.scores, b.positive, seed, a.scores).change  # type: ignore[arg-type]
    figures = []
    for each in (b, a):
        low, high, _ = bootstrap_auroc(each.scores, each.positive, seed)  # type: ignore[arg-type]
        figures.append((scores.auroc(each.scores, each.positive), (low, high)))  # type: ignore[arg-type]
    return unpaired(*figures)


def macro_auroc(a: Answers, b: Answers, paired: bool) -> Change | None:
    """Change from A to B in the macro AUROC of labels; None where no label has one."""
    if not labels.told_labels(a.y) or not labels.told_labels(b.y):
        return None
    assert a.scores is not None and b.scores is not None
    if paired:
        return labels.paired_change(b.scores, a.scores, a.y)
    figures = [(labels.macro_auroc(x, y), labels.interval(x, y)) for x, y in ((b.scores, b.y), (a.scores, a.y))]
    return unpaired(*figures)


def unpaired(first: tuple[float, tuple[float, float]], second: tuple[float, tuple[float, float]]) -> Change:
    """First less second; p only says whether the interval leaves out 0."""
    difference, low, high = apart(*first, *second)
    return Change(difference, low, high, 1.0 if low <= 0 <= high else 0.0)


def lost_classes(run: Run, row: Row, a: Answers, b: Answers) -> list[Gate]:
    """The classes or labels whose recall fell from A to B by more than chance, or that B never decides."""
    task = run.tasks[row.id]
    if isinstance(task, Anomaly):
        return []
    if isinstance(task, Multilabel):
        return labels.decision_gates(b.decided, a.decided, b.y, task)
    return recall_gates(b.decided, a.decided, b.y, task) + collapse_gates(b.decided, a.decided, b.y, task)


def told(change: Change, paired: bool) -> str:
    """Whether chance explains a change."""
    if not paired:
        return "more than chance, not paired" if change.p < ALPHA else "within chance, not paired"
    return p_value(change.p)
