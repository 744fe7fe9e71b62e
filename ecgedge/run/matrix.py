"""Carry out cells: from a trained model to what the journal of a run holds.

The cells of one model are made and scored, each in a process of its own that stays alive,
asleep; of the first model what needs no conversion is scored before the rest is made, so that a row
is soon seen. Then these processes are timed in turns: round after round, a block of calls each, in
random order, so that a machine that slows down or speeds up does so for all of them. Rounds are added
while too few were timed in the machine's usual quick state. One cell by each clock, drawn at random, is
timed a second time in another process: what differs between the two is noise. Cells of boards come
after those of this machine, so that nothing is timed here while boards are served.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from ecgedge.convert.ahead import Helper
from ecgedge.convert.lab import Lab
from ecgedge.files.locks import PART
from ecgedge.measure.bench import PROFILES
from ecgedge.measure.machine import EnergyCounter
from ecgedge.plan.plan import Cell, Skip
from ecgedge.run import pace
from ecgedge.run.block import Pauses
from ecgedge.run.device import Here, OnBoard
from ecgedge.run.journal import Journal
from ecgedge.run.measuring import STEPS, Judged, Measuring, Tell, measure_model, score_first
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
    judged: Judged = lambda _: None,
) -> None:
    """Carry out what the journal does not hold yet. A cell is ``STEPS``: to be converted, scored and timed.

    Args:
        boards: that cells run on.
        judged: is called with the row of each as soon as its quality is known.

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
            measuring = Measuring(of_model, lab, journal, PROFILES[profile], energy, pauses, here, judged)
            begun, is_new = time.monotonic(), len(measuring.left()) == len(of_model)
            with measuring.processes() as processes:
                if of_model[0] == cells[0] and is_new:
                    score_first(measuring, processes, tell)
                make_ahead(of_model, helper, journal, lambda what, base=done: tell(base, what))  # type: ignore[misc]
                done += len(of_model)
                measure_model(measuring, processes,
                              lambda steps, what, base=done: tell(base + steps, what))  # type: ignore[misc]  # fmt: skip
            done += (STEPS - 1) * len(of_model)
            if is_new:
                pace.keep(of_model[0].model, profile, (time.monotonic() - begun) / len(of_model))
        there = [cell for cell in cells if cell.board]
        make_ahead(there, helper, journal, lambda what: tell(done, what))
    done += len(there)
    measure_on_boards(there, boards, lab, journal, PROFILES[profile], energy,
                      lambda steps, what: tell(done + steps, what), judged)  # fmt: skip
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
