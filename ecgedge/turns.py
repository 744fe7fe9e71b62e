"""Two artifacts timed in turns, each in a process of its own: what a change is worth."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ecgedge.artifacts import Artifact
from ecgedge.locks import turn
from ecgedge.measure import PROFILES
from ecgedge.process import Child, Host
from ecgedge.records import pack
from ecgedge.results import compare


@dataclass(frozen=True)
class Pair:
    """Medians of one beat a call in microseconds, and the second relative to the first, with its 95% interval.

    Attributes:
        result: of the second: ``"faster"``, ``"slower"`` or ``"tie"``.
    """

    first: float
    second: float
    ratio: float
    low: float
    high: float
    result: str


@dataclass(frozen=True)
class Setting:
    """Where and on what two artifacts are timed.

    Attributes:
        folder: for what the processes print.
        beats: a file of beats ``(N, 1, L)``.
        gate: the file by which measurements on this machine take turns; None: they do not.
        seconds: the limit of each step.
        memory: bytes that each process's data may take; None: no limit.
        hosts: the interpreters of runtimes that do not work in ours, by the runtime's name.
    """

    folder: Path
    beats: Path
    gate: Path | None
    threads: int = 1
    seed: int = 0
    seconds: float = 300
    memory: int | None = None
    hosts: Mapping[str, Host] = field(default_factory=dict)

    def child(self, runtime: str, log: Path, **variables: str) -> Child:
        """A process for what a runtime does, in the interpreter that it works in, with variables in its environment."""
        return Child(log, self.threads, self.memory, self.hosts.get(runtime), variables)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Measure while nothing else on this machine does."""
        with turn(self.gate) if self.gate else nullcontext():
            yield


def time_in_turns(
    artifacts: tuple[Artifact, Artifact], runtimes: tuple[str, str], setting: Setting, profile: str = "quick"
) -> Pair:
    """Blocks of both, one beat a call, in random order, round after round.

    Raises:
        ChildError: one of them cannot be loaded, or its process died.
    """
    medians: tuple[list[float], list[float]] = ([], [])
    with ExitStack() as stack:
        children = [
            stack.enter_context(setting.child(runtime, setting.folder / f"timed-{i}.log"))
            for i, runtime in enumerate(runtimes)
        ]
        for child, artifact, runtime in zip(children, artifacts, runtimes, strict=True):
            request = {"runtime": runtime, "artifact": pack(artifact), "beats": str(setting.beats)}
            with setting.turn():
                child.ask("load", setting.seconds, **request, threads=setting.threads, seed=setting.seed)
                child.ask("warm_up", setting.seconds)
        for number in range(PROFILES[profile].rounds):
            for i in random.Random(f"{setting.seed} {number}").sample(range(2), 2):
                with setting.turn():
                    children[i].ask("load_anew", setting.seconds)
                    answer = children[i].ask("block", setting.seconds, seconds=PROFILES[profile].block_seconds)
                samples = np.frombuffer(base64.b64decode(answer["samples"]), dtype="<i8").reshape(-1, 2)
                medians[i].append(float(np.median(samples[:, 0])) / 1e3)
    one, other = (np.array(each) for each in medians)
    return Pair(float(np.median(one)), float(np.median(other)), **compare(other, one, floor=None))
