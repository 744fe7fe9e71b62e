"""What outputs mean: decisions, and the figures that judge them. Plain numpy, so it runs on a board.

Definitions follow scikit-learn (``classification_report``, ``roc_auc_score``,
``average_precision_score``), against which the tests check them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ecgedge.api import multilabel
from ecgedge.api.artifact import Anomaly, Binary, Classification, Multilabel, Task
from ecgedge.api.scores import auroc, average_precision, number, ratio
from ecgedge.errors import EcgEdgeError

__all__ = [
    "anomaly_figures", "anomaly_scores", "auroc", "average_precision", "calibration_figures", "choose_threshold",
    "classification_figures", "decide", "evaluate", "margins", "of_classes", "probabilities", "score_name",
    "told_apart", "told_scores", "wrong",
]  # fmt: skip

SUM_OFF = 0.01  # of what adds up to 1, in float16
QUANTILES = (0.90, 0.95, 0.97, 0.98, 0.99, 0.995)  # of normal training scores


def decide(outputs: np.ndarray, beats: np.ndarray, task: Task) -> np.ndarray:
    """The decision for each beat: a class index, 1 for an anomaly, or 1 for each label that is said to hold.

    Args:
        outputs: ``(N, classes)`` scores or ``(N, C, L)`` reconstructions; ``(N, 1)`` of a ``Binary``.
        beats: ``(N, C, L)`` of C leads, what went in.

    Returns:
        ``(N,)`` int64, of a ``Multilabel`` ``(N, labels)``.
    """
    if isinstance(task, Anomaly):
        return (anomaly_scores(outputs, beats, task.window) > task.threshold).astype(np.int64)
    if isinstance(task, Multilabel):
        return multilabel.held(outputs, task)
    return of_classes(outputs, task).argmax(axis=1)


def of_classes(outputs: np.ndarray, task: Task) -> np.ndarray:
    """Outputs with a column a class: of the one ``(N, 1)`` of a ``Binary``, which speaks for the second class, two.

    A probability p becomes (1 - p, p), a logit z (0, z), whose softmax is the same. Any others are returned as they
    are.
    """
    if not isinstance(task, Binary) or outputs.reshape(len(outputs), -1).shape[1] != 1:
        return outputs
    second = outputs.reshape(len(outputs), 1)
    first = 1 - second if task.scores == "probabilities" else np.zeros_like(second)
    return np.concatenate([first, second], axis=1)


def probabilities(outputs: np.ndarray, scores: str | None) -> np.ndarray:
    """Class scores ``(N, C)`` as probabilities.

    Args:
        scores: what they are, by the task of their file (``Classification``), however these few look.
    """
    if scores == "probabilities":
        return outputs
    shares = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def told_scores(outputs: np.ndarray, step: float = 0.0) -> str:
    """What the outputs of a classifier are, by how all of them look, for a file that tells it in no other way.

    Args:
        outputs: ``(N, C)``, for beats that are the same whenever this is asked of the file.
        step: of an integer output; each of the C may be off by half of it.
    """
    allowed = max(SUM_OFF, outputs.shape[1] * step / 2)
    sums = (outputs >= 0).all() and (np.abs(outputs.sum(axis=1) - 1) <= allowed).all()
    return "probabilities" if sums else "logits"


def told_apart(outputs: np.ndarray) -> str:
    """As ``told_scores``, of outputs ``(N, K)`` each of which may be a probability by itself: those of sigmoids."""
    return "probabilities" if ((outputs >= 0) & (outputs <= 1)).all() else "logits"


def choose_threshold(scores: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """The quantile of normal scores, of ``QUANTILES``, whose threshold gives the best F1, on training beats.

    Args:
        scores: ``(N,)``, of training beats.
        positive: ``(N,)`` bool, the true anomalies.

    Returns:
        Threshold and quantile.
    """
    thresholds = {quantile: float(np.quantile(scores[~positive], quantile)) for quantile in QUANTILES}
    chosen = max(QUANTILES, key=lambda quantile: anomaly_figures(scores, positive, thresholds[quantile])["f1"])
    return thresholds[chosen], chosen


def anomaly_scores(outputs: np.ndarray, beats: np.ndarray, window: int) -> np.ndarray:
    """How badly each beat was reconstructed: the mean square of the residual's moving average, ``(N,)`` float64.

    A network that has seen normal beats fails at the shape of others, which lasts; what changes from one
    sample to the next is noise in both. Smoothed errors: Hundman et al., KDD 2018, arXiv 1802.04431.

    Args:
        outputs: reconstructions, in the order of the beats' values.
        beats: ``(N, C, L)`` of C leads.
        window: samples of the moving average of each lead, 1 to L; there are L - ``window`` + 1 of it. 1: mean squared
            error.

    Raises:
        EcgEdgeError: a beat has fewer samples than the window.
    """
    residual = outputs.reshape(beats.shape).astype(np.float64) - beats
    length = residual.shape[-1]
    if window > length:
        raise EcgEdgeError(f"a beat has {length} samples, fewer than a window of {window}", "lower --window")
    smooth = np.lib.stride_tricks.sliding_window_view(residual, window, axis=-1).mean(axis=-1)
    return (smooth**2).reshape(len(beats), -1).mean(axis=1)


def score_name(window: int) -> str:
    """What the scores of a window are, in words."""
    return "mean squared error" if window == 1 else f"mean square of the residual averaged over {window} samples"


def margins(outputs: np.ndarray, beats: np.ndarray, task: Task) -> np.ndarray:
    """How far each decision is from the other: best less second score, or distance to the threshold.

    In the shape of the decisions, see ``decide``.
    """
    if isinstance(task, Anomaly):
        return np.abs(anomaly_scores(outputs, beats, task.window) - task.threshold)
    if isinstance(task, Multilabel):
        return np.abs(multilabel.shares(outputs, task.scores) - multilabel.thresholds_of(task))
    ordered = np.sort(of_classes(outputs, task), axis=1)
    return ordered[:, -1] - ordered[:, -2]


def wrong(outputs: np.ndarray, beats: np.ndarray, task: Task) -> str | None:
    """Why outputs are no answers to these beats, one line; None where they are."""
    values = task.values(beats[0].size)
    if isinstance(task, Binary) and outputs.size == 2 * len(outputs):  # of both classes already
        values = 2
    if outputs.reshape(len(outputs), -1).shape != (len(beats), values):
        return f"outputs of shape {outputs.shape[1:]} a beat instead of {values} values"
    finite = np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)
    return None if finite.all() else f"outputs for {int((~finite).sum()):,} of {len(beats):,} beats are not finite"


def evaluate(outputs: np.ndarray, beats: np.ndarray, y: np.ndarray, task: Task) -> dict[str, Any]:
    """Every figure of a task: see ``classification_figures``, ``anomaly_figures`` and ``multilabel.figures``.

    Check the outputs with ``wrong`` first: the largest of five nan is a class, too.
    """
    if isinstance(task, Anomaly):
        positive = y != task.labels.index(task.normal)
        return anomaly_figures(anomaly_scores(outputs, beats, task.window), positive, task.threshold)
    if isinstance(task, Multilabel):
        return multilabel.figures(outputs, y, task)
    return classification_figures(of_classes(outputs, task).argmax(axis=1), y, task)


def classification_figures(decided: np.ndarray, y: np.ndarray, task: Classification) -> dict[str, Any]:
    """Accuracy, macro-F1 over the classes present, and precision, recall, F1, support per class."""
    count = len(task.labels)
    confusion = np.zeros((count, count), dtype=np.int64)  # rows: truth, columns: decision
    np.add.at(confusion, (y, decided), 1)
    hits = np.diag(confusion).astype(float)
    support, claimed = confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = ratio(hits, claimed), ratio(hits, support)
    f1 = ratio(2 * hits, support + claimed)
    seen = (support + claimed) > 0
    per_class = {
        label: {"precision": precision[i], "recall": recall[i], "f1": f1[i], "support": int(support[i])}
        for i, label in enumerate(task.labels)
    }
    return {
        "accuracy": float(hits.sum() / max(len(y), 1)),
        "macro_f1": float(f1[seen].mean()) if seen.any() else 0.0,
        "per_class": per_class,
        "confusion": confusion.tolist(),
    }


def calibration_figures(outputs: np.ndarray, y: np.ndarray, scores: str | None, bins: int = 15) -> dict[str, Any]:
    """Whether a classifier is as sure as it is right (Guo et al., arXiv 1706.04599).

    Args:
        outputs: ``(N, C)`` class scores.
        y: ``(N,)`` class indices.
        scores: what the outputs are, as for ``probabilities``.
        bins: of equal width, over the confidence: the probability of the decided class.

    Returns:
        ``nll``: negative log-likelihood, in nats a beat; ``ece``: expected calibration error;
        ``reliability``: for each bin its beats, mean confidence and accuracy (None where it is empty).
    """
    shares = probabilities(outputs.astype(np.float64), scores)
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == y
    where = np.minimum((confidence * bins).astype(int), bins - 1)
    beats = np.bincount(where, minlength=bins)
    sure, hits = np.bincount(where, confidence, bins), np.bincount(where, right, bins)
    rows = [
        {
            "beats": int(beats[i]),
            "confidence": float(sure[i] / beats[i]) if beats[i] else None,
            "accuracy": float(hits[i] / beats[i]) if beats[i] else None,
        }
        for i in range(bins)
    ]
    likelihood = np.maximum(shares[np.arange(len(y)), y], np.finfo(np.float64).tiny)
    return {
        "nll": float(-np.log(likelihood).mean()),
        "ece": float(abs(sure - hits).sum() / len(y)),
        "reliability": rows,
    }


def anomaly_figures(scores: np.ndarray, positive: np.ndarray, threshold: float) -> dict[str, Any]:
    """AUROC and AUPRC of the scores (None where a class is missing); F1, precision and recall of
    ``scores > threshold``.

    Args:
        scores: ``(N,)``, higher is more anomalous.
        positive: ``(N,)`` bool, the true anomalies.
    """
    flagged = scores > threshold
    hits = float((flagged & positive).sum())
    precision = float(ratio(hits, flagged.sum()))
    recall = float(ratio(hits, positive.sum()))
    return {
        "auroc": number(auroc(scores, positive)),
        "auprc": number(average_precision(scores, positive)),
        "f1": float(ratio(2 * hits, flagged.sum() + positive.sum())),
        "anomaly_precision": precision,
        "anomaly_recall": recall,
        "threshold": float(threshold),
        "support": {"normal": int((~positive).sum()), "anomaly": int(positive.sum())},
    }
