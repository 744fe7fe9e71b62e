"""One training of a sweep and what is made of it, as it goes to whoever carries it out, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecgedge.plan.plan import Cell
from ecgedge.workers.client import Limits

Record = dict[str, Any]


@dataclass(frozen=True)
class Terms:
    """What is the same for all jobs of a sweep.

    Attributes:
        recipe: what is changed of the models' recipes; the seed is the job's.
        options: of the parts.
        unavailable: (kind, name) of the parts that are left out, with the reason.
        calibration: training beats that int8 is calibrated on.
        profile: the name of one of ``bench.PROFILES``: how many beats are scored.
        limits: of each step in a child process.
        training_timeout: seconds that a training may take.
        logs: the folder for what child processes print, where whoever works has it.
        versions: a digest of all that has to be the same where it is carried out.
    """

    recipe: Mapping[str, Any]
    options: Mapping[str, Any]
    unavailable: Mapping[tuple[str, str], str]
    calibration: int
    profile: str
    limits: Limits
    training_timeout: float
    logs: Path
    versions: str


@dataclass(frozen=True)
class Job:
    """A model that is trained on a data set with a seed, and the cells that are made of it.

    Attributes:
        name: of the data set.
        data: the digest of its file, see ``data.kept``.
        task: what its rows are judged as, be it that nothing comes of them.
        cells: that are to be scored; none: it is trained only.
        beside: cells that are made for the graph of the fp32 form alone.
        checkpoint: the key in the store of who asks, where that has it already.
    """

    name: str
    data: str
    seed: int
    model: str
    task: str
    cells: tuple[Cell, ...]
    terms: Terms
    beside: tuple[Cell, ...] = ()
    checkpoint: str = ""

    @property
    def id(self) -> str:
        """What its cells' ids begin with."""
        return f"{self.name}.s{self.seed}.{self.model}"

    def row_id(self, cell: Cell) -> str:
        """The id of a cell's row: that of the cell, of this data set and seed."""
        return f"{self.name}.s{self.seed}.{cell.id}"


@dataclass(frozen=True)
class Made:
    """What became of a job.

    Attributes:
        rows: of its cells, as JSON has them.
        trained: figures of the trained model on the test beats; empty where it could not be trained.
        entries: keys of the store where it was carried out, of the checkpoint and the files.
        checkpoint: the key of the checkpoint.
        cpu: seconds of processor time, by ``train``, ``convert`` and ``score``.
        worker: who did it, and the number of its process.
    """

    rows: tuple[Record, ...]
    trained: Mapping[str, float | None] = field(default_factory=dict)
    entries: tuple[str, ...] = ()
    checkpoint: str = ""
    cpu: Mapping[str, float] = field(default_factory=dict)
    worker: str = ""
    pid: int = 0
