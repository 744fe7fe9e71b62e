"""What answers mean where several labels may hold at once, and the figures that judge them. Plain numpy.

The truth is ``(N, K)`` of 0 and 1, a column a label. Definitions follow scikit-learn (``roc_auc_score``,
``average_precision_score``, ``f1_score``), against which the tests check them. A label that no beat has, or that all
have, has no AUROC, and one that no beat has no AUPRC: it is None, and left out of the mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ecgedge.api.artifact import Multilabel
from ecgedge.api.scores import auroc, average_precision, number, ratio

BINS = 15  # of the expected calibration error, of equal width
UNFITTED = 0.5  # the threshold of a probability where none was chosen


def shares(outputs: np.ndarray, scores: str | None) -> np.ndarray:
    """Scores ``(N, K)`` as probabilities, float64: each through a sigmoid of its own, unless they are such already."""
    found = outputs.astype(np.float64)
    return found if scores == "probabilities" else 0.5 * (1 + np.tanh(found / 2))


def thresholds_of(task: Multilabel) -> np.ndarray:
    """Of the probabilities, ``(K,)``: a label holds above."""
    return np.array(task.thresholds or [UNFITTED] * len(task.labels))


def held(outputs: np.ndarray, task: Multilabel) -> np.ndarray:
    """Which labels are said to hold, ``(N, K)`` int64 of 0 and 1."""
    return (shares(outputs, task.scores) > thresholds_of(task)).astype(np.int64)


def choose_thresholds(found: np.ndarray, truth: np.ndarray) -> tuple[float, ...]:
    """For each label the threshold with the best F1; of several the one nearest to 0.5.

    Candidates lie in the middle between neighbouring probabilities, so that none is decided by the last bit. A label
    that no beat has gets 0.5.

    Args:
        found: probabilities ``(N, K)``, of beats that the network was not fitted to.
        truth: ``(N, K)`` of 0 and 1.
    """
    return tuple(best_threshold(column, truth[:, k] == 1) for k, column in enumerate(found.T))


def best_threshold(found: np.ndarray, positive: np.ndarray) -> float:
    """Of one label, see ``choose_thresholds``. Args: probabilities and truth, ``(N,)``."""
    if not positive.any():
        return UNFITTED
    order = np.argsort(-found, kind="stable")
    ordered = found[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # of each tie
    hits = np.cumsum(positive[order])[last]
    f1 = 2 * hits / (last + 1 + positive.sum())
    below = np.append(ordered[last[:-1] + 1], 0.0)  # the next probability down, or 0
    candidates = (ordered[last] + below) / 2
    best = candidates[f1 >= f1.max() - 1e-12]
    return float(min(best, key=lambda each: (abs(each - UNFITTED), each)))


def figures(outputs: np.ndarray, truth: np.ndarray, task: Multilabel) -> dict[str, Any]:
    """Macro AUROC and AUPRC, F1, the expected calibration error; of each label all of these and more.

    Args:
        outputs: ``(N, K)`` scores.
        truth: ``(N, K)`` of 0 and 1.

    Returns:
        ``macro_auroc``, ``macro_auprc``: means over the labels that have one, None where none has. ``mean_f1``: over
        the labels that a beat has or is said to have. ``label_ece``: mean over all labels. ``exact_match``: the share
        of beats of which every label is right. ``per_label``: by label.
    """
    found, decided = shares(outputs, task.scores), held(outputs, task)
    positive, flagged = truth == 1, decided == 1
    hits, support, claimed = (flagged & positive).sum(axis=0), positive.sum(axis=0), flagged.sum(axis=0)
    precision, recall, f1 = ratio(hits, claimed), ratio(hits, support), ratio(2 * hits, support + claimed)
    seen = (support + claimed) > 0
    limits = thresholds_of(task)
    per_label: dict[str, dict[str, Any]] = {
        label: {
            "auroc": number(auroc(found[:, k], positive[:, k])),
            "auprc": number(average_precision(found[:, k], positive[:, k])),
            "f1": float(f1[k]),
            "precision": float(precision[k]),
            "recall": float(recall[k]),
            "ece": calibration_error(found[:, k], positive[:, k]),
            "threshold": float(limits[k]),
            "support": int(support[k]),
        }
        for k, label in enumerate(task.labels)
    }
    return {
        "macro_auroc": mean_of([each["auroc"] for each in per_label.values()]),
        "macro_auprc": mean_of([each["auprc"] for each in per_label.values()]),
        "mean_f1": float(f1[seen].mean()) if seen.any() else 0.0,
        "label_ece": float(np.mean([each["ece"] for each in per_label.values()])),
        "exact_match": float((decided == truth).all(axis=1).mean()),
        "per_label": per_label,
    }


def mean_of(values: list[float | None]) -> float | None:
    """Of those that are there; None where none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def reliability(found: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each bin of the probability: its beats, the sum of their probabilities, and how many have the label."""
    where = np.minimum((found * BINS).astype(int), BINS - 1)
    return (
        np.bincount(where, minlength=BINS),
        np.bincount(where, found, BINS),
        np.bincount(where, positive, BINS),
    )


def calibration_error(found: np.ndarray, positive: np.ndarray) -> float:
    """How far a label's probabilities ``(N,)`` are from its share among the beats, bin by bin, in the mean."""
    _, sure, hits = reliability(found, positive)
    return float(np.abs(sure - hits).sum() / len(found))


def log_loss(outputs: np.ndarray, truth: np.ndarray) -> float:
    """The mean binary cross entropy of logits ``(N, K)``, in nats a label."""
    z = outputs.astype(np.float64)
    return float((np.logaddexp(0.0, z) - truth * z).mean())
