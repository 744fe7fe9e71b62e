"""What a run's folder holds to compare two rows by: blocks timed in the same rounds, outputs for the same beats."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ecgedge.api import multilabel, tasks
from ecgedge.api.artifact import Anomaly, Multilabel, Task
from ecgedge.api.scores import ratio
from ecgedge.choose.differences import Difference, by_figures, noise
from ecgedge.evaluate import labels
from ecgedge.evaluate.intervals import ALPHA, Change, bootstrap_confusion, delong, p_value, paired_p, paired_share
from ecgedge.evaluate.metric import Metric
from ecgedge.run import RunFolder
from ecgedge.run.row import Row
from ecgedge.run.rows import UNSTEADY, Timing

BETTER = {"faster": "better", "slower": "worse", "tie": "tie", UNSTEADY: UNSTEADY}


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Of counts ``(B, C, C)``, truth by decision; ``(B,)``. As in ``tasks.classification_figures``."""
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    both = confusion.sum(axis=1) + confusion.sum(axis=2)
    return ratio(ratio(2 * hits, both).sum(axis=1), (both > 0).sum(axis=1))


FIGURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # of the confusion; class 1 is the anomaly where there are 2
    "macro_f1": macro_f1,
    "f1": lambda c: ratio(2 * c[:, 1, 1], c[:, 1].sum(axis=1) + c[:, :, 1].sum(axis=1)),
    "precision": lambda c: ratio(c[:, 1, 1], c[:, :, 1].sum(axis=1)),
    "recall": lambda c: ratio(c[:, 1, 1], c[:, 1].sum(axis=1)),
}
PAIRED = {"accuracy", "auroc", "macro_auroc", "exact_match", *FIGURES}  # the scores that have a test on the same beats


class Evidence:
    """Compares rows of one run, paired where it can: times of one model by the rounds, scores by the beats.

    Where the folder lacks what that takes, or no paired test is known, the rows' own figures decide.

    Args:
        run: raises EcgEdgeError when it is asked for what is damaged there.
    """

    def __init__(self, run: RunFolder):
        self.run = run
        self.seed = self.run.about["seed"]
        self.timing = Timing(self.run.records, self.run.about["rounds"], run.path)
        self.answers: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.known: dict[tuple[str, str, str], Difference] = {}
        self.at_hand: dict[str, bool] = {}  # whether the outputs of a row are there

    def __call__(self, metric: Metric, first: Row, second: Row) -> Difference:
        """As ``by_figures``, with paired tests; p below ``intervals.ALPHA`` is a difference."""
        timed = metric.name == "latency_p50" and self.same_rounds(first, second)
        if not timed and not (metric.name in PAIRED and self.same_beats(first, second)):
            return by_figures(metric, first, second)
        key = metric.name, first.id, second.id
        if key not in self.known:
            self.known[key] = self.timed(first, second) if timed else self.scored(metric, first, second)
        return self.known[key]

    def same_rounds(self, first: Row, second: Row) -> bool:
        """Whether both were timed in turns by one clock, as the cells of one model are."""
        if first.model != second.model or not self.timing.comparable(first.id, second.id):
            return False
        rounds = [[block["round"] for block in self.timing.blocks.get(row.id, ())] for row in (first, second)]
        return rounds[0] == rounds[1] != [] and all(self.run.has_samples(row.id) for row in (first, second))

    def timed(self, first: Row, second: Row) -> Difference:
        floor = noise(first, second)
        found = self.timing.compare(first.id, second.id, floor)
        ends = f"{found.ratio:.3f} times [{found.low:.3f}, {found.high:.3f}]"
        return Difference(BETTER[found.result], f"{ends}, timed in the same rounds; noise {floor:.1%}")

    def same_beats(self, first: Row, second: Row) -> bool:
        """Whether the outputs of both, and the beats, are there."""
        return self.has_outputs(first) and self.has_outputs(second)

    def has_outputs(self, row: Row) -> bool:
        """Whether the answers of a row, and the beats, are there."""
        if row.id not in self.at_hand:
            self.at_hand[row.id] = row.id in self.run.tasks and self.run.has_outputs(row.id)
        return self.at_hand[row.id]

    def scored(self, metric: Metric, first: Row, second: Row) -> Difference:
        (here, scores), (there, others) = self.answer(first), self.answer(second)
        if np.array_equal(*((scores, others) if metric.name in ("auroc", "macro_auroc") else (here, there))):
            return Difference("same", "on every beat")
        task = self.run.tasks[first.id]
        y = self.truth(task)
        if metric.name == "auroc":
            change = delong(scores, others, y == 1)
        elif metric.name == "macro_auroc":
            if not labels.told_labels(y):
                return by_figures(metric, first, second)
            change = labels.paired_change(scores, others, y)
        elif metric.name == "exact_match":
            right, other = ((each == y).all(axis=1) for each in (here, there))
            change = Change(*paired_share(right, other), paired_p(right, other))
        elif metric.name == "accuracy":
            change = Change(*paired_share(here == y, there == y), paired_p(here == y, there == y))
        else:
            classes = 2 if isinstance(task, Anomaly) else len(task.labels)
            change = bootstrap_confusion(y, here, there, FIGURES[metric.name], classes, self.seed)
        result = "tie" if change.p >= ALPHA else "better" if change.difference > 0 else "worse"
        ends = f"{change.difference:+.4f} [{change.low:+.4f}, {change.high:+.4f}]"
        return Difference(result, f"{ends} on the same beats, {p_value(change.p)}")

    def answer(self, row: Row) -> tuple[np.ndarray, np.ndarray]:
        """Decision and anomaly score of each beat, ``(N,)`` each; a classifier has no scores, several labels have
        decisions and probabilities ``(N, K)``."""
        if row.id not in self.answers:
            outputs, beats, task = self.run.outputs(row.id), self.run.beats, self.run.tasks[row.id]
            assert outputs is not None and beats is not None, "same_beats comes first"
            scores = np.empty(0)
            if isinstance(task, Multilabel):
                scores = multilabel.shares(outputs, task.scores)
            if isinstance(task, Anomaly):
                scores = tasks.anomaly_scores(outputs, beats.x, task.window)
            decided = tasks.decide(outputs, beats.x, task)
            self.answers[row.id] = decided.astype(np.int32), scores  # half the memory: there may be 10,000 rows
        return self.answers[row.id]

    def truth(self, task: Task) -> np.ndarray:
        """Class of each beat, or 1 for an anomaly, ``(N,)``."""
        assert self.run.beats is not None, "same_beats comes first"
        y = self.run.beats.y
        return (y != task.labels.index(task.normal)).astype(np.int64) if isinstance(task, Anomaly) else y
