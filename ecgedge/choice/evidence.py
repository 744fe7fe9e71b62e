"""What a run's folder holds to compare two rows by: blocks timed in the same rounds, outputs for the same beats."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ecgedge import tasks
from ecgedge.artifacts import Anomaly
from ecgedge.choice.differences import Difference, by_figures, noise
from ecgedge.choice.metrics import Metric, Row
from ecgedge.intervals import Change, bootstrap_auroc, paired_share
from ecgedge.journal import read
from ecgedge.records import task_from_record
from ecgedge.results import block_medians, blocks_of, compare
from ecgedge.verdicts import ALPHA, p_value, paired_p

BETTER = {"faster": "better", "slower": "worse", "tie": "tie"}
PAIRED_SCORES = ("accuracy", "auroc")


class Evidence:
    """Compares rows of one run, paired where it can: times of one model by the rounds, scores by the beats.

    Where the folder lacks what that takes, or no paired test is known, the rows' own figures decide.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.seed = json.loads((folder / "run.json").read_text(encoding="utf-8"))["seed"]
        records = read(folder)
        self.blocks = blocks_of(records)
        self.tasks = {
            record["cell"]: record["artifact"]["record"]["task"] for record in records if record.get("artifact")
        }
        self.medians: dict[str, np.ndarray] = {}  # of each row, as they are needed
        self.answers: dict[str, np.ndarray] = {}
        self.known: dict[tuple[str, str, str], Difference] = {}

    def __call__(self, metric: Metric, first: Row, second: Row) -> Difference:
        """As ``by_figures``, with the paired tests of ``results`` and ``verdicts``."""
        key = metric.name, first["id"], second["id"]
        if key not in self.known:
            self.known[key] = self.compare(metric, first, second)
        return self.known[key]

    def compare(self, metric: Metric, first: Row, second: Row) -> Difference:
        if metric.name == "latency_p50" and self.same_rounds(first, second):
            return self.timed(first, second)
        if metric.name in PAIRED_SCORES and self.same_beats(first, second):
            return self.scored(metric, first, second)
        return by_figures(metric, first, second)

    def same_rounds(self, first: Row, second: Row) -> bool:
        """Whether both were timed in turns, as the cells of one model are."""
        rounds = [[block["round"] for block in self.blocks.get(row["id"], ())] for row in (first, second)]
        return first["model"] == second["model"] and rounds[0] == rounds[1] != []

    def timed(self, first: Row, second: Row) -> Difference:
        for name in (first["id"], second["id"]):
            if name not in self.medians:
                self.medians[name] = block_medians(self.blocks[name], self.folder)
        floor = noise(first, second)
        found = compare(self.medians[first["id"]], self.medians[second["id"]], floor)
        ends = f"{found['ratio']:.3f} times [{found['low']:.3f}, {found['high']:.3f}]"
        return Difference(BETTER[found["result"]], f"{ends}, timed in the same rounds; noise {floor:.1%}")

    def same_beats(self, first: Row, second: Row) -> bool:
        """Whether the outputs of both, and the beats, are there."""
        files = [self.output_file(row) for row in (first, second)]
        known = all(row["id"] in self.tasks for row in (first, second))
        return known and all(file.is_file() for file in (*files, self.folder / "beats.npz"))

    def output_file(self, row: Row) -> Path:
        return self.folder / "cells" / f"{row['id']}.outputs.npy"

    def scored(self, metric: Metric, first: Row, second: Row) -> Difference:
        here, there = (self.answer(row) for row in (first, second))
        if np.array_equal(here, there):
            return Difference("same", "on every beat")
        if metric.name == "accuracy":
            change = Change(*paired_share(here, there), paired_p(here, there))
        else:
            with np.load(self.folder / "beats.npz") as beats:
                y = beats["y"]
            task = task_from_record(self.tasks[first["id"]])
            assert isinstance(task, Anomaly)
            found = bootstrap_auroc(here, y != task.labels.index(task.normal), self.seed, there).change
            assert found is not None
            change = found
        result = "tie" if change.p >= ALPHA else "better" if change.difference > 0 else "worse"
        ends = f"{change.difference:+.4f} [{change.low:+.4f}, {change.high:+.4f}]"
        return Difference(result, f"{ends} on the same beats, {p_value(change.p)}")

    def answer(self, row: Row) -> np.ndarray:
        """Of each beat, ``(N,)``: whether it is decided right, or its anomaly score."""
        if row["id"] not in self.answers:
            outputs = np.load(self.output_file(row))
            with np.load(self.folder / "beats.npz") as beats:
                x, y = beats["x"], beats["y"]
            anomaly = isinstance(task_from_record(self.tasks[row["id"]]), Anomaly)
            answers = tasks.anomaly_scores(outputs, x) if anomaly else outputs.reshape(len(y), -1).argmax(axis=1) == y
            self.answers[row["id"]] = answers
        return self.answers[row["id"]]
