"""Carry out cells: from a trained model to what the journal of a run holds.

The cells of one model are made and scored, each in a process of its own that stays alive,
asleep. Then these processes are timed in turns: round after round, a block of calls each, in random
order, so that a machine that slows down or speeds up does so for all of them. Rounds are added while too
few were timed in the machine's usual quick state. One cell by each clock, drawn at random, is timed a second
time in another process: what differs between the two is noise.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

from ecgedge.convert.ahead import Helper
from ecgedge.convert.lab import Lab
from ecgedge.files.locks import PART
from ecgedge.measure.bench import PROFILES, Profile
from ecgedge.measure.machine import EnergyCounter
from ecgedge.plan.plan import Cell, Skip
from ecgedge.run.block import Pauses
from ecgedge.run.journal import Journal
from ecgedge.run.processes import FOLDERS, Processes
from ecgedge.run.rounds import Rounds, draw
from ecgedge.run.row import Identity, Outcome, Row
from ecgedge.run.scoring import Scoring

STEPS = 3  # of a cell
Tell = Callable[[float, str], object]  # how many steps are done, and what comes next


def measure_cells(
    cells: list[Cell],
    skips: list[Skip],
    lab: Lab,
    journal: Journal,
    profile: str,
    energy: EnergyCounter,
    tell: Tell,
) -> None:
    """Carry out what the journal does not hold yet. A cell is ``STEPS``: to be converted, scored and timed.

    Raises:
        MachineError, OSError: the machine failed; what the journal holds stays, and the rest can be done later.
    """
    for name in FOLDERS:
        (journal.folder / name).mkdir(exist_ok=True)
    sweep(journal.folder)
    for skip in skips:
        if not journal.of("scored", skip.id):
            journal.append("scored", cell=skip.id, row=skipped(skip, lab).flat)
    done, pauses = 0, Pauses()
    with contextlib.closing(Helper(lab)) as helper:
        for _, group in groupby(cells, lambda cell: cell.model):
            of_model = list(group)
            left = [cell for cell in of_model if not journal.of("scored", cell.id)]
            if left:
                tell(done, f"{left[0].model} conversions")
                helper.make(left)
            done += len(of_model)
            measure_model(
                of_model,
                lab,
                journal,
                PROFILES[profile],
                energy,
                pauses,
                lambda steps, what, base=done: tell(base + steps, what),  # type: ignore[misc]
            )
            done += (STEPS - 1) * len(of_model)
    tell(done, "")


def measure_model(
    cells: list[Cell],
    lab: Lab,
    journal: Journal,
    profile: Profile,
    energy: EnergyCounter,
    pauses: Pauses,
    tell: Tell,
) -> None:
    """Score the cells of one model, then time them in turns."""
    with Processes(lab, journal) as processes:
        scoring = Scoring(cells, lab, journal, profile.name, processes)
        tell(0, f"{cells[0].model} processes")
        processes.start([cell for cell in cells if not journal.of("scored", cell.id)])
        left = [cell for cell in cells if not journal.of("scored", cell.id)]
        tell(len(cells) - len(left), f"{cells[0].model} answers")
        scoring.score(
            left, lambda cell: tell(cells.index(cell), f"{cell.model} {cell.format} {cell.precision} {cell.runtime}")
        )
        timed = draw(cells, lab.seed, journal)
        for cell in {cell.id: cell for cell in timed.values()}.values():
            scoring.bring_back(cell)
        for number in Rounds(timed, lab, journal, profile, energy, processes, pauses).carry_out():
            share = number / max(profile.rounds, number + 1)
            tell(len(cells) * (1 + share), f"{cells[0].model} round {number + 1}")


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
            task=lab.sources[skip.model].task.kind,
            format=skip.format,
            precision=None,
            runtime=skip.runtime,
            dataset=lab.beats.data.name,
        ),
        outcome=Outcome(status="skipped", reason=skip.reason),
    )
