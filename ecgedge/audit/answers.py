"""From the outputs for every beat: quality, how they differ from the trained model's, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ecgedge.audit import several, stats
from ecgedge.audit.gates import gates_of, threshold_gate
from ecgedge.audit.reading import read_array
from ecgedge.audit.run import Row, Run

ATOL = 1e-4  # fp32 may differ by so much, relative to the largest output where that is above 1
COSINES = {"fp16": 0.999, "tf32": 0.999, "dynamic": 0.8, "full-int8": 0.8}  # the least to the trained model
OTHER_COSINE = 0.8
LISTED = 100  # changed decisions in a row
ALPHA, ORDER_ALPHA = 0.05, 0.001


@dataclass(frozen=True)
class Answers:
    """What one cell and its trained model say of the scored beats, a flat array each; beats have their leads.

    Attributes:
        task: as the artifact records it.
        here, was: outputs of the cell and of the trained model, ``(N, values)``.
        x, y, index: the beats ``(N, C, L)``, their classes and numbers.
        train: outputs, beats and classes of training, for an anomaly detector.
    """

    task: dict[str, Any]
    here: np.ndarray
    was: np.ndarray
    x: np.ndarray
    y: np.ndarray
    index: np.ndarray
    train: tuple[np.ndarray, np.ndarray, np.ndarray] | None

    @property
    def is_anomaly(self) -> bool:
        return bool(self.task["kind"] == "anomaly")

    @property
    def is_several(self) -> bool:
        """Whether several labels may hold."""
        return bool(self.task["kind"] == "multilabel")

    def decide(self, outputs: np.ndarray) -> np.ndarray:
        """Class indices, or 1 for an anomaly, or for each label that is said to hold."""
        if self.is_several:
            return several.said(outputs, self.task)
        if self.is_anomaly:
            return (errors(outputs, self.x, self.task) > self.task["threshold"]).astype(int)
        return outputs.argmax(axis=1)


def read_answers(run: Run, cell: str) -> Answers:
    row, task = run.base(cell), (run.artifact(cell) or {})["record"]["task"]
    here = read_array(run.folder, run.file(cell, "outputs.npy"))
    was = read_array(run.folder, f"cells/{row['model']}.reference.npy")
    train = None
    if task["kind"] == "anomaly":
        outputs = read_array(run.folder, run.file(cell, "train.npy"))
        train = flat(outputs), run.beats["train_x"], run.beats["train_y"]
    return Answers(task, flat(here), flat(was), run.beats["x"], run.beats["y"], run.beats["index"], train)


def flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)


def errors(outputs: np.ndarray, beats: np.ndarray, task: dict[str, Any]) -> np.ndarray:
    """Of each reconstruction the mean square of what each lead's residual is on average over the task's window."""
    window, length = task.get("window", 1), beats.shape[-1]
    if not 1 <= window <= length:
        raise ValueError(f"a window of {window} for beats of {length} samples")
    residuals = (outputs.astype(np.float64) - flat(beats)).reshape(-1, length)
    averages = [np.convolve(residual, np.full(window, 1 / window), "valid") for residual in residuals]
    return np.square(np.reshape(averages, (len(beats), -1))).mean(axis=1)


def unanswered(outputs: np.ndarray, beats: np.ndarray, task: dict[str, Any]) -> str:
    """Why outputs are no answers; empty where they are."""
    values = {"anomaly": flat(beats).shape[1], "binary": 1}.get(task["kind"], len(task["labels"]))
    if outputs.shape != (len(beats), values):
        return f"outputs of shape {outputs.shape} for {len(beats)} beats"
    return "" if np.isfinite(outputs).all() else "outputs that are not finite"


def of_classes(outputs: np.ndarray, task: dict[str, Any]) -> np.ndarray:
    """With a column for the first of two classes, where the file gives that of the second alone."""
    if task["kind"] != "binary":
        return outputs
    first = 1 - outputs if task.get("scores") == "probabilities" else 0 * outputs
    return np.hstack([first, outputs])


def examine(answers: Answers, row: Row, seed: int, declared: Row | None = None) -> tuple[Row, str]:
    """The figures of a row, and why it must not be ``ok``; empty where it may."""
    task = answers.task
    if fault := unanswered(answers.here, answers.x, task):
        return {}, fault
    answers = replace(answers, here=of_classes(answers.here, task))
    figures: Row = {"gates": []}
    if answers.is_several:
        figures |= several.figures(answers.here, answers.y, task)
    else:
        figures |= detection(answers) if answers.is_anomaly else classification(answers)
    if answers.train:
        if fault := unanswered(answers.train[0], answers.train[1], task):
            return figures, f"on the training beats, {fault}"
        figures |= refitted(answers)
        figures["gates"] = threshold_gate(figures)
    if fault := unanswered(answers.was, answers.x, task):
        return figures, f"of the trained model, {fault}"
    answers = replace(answers, was=of_classes(answers.was, task))
    if answers.is_several:
        figures |= labels_verdict(answers)
    else:
        figures |= scores_verdict(answers, seed) if answers.is_anomaly else decisions_verdict(answers)
    figures |= parity(answers, row, declared or {}) | changes(answers)
    if answers.is_several:
        gates = several.gates(answers.here, answers.was, answers.y, task)
    else:
        gates = gates_of(figures, answers.decide(answers.here), answers.decide(answers.was), answers.y, task)
    return figures | {"gates": gates}, fault_of(answers, figures, gates)


def classification(answers: Answers) -> Row:
    decided, y, labels = answers.decide(answers.here), answers.y, answers.task["labels"]
    count = len(labels)
    confusion = np.bincount(y * count + decided, minlength=count**2).reshape(count, count).tolist()
    per_class: dict[str, Row] = {}
    seen = []
    for c, label in enumerate(labels):
        hits, support, claimed = confusion[c][c], int((y == c).sum()), int((decided == c).sum())
        f1 = stats.share(2 * hits, support + claimed)
        per_class[label] = {"precision": stats.share(hits, claimed), "recall": stats.share(hits, support), "f1": f1}
        per_class[label]["support"] = support
        seen += [f1] if support + claimed else []
    accuracy = stats.share(int((decided == y).sum()), len(y))
    return {"accuracy": accuracy, "macro_f1": stats.share(sum(seen), len(seen)), "per_class": per_class,
            "confusion": confusion}  # fmt: skip


def recall_change(answers: Answers) -> dict[str, float | None]:
    here, was = (answers.decide(outputs) == answers.y for outputs in (answers.here, answers.was))
    of = {label: answers.y == c for c, label in enumerate(answers.task["labels"])}
    return {
        label: stats.share(int(here[mine].sum()) - int(was[mine].sum()), int(mine.sum())) if mine.any() else None
        for label, mine in of.items()
    }


def detection(answers: Answers) -> Row:
    scores, positive = errors(answers.here, answers.x, answers.task), is_anomaly(answers.y, answers.task)
    flagged = scores > answers.task["threshold"]
    hits, claimed, support = (int(each.sum()) for each in (flagged & positive, flagged, positive))
    both = 0 < support < len(positive)
    return {
        "auroc": stats.auroc(scores, positive) if both else None,
        "auprc": stats.auprc(scores, positive) if support else None,
        "f1": stats.share(2 * hits, claimed + support),
        "anomaly_precision": stats.share(hits, claimed),
        "anomaly_recall": stats.share(hits, support),
        "threshold": answers.task["threshold"],
        "support": {"normal": len(positive) - support, "anomaly": support},
    }


def is_anomaly(y: np.ndarray, task: dict[str, Any]) -> np.ndarray:
    return np.asarray(y != task["labels"].index(task["normal"]))


def refitted(answers: Answers) -> Row:
    """The threshold as this file would set it, and the F1 at it; empty where there is nothing to set it by."""
    assert answers.train
    outputs, beats, y = answers.train
    scores, quantile = errors(outputs, beats, answers.task)[~is_anomaly(y, answers.task)], answers.task["quantile"]
    if quantile is None or quantile != quantile or not len(scores):
        return {}
    threshold, carried = stats.quantile(scores, quantile), answers.task["threshold"]
    positive, flagged = is_anomaly(answers.y, answers.task), errors(answers.here, answers.x, answers.task) > threshold
    return {
        "threshold_refitted": threshold,
        "threshold_drift": (threshold - carried) / carried if carried > 0 else None,
        "f1_refitted": stats.share(2 * int((flagged & positive).sum()), int(flagged.sum()) + int(positive.sum())),
    }


def decisions_verdict(answers: Answers) -> Row:
    here, was = (answers.decide(outputs) == answers.y for outputs in (answers.here, answers.was))
    low, high = stats.wilson(int(here.sum()), len(here))
    told = verdict(*stats.paired(here, was), stats.mcnemar(here, was))
    return {"accuracy_low": low, "accuracy_high": high, "verdict": told, "recall_change": recall_change(answers)}


def labels_verdict(answers: Answers) -> Row:
    task, y = answers.task, answers.y
    decided = several.recall_change(answers.decide(answers.here), answers.decide(answers.was), y, task)
    if not several.graded(y):
        return {"macro_auroc_low": None, "macro_auroc_high": None, "verdict": None, "recall_change": decided}
    here, was = (several.certainty(outputs, task) for outputs in (answers.here, answers.was))
    middle, added = several.macro(here, y)
    half = several.Z * several.error(added)
    ends = {"macro_auroc_low": max(0.0, middle - half), "macro_auroc_high": min(1.0, middle + half)}
    return {**ends, "verdict": verdict(*several.change(here, was, y)), "recall_change": decided}


def scores_verdict(answers: Answers, seed: int) -> Row:
    positive = is_anomaly(answers.y, answers.task)
    if positive.all() or not positive.any():
        return {"auroc_low": None, "auroc_high": None, "verdict": None}
    several = [errors(outputs, answers.x, answers.task) for outputs in (answers.here, answers.was)]
    here, was = stats.bootstrap(several, positive, seed)
    change, off = stats.auroc(several[0], positive) - stats.auroc(several[1], positive), here - was
    p = min(1.0, 2 * (min((off <= 0).sum(), (off >= 0).sum()) + 1) / (len(off) + 1))
    (low, high), (least, most) = ((stats.quantile(each, 0.025), stats.quantile(each, 0.975)) for each in (here, off))
    return {"auroc_low": low, "auroc_high": high, "verdict": verdict(change, least, most, float(p))}


def verdict(difference: float, low: float, high: float, p: float) -> Row:
    result = "same" if p >= ALPHA else "better" if difference > 0 else "worse"
    told = {"against": "the trained model", "result": result}
    return {**told, "difference": difference, "low": low, "high": high, "p": p}


def parity(answers: Answers, row: Row, declared: Row) -> Row:
    off = np.abs(answers.here.astype(np.float64) - answers.was)
    here, was = (each.astype(np.float64) for each in (answers.here, answers.was))
    if answers.is_several:
        here, was = here - was.mean(axis=0), was - was.mean(axis=0)
    elif not answers.is_anomaly:  # scores may share an offset
        here, was = here - here.mean(axis=1)[:, None], was - was.mean(axis=1)[:, None]
    lengths = np.sqrt((here * here).sum()) * np.sqrt((was * was).sum())
    empty = not here.any() and not was.any()
    return {
        "max_abs_diff": float(off.max()),
        "mean_abs_diff": float(off.mean()),
        "cosine": float((here * was).sum() / lengths) if lengths else float(empty),
        "tolerance": tolerance(answers, row, declared),
        "runtime_computes": row["runtime_computes"],  # what its runtime said, on which the tolerance hangs
    }


def tolerance(answers: Answers, row: Row, declared: Row) -> Row:
    """The limit of the precision, or of what the runtime computes in where that is looser."""
    words = {row["precision"], row["runtime_computes"] or row["precision"]} - {"fp32"}
    limits = {word: COSINES.get(word, declared.get(word, {}).get("cosine", OTHER_COSINE)) for word in words}
    if known := [limit for limit in limits.values() if limit is not None]:
        return {"cosine": min(known)}
    return {"max_abs_diff": ATOL * max(1.0, float(np.abs(answers.was).max()))}


def changes(answers: Answers) -> Row:
    here, was = answers.decide(answers.here), answers.decide(answers.was)
    if answers.is_several:
        return changes_of_labels(answers, here, was)
    if answers.is_anomaly:
        margin = np.abs(errors(answers.was, answers.x, answers.task) - answers.task["threshold"])
    else:
        best = np.sort(answers.was, axis=1)
        margin = best[:, -1] - best[:, -2]
    changed = [i for i in range(len(here)) if here[i] != was[i]]
    listed = [
        {"beat": int(answers.index[i]), "reference": int(was[i]), "here": int(here[i]), "margin": float(margin[i])}
        for i in changed[:LISTED]
    ]
    equal = (len(here) - len(changed)) / len(here)
    return {"equal_decisions": equal, "changed_decisions": len(changed), "changed": listed}


def changes_of_labels(answers: Answers, here: np.ndarray, was: np.ndarray) -> Row:
    """As ``changes``, where each label of a beat is a decision."""
    margin = np.abs(several.certainty(answers.was, answers.task) - several.limits(answers.task))
    changed = [(i, k) for i in range(len(here)) for k in range(here.shape[1]) if here[i, k] != was[i, k]]
    listed = [
        {"beat": int(answers.index[i]), "reference": int(was[i, k]), "here": int(here[i, k]),
         "margin": float(margin[i, k]), "label": answers.task["labels"][k]}
        for i, k in changed[:LISTED]
    ]  # fmt: skip
    equal = (here.size - len(changed)) / here.size
    return {"equal_decisions": equal, "changed_decisions": len(changed), "changed": listed}


def fault_of(answers: Answers, figures: Row, gates: list[Row]) -> str:
    """Why the answers are those of no precision of this model; empty where they may be."""
    if answers.is_several and several.other_order(answers.here, answers.was, answers.task, ORDER_ALPHA):
        return "its labels are in another order"
    if not answers.is_anomaly and not answers.is_several and other_order(answers):
        return "its classes are in another order"
    limit = figures["tolerance"]
    if figures["max_abs_diff"] > limit.get("max_abs_diff", np.inf):
        return f"its outputs differ by {figures['max_abs_diff']:.3g}"
    if figures["cosine"] < limit.get("cosine", -1):
        return f"the cosine of its outputs is {figures['cosine']:.3g}"
    return "it never decides one of the classes" if any(g["gate"] == "class collapse" for g in gates) else ""


def other_order(answers: Answers) -> bool:
    """Whether each output runs along with that of another class, and changing them back mends the decisions."""
    here, was = (standardized(each) for each in (answers.here, answers.was))
    order = [max(range(was.shape[1]), key=lambda c, column=column: column @ was[:, c]) for column in here.T]  # type: ignore[misc]
    if sorted(order) != list(range(len(order))) or order == sorted(order):
        return False
    right, decided = answers.decide(answers.was), answers.decide(answers.here)
    before, after = decided == right, np.array(order)[decided] == right
    return bool(2 * (~after).sum() <= (~before).sum() and stats.mcnemar(after, before) < ORDER_ALPHA)


def standardized(outputs: np.ndarray) -> np.ndarray:
    """Each class with mean 0 and standard deviation 1, without what the classes of a beat share."""
    values = outputs.astype(np.float64)
    values = values - values.mean(axis=1)[:, None]
    values = values - values.mean(axis=0)
    spread = values.std(axis=0)
    return values / np.where(spread > 0, spread, np.inf)
