"""The processes of one model's cells: each stays alive, asleep, from when its cell is scored until all are timed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ecgedge.convert.lab import Lab
from ecgedge.errors import EcgEdgeError, MachineError, machine_error
from ecgedge.files.locks import check_room
from ecgedge.measure import memory
from ecgedge.measure.machine import usable_cores
from ecgedge.plan.plan import Cell
from ecgedge.run.journal import Journal
from ecgedge.workers import protocol
from ecgedge.workers.client import Child, ChildError
from ecgedge.workers.protocol import Packed
from ecgedge.workers.session import OpenSession, open_session

FOLDERS = ("cells", "artifacts", "logs")  # of a run, beside that of the samples


class Processes:
    """A process for each cell and twin of a model, by its name, and what becomes of a cell whose process is lost."""

    def __init__(self, lab: Lab, journal: Journal):
        self.lab, self.journal = lab, journal
        self.children: dict[str, Child] = {}
        self.sessions: dict[str, OpenSession] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children.values():
            child.close()

    def of(self, name: str, cell: Cell) -> Child:
        """The process of that name, started where there is none."""
        if name not in self.children:
            runtime = self.lab.tools.parts["runtime", cell.runtime]
            log = self.journal.folder / "logs" / f"{name}.log"
            self.children[name] = self.lab.converters.child(runtime, log, cell.threads)
        return self.children[name]

    def start(self, cells: Sequence[Cell]) -> None:
        """Start the processes of cells together and have each import its runtime, before anything is timed.

        One that cannot tells why when it is asked to load its artifact.
        """
        cores = usable_cores() or 1
        if cores < 2:
            return
        children = {cell: self.of(cell.id, cell) for cell in cells}
        with self.lab.converters.turn(), ThreadPoolExecutor(cores) as pool:
            for child in children.values():  # each dies with the thread that started it: this one
                if not child.is_running:
                    with contextlib.suppress(ChildError, MachineError):
                        child.start()
            for cell, child in children.items():
                if child.is_running:
                    pool.submit(child.ask, protocol.Available(cell.runtime), self.lab.converters.limits.seconds)

    def kill(self) -> None:
        """End them all, whatever they are doing."""
        for child in self.children.values():
            child.kill()

    def drop(self, name: str) -> None:
        self.sessions.pop(name, None)
        self.children.pop(name).close()

    def open(self, name: str, cell: Cell, packed: Packed) -> OpenSession:
        """Have the process of that name load the artifact of its cell, to be timed."""
        options = self.lab.tools.options_of(self.lab.tools.parts["runtime", cell.runtime])
        timed = protocol.Draw(self.lab.beats.files["scored"], self.lab.seed)
        question = protocol.Open(cell.runtime, packed, cell.threads, options, timed=timed)
        self.sessions[name] = open_session(self.of(name, cell), question, self.lab.converters.limits.seconds)
        return self.sessions[name]

    @contextlib.contextmanager
    def surviving(self, name: str, stage: str) -> Iterator[None]:
        """A process that dies or hangs fails its own cell only."""
        try:
            yield
        except MachineError:
            raise
        except (ChildError, EcgEdgeError) as error:
            self.check_machine(error)
            row = {"status": status_of(error), "stage": stage, "reason": str(error)}
            self.journal.append("failed", cell=name, row=row)
            self.drop(name)

    def check_machine(self, error: Exception) -> None:
        """Whether a failure may be the cell's own.

        Raises:
            MachineError: it lacks memory, without a limit of its own, and others have most of it; something that the
                run needs is gone; or nothing can be written any more.
        """
        is_of_memory, limited = (
            isinstance(error, ChildError) and error.why == "memory",
            self.lab.converters.limits.memory,
        )
        if is_of_memory and ("SIGKILL" in str(error) or limited is None) and memory.is_short():
            raise MachineError(f"the machine is short of memory: {error}", "free some memory")
        folder = self.journal.folder
        artifacts = [record["artifact"]["path"] for record in self.journal.of("scored") if record.get("artifact")]
        needed = [folder / name for name in (*FOLDERS, *artifacts)]
        if gone := next((path for path in (*needed, *self.lab.beats.files.values()) if not path.exists()), None):
            raise MachineError(f"{gone} is gone", "bring it back")
        for place in (folder, Path(self.lab.beats.scratch.name)):
            try:
                check_room(place)
            except OSError as error:
                raise machine_error(f"{place} cannot be written", error) from error


def status_of(error: Exception) -> str:
    """Of the row of a cell that failed by it."""
    return error.status if isinstance(error, ChildError) else "failed"
