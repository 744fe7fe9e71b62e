"""The losses that an average may hide: of a class, of AUROC, or by a threshold that no longer fits."""

from __future__ import annotations

import numpy as np

from ecgedge.api.artifact import Classification
from ecgedge.evaluate.intervals import ALPHA, amount, holm, p_value, paired_p
from ecgedge.evaluate.judgement import Detection, Gate, Refit, Verdict

RECALL_LOSS = 0.02  # of one class: its gate flags more than this
DECIDED, RIGHT = 10, 5  # a class that the trained model decided, and got right, so often must not vanish
AUROC_LOSS = 0.002  # its gate flags more than this
DRIFT = 0.05  # of the refitted threshold, relative: its gate flags more than this,
DRIFT_F1 = 0.01  # where F1 differs by more than this, too


def recall_change(here: np.ndarray, was: np.ndarray, y: np.ndarray, task: Classification) -> dict[str, float | None]:
    """Recall here less that of the trained model, of each label; None without beats. Classes, ``(N,)`` each."""
    changed: dict[str, float | None] = dict.fromkeys(task.labels)
    for c in np.unique(y):
        mine = y == c
        gained = int((here[mine] == c).sum()) - int((was[mine] == c).sum())
        changed[task.labels[c]] = gained / int(mine.sum())  # of means the last bit of a difference would decide a gate
    return changed


def recall_gates(here: np.ndarray, was: np.ndarray, y: np.ndarray, task: Classification) -> list[Gate]:
    """One for each class whose recall fell by more than chance does and by more than ``RECALL_LOSS``."""
    changed = recall_change(here, was, y, task)
    present = np.unique(y).tolist()
    corrected = holm([paired_p(here[y == c] == c, was[y == c] == c) for c in present])
    gates = []
    for label, p in zip((task.labels[c] for c in present), corrected):
        change = changed[label]
        if change is not None and change < -RECALL_LOSS and p < ALPHA:
            text = f"recall of class {label!r} fell by {amount(100 * change, 1)} points ({p_value(p)})"
            gates.append(Gate(gate="recall", text=text, label=label, change=change, p=p))
    return gates


def collapse_gates(here: np.ndarray, was: np.ndarray, y: np.ndarray, task: Classification) -> list[Gate]:
    """One for each class that the trained model decided and got right, and that is never decided here."""
    gates = []
    for c, label in enumerate(task.labels):
        count, right = int((was == c).sum()), int(((was == c) & (y == c)).sum())
        if count >= DECIDED and right >= RIGHT and not (here == c).any():
            text = f"class {label!r} is never decided; the trained model decided it {count:,} times, {right:,} rightly"
            gates.append(Gate(gate="class collapse", text=text, label=label, decided=count, right=right))
    return gates


def auroc_gate(found: Verdict | None) -> list[Gate]:
    """One where AUROC fell, by its verdict and by more than ``AUROC_LOSS``."""
    if found is None or found.result != "worse" or found.difference >= -AUROC_LOSS:
        return []
    text = f"AUROC fell by {amount(found.difference, 4)} ({p_value(found.p)})"
    return [Gate(gate="AUROC", text=text, change=found.difference, p=found.p)]


def threshold_gate(was: Detection, told: Refit) -> list[Gate]:
    """One where the threshold carried over is off by more than ``DRIFT``, and F1 differs by more than ``DRIFT_F1``."""
    if told.drift is None or abs(told.drift) <= DRIFT or abs(told.f1 - was.f1) <= DRIFT_F1:
        return []
    text = (
        f"the threshold refitted here is {abs(told.drift):.0%} {'higher' if told.drift > 0 else 'lower'} than the one "
        f"carried over; F1 would be {told.f1:.3f} instead of {was.f1:.3f}"
    )
    return [
        Gate(gate="threshold drift", text=text, threshold=was.threshold, threshold_refitted=told.threshold,
             threshold_drift=told.drift, f1=was.f1, f1_refitted=told.f1)
    ]  # fmt: skip
