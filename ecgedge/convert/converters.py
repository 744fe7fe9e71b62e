"""The child processes that a run starts: those in which conversions run, and those of its cells."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

from ecgedge.api.artifact import Artifact
from ecgedge.api.parts import Part, Runtime
from ecgedge.devices.host import Host
from ecgedge.errors import MachineError
from ecgedge.files.locks import turn
from ecgedge.workers import protocol
from ecgedge.workers.client import SERVER, Child, Limits
from ecgedge.workers.protocol import answered, pack
from ecgedge.workers.session import OpenSession, open_session

QUIETLY = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}  # what waits leaves the cores to others


@dataclass(frozen=True)
class Converters:
    """One process for all conversions in an interpreter, started when it is first asked.

    Attributes:
        folder: for what they print.
        hosts: the interpreters of parts that work in an environment of their own, by its name.
        limits: of each step, and of each process.
        gate: the file by which runs on this machine take turns; None: they do not.
        name: of the file that they print to.
        threads: of each process; None: as many as its libraries want.
        module: that the processes in our interpreter run.
        ended: they are to begin nothing more.
    """

    folder: Path
    hosts: Mapping[str, Host]
    limits: Limits
    gate: Path | None
    name: str = "conversions"
    threads: int | None = None
    module: str = SERVER
    running: dict[tuple[Host | None, bool], Child] = field(default_factory=dict)
    ended: Event = field(default_factory=Event)

    @property
    def log(self) -> Path:
        """What they print."""
        return self.folder / f"{self.name}.log"

    def without_gate(self) -> Converters:
        """These processes, for who has its turn already."""
        return replace(self, gate=None)

    def second(self) -> Converters:
        """Others of the same kind, for who has its turn already."""
        return replace(self, gate=None, name=f"{self.name}-2", running={}, ended=Event())

    def child(self, part: Part, log: Path, threads: int | None = None) -> Child:
        """A process for what a part does, in the interpreter that it works in."""
        host = self.hosts.get(part.environment or "")
        return Child(log, threads, self.limits.memory, host, network=part.needs_network)

    def of(self, part: Part | None) -> Child:
        """The process in which the conversions of a part run, and of all others that work where it does.

        None stands for ecgedge itself.

        Raises:
            MachineError: they have been killed.
        """
        if self.ended.is_set():
            raise MachineError("the run has ended")
        host = self.hosts.get(part.environment or "") if part else None
        key = host, bool(part and part.needs_network)
        if key not in self.running:
            module = SERVER if host else self.module
            self.running[key] = Child(
                self.log, self.threads, self.limits.memory, host, QUIETLY, network=key[1], module=module
            )
        return self.running[key]

    def open(self, runtime: Runtime, artifact: Artifact) -> OpenSession:
        """A session of an artifact that answers, one thread.

        Raises:
            ChildError, EcgEdgeError, MachineError: it cannot be loaded.
        """
        return open_session(self.of(runtime), protocol.Open(runtime.name, pack(artifact), 1), self.limits.seconds)

    def ask(self, question: protocol.Question[protocol.Packed], by: Part | None, who: str) -> Artifact:
        """What a part, or ecgedge itself, makes of a source.

        Args:
            by: the part; None: ecgedge itself.
            who: that is, as an error names it.
        """
        with self.turn():
            return answered(self.of(by).ask(question, self.limits.seconds), who)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Convert and measure while no other run on this machine does."""
        with turn(self.gate) if self.gate else contextlib.nullcontext():
            yield

    def kill(self) -> None:
        """From another thread than that which asks them: whatever they are doing, it fails, and nothing more begins."""
        self.ended.set()
        for child in list(self.running.values()):
            child.kill()

    def close(self) -> None:
        """End those in which conversions run."""
        for child in self.running.values():
            child.close()
