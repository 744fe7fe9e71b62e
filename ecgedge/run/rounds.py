"""Time the cells of one model in turns: round after round, a block of calls each, in random order."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from ecgedge.convert.lab import Lab
from ecgedge.measure import machine
from ecgedge.measure.bench import Profile
from ecgedge.measure.machine import EnergyCounter
from ecgedge.measure.steadiness import most_rounds
from ecgedge.plan.plan import Cell, is_parent
from ecgedge.run.block import time_block
from ecgedge.run.journal import Journal
from ecgedge.run.processes import Processes
from ecgedge.run.reading import TWIN
from ecgedge.run.rows import Timing
from ecgedge.workers.protocol import Packed


@dataclass
class Rounds:
    """The rounds of one model.

    Attributes:
        timed: the cells that are timed, and the one that is timed twice, by the name of its process; see ``draw``.
        processes: one of each that is not done.
    """

    timed: dict[str, Cell]
    lab: Lab
    journal: Journal
    profile: Profile
    energy: EnergyCounter
    processes: Processes

    def carry_out(self) -> Iterator[int]:
        """Time what is not on record, round by round; yields the number of each before it is begun."""
        wanted = self.wanted()
        for name in (name for name, rounds in self.done().items() if len(rounds) < wanted):
            self.processes.of(name, self.timed[name])
        for name in [*self.processes.children]:
            self.warm_up(name)
        number = 0
        while number < self.wanted():
            yield number
            self.time_round(number)
            number += 1

    def done(self) -> dict[str, set[int]]:
        """The rounds that are on record of each cell and twin that did not fail."""
        failed = {record["cell"] for record in self.journal.of("failed")}
        found: dict[str, set[int]] = {name: set() for name in self.timed if name not in failed}
        for block in self.journal.of("block"):
            if block["cell"] in found:
                found[block["cell"]].add(block["round"])
        return found

    def wanted(self) -> int:
        """How many rounds there shall be, by what is on record.

        Those of the profile; then one more each time, as long as too few were in the machine's usual quick state, and
        there are not ``most_rounds`` yet.
        """
        done = self.done()
        begun = max((max(rounds) + 1 for rounds in done.values() if rounds), default=0)
        wanted = max(self.profile.rounds, begun)
        if not done or any(len(rounds) < wanted for rounds in done.values()):
            return wanted if done else 0
        return wanted if wanted >= most_rounds(self.profile.rounds) or self.enough([*done]) else wanted + 1

    def enough(self, names: Sequence[str]) -> bool:
        """Whether each cell has blocks enough in the quick state, and each two that are compared have rounds enough.

        By the records up to these cells' own: what models show that are timed later adds no rounds.
        """
        records = self.journal.records
        last = max(i for i, each in enumerate(records) if each["event"] == "block" and each["cell"] in names)
        timing = Timing(records[: last + 1], self.profile.rounds, self.journal.folder)
        pairs = [(name, name.removesuffix(TWIN)) for name in names if name.endswith(TWIN)]
        pairs += [(one, other) for one, other in product(names, names) if is_parent(self.timed[other], self.timed[one])]
        return not any(map(timing.unsteady, names)) and all(
            timing.common(*pair)[1] for pair in pairs if pair[1] in names
        )

    def warm_up(self, name: str) -> None:
        """Load a cell where its process is new, and run it until it is as fast as it gets."""
        cell = self.timed[name]
        packed = self.journal.of("scored", cell.id)[0]["artifact"]
        with self.processes.surviving(name, "warm up"), self.lab.converters.turn():
            if name not in self.processes.sessions:
                here = Packed(self.journal.folder / packed["path"], packed["record"], packed["model"])
                self.processes.open(name, cell, here)
            found = self.processes.sessions[name].warm_up()
            self.journal.append("warm", cell=name, load=machine.load(), **found.figures())

    def time_round(self, number: int) -> None:
        """A block of timed calls for each cell that lacks this round, in random order."""
        names = [name for name, rounds in self.done().items() if number not in rounds]
        for name in names:
            if name not in self.processes.children:  # it had all rounds that were wanted when this run went on
                self.processes.of(name, self.timed[name])
                self.warm_up(name)
        names = [name for name in self.processes.children if name in names]
        model = next(iter(self.timed.values())).model
        random.Random(f"{self.lab.seed} {model} {number}").shuffle(names)
        for name in names:
            with self.processes.surviving(name, "measure"), self.lab.converters.turn():
                block = time_block(self.processes.sessions[name], self.profile.block_seconds, self.energy)
                self.journal.block(name, number, block.samples, **block.figures, **block.state)


def draw(cells: Sequence[Cell], seed: int, journal: Journal) -> dict[str, Cell]:
    """The cells that are timed, by the name of their processes: those that work, and one of them twice.

    Which one is drawn once and for all. What differs between the two is noise.
    """
    ready = [cell for cell in cells if journal.row(cell.id)["status"] == "ok"]
    if ready and not any(journal.of("twin", cell.id) for cell in cells):
        drawn = random.Random(f"{seed} {ready[0].model}").choice(ready)
        journal.append("twin", cell=drawn.id, name=drawn.id + TWIN)
    timed = {cell.id: cell for cell in ready}
    return timed | {cell.id + TWIN: cell for cell in ready if journal.of("twin", cell.id)}
