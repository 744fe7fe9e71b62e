"""Time the cells of one model in turns: round after round, a block of calls each, in random order."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from ecgedge.convert.lab import Lab
from ecgedge.errors import EcgEdgeError
from ecgedge.measure.bench import Profile
from ecgedge.measure.machine import EnergyCounter
from ecgedge.measure.steadiness import most_rounds
from ecgedge.plan.plan import Cell, is_parent
from ecgedge.run.block import Pauses, asked_in, time_block
from ecgedge.run.device import TRIES, BoardGone, Device
from ecgedge.run.journal import Journal
from ecgedge.run.processes import Processes
from ecgedge.run.reading import TWIN
from ecgedge.run.rows import Timing, fixed_rounds, is_timed
from ecgedge.workers.client import ChildError
from ecgedge.workers.protocol import Packed
from ecgedge.workers.session import OpenSession


@dataclass
class Rounds:
    """The rounds of one model.

    Attributes:
        timed: the cells that are timed, and those that are timed twice, by the name of the process; see ``draw``.
        processes: one of each that is not done.
        pauses: between the blocks of a runtime that asks for some.
    """

    timed: dict[str, Cell]
    lab: Lab
    journal: Journal
    profile: Profile
    energy: EnergyCounter
    processes: Processes
    pauses: Pauses = field(default_factory=Pauses)

    @property
    def device(self) -> Device:
        return self.processes.device

    def carry_out(self) -> Iterator[int]:
        """Time what is not on record, round by round; yields the number of each before it is begun.

        What was timed before the device was started anew does not count: it is timed once more, and where that happens
        again and again, the device is lost to this run.

        Raises:
            BoardGone: the board that they run on is lost.
        """
        if self.is_of_another_boot():
            self.begin_anew("the board was started anew")
        for _ in range(TRIES):
            try:
                yield from self.time_all()
            except ChildError as error:  # of the board: what is a cell's own fault stays with it
                if error.why == "rebooted" or self.is_of_another_boot():  # it may take longer than who lost it waited
                    self.begin_anew("the board was started anew")
                else:
                    self.drop_all()
            else:
                return
        raise BoardGone(f"board {self.device.board} was lost {TRIES} times while one model was timed")

    def is_of_another_boot(self) -> bool:
        """Whether some of these were timed, and more is wanted of them, and the device was started anew since."""
        boots = {record.get("boot") for name in self.timed for record in self.journal.of("warm", name)}
        targets = self.targets()
        unfinished = any(len(rounds) < targets[name] for name, rounds in self.done().items())
        return bool(unfinished and boots and boots != {self.device.boot()})

    def begin_anew(self, reason: str) -> None:
        """Forget what was timed of all of these, so that all are timed in the same rounds."""
        for name in self.done():
            if self.journal.of("warm", name):
                self.journal.void(name, reason)
        self.drop_all()

    def drop_all(self) -> None:
        """End their processes, of which the connection is gone."""
        for name in [*self.processes.children]:
            self.processes.drop(name)

    def time_all(self) -> Iterator[int]:
        """Time what is not on record, round by round."""
        targets = self.targets()
        for name in (name for name, rounds in self.done().items() if len(rounds) < targets[name]):
            self.processes.of(name, self.timed[name])
        for name in [*self.processes.children]:
            self.warm_up(name)
        number, targets = 0, self.targets()
        while number < max(targets.values(), default=0):
            yield number
            self.time_round(number, targets)
            number, targets = number + 1, self.targets()

    def scored(self, name: str) -> Mapping[str, Any]:
        """The row of a cell, or of one that is timed twice, as the journal has it."""
        return self.journal.row(self.timed[name].id)

    def targets(self) -> dict[str, int]:
        """How many rounds each cell and twin that did not fail shall have."""
        wanted = self.wanted()
        return {name: fixed_rounds(self.scored(name), self.profile.rounds) or wanted for name in self.done()}

    def done(self) -> dict[str, set[int]]:
        """The rounds that are on record of each cell and twin that did not fail."""
        failed = {record["cell"] for record in self.journal.of("failed")}
        found: dict[str, set[int]] = {name: set() for name in self.timed if name not in failed}
        for block in self.journal.of("block"):
            if block["cell"] in found:
                found[block["cell"]].add(block["round"])
        return found

    def wanted(self) -> int:
        """How many rounds there shall be of those that follow this machine's state, by what is on record.

        Those of the profile; then one more each time, as long as too few were in the machine's usual quick state, and
        there are not ``most_rounds`` yet.
        """
        fixed = {name for name in self.timed if fixed_rounds(self.scored(name), self.profile.rounds)}
        done = {name: rounds for name, rounds in self.done().items() if name not in fixed}
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
        with self.processes.surviving(name, "warm up"), self.device.turn(self.lab):
            if name not in self.processes.sessions:
                here = Packed(self.journal.folder / packed["path"], packed["record"], packed["model"])
                self.check_sources(name, self.processes.open(name, cell, here))
            found = self.processes.sessions[name].warm_up()
            boot = {"boot": self.device.boot()} if self.device.board else {}
            self.journal.append("warm", cell=name, load=self.device.load(), **found.figures(), **boot)

    def check_sources(self, name: str, session: OpenSession) -> None:
        """Raise EcgEdgeError where a session is by another clock or meter than when its cell was scored."""
        row = self.scored(name)
        for key, what, now in (
            ("clock", "clock", session.clock),
            ("energy_source", "energy meter", session.energy_source),
        ):
            if row.get(key) != now:
                told = f"by {row.get(key) or 'this machine'!r} when it was scored, by {now or 'this machine'!r} now"
                raise EcgEdgeError(f"it is measured by another {what}: {told}")

    def time_round(self, number: int, targets: Mapping[str, int]) -> None:
        """A block of timed calls for each cell that lacks this round and shall have it, in random order."""
        names = [name for name, rounds in self.done().items() if number not in rounds and number < targets[name]]
        for name in names:
            if name not in self.processes.children:  # it had all rounds that were wanted when this run went on
                self.processes.of(name, self.timed[name])
                self.warm_up(name)
        names = [name for name in self.processes.children if name in names]
        model = next(iter(self.timed.values())).model
        random.Random(f"{self.lab.seed} {model} {number}").shuffle(names)
        for name in names:
            asked, runtime = asked_in(self.scored(name)), self.timed[name].runtime
            with (
                self.processes.surviving(name, "measure"),
                self.pauses.around(runtime, asked),
                self.device.turn(self.lab),
            ):
                energy = None if self.device.board else self.energy
                block = time_block(self.processes.sessions[name], self.profile.block_seconds, asked, energy)
                self.journal.block(name, number, block.samples, **block.figures, **block.state)


def draw(cells: Sequence[Cell], seed: int, journal: Journal) -> dict[str, Cell]:
    """The cells that are timed, by the name of their processes: those that work, and one by each clock twice.

    Which one is drawn once and for all. What differs between the two is noise of that clock.
    """
    ready = [cell for cell in cells if is_timed(journal.row(cell.id))]
    clocks: dict[str | None, list[Cell]] = {}
    for cell in ready:
        clocks.setdefault(journal.row(cell.id).get("clock"), []).append(cell)
    for clock, by_it in clocks.items():
        if not any(journal.of("twin", cell.id) for cell in cells if journal.row(cell.id).get("clock") == clock):
            place = f"@{ready[0].board}" if ready[0].board else ""
            drawn = random.Random(f"{seed} {ready[0].model}{place}" + (f" {clock}" if clock else "")).choice(by_it)
            journal.append("twin", cell=drawn.id, name=drawn.id + TWIN)
    timed = {cell.id: cell for cell in ready}
    return timed | {cell.id + TWIN: cell for cell in ready if journal.of("twin", cell.id)}
