"""The pipe to a worker, wherever that runs: what is said, what is heard, and how the worker ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from typing import IO, Protocol


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        code: its exit code, negative of a signal.
        oom: whether the system ended one for want of memory meanwhile; None: it does not tell.
    """

    code: int | None
    oom: bool | None = None


class Pipe(Protocol):
    """Lines of UTF-8 text to a worker and from it.

    Attributes:
        lost: why nothing comes any more though the worker may live; empty where it is the worker that has ended.
    """

    lost: str

    def write(self, text: str, /) -> object:
        """Say something; it may be kept back until ``flush``."""

    def flush(self) -> object: ...

    def readline(self) -> str:
        """The next line; without its end where no more comes."""

    def end(self) -> None:
        """From any thread: kill the worker, whatever it is doing, and what it started."""

    def bury(self) -> Ended:
        """Wait until the worker has ended; how it did."""

    def close(self) -> None:
        """End the worker, and give back what the pipe holds."""


class ProcessPipe:
    """The pipe to a process of this machine, which has a session of its own."""

    lost = ""

    def __init__(self, process: subprocess.Popen[str]):
        assert process.stdin is not None and process.stdout is not None
        self.process = process
        self.questions: IO[str] = process.stdin
        self.answers: IO[str] = process.stdout
        self.write, self.flush, self.readline = self.questions.write, self.questions.flush, self.answers.readline

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()

    def bury(self) -> Ended:
        return Ended(self.process.wait())

    def close(self) -> None:
        self.end()
        self.process.wait()
        for stream in (self.questions, self.answers):
            with contextlib.suppress(BrokenPipeError):
                stream.close()
