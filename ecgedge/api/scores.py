"""Figures of scores against a truth of two kinds: areas under curves, ratios. Plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np


def number(value: float) -> float | None:
    """None for nan, which JSON does not know."""
    return None if np.isnan(value) else value


def ratio(above: Any, below: Any) -> np.ndarray:
    """Division in which nothing out of nothing is 0."""
    below = np.asarray(below, dtype=float)
    return np.divide(above, below, out=np.zeros_like(below), where=below > 0)


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve, by ranks with ties shared; nan where a class is missing."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    hits, misses = int(positive.sum()), int((~positive).sum())
    if not hits or not misses:
        return float("nan")
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the precision-recall curve as a sum of steps; nan without a positive."""
    if not positive.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # last of each tie
    hits = np.cumsum(positive[order])[ends]
    precision, recall = hits / (ends + 1), hits / positive.sum()
    return float((np.diff(recall, prepend=0.0) * precision).sum())
