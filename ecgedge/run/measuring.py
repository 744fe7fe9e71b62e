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
from ecgedge.run.row import Row
from ecgedge.run.scoring import Attempt, Scoring

STEPS = 3  # of a cell
Tell = Callable[[float, str], object]  # how many steps are done, and what comes next
Judged = Callable[[Row], object]


@dataclass(frozen=True)
class Measuring:
    """What measuring the cells of one model on one device takes.

    Attributes:
        pauses: between the blocks of a runtime that asks for some.
        judged: is called with the row of each cell as soon as its quality is known.
    """

    cells: Sequence[Cell]
    lab: Lab
    journal: Journal
    profile: Profile
    energy: EnergyCounter
    pauses: Pauses
    device: Device
    judged: Judged = lambda _: None

    @property
    def name(self) -> str:
        """As progress is told of it."""
        return self.cells[0].model + (f" on {self.device.board}" if self.device.board else "")

    def left(self) -> list[Cell]:
        """The cells that were not scored yet."""
        return [cell for cell in self.cells if not self.journal.of("scored", cell.id)]

    def first(self) -> list[Cell]:
        """Those of them for which nothing has to be converted: the trained model, or the user's file, itself."""
        sources = self.lab.sources
        return [cell for cell in self.left() if not cell.route and cell.precision == sources[cell.model].precision]

    def processes(self) -> Processes:
        """Those of its cells; a context."""
        return Processes(self.lab, self.journal, self.device)

    def scoring(self, processes: Processes) -> Scoring:
        return Scoring(self.cells, self.lab, self.journal, self.profile.name, processes)


def score_first(measuring: Measuring, processes: Processes, tell: Tell) -> None:
    """Score the trained model, or the user's file, as it came: a row that can be seen before anything is converted."""
    cells = measuring.first()
    if not cells:
        return
    tell(0, f"{measuring.name} as it came")
    processes.start(cells)
    scoring = measuring.scoring(processes)
    scoring.score(scoring.prepare(cells), lambda _: None, measuring.judged)


def measure_model(measuring: Measuring, processes: Processes, tell: Tell) -> None:
    """Score the cells of one model on this machine, then time them in turns."""
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
        measuring.judged,
    )
    timed = draw(cells, measuring.lab.seed, journal)
    for cell in {cell.id: cell for cell in timed.values()}.values():
        scoring.bring_back(cell)
    rounds = Rounds(timed, measuring.lab, journal, measuring.profile, measuring.energy, scoring.processes,
                    measuring.pauses)  # fmt: skip
    for number in rounds.carry_out():
        share = number / max(measuring.profile.rounds, number + 1)
        tell(len(cells) * (1 + share), f"{measuring.name} round {number + 1}")
