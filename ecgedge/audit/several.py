"""The figures of answers of which several labels may hold: of each label, and of all of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ecgedge.audit import stats
from ecgedge.audit.gates import ALPHA, AUROC_LOSS, DECIDED, RECALL_LOSS, RIGHT

Row = dict[str, Any]

BINS = 15  # of the calibration error
Z = stats.Z


def certainty(outputs: np.ndarray, task: Row) -> np.ndarray:
    """The probability of each label, ``(N, K)``."""
    values = outputs.astype(np.float64)
    if task.get("scores") == "probabilities":
        return values
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1 / (1 + small), small / (1 + small))


def limits(task: Row) -> list[float]:
    return list(task.get("thresholds") or [0.5] * len(task["labels"]))


def said(outputs: np.ndarray, task: Row) -> np.ndarray:
    """Which labels are said to hold, 0 or 1, ``(N, K)``."""
    columns = zip(certainty(outputs, task).T, limits(task))
    return np.stack([column > limit for column, limit in columns], axis=1).astype(int)


def margins(outputs: np.ndarray, task: Row) -> np.ndarray:
    """How far each probability is from its threshold, ``(N, K)``."""
    return np.abs(certainty(outputs, task) - np.array(limits(task)))


def off_calibration(column: np.ndarray, has: np.ndarray) -> float:
    """How far probability and share are apart in a bin, weighted with its beats."""
    lost = 0.0
    for i in range(BINS):
        inside = np.minimum(np.floor(column * BINS), BINS - 1) == i
        lost += abs(float(column[inside].sum()) - int(has[inside].sum()))
    return lost / len(column)


def figures(outputs: np.ndarray, y: np.ndarray, task: Row) -> Row:
    """Those of quality."""
    probabilities, decided = certainty(outputs, task), said(outputs, task)
    of: dict[str, Row] = {}
    f1s = []
    for k, label in enumerate(task["labels"]):
        column, has, claims = probabilities[:, k], y[:, k] == 1, decided[:, k] == 1
        hits, support, claimed = int((has & claims).sum()), int(has.sum()), int(claims.sum())
        of[label] = {
            "auroc": stats.auroc(column, has) if 0 < support < len(has) else None,
            "auprc": stats.auprc(column, has) if support else None,
            "f1": stats.share(2 * hits, support + claimed),
            "precision": stats.share(hits, claimed),
            "recall": stats.share(hits, support),
            "ece": off_calibration(column, has),
            "threshold": limits(task)[k],
            "support": support,
        }
        f1s += [of[label]["f1"]] if support + claimed else []
    return {
        "macro_auroc": average([each["auroc"] for each in of.values()]),
        "macro_auprc": average([each["auprc"] for each in of.values()]),
        "mean_f1": stats.share(math.fsum(f1s), len(f1s)),
        "label_ece": math.fsum(each["ece"] for each in of.values()) / len(of),
        "exact_match": stats.share(int((decided == y).all(axis=1).sum()), len(y)),
        "per_label": of,
    }


def average(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def graded(y: np.ndarray) -> list[int]:
    """The labels that some beats have and others have not."""
    return [k for k in range(y.shape[1]) if 0 < y[:, k].sum() < len(y)]


def parts(column: np.ndarray, has: np.ndarray) -> np.ndarray:
    """What each beat adds to a label's AUROC, less its mean, ``(N,)``: they sum to 0, and their squares tell the
    variance of the AUROC (DeLong and others)."""
    up, down = np.sort(column[has]), np.sort(column[~has])
    found = np.empty(len(column))
    for mine, others, sign in ((has, down, 1), (~has, up, -1)):
        sides = [np.searchsorted(others, column[mine], side) for side in ("left", "right")]
        beaten = (sides[0] + sides[1]) / (2 * len(others))
        shares = beaten if sign > 0 else 1 - beaten
        found[mine] = (shares - shares.mean()) * len(column) / mine.sum()
    return found


def macro(probabilities: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """The macro AUROC, and what each beat adds to it."""
    known = graded(y)
    areas = [stats.auroc(probabilities[:, k], y[:, k] == 1) for k in known]
    added = sum((parts(probabilities[:, k], y[:, k] == 1) for k in known), np.zeros(len(y))) / len(known)
    return math.fsum(areas) / len(areas), added


def error(added: np.ndarray) -> float:
    return math.sqrt(float((added * added).sum())) / len(added)


def change(here: np.ndarray, was: np.ndarray, y: np.ndarray) -> tuple[float, float, float, float]:
    """Of the macro AUROC, paired: the difference, its 95% interval, and its p."""
    (now, added), (before, other) = macro(here, y), macro(was, y)
    spread = error(added - other)
    p = math.erfc(abs(now - before) / spread / math.sqrt(2)) if spread else float(now == before)
    return now - before, now - before - Z * spread, now - before + Z * spread, p


def delong(here: np.ndarray, was: np.ndarray, has: np.ndarray) -> tuple[float, float]:
    """Of one label's AUROC: the difference and its p, with the variances over the beats of either kind less 1."""
    difference = stats.auroc(here, has) - stats.auroc(was, has)
    count, variance = len(has), 0.0
    off = parts(here, has) - parts(was, has)
    for mine in (has, ~has):
        if (many := int(mine.sum())) > 1:
            shares = off[mine] * many / count
            variance += float((shares * shares).sum()) / (many - 1) / many
    p = math.erfc(abs(difference) / math.sqrt(variance) / math.sqrt(2)) if variance else float(difference == 0)
    return difference, p


def gates(here: np.ndarray, was: np.ndarray, y: np.ndarray, task: Row) -> list[Row]:
    """All gates that a row must show, without their texts. Outputs ``(N, K)`` here and of the trained model."""
    labels, found = task["labels"], []
    now, before = certainty(here, task), certainty(was, task)
    known = graded(y)
    tests = [delong(now[:, k], before[:, k], y[:, k] == 1) for k in known]
    for k, (lost, _), p in zip(known, tests, stats.holm([p for _, p in tests])):
        if lost < -AUROC_LOSS and p < ALPHA:
            found.append({"gate": "AUROC", "label": labels[k], "change": lost, "p": p})
    decided, once = said(here, task), said(was, task)
    for name, value in (("recall", 1), ("specificity", 0)):
        present = [k for k in range(len(labels)) if (y[:, k] == value).any()]
        right = [[each[y[:, k] == value, k] == value for each in (decided, once)] for k in present]
        for k, (mine, theirs), p in zip(present, right, stats.holm([stats.mcnemar(*each) for each in right])):
            lost = (int(mine.sum()) - int(theirs.sum())) / len(mine)
            if lost < -RECALL_LOSS and p < ALPHA:
                found.append({"gate": name, "label": labels[k], "change": lost, "p": p})
    for k, label in enumerate(labels):
        count, hits = int(once[:, k].sum()), int((once[:, k] * y[:, k]).sum())
        if count >= DECIDED and hits >= RIGHT and not decided[:, k].any():
            found.append({"gate": "class collapse", "label": label, "decided": count, "right": hits})
    return found


def recall_change(here: np.ndarray, was: np.ndarray, y: np.ndarray, task: Row) -> dict[str, float | None]:
    """Of each label, by decisions ``(N, K)``."""
    found: dict[str, float | None] = {}
    for k, label in enumerate(task["labels"]):
        has = y[:, k] == 1
        gained = int(here[has, k].sum()) - int(was[has, k].sum())
        found[label] = gained / int(has.sum()) if has.any() else None
    return found


def other_order(here: np.ndarray, was: np.ndarray, task: Row, alpha: float) -> bool:
    """Whether each output runs along with that of another label, and putting them back mends the decisions."""
    with np.errstate(divide="ignore", invalid="ignore"):
        along = np.nan_to_num([[np.corrcoef(a, b)[0, 1] for b in was.T] for a in here.T.astype(np.float64)])
    order = [int(np.argmax(row)) for row in along]
    if sorted(order) != list(range(len(order))) or order == sorted(order):
        return False
    back = here[:, np.argsort(order)]
    wanted = said(was, task)
    before, after = ((said(each, task) == wanted).all(axis=1) for each in (here, back))
    return bool(2 * (~after).sum() <= (~before).sum() and stats.mcnemar(after, before) < alpha)
