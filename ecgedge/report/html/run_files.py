"""What a run's folder holds beyond its rows: beats, answers, timed calls. What is gone is None, and told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecgedge.api.artifact import Task
from ecgedge.run import Beats, RunFolder, journal


@dataclass(frozen=True)
class RunFiles:
    """Attributes:
    run: the folder, as ``RunFolder.read`` checked it; what is damaged raises EcgEdgeError when it is asked for.
    """

    run: RunFolder

    @property
    def beats(self) -> Beats | None:
        """None where ``beats.npz`` is not there."""
        return self.run.beats

    def task(self, cell: str) -> Task | None:
        """What the outputs of a cell's artifact mean; None where none was made."""
        return self.run.tasks.get(cell)

    def outputs(self, cell: str) -> np.ndarray | None:
        """Of the scored beats, ``(N, values)`` float64."""
        outputs = self.run.outputs(cell)
        return None if outputs is None else outputs.astype(np.float64)

    def calls(self, cell: str) -> np.ndarray | None:
        """Microseconds of the model in each timed call, ``(calls,)``; None where nothing was timed."""
        blocks = self.run.blocks.get(cell)
        if not blocks or not self.run.has_samples(cell):
            return None
        return np.concatenate([journal.samples(self.run.path, block)[:, 0] for block in blocks]) / 1e3
