"""Is a converted model still the trained one? Figures with intervals, parity, a paired verdict, gates.

A row is ``rejected`` only for what no precision explains: answers that are not finite, that are far from
the trained model's, in another order, or without one of the classes. Losses that a precision may explain
are told, by the verdict and by the gates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ecgedge.api import multilabel, tasks
from ecgedge.api.artifact import Anomaly, Classification, Multilabel, Task
from ecgedge.api.precisions import FP32, Precision
from ecgedge.evaluate import labels
from ecgedge.evaluate.facts import read
from ecgedge.evaluate.gates import auroc_gate, collapse_gates, recall_change, recall_gates, threshold_gate
from ecgedge.evaluate.intervals import ALPHA, Change, amount, bootstrap_auroc, p_value, paired_p, paired_share, wilson
from ecgedge.evaluate.judgement import (
    ChangedDecision,
    Detection,
    Gate,
    Judgement,
    Labelling,
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
        x, y: the beats ``(N, C, L)`` and their class indices ``(N,)``, or which labels they have ``(N, K)``.
        index: the numbers by which changed decisions are listed, ``(N,)``; None: 0, 1, ...
    """

    outputs: np.ndarray
    x: np.ndarray
    y: np.ndarray
    index: np.ndarray | None = None

    def wrong(self, task: Task) -> str:
        """Why these are no answers; empty where they are."""
        return tasks.wrong(self.outputs, self.x, task) or ""

    def of_classes(self, task: Task) -> Answers:
        """The same with a score for each class, see ``tasks.of_classes``."""
        return replace(self, outputs=tasks.of_classes(self.outputs, task))

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
    here = here.of_classes(task)
    found = of_task(here, task)
    if isinstance(task, Anomaly) and training is not None:
        if reason := training.wrong(task):
            return replace(found, status="rejected", reason=f"on the training beats, {reason}")
        found = refit(found, here, task, training)
    was = None if expected is None else replace(here, outputs=expected)
    if was is not None and (reason := was.wrong(task)):
        return replace(found, status="failed", reason=f"of the trained model itself, {reason}")
    was = was and was.of_classes(task)
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
    if isinstance(task, Multilabel):
        return Judgement(labelling=read(Labelling, told), losses=losses)
    return Judgement(quality=read(Quality, told), losses=losses)


def with_gates(found: Judgement, gates: list[Gate]) -> Judgement:
    return replace(found, losses=Losses(gates=[*found.gates, *gates]))


def lost(here: Answers, was: Answers, task: Task, verdict: Verdict | None) -> list[Gate]:
    """The gates on what was lost against the trained model."""
    if isinstance(task, Anomaly):
        return auroc_gate(verdict)
    if isinstance(task, Multilabel):
        return labels.gates(here.flat, was.flat, here.y, task)
    decided, before = here.flat.argmax(axis=1), was.flat.argmax(axis=1)
    return recall_gates(decided, before, here.y, task) + collapse_gates(decided, before, here.y, task)


def fault(found: Judgement, here: Answers, was: Answers, task: Task) -> str:
    """Why outputs are not those of the trained model in any precision; empty where they are."""
    if order := order_here(here, was, task):
        kind = "label" if isinstance(task, Multilabel) else "class"
        moved = [f"output {i} is {kind} {task.labels[c]!r}" for i, c in enumerate(order) if i != c]
        return f"the {'labels' if kind == 'label' else 'classes'} are in another order: {', '.join(moved)}"
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


def order_here(here: Answers, was: Answers, task: Task) -> list[int] | None:
    """The class or label that each output gives, where the order is another; None where not, or it has no meaning."""
    if isinstance(task, Anomaly):
        return None
    if isinstance(task, Multilabel):
        return labels.other_order(here.flat, was.flat, task)
    return other_order(here.flat, was.flat)


def with_intervals(
    found: Judgement, here: Answers, was: Answers | None, task: Task, seed: int
) -> tuple[Judgement, Verdict | None]:
    """With the interval of accuracy or of AUROC; and the verdict, where ``was`` is known and no class is missing."""
    if isinstance(task, Multilabel):
        return of_labels(found, here, was, task)
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


def of_labels(
    found: Judgement, here: Answers, was: Answers | None, task: Multilabel
) -> tuple[Judgement, Verdict | None]:
    """The interval of the macro AUROC and the paired test of its change; neither where no label has an AUROC."""
    assert found.labelling is not None
    if not labels.told_labels(here.y):
        return found, None
    now = multilabel.shares(here.flat, task.scores)
    low, high = labels.interval(now, here.y)
    found = replace(found, labelling=replace(found.labelling, macro_auroc_low=low, macro_auroc_high=high))
    if was is None:
        return found, None
    before = multilabel.shares(was.flat, task.scores)
    change = labels.paired_change(now, before, here.y)
    told = f"{amount(change.difference, 4)} macro AUROC"
    return found, verdict_on(change, told, "scores" if np.array_equal(now, before) else "")


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
    decided, before = tasks.decide(outputs, here.x, task), tasks.decide(expected, here.x, task)
    changed = np.argwhere(decided != before)
    return Parity(
        verdict=verdict,
        max_abs_diff=float(differences.max()),
        mean_abs_diff=float(differences.mean()),
        cosine=cosine(*centred(outputs, expected, task)),
        tolerance=tolerance,
        runtime_computes=terms.computes.name if terms.computes else None,
        equal_decisions=1 - len(changed) / decided.size,
        changed_decisions=len(changed),
        changed=changed_decisions(here, was, task, changed[:LISTED]),
        recall_change=change_of_recall(decided, before, here.y, task),
    )


def change_of_recall(here: np.ndarray, was: np.ndarray, y: np.ndarray, task: Task) -> dict[str, float | None] | None:
    """Of each class or label, by decisions; None of anomalies."""
    if isinstance(task, Multilabel):
        return labels.recall_change(here, was, y, task)
    return recall_change(here, was, y, task) if isinstance(task, Classification) else None


def centred(here: np.ndarray, was: np.ndarray, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Outputs ``(N, values)`` less what says nothing: the mean of a beat's class scores, which may share an offset; of
    labels that of the trained model's scores for each, since most beats have none."""
    here, was = (each.astype(np.float64) for each in (here, was))
    if isinstance(task, Multilabel):
        return here - was.mean(axis=0), was - was.mean(axis=0)
    if isinstance(task, Classification):
        return here - here.mean(axis=1, keepdims=True), was - was.mean(axis=1, keepdims=True)
    return here, was


def cosine(here: np.ndarray, was: np.ndarray) -> float:
    """Of all outputs and all expected ones, each as one vector.

    Not the mean over the beats: with two classes the cosine of one beat is 1 or -1, and a beat on the
    fence would count as much as any.
    """
    norms = float(np.linalg.norm(here) * np.linalg.norm(was))
    return float((here * was).sum()) / norms if norms else float(not here.any() and not was.any())


def changed_decisions(here: Answers, was: Answers, task: Task, places: np.ndarray) -> list[ChangedDecision]:
    """What was decided and what is, at places ``(M, 1)`` among the beats, or ``(M, 2)`` among beats and labels."""
    before, now = tasks.decide(was.flat, here.x, task), tasks.decide(here.flat, here.x, task)
    margin = tasks.margins(was.flat, here.x, task)
    number = np.arange(len(here.x)) if here.index is None else here.index
    return [
        ChangedDecision(
            beat=int(number[at[0]]),
            reference=int(before[at]),
            here=int(now[at]),
            margin=float(margin[at]),
            label=task.labels[at[1]] if len(at) > 1 else None,
        )
        for at in map(tuple, places.tolist())
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
