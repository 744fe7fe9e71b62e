"""The link to a board: one control connection and one lease for all of its workers, each with a channel of its own."""

from __future__ import annotations

import getpass
import os
import platform
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path

from ecgedge.devices import keeper
from ecgedge.devices.boards import Board
from ecgedge.devices.channel import MOST_LINE, Asked, BoardError, Channel, Look, LostError, one_line
from ecgedge.devices.emulated import Emulator
from ecgedge.devices.parcel import parcel
from ecgedge.devices.pipe import Ended
from ecgedge.devices.ssh import Control, UnreachedError
from ecgedge.errors import EcgEdgeError
from ecgedge.files.notices import note

PACKAGE = "worker.zip"  # in the folder of a worker there
OLDEST = (3, 11)  # Python that runs a worker
AGAIN = 2.0  # seconds between two tries to reach a board that was lost


class RebootedError(Exception):
    """The board was started anew since it was reached first. One line."""


class Link:
    """A board, from when it is first reached until it is closed; nobody else has it meanwhile.

    Args:
        log: a file for what ssh says.
        wait: seconds, for whoever else uses the board.
        patience: seconds in which a lost connection has to come back; a board takes that long to start anew.
        boot_id: the file there that tells one boot from the next.
        waiting: is told for whom we wait, in one line.
    """

    def __init__(
        self,
        board: Board,
        log: Path,
        wait: float = 600,
        patience: float = 90,
        boot_id: str = keeper.BOOT_ID,
        waiting: Callable[[str], None] = note,
    ):
        self.board, self.log, self.wait, self.patience, self.waiting = board, log, wait, patience, waiting
        self.boot_file, self.boot_id = boot_id, ""
        self.token = secrets.token_hex(16)
        self.control = way_to(board)
        self.opening = threading.RLock()
        self.anchor: Channel | None = None  # holds the lease while no worker does
        self.look: Look | None = None
        self.channels: weakref.WeakSet[Channel] = weakref.WeakSet()
        self.stopped = False

    def open(self) -> None:
        """Reach the board and have it for ourselves, where that is not so already.

        Raises:
            EcgEdgeError: it cannot be reached, is used by somebody else, or cannot run a worker.
            LostError: the connection is lost meanwhile.
            RebootedError: it was started anew.
        """
        with self.opening:
            self.check_stopped()  # first: a process that was just ended may seem to live
            if self.anchor and self.anchor.process.poll() is None:
                return
            if self.anchor:
                self.anchor.close()
                self.anchor = None
            self.anchor = self.leased(self.log)
            if self.look is None:
                self.look = self.anchor.look()
                require(self.board, self.look)

    def leased(self, log: Path) -> Channel:
        """A channel that has a part in our lease."""
        self.check_stopped()
        channel = Channel(self.control, log, self.boot_file)
        self.channels.add(channel)
        try:
            self.check_stopped()
            before, self.boot_id = self.boot_id, one_line(channel.hello.boot_id)
            if before and before != self.boot_id:
                raise RebootedError(f"board {self.board.name} was started anew")
            channel.lease(self.token, who(), self.wait, self.tell_waiting)
        except BaseException:
            channel.close()
            raise
        return channel

    def tell_waiting(self, holder: str) -> None:
        self.waiting(f"board {self.board.name} is used by {holder}: waiting up to {self.wait:g} s")

    def start(self, log: Path, module: str, variables: Mapping[str, str]) -> BoardPipe:
        """Start a worker there; raises as ``open``, and BoardError where the board cannot."""
        self.open()
        channel = self.leased(log)
        try:
            packed = parcel()
            channel.put(PACKAGE, packed.digest, packed.content)
            told = {"module": module, "variables": dict(variables)}
            channel.ask("start", package=PACKAGE, digest=packed.digest, **told)
        except BaseException:
            channel.close()
            raise
        return BoardPipe(channel)

    def reach_again(self) -> None:
        """After the connection was lost: try until it is there again.

        Raises:
            LostError: it does not come back.
            RebootedError: the board was started anew.
            EcgEdgeError: as ``open``.
        """
        deadline = time.monotonic() + self.patience
        while True:
            try:
                self.open()
                assert self.anchor
                self.anchor.ask("ping")
                return
            except (LostError, UnreachedError) as error:
                if time.monotonic() >= deadline:
                    told = f"board {self.board.name} is lost, and not reached again within {self.patience:g} s: {error}"
                    raise LostError(told) from None
            time.sleep(AGAIN)

    def stop(self) -> None:
        """From another thread: end whatever is done there, for good; whoever does it is told EcgEdgeError."""
        self.stopped = True
        for channel in list(self.channels):
            channel.end()

    def check_stopped(self) -> None:
        if self.stopped:
            raise EcgEdgeError(f"board {self.board.name} is not used any more", "do it again")

    def close(self) -> None:
        """Let the board go."""
        with self.opening:
            if self.anchor:
                self.anchor.close()
            self.anchor = None
            self.control.close()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BoardPipe:
    """The pipe to a worker on a board, through its keeper, which can give it files and fetch others."""

    def __init__(self, channel: Channel):
        self.channel, self.kept, self.lost = channel, "", ""
        self.ended = Ended(None)

    def write(self, text: str) -> None:
        self.kept += text

    def flush(self) -> None:
        """Nothing: what was written goes with the next that is asked for, so that nothing comes while it works."""

    def readline(self) -> str:
        content, self.kept = self.kept.encode(), ""
        try:
            self.channel.send(Asked("hear", {"size": len(content)}).line() + content)
            reply = self.channel.reply()
            if reply.ended:
                self.ended = reply.ended
                return ""
            if not 0 < reply.size <= MOST_LINE:
                raise BoardError("wrong", f"it answers with {reply.size:,} bytes")
            return self.channel.exactly(reply.size).decode("utf-8", "replace")
        except LostError as error:
            self.lost = str(error)
            return ""

    def end(self) -> None:
        self.channel.end()

    def bury(self) -> Ended:
        return self.ended

    def close(self) -> None:
        self.channel.close()


def way_to(board: Board) -> Control | Emulator:
    """The way to a board. Raises EcgEdgeError where this machine lacks what it takes."""
    return Emulator(board) if board.emulated else Control(board)


def who() -> str:
    """Who we are, for whoever waits for us."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user without a name
        user = str(os.getuid())
    return f"{user} on {platform.node() or 'another machine'} (process {os.getpid()})"


def require(board: Board, look: Look) -> None:
    """Raise EcgEdgeError where a worker could not run there, with the command that mends it."""
    if lacking := lacks(board, look):
        raise EcgEdgeError(f"board {board.name}: {lacking[0]}", lacking[1])


def lacks(board: Board, look: Look) -> tuple[str, str] | None:
    """What is missing there for a worker, and the command that mends it; None: nothing."""
    setup = mended_by(board)
    which = one_line(look.interpreter)
    if look.trouble:
        hidden = board.emulated and look.trouble.startswith(("unshare:", "mount:"))
        mend = "let this user make namespaces, in a container by --privileged" if hidden else setup
        return f"{which} does not run there: {one_line(look.trouble)}", mend
    if too_old := outdated(board, which, look.python):
        return too_old
    if "numpy" not in look.libraries:
        return f"numpy is not installed there, for {which}", setup
    return None


def mended_by(board: Board) -> str:
    """The command that brings what the runtimes need."""
    return f"docker/arm64-rootfs.sh {board.rootfs}" if board.emulated else f"ecgedge board setup {board.name}"


def outdated(board: Board, which: str, told: str) -> tuple[str, str] | None:
    """Why an interpreter there of that version runs no worker, and what mends it; None: it does."""
    try:
        version = tuple(int(word) for word in told.split(".")[:2])
    except ValueError:
        version = ()
    if version >= OLDEST:
        return None
    message = f"{which} there is Python {one_line(told)}, a worker needs {'.'.join(map(str, OLDEST))} or later"
    again = f"ecgedge board rm {board.name}, then ecgedge board add with --python PATH"
    return message, mended_by(board) if board.emulated else f"install one there, and name it: {again}"
