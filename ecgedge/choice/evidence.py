"""What a run's folder holds to compare two rows by: blocks timed in the same rounds, outputs for the same beats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ecgedge import tasks
from ecgedge.artifacts import Anomaly, Task
from ecgedge.choice.differences import Difference, by_figures, noise
from ecgedge.choice.metrics import Metric, Row
from ecgedge.intervals import Change, bootstrap_confusion, delong, paired_share
from ecgedge.journal import read
from ecgedge.records import task_from_record
from ecgedge.results import UNSTEADY, Timing
from ecgedge.verdicts import ALPHA, p_value, paired_p

BETTER = {"faster": "better", "slower": "worse", "tie": "tie", UNSTEADY: UNSTEADY}


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Of counts ``(B, C, C)``, truth by decision; ``(B,)``. As in ``tasks.classification_figures``."""
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    both = confusion.sum(axis=1) + confusion.sum(axis=2)
    return tasks.ratio(tasks.ratio(2 * hits, both).sum(axis=1), (both > 0).sum(axis=1))


FIGURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # of the confusion; class 1 is the anomaly where there are 2
    "macro_f1": macro_f1,
    "f1": lambda c: tasks.ratio(2 * c[:, 1, 1], c[:, 1].sum(axis=1) + c[:, :, 1].sum(axis=1)),
    "precision": lambda c: tasks.ratio(c[:, 1, 1], c[:, :, 1].sum(axis=1)),
    "recall": lambda c: tasks.ratio(c[:, 1, 1], c[:, 1].sum(axis=1)),
}
PAIRED = {"accuracy", "auroc", *FIGURES}  # the scores that have a test on the same beats


class Evidence:
    """Compares rows of one run, paired where it can: times of one model by the rounds, scores by the beats.

    Where the folder lacks what that takes, or no paired test is known, the rows' own figures decide.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        self.seed = run["seed"]
        records = read(folder)
        self.timing = Timing(records, run["rounds"], folder)
        self.tasks = {
            record["cell"]: record["artifact"]["record"]["task"] for record in records if record.get("artifact")
        }
        self.beats: tuple[np.ndarray, np.ndarray] | None = None  # x and y; these are read when they are needed
        self.answers: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.known: dict[tuple[str, str, str], Difference] = {}
        self.at_hand: dict[str, bool] = {}  # whether the outputs of a row are there

    def __call__(self, metric: Metric, first: Row, second: Row) -> Difference:
        """As ``by_figures``, with paired tests; p below ``verdicts.ALPHA`` is a difference."""
        timed = metric.name == "latency_p50" and self.same_rounds(first, second)
        if not timed and not (metric.name in PAIRED and self.same_beats(first, second)):
            return by_figures(metric, first, second)
        key = metric.name, first["id"], second["id"]
        if key not in self.known:
            self.known[key] = self.timed(first, second) if timed else self.scored(metric, first, second)
        return self.known[key]

    def same_rounds(self, first: Row, second: Row) -> bool:
        """Whether both were timed in turns, as the cells of one model are."""
        if first["model"] != second["model"]:
            return False
        rounds = [[block["round"] for block in self.timing.blocks.get(row["id"], ())] for row in (first, second)]
        return rounds[0] == rounds[1] != []

    def timed(self, first: Row, second: Row) -> Difference:
        floor = noise(first, second)
        found = self.timing.compare(first["id"], second["id"], floor)
        ends = f"{found['ratio']:.3f} times [{found['low']:.3f}, {found['high']:.3f}]"
        return Difference(BETTER[found["result"]], f"{ends}, timed in the same rounds; noise {floor:.1%}")

    def same_beats(self, first: Row, second: Row) -> bool:
        """Whether the outputs of both, and the beats, are there."""
        return self.has_outputs(first) and self.has_outputs(second)

    def has_outputs(self, row: Row) -> bool:
        """Whether the answers of a row, and the beats, are there."""
        if row["id"] not in self.at_hand:
            files = self.folder / "beats.npz", self.output_file(row)
            self.at_hand[row["id"]] = row["id"] in self.tasks and all(file.is_file() for file in files)
        return self.at_hand[row["id"]]

    def output_file(self, row: Row) -> Path:
        return self.folder / "cells" / f"{row['id']}.outputs.npy"

    def scored(self, metric: Metric, first: Row, second: Row) -> Difference:
        (here, scores), (there, others) = self.answer(first), self.answer(second)
        if np.array_equal(*((scores, others) if metric.name == "auroc" else (here, there))):
            return Difference("same", "on every beat")
        task = task_from_record(self.tasks[first["id"]])
        y = self.truth(task)
        if metric.name == "auroc":
            change = delong(scores, others, y == 1)
        elif metric.name == "accuracy":
            change = Change(*paired_share(here == y, there == y), paired_p(here == y, there == y))
        else:
            classes = 2 if isinstance(task, Anomaly) else len(task.labels)
            change = bootstrap_confusion(y, here, there, FIGURES[metric.name], classes, self.seed)
        result = "tie" if change.p >= ALPHA else "better" if change.difference > 0 else "worse"
        ends = f"{change.difference:+.4f} [{change.low:+.4f}, {change.high:+.4f}]"
        return Difference(result, f"{ends} on the same beats, {p_value(change.p)}")

    def answer(self, row: Row) -> tuple[np.ndarray, np.ndarray]:
        """Decision and anomaly score of each beat, ``(N,)`` each; a classifier has no scores."""
        if row["id"] not in self.answers:
            outputs, (x, _) = np.load(self.output_file(row)), self.read_beats()
            task = task_from_record(self.tasks[row["id"]])
            if isinstance(task, Anomaly):
                scores = tasks.anomaly_scores(outputs, x, task.window)
                decided = tasks.decide(outputs, x, task)
            else:
                decided, scores = tasks.decide(outputs.reshape(len(x), -1), x, task), np.empty(0)
            self.answers[row["id"]] = decided.astype(np.int32), scores  # half the memory: there may be 10,000 rows
        return self.answers[row["id"]]

    def truth(self, task: Task) -> np.ndarray:
        """Class of each beat, or 1 for an anomaly, ``(N,)``."""
        y = self.read_beats()[1]
        return (y != task.labels.index(task.normal)).astype(np.int64) if isinstance(task, Anomaly) else y

    def read_beats(self) -> tuple[np.ndarray, np.ndarray]:
        if self.beats is None:
            with np.load(self.folder / "beats.npz") as held:
                self.beats = held["x"], held["y"]
        return self.beats
