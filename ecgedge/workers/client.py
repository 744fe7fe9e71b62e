"""The parent's side of a child process: start it, ask it, survive it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from ecgedge.devices import launch
from ecgedge.devices.host import Host, launching
from ecgedge.devices.pipe import Pipe, ProcessPipe
from ecgedge.errors import EcgEdgeError, MachineError, machine_error, told_by_system
from ecgedge.files import strict_json
from ecgedge.files.locks import open_to_append
from ecgedge.files.schema import SchemaError
from ecgedge.workers import protocol
from ecgedge.workers.protocol import A, Failure, Question

NO_MEMORY = re.compile(
    r"(out of|not enough) memory|\bOOM\b|(std::)?bad.?alloc|(\w+ to )?allocate (memory|\d)|(can't|cannot) allocate"
    r"|ResourceExhausted",
    re.IGNORECASE,
)  # in the words of the libraries, each of which has its own
LABEL = re.compile(r"^\[\w+\] : \d+ : \w+ : ")  # with which onnxruntime begins
TAIL = 1 << 16  # bytes of a log that are looked at
SERVER = "ecgedge.workers.server"  # the module that a worker runs


@dataclass(frozen=True)
class Limits:
    """What a child may take.

    Attributes:
        seconds: for each answer.
        memory: bytes of its data; None: no limit.
    """

    seconds: float = 300
    memory: int | None = None


class ChildError(Exception):
    """A child failed: ``status`` is ``"failed"`` or ``"timeout"``; the reason is one line.

    Attributes:
        why: ``"late"``, ``"dead"``, ``"memory"``: there was not enough of it, ``"wrong"``: a conversion that gives
            nothing right, or ``"bug"``: an exception that nobody foresaw. Of a board also ``"lost"``: the connection
            is, ``"rebooted"``: it was started anew meanwhile, and ``"disk"``: it is out of that.
        trace: of a bug, its traceback.
    """

    def __init__(self, reason: str, why: str = "dead", trace: str = ""):
        super().__init__(reason)
        self.why, self.trace = why, trace

    @property
    def status(self) -> str:
        return "timeout" if self.why == "late" else "failed"

    @property
    def hint(self) -> str:
        """The option that may help; empty where none does."""
        hints = {"late": "raise --timeout", "memory": "raise --memory", "disk": "make room on the board"}
        return hints.get(self.why, "")

    @property
    def plain(self) -> str:
        """The reason as a user reads it: of a bug what was said, without the name of its class."""
        if self.why != "bug":
            return str(self)
        said = LABEL.sub("", str(self).partition(": ")[2])
        return said if " " in said else f"it failed{f' at {said}' if said else ' without a word'}"

    @property
    def is_of_limits(self) -> bool:
        """Whether the child was stopped, or died: nothing that it said itself."""
        return self.why in ("late", "dead", "memory", "lost", "rebooted", "disk")


def plainly(error: Exception) -> str:
    """What an error of a child says, without the name of a class."""
    return error.plain if isinstance(error, ChildError) else str(error)


def how_it_ended(code: int | None, oom: bool | None = None) -> str:
    """A process's exit code, in words, and whether memory was lacking, where that is known or may be; see ``Ended``."""
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
            may_be = name == "SIGKILL" and oom is not False
            return f"{name} (out of memory{'' if oom else '?'})" if may_be else name
    return f"exit code {code}"


class Conversation:
    """Questions to a worker and its answers, over the two directions of any pipe.

    Args:
        questions, answers: streams of UTF-8 text, to write to and to read from; a ``Pipe`` is both.

    Attributes:
        greeted: both sides have said the version of the protocol that they speak, and it is the same.
    """

    def __init__(self, questions: IO[str] | Pipe, answers: IO[str] | Pipe):
        self.questions, self.answers = questions, answers
        self.greeted = False

    def ask(self, question: Question[A]) -> A:
        """Send one question and wait for its answer, however long that takes.

        Raises:
            EcgEdgeError: the worker speaks another protocol, or says that the user's input is at fault.
            MachineError: it says that the machine is at fault.
            ChildError: it failed, or the pipe is closed.
        """
        line = self.exchange(question)
        if not line.endswith("\n"):
            raise ChildError("the worker has closed the pipe")
        return understood(line, question)

    def exchange(self, question: Question[Any]) -> str:
        """Send one question; returns the line that comes back, without its end where the worker is gone.

        Raises:
            EcgEdgeError: the worker speaks another protocol.
        """
        first = "" if self.greeted else protocol.line_of(protocol.Greeting(protocol.PROTOCOL))
        with contextlib.suppress(BrokenPipeError):  # it died; the missing answer tells
            self.questions.write(first + protocol.line_of_question(question))
            self.questions.flush()
        if not self.greeted:
            line = self.answers.readline()
            if not line.endswith("\n"):
                return ""
            if (theirs := protocol.protocol_in(line)) != protocol.PROTOCOL:
                raise protocol.other_protocol("the worker", theirs)
            self.greeted = True
        return self.answers.readline()


def understood(line: str, question: Question[A]) -> A:
    """Read the line that answers a question. Raises what it says, as ``Conversation.ask`` does."""
    try:
        answer = protocol.answer_in(line, question)
    except strict_json.JsonError as error:  # what it ran may have written anything there
        raise ChildError(error.message, "wrong") from None
    except SchemaError as error:
        raise ChildError(f"its answer cannot be read: {error}", "wrong") from None
    if not isinstance(answer, Failure):
        return answer
    if answer.kind == "machine":  # the reason is in its log, with its traceback
        raise MachineError(answer.error, answer.hint)
    if answer.kind == "user":
        raise EcgEdgeError(answer.error, answer.hint)
    raise ChildError(answer.error, answer.kind, answer.trace)


class WorkerClient(ABC):
    """A worker, wherever it runs, that is started when first asked, and again after it died.

    Args:
        log: a file for whatever it prints.
    """

    def __init__(self, log: Path):
        self.log = log
        self.pipe: Pipe | None = None
        self.conversation: Conversation | None = None

    @abstractmethod
    def open_pipe(self) -> Pipe:
        """Start a worker. Raises ChildError or MachineError where that fails."""

    @property
    def is_running(self) -> bool:
        """Whether there is a worker, as far as was seen."""
        return self.pipe is not None

    def start(self) -> Pipe:
        """Start a worker before it is asked anything."""
        self.pipe = self.open_pipe()
        self.conversation = Conversation(self.pipe, self.pipe)
        return self.pipe

    def ask(self, question: Question[A], timeout: float) -> A:
        """Send one question and wait for its answer, asleep.

        Raises:
            MachineError: the child, or its end, says that the machine is at fault.
            EcgEdgeError: the child says that the user's input is at fault.
            ChildError: it failed, died or took longer than ``timeout`` seconds.
        """
        pipe = self.pipe or self.start()
        conversation, before = self.conversation, self.log.stat().st_size if self.log.exists() else 0
        assert conversation is not None
        late = threading.Event()

        def kill() -> None:
            late.set()
            pipe.end()

        timer = threading.Timer(timeout, kill)
        timer.daemon = True  # interrupted while it starts, it must not keep us from ending
        try:
            timer.start()
            line = conversation.exchange(question)
        except EcgEdgeError:  # it speaks another protocol
            self.close()
            raise
        except BaseException as error:
            if not isinstance(error, Exception):  # Ctrl-C: nobody will read what it answers to this
                self.close()
            raise
        finally:
            timer.cancel()
        if late.is_set():
            self.close()
            raise ChildError(f"no answer within {timeout:g} s", "late")
        if not line.endswith("\n"):  # nothing, or it died in the middle of a line
            raise self.obituary(pipe, before)
        return understood(line, question)

    def obituary(self, pipe: Pipe, before: int) -> ChildError | MachineError:
        """How it ended. One that was killed, not by us, or whose last words are of memory, had not enough of that.

        Args:
            before: bytes of the log that were there before it was asked.
        """
        if pipe.lost:
            self.close()
            return ChildError(pipe.lost, "lost")
        ended = pipe.bury()
        self.close()
        if hasattr(signal, "SIGXFSZ") and ended.code == -signal.SIGXFSZ:  # of a limit that this process is under too
            return machine_error("a process died", OSError(errno.EFBIG, os.strerror(errno.EFBIG)))
        told = how_it_ended(ended.code, ended.oom)
        is_of_memory = "of memory" in told or NO_MEMORY.search(self.last_words(before))
        return ChildError(f"the process died: {told}; see {self.log}", "memory" if is_of_memory else "dead")

    def last_words(self, before: int = 0) -> str:
        """The last line that it printed after the first ``before`` bytes of the log; empty where it printed nothing."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(before, self.log.stat().st_size - TAIL))
            lines = file.read().decode("utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def kill(self) -> None:
        """From another thread: end what it is doing, which fails whoever waits for it."""
        if pipe := self.pipe:
            pipe.end()

    def close(self) -> None:
        """End it, whatever it is doing."""
        if self.pipe:
            self.pipe.close()
        self.pipe = self.conversation = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Child(WorkerClient):
    """A worker process of this machine.

    Args:
        log: a file for whatever it prints.
        threads: for the libraries that take it from the environment; None: their default.
        memory: bytes that its data may take; None: no limit.
        host: the interpreter that it runs in; None: ours.
        variables: of its environment, beside those of this process.
        network: it may use the network. Else it has none, where the system allows that; see ``launch.py``.
        module: that it runs.
        before: a command that runs the interpreter, such as an emulator; empty: the system runs it.

    On Linux it dies with the thread that started it: ask it from one that lives as long.
    """

    def __init__(
        self,
        log: Path,
        threads: int | None = None,
        memory: int | None = None,
        host: Host | None = None,
        variables: Mapping[str, str] | None = None,
        network: bool = False,
        module: str = SERVER,
        before: Sequence[str] = (),
    ):
        super().__init__(log)
        self.before = before
        self.threads, self.memory, self.host, self.network, self.module = threads, memory, host, network, module
        self.variables = dict(variables or {})

    def open_pipe(self) -> Pipe:
        environment = self.host.surroundings(os.environ) if self.host else dict(os.environ)
        environment |= self.variables | limiting(self.threads, self.memory, self.network)
        with open_to_append(self.log) as logfile:
            try:
                process = subprocess.Popen(
                    [*self.before, *launching(self.host.python if self.host else sys.executable, self.module)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=logfile,
                    env=environment,
                    text=True,
                    encoding="utf-8",
                    start_new_session=True,  # so that what it starts ends with it
                )
            except OSError as error:
                if told_by_system(error):
                    raise machine_error("a process cannot be started", error) from error
                raise ChildError(f"the process cannot be started: {error.strerror}: {error.filename}") from error
        return ProcessPipe(process)


def limiting(threads: int | None, memory: int | None, network: bool) -> dict[str, str]:
    """The variables of a worker's environment that limit it, and make it work as the others do."""
    told = {"PYTHONHASHSEED": "0"}  # or each process walks its own way through memory
    told |= {launch.NETWORK: "" if network else "none"}
    told |= {"OMP_NUM_THREADS": str(threads)} if threads is not None else {}
    return told | ({launch.MEMORY: str(memory)} if memory is not None else {})
