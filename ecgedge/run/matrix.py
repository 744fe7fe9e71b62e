"""Carry out cells: from a trained model to what the journal of a run holds.

The cells of one model are made and scored, each in a process of its own that stays alive,
asleep. Then these processes are timed in turns: round after round, a block of calls each, in random
order, so that a machine that slows down or speeds up does so for all of them. Rounds are added while too
few were timed in the machine's usual quick state. One cell by each clock, drawn at random, is timed a second
time in another process: what differs between the two is noise. Cells of boards come after those of this machine, so
that nothing is timed here while boards are served.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from ecgedge.convert.ahead import Helper
from ecgedge.convert.lab import Lab
from ecgedge.files.locks import PART
from ecgedge.measure.bench import PROFILES
from ecgedge.measure.machine import EnergyCounter
from ecgedge.plan.plan import Cell, Skip
from ecgedge.run.block import Pauses
from ecgedge.run.device import Here, OnBoard
from ecgedge.run.journal import Journal
from ecgedge.run.measuring import STEPS, Measuring, Tell, measure_model
from ecgedge.run.on_boards import measure_on_boards
from ecgedge.run.processes import FOLDERS
from ecgedge.run.row import Identity, Outcome, Row


def measure_cells(
    cells: list[Cell],
    skips: list[Skip],
    lab: Lab,
    journal: Journal,
    profile: str,
    energy: EnergyCounter,
    tell: Tell,
    boards: Sequence[OnBoard] = (),
) -> None:
    """Carry out what the journal does not hold yet. A cell is ``STEPS``: to be converted, scored and timed.

    Args:
        boards: that cells run on.

    Raises:
        MachineError, OSError: the machine failed; what the journal holds stays, and the rest can be done later.
    """
    for name in FOLDERS:
        (journal.folder / name).mkdir(exist_ok=True)
    sweep(journal.folder)
    for skip in skips:
        if not journal.of("scored", skip.id):
            journal.append("scored", cell=skip.id, row=skipped(skip, lab).flat)
    done, pauses, here = 0, Pauses(), Here()
    with contextlib.closing(Helper(lab)) as helper:
        for _, group in groupby((cell for cell in cells if cell.board is None), lambda cell: cell.model):
            of_model = list(group)
            make_ahead(of_model, helper, journal, lambda what, base=done: tell(base, what))  # type: ignore[misc]
            done += len(of_model)
            measuring = Measuring(of_model, lab, journal, PROFILES[profile], energy, pauses, here)
            measure_model(measuring, lambda steps, what, base=done: tell(base + steps, what))  # type: ignore[misc]
            done += (STEPS - 1) * len(of_model)
        there = [cell for cell in cells if cell.board]
        make_ahead(there, helper, journal, lambda what: tell(done, what))
    done += len(there)
    measure_on_boards(there, boards, lab, journal, PROFILES[profile], energy,
                      lambda steps, what: tell(done + steps, what))  # fmt: skip
    tell(STEPS * len(cells), "")


def make_ahead(cells: Sequence[Cell], helper: Helper, journal: Journal, tell: Callable[[str], object]) -> None:
    """Put what cells need that were not scored yet into the store."""
    if left := [cell for cell in cells if not journal.of("scored", cell.id)]:
        tell(f"{left[0].model} conversions")
        helper.make(left)


def sweep(folder: Path) -> None:
    """Take away what a killed run was writing."""
    for place in (folder, *(folder / name for name in FOLDERS)):
        for left in place.glob(f".*{PART}"):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()


def skipped(skip: Skip, lab: Lab) -> Row:
    """The row of what was not tried."""
    return Row(
        identity=Identity(
            id=skip.id,
            model=skip.model,
            task=lab.sources[skip.model].task.judged_as,
            format=skip.format,
            precision=None,
            runtime=skip.runtime,
            dataset=lab.beats.data.name,
            board=skip.board,
        ),
        outcome=Outcome(status="skipped", reason=skip.reason),
    )
