"""The processes of one model's cells: each stays alive, asleep, from when its cell is scored until all are timed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from ecgedge.api.parts import Runtime
from ecgedge.convert.lab import Lab
from ecgedge.errors import EcgEdgeError, MachineError
from ecgedge.plan.plan import Cell
from ecgedge.run.device import OF_BOARD, Device, Here, check_folders
from ecgedge.run.journal import Journal
from ecgedge.workers import protocol
from ecgedge.workers.client import ChildError, WorkerClient
from ecgedge.workers.protocol import Packed
from ecgedge.workers.session import OpenSession, open_session

FOLDERS = ("cells", "artifacts", "logs")  # of a run, beside that of the samples


class Processes:
    """A process for each cell and twin of a model, by its name, and what becomes of a cell whose process is lost.

    Args:
        device: that they run on.
    """

    def __init__(self, lab: Lab, journal: Journal, device: Device):
        self.lab, self.journal, self.device = lab, journal, device
        self.children: dict[str, WorkerClient] = {}
        self.sessions: dict[str, OpenSession] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children.values():
            child.close()

    def of(self, name: str, cell: Cell) -> WorkerClient:
        """The process of that name, started where there is none."""
        if name not in self.children:
            self.children[name] = self.device.child(self.lab, cell, self.journal.folder / "logs" / f"{name}.log")
        return self.children[name]

    def start(self, cells: Sequence[Cell]) -> None:
        """Start the processes of cells together and have each import its runtime, before anything is timed.

        One that cannot tells why when it is asked to load its artifact.
        """
        cores = self.device.cores()
        if cores < 2:
            return
        children = {cell: self.of(cell.id, cell) for cell in cells}
        with self.device.turn(self.lab), ThreadPoolExecutor(cores) as pool:
            for child in children.values():  # each dies with the thread that started it: this one
                if not child.is_running:
                    with contextlib.suppress(ChildError, EcgEdgeError):
                        child.start()
            for cell, child in children.items():
                if child.is_running:
                    pool.submit(child.ask, protocol.Available(cell.runtime), self.lab.converters.limits.seconds)

    def emulated(self, cell: Cell) -> str | None:
        """The core that its device or its runtime plays, where one does: nothing is timed then."""
        runtime: Runtime = self.lab.tools.parts["runtime", cell.runtime]
        return self.device.emulated or runtime.emulated

    def kill(self) -> None:
        """End them all, whatever they are doing."""
        for child in self.children.values():
            child.kill()

    def drop(self, name: str) -> None:
        self.sessions.pop(name, None)
        self.children.pop(name).close()

    def open(self, name: str, cell: Cell, packed: Packed) -> OpenSession:
        """Have the process of that name load the artifact of its cell, to be timed where its device has times."""
        options = self.lab.tools.options_of(self.lab.tools.parts["runtime", cell.runtime])
        timed = None
        if self.emulated(cell) is None:
            timed = protocol.Draw(self.lab.beats.files["scored"], self.lab.seed)
        question = protocol.Open(cell.runtime, packed, cell.threads, options, timed=timed)
        self.sessions[name] = open_session(self.of(name, cell), question, self.lab.converters.limits.seconds)
        return self.sessions[name]

    @contextlib.contextmanager
    def surviving(self, name: str, stage: str) -> Iterator[None]:
        """A process that dies or hangs fails its own cell only; what its board did is no fault of the cell's.

        Raises:
            ChildError: the connection to its board was lost and is there again, or the board was started anew.
            BoardGone, MachineError: as ``check_machine``.
        """
        try:
            yield
        except MachineError:
            raise
        except (ChildError, EcgEdgeError) as error:
            self.check_machine(error)
            if isinstance(error, ChildError) and error.why in OF_BOARD:
                raise
            row = {"status": status_of(error), "stage": stage, "reason": str(error)}
            self.journal.append("failed", cell=name, row=row)
            self.drop(name)

    def check_machine(self, error: Exception, is_made_here: bool = False) -> None:
        """Whether a failure may be the cell's own.

        Args:
            is_made_here: it is of what this machine does for it.

        Raises:
            MachineError: it lacks memory, without a limit of its own, and others have most of it; something that the
                run needs is gone; or nothing can be written any more.
            BoardGone: its board does not come back, or is out of disk.
        """
        (Here() if is_made_here else self.device).check(self.lab, error)
        folder = self.journal.folder
        artifacts = [record["artifact"]["path"] for record in self.journal.of("scored") if record.get("artifact")]
        check_folders(self.lab, folder, [folder / name for name in (*FOLDERS, *artifacts)])


def status_of(error: Exception) -> str:
    """Of the row of a cell that failed by it."""
    return error.status if isinstance(error, ChildError) else "failed"
