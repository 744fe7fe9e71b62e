"""What a run's folder holds beyond its rows: beats, answers, timed calls. What is gone is None, and told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import journal
from ecgedge.artifacts import Task
from ecgedge.records import task_from_record

Record = dict[str, Any]


@dataclass(frozen=True)
class Beats:
    """Scored beats ``(N, 1, L)``, their class indices ``(N,)`` and their numbers among the test beats ``(N,)``."""

    x: np.ndarray
    y: np.ndarray
    index: np.ndarray


@dataclass(frozen=True)
class RunFiles:
    """Attributes:
    artifacts: of each cell that has one, packed.
    blocks: of each cell that was timed.
    beats: None where ``beats.npz`` is not there.
    """

    folder: Path
    artifacts: Mapping[str, Record]
    blocks: Mapping[str, Sequence[Record]]
    beats: Beats | None

    @classmethod
    def read(cls, folder: Path) -> RunFiles:
        file, beats = folder / "beats.npz", None
        if file.exists():
            with np.load(file) as kept:
                beats = Beats(kept["x"], kept["y"], kept["index"])
        artifacts: dict[str, Record] = {}
        blocks: dict[str, list[Record]] = {}
        for record in journal.read(folder):
            if record["event"] == "scored" and record.get("artifact"):
                artifacts.setdefault(record["cell"], record["artifact"])
            elif record["event"] == "block":
                blocks.setdefault(record["cell"], []).append(record)
        return cls(folder, artifacts, blocks, beats)

    def task(self, cell: str) -> Task | None:
        """What the outputs of a cell's artifact mean; None where none was made."""
        packed = self.artifacts.get(cell)
        return task_from_record(packed["record"]["task"]) if packed else None

    def outputs(self, cell: str) -> np.ndarray | None:
        """Of the scored beats, ``(N, values)`` float64."""
        file = self.folder / "cells" / f"{cell}.outputs.npy"
        if self.beats is None or not file.exists():
            return None
        outputs = np.load(file)
        return outputs.reshape(len(outputs), -1).astype(np.float64)

    def calls(self, cell: str) -> np.ndarray | None:
        """Microseconds of the model in each timed call, ``(calls,)``; None where nothing was timed."""
        blocks = self.blocks.get(cell, ())
        if not blocks or not journal.samples_file(self.folder, cell).exists():
            return None
        return np.concatenate([journal.samples(self.folder, block)[:, 0] for block in blocks]) / 1e3
