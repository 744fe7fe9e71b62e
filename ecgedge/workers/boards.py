"""A worker on a board: asked as one of this machine is, its files brought there and back."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ecgedge.devices.channel import BoardError, LostError, one_line
from ecgedge.devices.link import BoardPipe, Link, RebootedError
from ecgedge.errors import EcgEdgeError, MachineError, cut
from ecgedge.files import arrays, escape
from ecgedge.files.locks import PART, current_umask
from ecgedge.workers import protocol, strangers
from ecgedge.workers.client import SERVER, ChildError, WorkerClient, limiting
from ecgedge.workers.protocol import A, Question, with_paths

IN, OUT = "in", "out"  # folders of a worker there, the second as the field of questions
STAYS = (protocol.Convert, protocol.Optimize, protocol.MakeWhole, protocol.Prove)  # are done on this machine
WITHOUT = {"ECGEDGE_GUESTS": '{"places": {}, "points": []}', "ECGEDGE_PLUGINS": "", "ECGEDGE_STRICT": ""}
MOST_OUT = arrays.MOST_BYTES  # of what a worker writes
MOST_TRACE = 1 << 14  # characters
Stamp = tuple[int, int, int, int]


class BoardChild(WorkerClient):
    """A worker on a board, with the parts that come along with ecgedge and none of plugins.

    Args:
        link: the way there, which several workers share.
        log: a file for whatever it, and ssh, print.
        threads, memory, network: as of ``Child``.

    A question that needs no session is asked once more where the connection was lost. What was asked of a session that
    is lost raises ChildError, whose ``why`` is ``"lost"``: it can be opened anew; or ``"rebooted"``: what was measured
    before does not count.
    """

    def __init__(
        self, link: Link, log: Path, threads: int | None = None, memory: int | None = None, network: bool = False
    ):
        super().__init__(log)
        self.link, self.variables = link, limiting(threads, memory, network) | WITHOUT
        self.there: dict[Path, tuple[Stamp, Path]] = {}  # what this worker has: as it was, and its name there
        self.numbers = itertools.count()

    def open_pipe(self) -> BoardPipe:
        self.there = {}
        with self.told():
            return self.link.start(self.log, SERVER, self.variables)

    def ask(self, question: Question[A], timeout: float) -> A:
        """As ``WorkerClient.ask``, its ``out`` written here.

        Raises:
            EcgEdgeError: also where the board cannot be reached, or has nobody who could answer.
            ChildError: also where the board is out of disk, was started anew, or the connection is lost.
        """
        if isinstance(question, STAYS):
            told = f"{type(question).__name__} is no question for a board"
            raise EcgEdgeError(told, "files are made on this machine")
        of_session = hasattr(question, "session")
        try:
            return self.ask_once(question, timeout, of_session)
        except ChildError as error:
            if error.why != "lost":
                raise
            self.reach_again()  # also where it is not asked again: was the board started anew?
            if of_session:
                raise
        return self.ask_once(question, timeout, of_session)

    def ask_once(self, question: Question[A], timeout: float, of_session: bool) -> A:
        if of_session and not self.is_running:
            raise ChildError("its session is gone with the worker that had it", "lost")
        brought: dict[Path, Path] = {}  # from the names there
        try:
            with self.told():
                if not self.is_running:
                    self.start()
                asked = with_paths(question, lambda field, path: self.name_there(field, path, brought))
                answer = self.checked(asked, timeout)
                for name, out in brought.items():
                    if name.parts[0] == OUT:
                        self.fetch(name, out, packed=isinstance(question, protocol.Throughput))
        except MachineError as error:  # that machine, not this one
            told = f"board {self.link.board.name}: {in_our_words(error.message, brought)}"
            raise ChildError(told, "disk" if "make room" in error.hint else "dead") from None
        except EcgEdgeError as error:
            raise EcgEdgeError(in_our_words(error.message, brought), in_our_words(error.hint, brought)) from None
        except ChildError as error:
            raise ChildError(in_our_words(str(error), brought), error.why, error.trace[:MOST_TRACE]) from None
        return with_paths(answer, lambda _, path: path_here(path, brought))

    def checked(self, question: Question[A], timeout: float) -> A:
        """An answer that can be one. Raises ChildError where it cannot."""
        try:
            answer = super().ask(question, timeout)
            strangers.check(answer)
        except EcgEdgeError:
            raise
        except ValueError as error:  # also of a class that is particular about its fields
            self.close()
            raise ChildError(f"its answer cannot be: {error}", "wrong") from None
        return answer

    def reach_again(self) -> None:
        """Raises ChildError where the board was started anew, or does not come back."""
        with self.told():
            self.link.reach_again()

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """What goes wrong with the board is a ChildError, and ends the worker."""
        try:
            yield
        except LostError as error:
            self.close()
            raise ChildError(str(error), "lost") from None
        except RebootedError as error:
            self.close()
            raise ChildError(str(error), "rebooted") from None
        except BoardError as error:
            self.close()
            told = f"board {self.link.board.name}: {error}"
            raise ChildError(told, "disk" if error.kind == "disk" else "wrong") from None

    def name_there(self, field: str, path: Path, brought: dict[Path, Path]) -> Path:
        """The name of a file in the worker's folder; one to be read is brought there, if it is not there as it is."""
        kind = OUT if field == OUT else IN
        try:
            stamp = (0, 0, 0, 0) if kind == OUT else stamp_of(path)
        except OSError as error:
            raise EcgEdgeError(f"{cut(path)} cannot be read: {error.strerror}") from error
        if kind == OUT or self.there.get(path, (None,))[0] != stamp:
            name = Path(kind, str(next(self.numbers)), path.name)  # as it is called here: records tell of it
            if kind == IN:
                self.bring(path, name)
            else:
                self.prepare(name)
            self.there[path] = stamp, name
        name = self.there[path][1]
        brought[name] = path
        return name

    def bring(self, path: Path, name: Path) -> None:
        """Give the worker a file, or all files of a folder."""
        assert isinstance(self.pipe, BoardPipe)
        if not path.is_dir():
            return self.pipe.channel.put(name.as_posix(), digest_of(path), path)
        for inner in sorted(each for each in path.rglob("*") if each.is_file()):
            self.pipe.channel.put((name / inner.relative_to(path)).as_posix(), digest_of(inner), inner)
        return None

    def prepare(self, name: Path) -> None:
        """Make the folder of what the worker is to write."""
        assert isinstance(self.pipe, BoardPipe)
        self.pipe.channel.ask("prepare", name=name.as_posix())

    def fetch(self, name: Path, out: Path, packed: bool) -> None:
        """Take what the worker wrote, where it is arrays of numbers and nothing else."""
        assert isinstance(self.pipe, BoardPipe)
        number, scratch = tempfile.mkstemp(dir=out.parent, prefix=".", suffix=PART)
        try:
            with os.fdopen(number, "wb") as file:
                self.pipe.channel.take(name.as_posix(), MOST_OUT, file)
                os.fchmod(file.fileno(), 0o666 & ~current_umask())  # mkstemp keeps it to its owner
            try:
                (arrays.read_arrays if packed else arrays.read_array)(out.parent, Path(scratch).name)
            except EcgEdgeError as error:
                told = error.message.replace(scratch, "its answers")
                raise ChildError(f"board {self.link.board.name}: {told}", "wrong") from None
            Path(scratch).replace(out)
        finally:
            Path(scratch).unlink(missing_ok=True)


def stamp_of(path: Path) -> Stamp:
    """By which a file that was changed is told from what it was; of a folder, by what is in it."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    told = [file.stat() for file in files]
    return (
        max(each.st_mtime_ns for each in told),
        sum(each.st_size for each in told),
        told[0].st_ino,
        len(told),
    )


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def in_our_words(told: str, brought: dict[Path, Path]) -> str:
    """What a board says, in one line, and of our files where it is of those there."""
    for name, path in brought.items():
        told = told.replace(str(name), str(path))
    return one_line(told)


def path_here(path: Path, brought: dict[Path, Path]) -> Path:
    """The path of ours that an answer is about. Raises ChildError where it is about none of ours."""
    if path not in brought:
        raise ChildError(f"its answer is about a file that is none of ours: {escape.line(str(path))[:100]}", "wrong")
    return brought[path]
