"""A run as its folder holds it, and in what two of them differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api.artifact import Task
from ecgedge.errors import EcgEdgeError
from ecgedge.measure.steadiness.states import WIDTH_LEAST
from ecgedge.run import RunFolder
from ecgedge.run.row import Row
from ecgedge.run.rows import Timed, Timing, floors_of

SKIPPED = "skipped"
TOLD_OF_MACHINE = ("cpu", "cores", "isa", "governor", "system")
TOLD_OF_BOARD = ("cpu", "cores", "isa", "governor", "system", "emulated")
TOLD_OF_RUN = ("profile", "threads", "seed", "command")


@dataclass(frozen=True)
class Run:
    """What a run's folder holds.

    Attributes:
        files: the folder, checked.
        rows: of the cells that were tried.
        skips: of those that were not.
        timing: the timed blocks.
        floors: the noise floor of each model, by each board and clock, where it is known.
        x, y, index: the scored beats, ``(N, C, L)``, their classes and their numbers among the test beats, ``(N,)``.
    """

    files: RunFolder
    rows: list[Row]
    skips: list[Row]
    timing: Timing
    floors: dict[Timed, float]
    x: np.ndarray
    y: np.ndarray
    index: np.ndarray

    @property
    def folder(self) -> Path:
        return self.files.path

    @property
    def about(self) -> dict[str, Any]:
        """Its ``run.json``."""
        return self.files.about

    @property
    def tasks(self) -> dict[str, Task]:
        """What the outputs of a cell mean, by cell."""
        return self.files.tasks

    def outputs(self, row: Row) -> np.ndarray:
        """For each scored beat, ``(N, values)``. Raises EcgEdgeError where they are gone or damaged."""
        found = self.files.outputs(row.id)
        if found is None:
            raise damaged(self.folder, f"the outputs of {row.id} are gone")
        return found

    def block_medians(self, row: Row) -> np.ndarray:
        """Nanoseconds of one beat in each timed block that the row's figures are from."""
        return self.timing.used_medians(row.id)

    def quick_blocks(self, row: Row) -> str:
        """How many of a row's blocks were timed in the machine's usual quick state, in words."""
        quick, blocks = self.timing.quick_blocks(row.id), self.timing.blocks[row.id]
        return f"{len(quick)} of {len(blocks)} blocks in the machine's usual quick state"

    def why_missing(self, row: Row) -> str:
        """Why a cell of another run is not in this one, as far as this one tells."""
        same = [
            skip for skip in self.skips if (skip.model, skip.runtime, skip.board) == (row.model, row.runtime, row.board)
        ]
        if same:
            return f"skipped: {same[0].reason}"
        return "the run is not finished" if row.id in self.about["cells"] else "not part of that run"


def read_run(folder: Path) -> Run:
    """Read a run. Raises EcgEdgeError where the folder holds none, or one that has no rows yet or is damaged."""
    files = RunFolder.read(folder)
    try:
        rows = files.rows()
    except FileNotFoundError:
        raise EcgEdgeError(f"{folder} has no rows yet", f"finish it: ecgedge matrix --resume {folder}") from None
    if files.beats is None:
        raise damaged(folder, "beats.npz is gone")
    timing = Timing(files.records, files.about["rounds"], folder)
    return Run(
        files=files,
        rows=[row for row in rows if row.status != SKIPPED],
        skips=[row for row in rows if row.status == SKIPPED],
        timing=timing,
        floors=floors_of(timing, files.records),
        x=files.beats.x,
        y=files.beats.y,
        index=files.beats.index,
    )


def damaged(folder: Path, reason: str) -> EcgEdgeError:
    return EcgEdgeError(f"{folder} cannot be read: {reason}", f"ecgedge check {folder} says what is wrong with it")


def differences(a: Run, b: Run) -> list[str]:
    """What else is not the same in two runs, a line each."""
    told = [*differing("", of(a, TOLD_OF_RUN), of(b, TOLD_OF_RUN))]
    told += differing("data ", {"digest": a.about["data_digest"]}, {"digest": b.about["data_digest"]})
    told += differing("machine: ", *({key: run.about["machine"][key] for key in TOLD_OF_MACHINE} for run in (a, b)))
    told += boards_that_differ(a, b)
    told += kernels_that_differ(a, b)
    told += differing("library ", a.about["versions"], b.about["versions"])
    common = a.about["sources"].keys() & b.about["sources"].keys()
    told += differing("model ", *({name: run.about["sources"][name] for name in sorted(common)} for run in (a, b)))
    return told


def boards_that_differ(a: Run, b: Run) -> Iterator[str]:
    """What is not the same of boards that both runs have by one name."""
    one, other = (run.about.get("boards", {}) for run in (a, b))
    for name in sorted(one.keys() & other.keys()):
        told = ({key: board[name].get(key) for key in TOLD_OF_BOARD} for board in (one, other))
        yield from differing(f"board {name}: ", *told)
        yield from differing(f"board {name}: library ", one[name]["libraries"], other[name]["libraries"])


def kernels_that_differ(a: Run, b: Run) -> Iterator[str]:
    """Whether a machine itself was another one in its usual quick state, by the reference kernel."""
    for (board, kernel), was in a.timing.kernels.items():
        now = b.timing.kernels.get((board, kernel), was)
        if abs(math.log(now / was)) > WIDTH_LEAST:
            place = f"board {board}" if board else "machine"
            yield (f"{place}: the reference kernel took {was / 1e3:.0f} us in A, {now / 1e3:.0f} us in B "
                   f"({now / was - 1:+.0%}): latency differs by that where the files are the same")  # fmt: skip


def of(run: Run, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: run.about[key] for key in keys}


def differing(what: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    for key in {**first, **second}:
        one, other = first.get(key), second.get(key)
        if one != other:
            yield f"{what}{key}: {spoken(one)} in A, {spoken(other)} in B"


def spoken(value: Any) -> str:
    """A value in words; of a digest its first 12 letters."""
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    text = "none" if value is None else str(value)
    return text[:12] if len(text) == 64 and " " not in text else text
