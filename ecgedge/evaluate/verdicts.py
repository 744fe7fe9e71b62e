"""Is a converted model still the trained one? Figures with intervals, parity, a paired verdict, gates.

A row is ``rejected`` only for what no precision explains: answers that are not finite, that are far from
the trained model's, in another order, or without one of the classes. Losses that a precision may explain
are told, by the verdict and by the gates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ecgedge.api import tasks
from ecgedge.api.artifact import Anomaly, Classification, Task
from ecgedge.api.precisions import FP32, Precision
from ecgedge.evaluate.facts import read
from ecgedge.evaluate.gates import auroc_gate, collapse_gates, recall_change, recall_gates, threshold_gate
from ecgedge.evaluate.intervals import ALPHA, Change, amount, bootstrap_auroc, p_value, paired_p, paired_share, wilson
from ecgedge.evaluate.judgement import (
    ChangedDecision,
    Detection,
    Gate,
    Judgement,
    Losses,
    Parity,
    Quality,
    Refit,
    Verdict,
)
from ecgedge.evaluate.parity import ATOL

LISTED = 100  # changed decisions that a row lists at most
ORDER_ALPHA = 0.001  # the same, before classes are said to be in another order


@dataclass(frozen=True)
class Answers:
    """What was answered to some beats.

    Attributes:
        outputs: ``(N, classes)`` class scores or ``(N, C, L)`` reconstructions.
        x, y: the beats ``(N, C, L)`` and their class indices ``(N,)``.
        index: the numbers by which changed decisions are listed, ``(N,)``; None: 0, 1, ...
    """

    outputs: np.ndarray
    x: np.ndarray
    y: np.ndarray
    index: np.ndarray | None = None

    def wrong(self, task: Task) -> str:
        """Why these are no answers; empty where they are."""
        return tasks.wrong(self.outputs, self.x, task) or ""

    @property
    def flat(self) -> np.ndarray:
        """The outputs, ``(N, values)``."""
        return self.outputs.reshape(len(self.x), -1)


@dataclass(frozen=True)
class Terms:
    """What answers are held to.

    Attributes:
        precision: of the artifact.
        computes: what the runtime computes in, where it says so.
        seed: of the bootstrap.
    """

    precision: Precision = FP32
    computes: Precision | None = None
    seed: int = 0


def judge(
    here: Answers,
    expected: np.ndarray | None,
    task: Task,
    terms: Terms | None = None,
    training: Answers | None = None,
) -> Judgement:
    """Status, quality with intervals, and how the outputs differ from the trained model's own.

    Args:
        here: of the cell.
        expected: the trained model's own outputs for the same beats; None where they are not known.
        training: this artifact's on the training beats, to refit a threshold.

    Returns:
        A status of ``ok``, ``rejected`` or ``failed`` with its reason; where the outputs are answers at all their
        quality, and with ``expected`` parity.
    """
    terms = terms or Terms()
    if reason := here.wrong(task):
        return Judgement(status="rejected", reason=reason)
    found = of_task(here, task)
    if isinstance(task, Anomaly) and training is not None:
        if reason := training.wrong(task):
            return replace(found, status="rejected", reason=f"on the training beats, {reason}")
        found = refit(found, here, task, training)
    was = None if expected is None else replace(here, outputs=expected)
    if was is not None and (reason := was.wrong(task)):
        return replace(found, status="failed", reason=f"of the trained model itself, {reason}")
    found, verdict = with_intervals(found, here, was, task, terms.seed)
    if was is None:
        return found
    found = with_gates(found, lost(here, was, task, verdict))
    found = replace(found, parity=parity(here, was, task, terms, verdict))
    reason = fault(found, here, was, task)
    return replace(found, status="rejected", reason=reason) if reason else found


def of_task(here: Answers, task: Task) -> Judgement:
    """The figures of ``tasks.evaluate``, and no losses yet."""
    told = tasks.evaluate(here.flat, here.x, here.y, task)
    losses = Losses(gates=[])
    if isinstance(task, Anomaly):
        return Judgement(detection=read(Detection, told), losses=losses)
    return Judgement(quality=read(Quality, told), losses=losses)


def with_gates(found: Judgement, gates: list[Gate]) -> Judgement:
    return replace(found, losses=Losses(gates=[*found.gates, *gates]))


def lost(here: Answers, was: Answers, task: Task, verdict: Verdict | None) -> list[Gate]:
    """The gates on what was lost against the trained model."""
    if isinstance(task, Anomaly):
        return auroc_gate(verdict)
    decided, before = here.flat.argmax(axis=1), was.flat.argmax(axis=1)
    return recall_gates(decided, before, here.y, task) + collapse_gates(decided, before, here.y, task)


def fault(found: Judgement, here: Answers, was: Answers, task: Task) -> str:
    """Why outputs are not those of the trained model in any precision; empty where they are."""
    if isinstance(task, Classification) and (order := other_order(here.flat, was.flat)):
        moved = [f"output {i} is class {task.labels[c]!r}" for i, c in enumerate(order) if i != c]
        return f"the classes are in another order: {', '.join(moved)}"
    if collapsed := [gate.text for gate in found.gates if gate.gate == "class collapse"]:
        return f"class collapse: {collapsed[0]}"
    told = found.parity
    assert told is not None and told.max_abs_diff is not None and told.cosine is not None
    allowed = told.tolerance or {}
    if told.max_abs_diff > allowed.get("max_abs_diff", np.inf):
        return f"fp32 differs from the trained model by {told.max_abs_diff:.2g}"
    if told.cosine < (least := allowed.get("cosine", -1)):
        return f"cosine {told.cosine:.4f} to the trained model's outputs, at least {least:g} is wanted"
    return ""


def with_intervals(
    found: Judgement, here: Answers, was: Answers | None, task: Task, seed: int
) -> tuple[Judgement, Verdict | None]:
    """With the interval of accuracy or of AUROC; and the verdict, where ``was`` is known and no class is missing."""
    if found.quality is not None:
        before = None if was is None else was.flat.argmax(axis=1)
        (low, high), verdict = of_decisions(here.flat.argmax(axis=1), before, here.y)
        return replace(found, quality=replace(found.quality, accuracy_low=low, accuracy_high=high)), verdict
    assert isinstance(task, Anomaly) and found.detection is not None
    positive = here.y != task.labels.index(task.normal)
    if positive.all() or not positive.any():
        return found, None
    trained = None if was is None else tasks.anomaly_scores(was.flat, here.x, task.window)
    (low, high), verdict = of_scores(tasks.anomaly_scores(here.flat, here.x, task.window), trained, positive, seed)
    return replace(found, detection=replace(found.detection, auroc_low=low, auroc_high=high)), verdict


def of_decisions(here: np.ndarray, was: np.ndarray | None, y: np.ndarray) -> tuple[tuple[float, float], Verdict | None]:
    """Wilson's interval, and McNemar's test of the change. Classes, ``(N,)`` each."""
    ends = wilson(int((here == y).sum()), len(y))
    if was is None:
        return ends, None
    change = Change(*paired_share(here == y, was == y), paired_p(here == y, was == y))
    told = f"{amount(100 * change.difference, 1)} points"
    return ends, verdict_on(change, told, "decisions" if np.array_equal(here, was) else "")


def of_scores(
    here: np.ndarray, was: np.ndarray | None, positive: np.ndarray, seed: int
) -> tuple[tuple[float, float], Verdict | None]:
    """The bootstrap's interval and its test of the change. Anomaly scores, ``(N,)`` each."""
    low, high, change = bootstrap_auroc(here, positive, seed, was)
    if was is None or change is None:
        return (low, high), None
    told = f"{amount(change.difference, 4)} AUROC"
    return (low, high), verdict_on(change, told, "scores" if np.array_equal(here, was) else "")


def verdict_on(change: Change, told: str, identical: str) -> Verdict:
    """``same`` is what cannot be told from chance on these beats; the interval says how much that may be.

    Args:
        told: the size of the change.
        identical: what of each beat is identical, if anything.
    """
    result = "same" if change.p >= ALPHA else "better" if change.difference > 0 else "worse"
    text = f"{result} by {told} ({p_value(change.p)})"
    if result == "same":
        text = f"same (identical {identical})" if identical else "same"
    return Verdict(against="the trained model", result=result, text=text, **change._asdict())


def parity(here: Answers, was: Answers, task: Task, terms: Terms, verdict: Verdict | None) -> Parity:
    """The differences, and the tolerance for one of them.

    For float32 that is the largest difference; for anything coarser, be it the artifact's or the
    runtime's own, the cosine.
    """
    outputs, expected = here.flat, was.flat
    differences = np.abs(outputs.astype(np.float64) - expected)
    limits = [each.cosine for each in (terms.precision, terms.computes) if each and each.cosine is not None]
    most = {"max_abs_diff": ATOL * max(1.0, float(np.abs(expected).max()))}
    tolerance = {"cosine": min(limits)} if limits else most
    changed = np.flatnonzero(tasks.decide(expected, here.x, task) != tasks.decide(outputs, here.x, task))
    is_classifier = isinstance(task, Classification)
    return Parity(
        verdict=verdict,
        max_abs_diff=float(differences.max()),
        mean_abs_diff=float(differences.mean()),
        cosine=cosine(outputs, expected, centred=is_classifier),
        tolerance=tolerance,
        runtime_computes=terms.computes.name if terms.computes else None,
        equal_decisions=1 - len(changed) / len(here.x),
        changed_decisions=len(changed),
        changed=changed_decisions(here, was, task, changed[:LISTED]),
        recall_change=recall_change(outputs.argmax(axis=1), expected.argmax(axis=1), here.y, task)
        if isinstance(task, Classification)
        else None,
    )


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


def changed_decisions(here: Answers, was: Answers, task: Task, places: np.ndarray) -> list[ChangedDecision]:
    """What was decided and what is, of the beats at these places."""
    before, now = tasks.decide(was.flat, here.x, task), tasks.decide(here.flat, here.x, task)
    margin = tasks.margins(was.flat, here.x, task)
    number = np.arange(len(here.x)) if here.index is None else here.index
    return [
        ChangedDecision(beat=int(number[i]), reference=int(before[i]), here=int(now[i]), margin=float(margin[i]))
        for i in places
    ]


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


def refit(found: Judgement, here: Answers, task: Anomaly, training: Answers) -> Judgement:
    """With the threshold as this artifact would set it, at the task's quantile of its own normal training scores, and
    with the gate on that; as it is where the task has no quantile or no training beat is normal."""
    normal = task.labels.index(task.normal)
    scores = tasks.anomaly_scores(training.flat, training.x, task.window)[training.y == normal]
    if np.isnan(task.quantile) or not len(scores):
        return found
    refitted = float(np.quantile(scores, task.quantile))
    drift = refitted / task.threshold - 1 if task.threshold > 0 else None
    f1 = tasks.evaluate(here.flat, here.x, here.y, replace(task, threshold=refitted))["f1"]
    told = Refit(threshold=refitted, drift=drift, f1=f1)
    assert found.detection is not None
    return with_gates(replace(found, refit=told), threshold_gate(found.detection, told))
