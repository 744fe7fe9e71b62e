"""Is a converted model still the trained one? Figures with intervals, parity, a paired verdict, gates.

A row is ``rejected`` only for what no precision explains: answers that are not finite, that are far from
the trained model's, in another order, or without one of the classes. Losses that a precision may explain
are told, by the verdict and by the gates.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ecgedge.api import tasks
from ecgedge.api.artifact import Anomaly, Classification, Task
from ecgedge.evaluate.intervals import Change, bootstrap_auroc, holm, mcnemar, paired_share, wilson
from ecgedge.evaluate.parity import ATOL

# The least cosine to the trained model's outputs. On the training beats of ECG5000 the fp16 forms of the
# built-in models have 0.99999 at least, the int8 forms 0.9992; a reconstruction that is late by one sample
# has 0.951, outputs shuffled among the beats have 0.6 at most. A model that was barely trained has outputs
# that hardly differ: its int8 forms were seen at 0.88, and decided no worse.
COSINES = {"fp16": 0.999, "tf32": 0.999, "dynamic": 0.8, "full-int8": 0.8}
OTHER_COSINE = 0.8  # for precisions that are not in the table

LISTED = 100  # changed decisions that a row lists at most
ALPHA = 0.05  # what chance does less often than this is a change
ORDER_ALPHA = 0.001  # the same, before classes are said to be in another order
RECALL_LOSS = 0.02  # of one class: its gate flags more than this
DECIDED, RIGHT = 10, 5  # a class that the trained model decided, and got right, so often must not vanish
AUROC_LOSS = 0.002  # its gate flags more than this
DRIFT = 0.05  # of the refitted threshold, relative: its gate flags more than this,
DRIFT_F1 = 0.01  # where F1 differs by more than this, too

Row = dict[str, Any]


def judge(
    outputs: np.ndarray,
    expected: np.ndarray | None,
    beats: np.ndarray,
    y: np.ndarray,
    task: Task,
    precision: str = "fp32",
    computes: str | None = None,
    seed: int = 0,
    index: np.ndarray | None = None,
    train_outputs: np.ndarray | None = None,
    train_beats: np.ndarray | None = None,
    train_y: np.ndarray | None = None,
) -> Row:
    """Status, quality with intervals, and how the outputs differ from the trained model's own.

    Args:
        outputs: of the cell, ``(N, C)`` class scores or ``(N, 1, L)`` reconstructions.
        expected: the trained model's own for the same beats; None where they are not known.
        beats, y: that were scored, ``(N, 1, L)`` and ``(N,)``.
        precision: of the artifact.
        computes: of the runtime.
        seed: of the bootstrap.
        index: ``(N,)``, the numbers by which changed decisions are listed; None: 0, 1, ...
        train_outputs, train_beats, train_y: of this artifact on the training beats, to refit a threshold.

    Returns:
        Fields of a row, fit for JSON: ``status`` (``ok``, ``rejected``, ``failed``) and ``reason``. Where
        the outputs are answers at all also ``gates``, the figures of ``tasks.evaluate``, those of
        ``quality`` and of ``refit``; and with ``expected`` those of ``parity`` and ``changes``, and for
        a classifier ``recall_change``.
    """
    if reason := tasks.wrong(outputs, beats, task):
        return {"status": "rejected", "reason": reason}
    outputs = outputs.reshape(len(beats), -1)
    row: Row = {"status": "ok", "reason": ""} | tasks.evaluate(outputs, beats, y, task) | {"gates": []}
    if isinstance(task, Anomaly) and train_outputs is not None and train_beats is not None and train_y is not None:
        if reason := tasks.wrong(train_outputs, train_beats, task):
            return row | {"status": "rejected", "reason": f"on the training beats, {reason}"}
        row |= refit(outputs, beats, y, task, train_outputs, train_beats, train_y)
        row["gates"] += threshold_gate(row)
    if expected is None:
        return row | quality(outputs, None, beats, y, task, seed)
    if reason := tasks.wrong(expected, beats, task):
        return row | {"status": "failed", "reason": f"of the trained model itself, {reason}"}
    expected = expected.reshape(len(beats), -1)
    row |= quality(outputs, expected, beats, y, task, seed)
    row |= parity(outputs, expected, task, precision, computes)
    row |= changes(outputs, expected, beats, task, index)
    if isinstance(task, Classification):
        here, was = outputs.argmax(axis=1), expected.argmax(axis=1)
        row["recall_change"] = recall_change(here, was, y, task)
        row["gates"] += recall_gates(here, was, y, task) + collapse_gates(here, was, y, task)
    else:
        row["gates"] += auroc_gate(row["verdict"])
    if reason := fault(row, outputs, expected, task):
        row |= {"status": "rejected", "reason": reason}
    return row


def fault(row: Row, outputs: np.ndarray, expected: np.ndarray, task: Task) -> str:
    """Why outputs are not those of the trained model in any precision; empty where they are."""
    if isinstance(task, Classification) and (order := other_order(outputs, expected)):
        moved = [f"output {i} is class {task.labels[c]!r}" for i, c in enumerate(order) if i != c]
        return f"the classes are in another order: {', '.join(moved)}"
    if collapsed := [gate["text"] for gate in row["gates"] if gate["gate"] == "class collapse"]:
        return f"class collapse: {collapsed[0]}"
    allowed = row["tolerance"]
    if row["max_abs_diff"] > allowed.get("max_abs_diff", np.inf):
        return f"fp32 differs from the trained model by {row['max_abs_diff']:.2g}"
    if row["cosine"] < allowed.get("cosine", -1):
        return f"cosine {row['cosine']:.4f} to the trained model's outputs, at least {allowed['cosine']:g} is wanted"
    return ""


def quality(
    outputs: np.ndarray, expected: np.ndarray | None, beats: np.ndarray, y: np.ndarray, task: Task, seed: int
) -> Row:
    """``accuracy_low`` and ``accuracy_high``, or the same of ``auroc``; with ``expected`` the ``verdict``.

    Those of AUROC are None where a class is missing.
    """
    if isinstance(task, Classification):
        return of_decisions(outputs.argmax(axis=1), None if expected is None else expected.argmax(axis=1), y)
    positive = y != task.labels.index(task.normal)
    trained = None if expected is None else tasks.anomaly_scores(expected, beats, task.window)
    return of_scores(tasks.anomaly_scores(outputs, beats, task.window), trained, positive, seed)


def of_decisions(here: np.ndarray, was: np.ndarray | None, y: np.ndarray) -> Row:
    """Wilson's interval, and McNemar's test of the change. Classes, ``(N,)`` each."""
    low, high = wilson(int((here == y).sum()), len(y))
    row: Row = {"accuracy_low": low, "accuracy_high": high}
    if was is None:
        return row
    change = Change(*paired_share(here == y, was == y), paired_p(here == y, was == y))
    told = f"{amount(100 * change.difference, 1)} points"
    return row | {"verdict": verdict(change, told, "decisions" if np.array_equal(here, was) else "")}


def of_scores(here: np.ndarray, was: np.ndarray | None, positive: np.ndarray, seed: int) -> Row:
    """The bootstrap's interval and its test of the change. Anomaly scores, ``(N,)`` each."""
    if positive.all() or not positive.any():
        return {"auroc_low": None, "auroc_high": None} | ({} if was is None else {"verdict": None})
    low, high, change = bootstrap_auroc(here, positive, seed, was)
    row: Row = {"auroc_low": low, "auroc_high": high}
    if was is None or change is None:
        return row
    told = f"{amount(change.difference, 4)} AUROC"
    return row | {"verdict": verdict(change, told, "scores" if np.array_equal(here, was) else "")}


def verdict(change: Change, told: str, identical: str) -> Row:
    """``same`` is what cannot be told from chance on these beats; the interval says how much that may be.

    Args:
        told: the size of the change.
        identical: what of each beat is identical, if anything.
    """
    result = "same" if change.p >= ALPHA else "better" if change.difference > 0 else "worse"
    text = f"{result} by {told} ({p_value(change.p)})"
    if result == "same":
        text = f"same (identical {identical})" if identical else "same"
    return {"against": "the trained model", "result": result, **change._asdict(), "text": text}


def paired_p(first: np.ndarray, second: np.ndarray) -> float:
    """McNemar's test of two ``(N,)`` bool."""
    return mcnemar(int((first & ~second).sum()), int((second & ~first).sum()))


def parity(outputs: np.ndarray, expected: np.ndarray, task: Task, precision: str, computes: str | None) -> Row:
    """``max_abs_diff``, ``mean_abs_diff``, ``cosine``, and the ``tolerance`` for one of them.

    ``runtime_computes`` keeps what the tolerance hangs on.

    For float32 that is the largest difference; for anything coarser, be it the artifact's or the
    runtime's own, the cosine.
    """
    differences = np.abs(outputs.astype(np.float64) - expected)
    coarse = [word for word in (precision, computes) if word not in (None, "fp32")]
    if coarse:
        tolerance = {"cosine": min(COSINES.get(str(word), OTHER_COSINE) for word in coarse)}
    else:
        tolerance = {"max_abs_diff": ATOL * max(1.0, float(np.abs(expected).max()))}
    return {
        "max_abs_diff": float(differences.max()),
        "mean_abs_diff": float(differences.mean()),
        "cosine": cosine(outputs, expected, centred=isinstance(task, Classification)),
        "tolerance": tolerance,
        "runtime_computes": computes,
    }


def cosine(outputs: np.ndarray, expected: np.ndarray, centred: bool) -> float:
    """Of all outputs and all expected ones, each as one vector.

    Not the mean over the beats: with two classes the cosine of one beat is 1 or -1, and a beat on the
    fence would count as much as any.

    Args:
        centred: take the mean off each beat's first, since class scores may share an offset.
    """
    here, was = (each.astype(np.float64) for each in (outputs, expected))
    if centred:
        here, was = (each - each.mean(axis=1, keepdims=True) for each in (here, was))
    norms = float(np.linalg.norm(here) * np.linalg.norm(was))
    return float((here * was).sum()) / norms if norms else float(not here.any() and not was.any())


def changes(outputs: np.ndarray, expected: np.ndarray, beats: np.ndarray, task: Task, index: np.ndarray | None) -> Row:
    """``equal_decisions`` (share), ``changed_decisions`` (count), and the first ``LISTED`` ``changed``."""
    was, here = tasks.decide(expected, beats, task), tasks.decide(outputs, beats, task)
    changed = np.flatnonzero(was != here)
    margin = tasks.margins(expected, beats, task)
    number = np.arange(len(beats)) if index is None else index
    return {
        "equal_decisions": 1 - len(changed) / len(beats),
        "changed_decisions": len(changed),
        "changed": [
            {"beat": int(number[i]), "reference": int(was[i]), "here": int(here[i]), "margin": float(margin[i])}
            for i in changed[:LISTED]
        ],
    }


def other_order(outputs: np.ndarray, expected: np.ndarray) -> list[int] | None:
    """The class that each output gives, where the order is another and that explains the decisions.

    It does where each output runs along with the expected one of another class, and putting them
    back mends at least half of the changed decisions, and more than chance does.
    """
    here, was = standardized(outputs), standardized(expected)
    order = (here.T @ was).argmax(axis=1).tolist()
    if sorted(order) != list(range(len(order))) or order == sorted(order):
        return None
    decided = expected.argmax(axis=1)
    before, after = outputs.argmax(axis=1) == decided, np.array(order)[outputs.argmax(axis=1)] == decided
    mended = 2 * (~after).sum() <= (~before).sum()
    return order if mended and paired_p(after, before) < ORDER_ALPHA else None


def standardized(outputs: np.ndarray) -> np.ndarray:
    """Without the offset that the classes of a beat share; then each class with mean 0 and standard deviation 1."""
    centred = outputs.astype(np.float64)
    centred -= centred.mean(axis=1, keepdims=True)
    centred -= centred.mean(axis=0)
    spread = centred.std(axis=0)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)


def recall_change(here: np.ndarray, was: np.ndarray, y: np.ndarray, task: Classification) -> dict[str, float | None]:
    """Recall here less that of the trained model, of each label; None without beats. Classes, ``(N,)`` each."""
    changed: dict[str, float | None] = dict.fromkeys(task.labels)
    for c in np.unique(y):
        mine = y == c
        gained = int((here[mine] == c).sum()) - int((was[mine] == c).sum())
        changed[task.labels[c]] = gained / int(mine.sum())  # of means the last bit of a difference would decide a gate
    return changed


def recall_gates(here: np.ndarray, was: np.ndarray, y: np.ndarray, task: Classification) -> list[Row]:
    """One for each class whose recall fell by more than chance does and by more than ``RECALL_LOSS``."""
    changed = recall_change(here, was, y, task)
    present = np.unique(y).tolist()
    corrected = holm([paired_p(here[y == c] == c, was[y == c] == c) for c in present])
    gates = []
    for label, p in zip((task.labels[c] for c in present), corrected):
        change = changed[label]
        if change is not None and change < -RECALL_LOSS and p < ALPHA:
            text = f"recall of class {label!r} fell by {amount(100 * change, 1)} points ({p_value(p)})"
            gates.append({"gate": "recall", "text": text, "label": label, "change": change, "p": p})
    return gates


def collapse_gates(here: np.ndarray, was: np.ndarray, y: np.ndarray, task: Classification) -> list[Row]:
    """One for each class that the trained model decided and got right, and that is never decided here."""
    gates = []
    for c, label in enumerate(task.labels):
        count, right = int((was == c).sum()), int(((was == c) & (y == c)).sum())
        if count >= DECIDED and right >= RIGHT and not (here == c).any():
            text = f"class {label!r} is never decided; the trained model decided it {count:,} times, {right:,} rightly"
            gates.append({"gate": "class collapse", "text": text, "label": label, "decided": count, "right": right})
    return gates


def auroc_gate(found: Row | None) -> list[Row]:
    """One where AUROC fell, by its verdict and by more than ``AUROC_LOSS``."""
    if found is None or found["result"] != "worse" or found["difference"] >= -AUROC_LOSS:
        return []
    text = f"AUROC fell by {amount(found['difference'], 4)} ({p_value(found['p'])})"
    return [{"gate": "AUROC", "text": text, "change": found["difference"], "p": found["p"]}]


def refit(
    outputs: np.ndarray,
    beats: np.ndarray,
    y: np.ndarray,
    task: Anomaly,
    train_outputs: np.ndarray,
    train_beats: np.ndarray,
    train_y: np.ndarray,
) -> Row:
    """The threshold as this artifact would set it, at the task's quantile of its own normal training scores.

    Returns:
        ``threshold_refitted``, ``threshold_drift`` (relative to the threshold carried over) and
        ``f1_refitted``; empty where the task has no quantile or no training beat is normal.
    """
    normal = task.labels.index(task.normal)
    scores = tasks.anomaly_scores(train_outputs, train_beats, task.window)[train_y == normal]
    if np.isnan(task.quantile) or not len(scores):
        return {}
    refitted = float(np.quantile(scores, task.quantile))
    return {
        "threshold_refitted": refitted,
        "threshold_drift": refitted / task.threshold - 1 if task.threshold > 0 else None,
        "f1_refitted": tasks.evaluate(outputs, beats, y, replace(task, threshold=refitted))["f1"],
    }


def threshold_gate(row: Row) -> list[Row]:
    """One where the threshold carried over is off by more than ``DRIFT``, and F1 differs by more than ``DRIFT_F1``."""
    drift = row.get("threshold_drift")
    if drift is None or abs(drift) <= DRIFT or abs(row["f1_refitted"] - row["f1"]) <= DRIFT_F1:
        return []
    text = (
        f"the threshold refitted here is {abs(drift):.0%} {'higher' if drift > 0 else 'lower'} than the one "
        f"carried over; F1 would be {row['f1_refitted']:.3f} instead of {row['f1']:.3f}"
    )
    figures = {key: row[key] for key in ("threshold", "threshold_refitted", "threshold_drift", "f1", "f1_refitted")}
    return [{"gate": "threshold drift", "text": text, **figures}]


def amount(value: float, digits: int) -> str:
    """A size without its sign: so many digits after the point, or the first that is not 0."""
    text = f"{abs(value):.{digits}f}"
    return text if float(text) else f"{abs(value):.1g}"


def p_value(p: float) -> str:
    return "p<0.001" if p < 0.001 else f"p={p:.2g}"
