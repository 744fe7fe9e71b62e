"""A channel to a board: one ssh, a keeper at its other end, and what is asked of that.

What comes back is a stranger's: lines have a limit and are read strictly, files have a limit and a digest, and nothing
of it becomes a path or a command here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ecgedge.devices import keeper
from ecgedge.devices.emulated import Emulator
from ecgedge.devices.pipe import Ended
from ecgedge.devices.ssh import Control, by_hand, refused
from ecgedge.errors import EcgEdgeError
from ecgedge.files import escape, strict_json, typed_json
from ecgedge.files.locks import open_to_append
from ecgedge.files.schema import SchemaError

BANNER = 1 << 20  # bytes that may come before the first line of the keeper
MOST_LINE = strict_json.MOST_BYTES  # of a worker's answer
MOST_LOG = 1 << 20  # bytes of what one channel writes to its log
PIECE = 1 << 16
LOGIN = 40  # seconds until the keeper has said its first line
STALLED = 60  # seconds in which something has to move, while the worker has nothing to do
LOOKING = 120  # seconds, for an interpreter that comes from a slow card
LOST = 255  # the exit code of ssh itself


class LostError(Exception):
    """The connection is lost. One line."""


class BoardError(Exception):
    """The board cannot do it: ``kind`` is ``"disk"``, it is out of that, or any other word. One line."""

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class Hello:
    """What a keeper says first.

    Attributes:
        boot_id: another one than before means that the board was started anew; empty where it does not tell.
    """

    boot_id: str
    python: str
    machine: str


@dataclass(frozen=True)
class Look:
    """What there is for a worker.

    Attributes:
        interpreter: that it would run in; ``trouble``: why that does not run, in one line.
        libraries: versions of ``keeper.LIBRARIES``, of those that are installed.
        free: bytes of the disk.
    """

    interpreter: str
    python: str
    libraries: Mapping[str, str]
    trouble: str
    free: int


@dataclass(frozen=True)
class Reply:
    """A line of a keeper; see there for which answers what."""

    failed: str = ""
    reason: str = ""
    missing: bool = False
    size: int = 0
    digest: str = ""
    log: str = ""
    ended: Ended | None = None
    leased: bool | None = None
    held_by: str = ""
    look: Look | None = None
    step: str = ""
    trouble: str = ""
    done: bool = False


@dataclass(frozen=True)
class Asked:
    """A line to a keeper: what it is to do, and with what."""

    do: str
    having: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> bytes:
        return json.dumps({"do": self.do, **self.having}).encode() + b"\n"


class Channel:
    """An ssh with a keeper at its other end, from when it has said hello.

    Args:
        log: a file for what ssh and the keeper write to their stderr, and the worker prints.
        boot_id: the file there that tells one boot from the next.

    Raises:
        EcgEdgeError: the board does not let us in, is not who it was, or cannot run a keeper.
        LostError: it cannot be reached, or not any more.
    """

    def __init__(self, control: Control | Emulator, log: Path, boot_id: str = keeper.BOOT_ID):
        self.board, self.log = control.board, log
        self.late = False
        self.logged, self.last_said = 0, b""
        self.logging = threading.Lock()
        text = Path(keeper.__file__).read_bytes()
        self.process = subprocess.Popen(
            control.keeper(len(text)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is ours
        )
        self.listener = threading.Thread(target=self.listen, daemon=True)  # the control connection may hold that pipe
        self.listener.start()
        first = {
            "word": secrets.token_hex(16),
            "root": self.board.files,
            "limit": self.board.cache_mib << 20,
            "boot_id": boot_id,
            "interpreter": list(control.interpreter),
        }
        try:
            with self.within(LOGIN):
                self.send(text + json.dumps(first).encode() + b"\n")
                self.skip_banner(f"{keeper.MARK} {first['word']}\n".encode())
                self.hello: Hello = self.read(Hello)
        except LostError as error:
            self.close()
            raise self.why_not(str(error)) from None
        except BaseException:
            self.close()
            raise

    def why_not(self, told: str) -> EcgEdgeError | LostError:
        """Why no keeper said hello, by what ssh, or the shell there, said instead."""
        said = self.said()
        if self.late:
            told = f"board {self.board.name} ({self.board.place}) does not say hello within {LOGIN} s"
            return EcgEdgeError(told, "its login hangs, or waits for somebody: try it by hand")
        if self.process.returncode == LOST:
            return refused(self.board, said) or LostError(f"the connection is lost: {said[-200:] or told}")
        if self.process.returncode in (126, 127):
            told = f"board {self.board.name} has no {self.board.python or 'python3'}"
            return EcgEdgeError(told, "install it there, or name another one: ecgedge board add --python PATH")
        told = f"board {self.board.name} cannot run the supervisor of its worker: {said[-200:] or told}"
        return EcgEdgeError(told, f"a worker needs Python 3.11 or later: {by_hand(self.board)}")

    # What goes to and fro

    def ask(self, do: str, seconds: float = STALLED, /, **having: Any) -> Reply:
        """Ask the keeper, and wait so long for its answer.

        Raises:
            BoardError: it cannot do that.
            LostError: it is gone, or does not answer.
        """
        with self.within(seconds):
            self.send(Asked(do, having).line())
            return self.reply()

    def reply(self) -> Reply:
        """Read a line of the keeper. Raises BoardError where it says that it failed."""
        told: Reply = self.read(Reply)
        if told.log:
            self.keep(told.log.encode())
        if told.failed:
            raise BoardError(told.failed, one_line(told.reason))
        return told

    def put(self, name: str, digest: str, content: Path | bytes) -> None:
        """Give the worker a file under a name; it is sent where the board does not have it.

        Raises:
            BoardError, LostError: as ``ask``.
        """
        if not self.ask("place", name=name, digest=digest).missing:
            return
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        self.send(Asked("put", {"name": name, "digest": digest, "size": size}).line())
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(content.open("rb")) if isinstance(content, Path) else None
            for start in range(0, size, PIECE):
                piece = file.read(min(PIECE, size - start)) if file else content[start : start + PIECE]  # type: ignore[index]
                if file and len(piece) < min(PIECE, size - start):
                    self.end()
                    raise LostError("a file became shorter while it was sent")
                with self.within(STALLED):
                    self.send(piece)
        with self.within(STALLED):
            self.reply()

    def take(self, name: str, most: int, out: IO[bytes]) -> None:
        """Fetch a file that the worker wrote, of so many bytes at most.

        Raises:
            BoardError: there is none, it is larger, or it came otherwise than it was sent.
            LostError: as ``ask``.
        """
        told = self.ask("take", name=name, most=most)
        if not 0 <= told.size <= most:
            self.end()
            raise BoardError("other", f"it sends {told.size:,} bytes, up to {most:,} are taken")
        digested, left = hashlib.sha256(), told.size
        while left:
            with self.within(STALLED):
                piece = self.receive(min(PIECE, left))
            left -= len(piece)
            digested.update(piece)
            try:
                out.write(piece)
            except OSError:
                self.end()  # the rest is on its way still
                raise
        if digested.hexdigest() != told.digest:
            raise BoardError("digest", "a file came otherwise than it was sent")

    def lease(self, token: str, who: str, seconds: float, waiting: Callable[[str], None]) -> None:
        """Have the board for ourselves, and for others with that token.

        Args:
            seconds: to wait for whoever has it.
            waiting: is told who that is.

        Raises:
            EcgEdgeError: somebody has it all that time.
        """
        with self.within(seconds + STALLED):  # all together: it could name another one for ever
            reply = self.ask("lease", seconds + STALLED, token=token, who=who, seconds=seconds)
            while reply.leased is None:
                waiting(one_line(reply.held_by))
                reply = self.reply()
        if not reply.leased:
            told = f"board {self.board.name} is used by {one_line(reply.held_by)}"
            raise EcgEdgeError(told, "wait until that is done")

    def look(self) -> Look:
        """What there is for a worker."""
        found = self.ask("look", LOOKING).look
        if found is None:
            raise BoardError("wrong", "its answer does not describe it")
        return found

    def setup(self, requirements: Sequence[str], seconds: float) -> Iterator[tuple[str, str]]:
        """Make a venv there and install requirements: each step when it is done, and what was wrong with it."""
        reply = self.ask("setup", seconds, requirements=list(requirements))
        for _ in ("venv", *requirements):
            if reply.done:
                return
            yield one_line(reply.step), one_line(reply.trouble)
            with self.within(seconds):
                reply = self.reply()
        if not reply.done:
            self.end()
            raise BoardError("wrong", "it reports more steps than there are")

    # The pipe

    def send(self, content: bytes) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.write(content)
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise self.lost() from None

    def receive(self, size: int) -> bytes:
        """That many bytes at most, one at least."""
        assert self.process.stdout
        piece = self.process.stdout.read(size)
        if not piece:
            raise self.lost()
        return piece

    def exactly(self, size: int) -> bytes:
        """That many bytes."""
        content = bytearray()
        while len(content) < size:
            content += self.receive(min(PIECE, size - len(content)))
        return bytes(content)

    def line(self, most: int) -> bytes:
        """The next line, with its end."""
        assert self.process.stdout
        line = self.process.stdout.readline(most)
        if not line.endswith(b"\n"):
            if len(line) == most:
                self.end()
                raise BoardError("wrong", f"it sends a line of more than {most:,} bytes")
            raise self.lost()
        return line

    def read(self, kind: Any) -> Any:
        try:
            return typed_json.read(kind, strict_json.loads(self.line(keeper.LONGEST), "its line"))
        except (strict_json.JsonError, SchemaError) as error:
            self.end()
            raise BoardError("wrong", f"what it says cannot be read: {error}") from None

    def skip_banner(self, mark: bytes) -> None:
        """Read until the line by which the keeper begins."""
        left = BANNER
        while (line := self.line(BANNER)) != mark:
            left -= len(line)
            if left < 0:
                self.end()
                raise BoardError("wrong", f"its login prints more than {BANNER:,} bytes")

    def lost(self) -> LostError:
        """The error for a pipe that is closed: by which of the two ends."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        if self.late:
            return LostError("the connection has stalled")
        code = self.process.returncode
        if code in (LOST, None):
            return LostError(f"the connection is lost{f': {said}' if (said := self.said()) else ''}"[:300])
        return LostError(f"the supervisor of its worker ended with exit code {code}")

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Kill ssh where this takes longer."""

        def kill() -> None:
            self.late = True
            self.end()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def end(self) -> None:
        """From any thread: let go. The keeper sees it, ends the worker, and goes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        self.end()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                if stream:
                    stream.close()

    # What is printed there

    def listen(self) -> None:
        """Keep what comes by stderr, until nobody holds its other end."""
        assert self.process.stderr
        with self.process.stderr as stream:
            while piece := os.read(stream.fileno(), PIECE):
                self.last_said = (self.last_said + piece)[-PIECE:]
                self.keep(piece)

    def keep(self, told: bytes) -> None:
        """Append to the log, up to its limit."""
        with self.logging, contextlib.suppress(OSError):
            told = told[: max(0, MOST_LOG - self.logged)]
            self.logged += len(told)
            with open_to_append(self.log) as file:
                file.write(told)

    def said(self) -> str:
        """What ssh, or the keeper, wrote to stderr, in one line; it may be on its way still."""
        self.listener.join(0.3)
        return one_line(self.last_said.decode("utf-8", "replace"))


def one_line(text: str) -> str:
    """What a board says, as an error or a notice may show it."""
    return escape.line(" ".join(text.split()))[:1000]
