"""The gates: losses that are too large to be passed over."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecgedge.audit import stats

Row = dict[str, Any]

ALPHA = 0.05
RECALL_LOSS = 0.02  # of one class
DECIDED, RIGHT = 10, 5  # a class that was decided, and rightly, so often must not vanish
AUROC_LOSS = 0.002
DRIFT, DRIFT_F1 = 0.05, 0.01  # of the threshold, and of F1 with it


def gates_of(figures: Row, here: np.ndarray, was: np.ndarray, y: np.ndarray, task: Row) -> list[Row]:
    """All gates that a row must show, without their texts. Decisions here and of the trained model, and the truth."""
    if task["kind"] == "anomaly":
        return threshold_gate(figures) + auroc_gate(figures)
    return recall_gates(figures["recall_change"], here, was, y, task) + collapse_gates(here, was, y, task)


def threshold_gate(figures: Row) -> list[Row]:
    drift = figures.get("threshold_drift")
    if drift is None or abs(drift) <= DRIFT or abs(figures["f1_refitted"] - figures["f1"]) <= DRIFT_F1:
        return []
    names = ("threshold", "threshold_refitted", "threshold_drift", "f1", "f1_refitted")
    return [{"gate": "threshold drift", **{name: figures[name] for name in names}}]


def auroc_gate(figures: Row) -> list[Row]:
    found = figures["verdict"]
    if not found or found["result"] != "worse" or found["difference"] >= -AUROC_LOSS:
        return []
    return [{"gate": "AUROC", "change": found["difference"], "p": found["p"]}]


def recall_gates(
    change: dict[str, float | None], here: np.ndarray, was: np.ndarray, y: np.ndarray, task: Row
) -> list[Row]:
    present = [c for c in range(len(task["labels"])) if (y == c).any()]
    p_values = stats.holm([stats.mcnemar(here[y == c] == c, was[y == c] == c) for c in present])
    gates = []
    for label, p in zip((task["labels"][c] for c in present), p_values):
        lost = -(change[label] or 0.0)
        if lost > RECALL_LOSS and p < ALPHA:
            gates.append({"gate": "recall", "label": label, "change": -lost, "p": p})
    return gates


def collapse_gates(here: np.ndarray, was: np.ndarray, y: np.ndarray, task: Row) -> list[Row]:
    gates = []
    for c, label in enumerate(task["labels"]):
        decided, right = int((was == c).sum()), int(((was == c) & (y == c)).sum())
        if decided >= DECIDED and right >= RIGHT and c not in here:
            gates.append({"gate": "class collapse", "label": label, "decided": decided, "right": right})
    return gates
