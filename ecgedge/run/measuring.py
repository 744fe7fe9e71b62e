"""The cells of one model on one device: scored, then timed in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ecgedge.convert.lab import Lab
from ecgedge.measure.bench import Profile
from ecgedge.measure.machine import EnergyCounter
from ecgedge.plan.plan import Cell
from ecgedge.run.block import Pauses
from ecgedge.run.device import Device
from ecgedge.run.journal import Journal
from ecgedge.run.processes import Processes
from ecgedge.run.rounds import Rounds, draw
from ecgedge.run.scoring import Attempt, Scoring

STEPS = 3  # of a cell
Tell = Callable[[float, str], object]  # how many steps are done, and what comes next


@dataclass(frozen=True)
class Measuring:
    """What measuring the cells of one model on one device takes.

    Attributes:
        pauses: between the blocks of a runtime that asks for some.
    """

    cells: Sequence[Cell]
    lab: Lab
    journal: Journal
    profile: Profile
    energy: EnergyCounter
    pauses: Pauses
    device: Device

    @property
    def name(self) -> str:
        """As progress is told of it."""
        return self.cells[0].model + (f" on {self.device.board}" if self.device.board else "")

    def left(self) -> list[Cell]:
        """The cells that were not scored yet."""
        return [cell for cell in self.cells if not self.journal.of("scored", cell.id)]

    def processes(self) -> Processes:
        """Those of its cells; a context."""
        return Processes(self.lab, self.journal, self.device)

    def scoring(self, processes: Processes) -> Scoring:
        return Scoring(self.cells, self.lab, self.journal, self.profile.name, processes)


def measure_model(measuring: Measuring, tell: Tell) -> None:
    """Score the cells of one model on this machine, then time them in turns."""
    with measuring.processes() as processes:
        scoring = measuring.scoring(processes)
        tell(0, f"{measuring.name} processes")
        processes.start(measuring.left())
        left = measuring.left()
        tell(len(measuring.cells) - len(left), f"{measuring.name} answers")
        carry_out(measuring, scoring, scoring.prepare(left), tell)


def carry_out(measuring: Measuring, scoring: Scoring, attempts: Sequence[Attempt], tell: Tell) -> None:
    """Score what was prepared, then time all cells in turns.

    Raises:
        BoardGone: the board that they run on is lost.
    """
    cells, journal = measuring.cells, measuring.journal
    scoring.score(
        attempts,
        lambda cell: tell(cells.index(cell), f"{measuring.name} {cell.format} {cell.precision} {cell.runtime}"),
    )
    timed = draw(cells, measuring.lab.seed, journal)
    for cell in {cell.id: cell for cell in timed.values()}.values():
        scoring.bring_back(cell)
    rounds = Rounds(timed, measuring.lab, journal, measuring.profile, measuring.energy, scoring.processes,
                    measuring.pauses)  # fmt: skip
    for number in rounds.carry_out():
        share = number / max(measuring.profile.rounds, number + 1)
        tell(len(cells) * (1 + share), f"{measuring.name} round {number + 1}")
