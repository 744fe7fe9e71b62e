"""Two artifacts timed in turns, each in a process of its own: what a change is worth."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api.artifact import Artifact
from ecgedge.api.measured import Blocks
from ecgedge.devices.host import Host
from ecgedge.devices.link import Link
from ecgedge.errors import EcgEdgeError
from ecgedge.files.locks import turn
from ecgedge.measure.bench import PROFILES
from ecgedge.measure.steadiness import Reading, enough_blocks, lost_in, most_rounds, quick_readings
from ecgedge.run.block import Pauses, time_block
from ecgedge.run.rows import UNSTEADY, compare
from ecgedge.workers import protocol
from ecgedge.workers.boards import BoardChild
from ecgedge.workers.client import Child, WorkerClient
from ecgedge.workers.protocol import pack
from ecgedge.workers.session import OpenSession, open_session


@dataclass(frozen=True)
class Pair:
    """Medians of one beat a call in microseconds, and the second relative to the first, with its 95% interval.

    Attributes:
        result: of the second: ``"faster"``, ``"slower"`` or ``"tie"``; ``"unsteady"`` where the machine was in its
            usual quick state in too few rounds.
        rounds: that these are from: the ones in that state, or all where they are too few.
        timed: rounds in all.
        clock: of the sessions, that they are by; None: this machine's.
    """

    first: float
    second: float
    ratio: float
    low: float
    high: float
    result: str
    rounds: int
    timed: int
    clock: str | None = None

    @property
    def told(self) -> str:
        """The result in a word, and what is behind it, where the second is not plainly faster; else empty."""
        if self.result == UNSTEADY:
            return f": unsteady, the machine changed its speed in {self.timed} rounds"
        if self.result == "slower":
            return f": slower by {self.ratio - 1:.0%}"
        return ": a tie" if self.result == "tie" else ""


@dataclass(frozen=True)
class Setting:
    """Where and on what two artifacts are timed.

    Attributes:
        folder: for what the processes print.
        beats: a file of beats ``(N, C, L)``.
        gate: the file by which measurements on this machine take turns; None: they do not.
        seconds: the limit of each step.
        memory: bytes that each process's data may take; None: no limit.
        hosts: the interpreters of runtimes that do not work in ours, by the runtime's name.
        networked: runtimes that need the network, by name.
        options: what the user chose of each runtime, by its name.
        blocks: that runtimes ask for, by their names.
        link: to the board that they run on; None: this machine.
    """

    folder: Path
    beats: Path
    gate: Path | None
    threads: int = 1
    seed: int = 0
    seconds: float = 300
    memory: int | None = None
    hosts: Mapping[str, Host] = field(default_factory=dict)
    networked: frozenset[str] = frozenset()
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    blocks: Mapping[str, Blocks] = field(default_factory=dict)
    link: Link | None = None

    def child(self, runtime: str, log: Path, **variables: str) -> WorkerClient:
        """A process for what a runtime does, in the interpreter that it works in, with variables in its environment."""
        if self.link:
            return BoardChild(self.link, log, self.threads, self.memory)
        host, network = self.hosts.get(runtime), runtime in self.networked
        return Child(log, self.threads, self.memory, host, variables, network)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Measure while nothing else on this machine does; a board is ours."""
        with turn(self.gate) if self.gate and not self.link else nullcontext():
            yield


def time_in_turns(
    artifacts: tuple[Artifact, Artifact], runtimes: tuple[str, str], setting: Setting, profile: str = "quick"
) -> Pair:
    """Blocks of both, one beat a call, in random order, round after round.

    Rounds are added while too few were timed in the machine's usual quick state, as in a matrix. Runtimes get the
    blocks that they ask for; where they ask for different numbers of rounds, the larger one.

    Raises:
        ChildError: one of them cannot be loaded, or its process died.
        EcgEdgeError: their times are by two clocks.
    """
    asked = PROFILES[profile]
    blocks = [setting.blocks.get(runtime) for runtime in runtimes]
    own = max((each.rounds for each in blocks if each and each.rounds), default=None)
    pauses = Pauses()
    medians: list[tuple[float, ...]] = []
    readings: list[Reading] = []
    with ExitStack() as stack:
        children = [
            stack.enter_context(setting.child(runtime, setting.folder / f"timed-{i}.log"))
            for i, runtime in enumerate(runtimes)
        ]
        sessions = []
        for child, artifact, runtime in zip(children, artifacts, runtimes, strict=True):
            timed = protocol.Draw(setting.beats, setting.seed)
            with setting.turn():
                question = protocol.Open(
                    runtime, pack(artifact), setting.threads, setting.options.get(runtime, {}), timed=timed
                )
                sessions.append(open_session(child, question, setting.seconds))
                sessions[-1].warm_up()
        clock = common_clock(artifacts, sessions)
        rounds = own or asked.rounds
        most = rounds if own or clock else most_rounds(rounds)
        while len(medians) < rounds or (len(medians) < most and len(quick_rounds(readings)) < enough_blocks(rounds)):
            number = len(medians)
            taken = {}
            for i in random.Random(f"{setting.seed} {number}").sample(range(2), 2):
                with pauses.around(runtimes[i], blocks[i]), setting.turn():
                    block = time_block(sessions[i], asked.block_seconds, blocks[i])
                taken[i] = block.median_us
                if not clock:
                    before, after = block.state["reference_ns"]
                    kernel, lost = block.state["kernel"], lost_in(block.state)
                    readings.append(Reading(str(i), "", number, kernel, before, after, lost))
            medians.append((taken[0], taken[1]))
    if clock:  # of which no reference tells anything
        return replace(pair_of(np.array(medians), range(rounds), rounds), clock=clock)
    return pair_of(np.array(medians), quick_rounds(readings), enough_blocks(rounds))


def common_clock(artifacts: Sequence[Artifact], sessions: Sequence[OpenSession]) -> str | None:
    """The clock that the times of all are by; None: this machine's. Raises EcgEdgeError where there are two."""
    clocks = [session.clock for session in sessions]
    if clocks[0] != clocks[1]:
        names = " and ".join(
            f"{artifact.path} by {clock or 'the clock of this machine'}" for artifact, clock in zip(artifacts, clocks)
        )
        raise EcgEdgeError(f"times by two clocks have no ratio: {names}", "take one runtime for both")
    return clocks[0]


def quick_rounds(readings: Sequence[Reading]) -> list[int]:
    """The rounds in which both blocks were in the machine's usual quick state."""
    quick = quick_readings(readings)
    return [number for number in sorted({each.round for each in readings}) if {("0", number), ("1", number)} <= quick]


def pair_of(medians: np.ndarray, quick: Sequence[int], enough: int) -> Pair:
    """What the medians of all rounds say, ``(rounds, 2)``, by those that were quick."""
    steady = len(quick) >= enough
    one, other = (medians[list(quick)] if steady else medians).T
    found = compare(other, one, floor=None)
    return Pair(
        float(np.median(one)), float(np.median(other)), found.ratio, found.low, found.high,
        result=found.result if steady else UNSTEADY, rounds=len(one), timed=len(medians),
    )  # fmt: skip
