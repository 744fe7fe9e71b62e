"""Where the cells of a run are loaded, answer and are timed: this machine, or a board."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from pathlib import Path

from ecgedge.convert.lab import Lab
from ecgedge.devices.boards import Board
from ecgedge.devices.channel import BoardError, LostError
from ecgedge.devices.link import Link, RebootedError
from ecgedge.errors import EcgEdgeError, MachineError, machine_error
from ecgedge.files.locks import check_room
from ecgedge.measure import machine, memory
from ecgedge.plan.plan import Cell
from ecgedge.workers import protocol
from ecgedge.workers.boards import BoardChild
from ecgedge.workers.client import ChildError, WorkerClient

OF_BOARD = ("lost", "rebooted", "disk")  # of ``ChildError.why``: no cell's own fault
TRIES = 3  # of what a lost connection cuts off
AWAY = "board"  # the stage of a row whose board was lost


class BoardGone(Exception):
    """A board is lost to this run, and the rows that it has not done with it. One line."""


class Device(ABC):
    """Where cells run.

    Attributes:
        board: its name; None: this machine.
        emulated: the core that it plays; nothing is timed there.
        beside: whether this machine may do something else meanwhile.
    """

    board: str | None = None
    emulated: str | None = None
    beside: bool = False

    @abstractmethod
    def child(self, lab: Lab, cell: Cell, log: Path) -> WorkerClient:
        """A process for a cell."""

    @abstractmethod
    def cores(self) -> int:
        """How many there are."""

    @abstractmethod
    def check(self, lab: Lab, error: Exception) -> None:
        """Whether a failure may be the cell's own.

        Raises:
            MachineError: it is this machine's.
            BoardGone: it is the board's.
        """

    def turn(self, lab: Lab) -> contextlib.AbstractContextManager[None]:
        """Measure while no other run does: a board is ours until it is let go."""
        return contextlib.nullcontext() if self.beside else lab.converters.turn()

    def boot(self) -> str | None:
        """What tells one boot of a board from the next."""
        return None

    def load(self) -> float | None:
        """How busy it is, where that is known."""
        return None


class Here(Device):
    """This machine."""

    def child(self, lab: Lab, cell: Cell, log: Path) -> WorkerClient:
        return lab.converters.child(lab.tools.parts["runtime", cell.runtime], log, cell.threads)

    def cores(self) -> int:
        return machine.usable_cores() or 1

    def load(self) -> float | None:
        return machine.load()

    def check(self, lab: Lab, error: Exception) -> None:
        """Its memory: this process's cells had no limit of their own, or others have most of it."""
        limited = lab.converters.limits.memory
        is_of_memory = isinstance(error, ChildError) and error.why == "memory"
        if is_of_memory and ("SIGKILL" in str(error) or limited is None) and memory.is_short():
            raise MachineError(f"the machine is short of memory: {error}", "free some memory")


class OnBoard(Device):
    """A board, from when it is first asked until it is closed; nobody else has it meanwhile.

    Args:
        board: as the user named it.
        cores: that it has.
        log: a file for what ssh says.
    """

    def __init__(self, board: Board, cores: int | None, log: Path):
        self.board, self.emulated, self.beside = board.name, board.emulated, board.emulated is None
        self.link, self.core_count = Link(board, log), cores or 1

    def child(self, lab: Lab, cell: Cell, log: Path) -> WorkerClient:
        part = lab.tools.parts["runtime", cell.runtime]
        return BoardChild(self.link, log, cell.threads, lab.converters.limits.memory, part.needs_network)

    def cores(self) -> int:
        return self.core_count

    def boot(self) -> str | None:
        try:
            self.link.open()
        except RebootedError:
            return self.boot()
        except (LostError, BoardError, EcgEdgeError) as error:
            raise BoardGone(str(error)) from error
        return self.link.boot_id

    def check(self, lab: Lab, error: Exception) -> None:
        """What is out of disk stays so; what was lost has come back by now, or does not."""
        if isinstance(error, ChildError) and error.why not in OF_BOARD:
            return
        if isinstance(error, ChildError) and error.why == "disk":
            raise BoardGone(str(error)) from error
        try:
            self.link.reach_again()
        except RebootedError:
            return
        except (LostError, BoardError, EcgEdgeError) as gone:
            raise BoardGone(str(gone)) from error

    def describe(self, seconds: float) -> protocol.BoardFacts:
        """What it is, and how it is at the moment."""
        with BoardChild(self.link, self.link.log) as child:
            return child.ask(protocol.Describe(), seconds)

    def stop(self) -> None:
        """From another thread: end what it is doing, and begin nothing more; whoever measures is told BoardGone."""
        self.link.stop()

    def close(self) -> None:
        """Let it go."""
        self.link.close()


def check_folders(lab: Lab, folder: Path, needed: list[Path]) -> None:
    """Raise MachineError where something that a run needs is gone, or nothing can be written any more."""
    if gone := next((path for path in (*needed, *lab.beats.files.values()) if not path.exists()), None):
        raise MachineError(f"{gone} is gone", "bring it back")
    for place in (folder, Path(lab.beats.scratch.name)):
        try:
            check_room(place)
        except OSError as error:
            raise machine_error(f"{place} cannot be written", error) from error
