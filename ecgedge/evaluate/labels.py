"""Of answers of which several labels may hold: the macro AUROC with its interval, its paired test, the gates.

The variance of a mean of AUROCs over labels is that of what each beat adds to it, as DeLong and others (1988) have it
of one AUROC: labels of one beat hang together, and are taken together.
"""

from __future__ import annotations

import math

import numpy as np

from ecgedge.api import multilabel
from ecgedge.api.artifact import Multilabel
from ecgedge.api.scores import auroc
from ecgedge.evaluate.gates import AUROC_LOSS, DECIDED, RECALL_LOSS, RIGHT
from ecgedge.evaluate.intervals import ALPHA, Change, Z, amount, delong, holm, p_value, paired_p, placements
from ecgedge.evaluate.judgement import Gate

ORDER_ALPHA = 0.001  # the same, before labels are said to be in another order


def told_labels(truth: np.ndarray) -> list[int]:
    """The labels ``(N, K)`` that have an AUROC: some beats have them, and some have not."""
    return [k for k, column in enumerate(truth.T) if 0 < column.sum() < len(column)]


def influence(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """What each beat adds to the macro AUROC beyond its mean, ``(N,)``, of labels that have one.

    Args:
        found: probabilities ``(N, K)``.
        truth: ``(N, K)`` of 0 and 1.
    """
    known = told_labels(truth)
    added = np.zeros(len(truth))
    for k in known:
        positive = truth[:, k] == 1
        up, down = placements(found[:, k], positive)
        each = np.empty(len(truth))
        each[positive] = (up - up.mean()) * len(truth) / positive.sum()
        each[~positive] = (down - down.mean()) * len(truth) / (~positive).sum()
        added += each / len(known)
    return added


def macro_auroc(found: np.ndarray, truth: np.ndarray) -> float:
    """The mean AUROC over the labels that have one."""
    return float(np.mean([auroc(found[:, k], truth[:, k] == 1) for k in told_labels(truth)]))


def interval(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The 95% interval of the macro AUROC."""
    middle, half = macro_auroc(found, truth), Z * standard_error(influence(found, truth))
    return max(0.0, middle - half), min(1.0, middle + half)


def standard_error(added: np.ndarray) -> float:
    return float(math.sqrt((added**2).sum())) / len(added)


def paired_change(first: np.ndarray, second: np.ndarray, truth: np.ndarray) -> Change:
    """First macro AUROC less second, of probabilities ``(N, K)`` for the same beats, with its interval and p."""
    difference = macro_auroc(first, truth) - macro_auroc(second, truth)
    error = standard_error(influence(first, truth) - influence(second, truth))
    p = math.erfc(abs(difference) / error / math.sqrt(2)) if error else float(difference == 0)
    return Change(difference, difference - Z * error, difference + Z * error, p)


def gates(here: np.ndarray, was: np.ndarray, truth: np.ndarray, task: Multilabel) -> list[Gate]:
    """The losses of a label that a mean may hide: of its AUROC, its recall, or what it leaves alone; and one that is
    never said.

    Args:
        here, was: outputs ``(N, K)``.
        truth: ``(N, K)`` of 0 and 1.
    """
    return ranking_gates(here, was, truth, task) + decision_gates(
        multilabel.held(here, task), multilabel.held(was, task), truth, task
    )


def ranking_gates(here: np.ndarray, was: np.ndarray, truth: np.ndarray, task: Multilabel) -> list[Gate]:
    """One for each label whose AUROC fell by more than chance does, by DeLong's test, and by more than
    ``AUROC_LOSS``."""
    known = told_labels(truth)
    now, before = (multilabel.shares(each, task.scores) for each in (here, was))
    changes = [delong(now[:, k], before[:, k], truth[:, k] == 1) for k in known]
    found = []
    for k, change, p in zip(known, changes, holm([change.p for change in changes]), strict=True):
        if change.difference < -AUROC_LOSS and p < ALPHA:
            text = f"AUROC of label {task.labels[k]!r} fell by {amount(change.difference, 4)} ({p_value(p)})"
            found.append(Gate(gate="AUROC", text=text, label=task.labels[k], change=change.difference, p=p))
    return found


def decision_gates(here: np.ndarray, was: np.ndarray, truth: np.ndarray, task: Multilabel) -> list[Gate]:
    """Of decisions ``(N, K)``: recall, specificity, collapse."""
    found = []
    for name, value in (("recall", 1), ("specificity", 0)):
        beats = [truth[:, k] == value for k in range(len(task.labels))]
        known = [k for k, mine in enumerate(beats) if mine.any()]
        right = [(here[beats[k], k] == value, was[beats[k], k] == value) for k in known]
        for k, (now, before), p in zip(known, right, holm([paired_p(*each) for each in right]), strict=True):
            change = (int(now.sum()) - int(before.sum())) / len(now)
            if change < -RECALL_LOSS and p < ALPHA:
                told = f"{name} of label {task.labels[k]!r} fell by {amount(100 * change, 1)} points ({p_value(p)})"
                found.append(Gate(gate=name, text=told, label=task.labels[k], change=change, p=p))
    for k, label in enumerate(task.labels):
        count, right_of = int(was[:, k].sum()), int((was[:, k] & truth[:, k]).sum())
        if count >= DECIDED and right_of >= RIGHT and not here[:, k].any():
            told = f"label {label!r} is never said; the trained model said it {count:,} times, {right_of:,} rightly"
            found.append(Gate(gate="class collapse", text=told, label=label, decided=count, right=right_of))
    return found


def recall_change(here: np.ndarray, was: np.ndarray, truth: np.ndarray, task: Multilabel) -> dict[str, float | None]:
    """Recall here less that of the trained model, of each label; None without beats. Decisions ``(N, K)``."""
    changed: dict[str, float | None] = dict.fromkeys(task.labels)
    for k, label in enumerate(task.labels):
        mine = truth[:, k] == 1
        if mine.any():
            changed[label] = (int(here[mine, k].sum()) - int(was[mine, k].sum())) / int(mine.sum())
    return changed


def other_order(here: np.ndarray, was: np.ndarray, task: Multilabel) -> list[int] | None:
    """The label that each output gives, where the order is another and that explains the decisions.

    It does where each output runs along with the expected one of another label, and putting them back mends at least
    half of the beats on which any label is decided otherwise, and more than chance does. Outputs ``(N, K)``.
    """
    order = (standardized(here).T @ standardized(was)).argmax(axis=1).tolist()
    if sorted(order) != list(range(len(order))) or order == sorted(order):
        return None
    back = np.empty_like(here)
    back[:, order] = here
    decided = multilabel.held(was, task)
    before, after = ((multilabel.held(each, task) == decided).all(axis=1) for each in (here, back))
    mended = 2 * (~after).sum() <= (~before).sum()
    return order if mended and paired_p(after, before) < ORDER_ALPHA else None


def standardized(outputs: np.ndarray) -> np.ndarray:
    """Each label with mean 0 and standard deviation 1."""
    centred = outputs - outputs.mean(axis=0, dtype=np.float64)
    spread = centred.std(axis=0)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
