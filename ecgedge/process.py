"""The parent's side of a child process: start it, ask it, survive it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ecgedge import strict_json
from ecgedge.errors import EcgEdgeError


class ChildError(Exception):
    """A child failed: ``status`` is ``"failed"`` or ``"timeout"``; the reason is one line."""

    def __init__(self, reason: str, status: str = "failed"):
        super().__init__(reason)
        self.status = status


def end(process: subprocess.Popen[str]) -> None:
    """Kill a child and, where there are process groups, whatever it started."""
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def how_it_ended(code: int | None) -> str:
    """A process's exit code, in words."""
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
            return f"{name} (out of memory?)" if name == "SIGKILL" else name
    return f"exit code {code}"


@dataclass(frozen=True)
class Host:
    """An interpreter of its own: where a child runs that is not to run in ours.

    Attributes:
        environment: its name, as parts say it.
        python: the interpreter.
        guests: what is lent to it, JSON; see ``guest.py``.
    """

    environment: str
    python: Path
    guests: str

    def command(self, module: str) -> list[str]:
        """What runs a module of ecgedge there; -P as in ours."""
        return [str(self.python), "-P", str(Path(__file__).with_name("guest.py")), module]

    def surroundings(self, ours: Mapping[str, str]) -> dict[str, str]:
        """The variables of a process there: ours, but for those that would lead it to our libraries."""
        kept = {name: value for name, value in ours.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
        return kept | {"PYTHONNOUSERSITE": "1", "ECGEDGE_HERE": self.environment, "ECGEDGE_GUESTS": self.guests}


class Child:
    """A worker process that is started when first asked, and again after it died.

    Args:
        log: a file for whatever it prints.
        threads: for the libraries that take it from the environment; None: their default.
        memory: bytes that its data may take; None: no limit.
        host: the interpreter that it runs in; None: ours.
        variables: of its environment, beside those of this process.

    On Linux it dies with the thread that started it: ask it from one that lives as long.
    """

    def __init__(
        self,
        log: Path,
        threads: int | None = None,
        memory: int | None = None,
        host: Host | None = None,
        variables: Mapping[str, str] | None = None,
    ):
        self.log, self.threads, self.memory, self.host = log, threads, memory, host
        self.variables = dict(variables or {})
        self.process: subprocess.Popen[str] | None = None
        self.logfile: IO[str] | None = None

    def ask(self, do: str, timeout: float, **request: Any) -> Any:
        """Send one request and wait for its answer, asleep.

        Raises:
            EcgEdgeError: the child says that the user's input is at fault.
            ChildError: it failed, died or took longer than ``timeout`` seconds.
        """
        process = self.process or self.start()
        assert process.stdin is not None and process.stdout is not None
        late = threading.Event()

        def kill() -> None:
            late.set()
            end(process)

        timer = threading.Timer(timeout, kill)
        timer.daemon = True  # interrupted while it starts, it must not keep us from ending
        try:
            timer.start()
            with contextlib.suppress(BrokenPipeError):  # it died; the missing answer tells
                process.stdin.write(json.dumps({"do": do, **request}) + "\n")
                process.stdin.flush()
            line = process.stdout.readline()
        finally:
            timer.cancel()
        if late.is_set():
            self.close()
            raise ChildError(f"no answer within {timeout:.0f} s", "timeout")
        if not line:
            raise ChildError(f"the process died: {self.obituary()}; see {self.log}")
        try:
            answer = strict_json.loads(line, "its answer")
        except strict_json.JsonError as error:
            if line.endswith("\n"):  # what it ran may have written anything there
                raise ChildError(error.message) from None
            raise ChildError(f"the process died: {self.obituary()}; see {self.log}") from None  # in the middle of it
        if not isinstance(answer, dict) or not answer.keys() & {"ok", "error"}:
            raise ChildError("its answer cannot be read: it is none")
        if "hint" in answer:
            raise EcgEdgeError(answer["error"], answer["hint"])
        if "error" in answer:
            raise ChildError(answer["error"])
        return answer["ok"]

    def start(self) -> subprocess.Popen[str]:
        environment = self.host.surroundings(os.environ) if self.host else dict(os.environ)
        environment |= self.variables | {"PYTHONHASHSEED": "0"}  # or each process walks its own way through memory
        if self.threads is not None:
            environment |= {"OMP_NUM_THREADS": str(self.threads)}
        if self.memory is not None:
            environment |= {"ECGEDGE_MEMORY": str(self.memory)}
        # -P: no module of the user's folder gets in
        ours = [sys.executable, "-P", "-m", "ecgedge.worker"]
        self.logfile = self.log.open("a", encoding="utf-8")
        try:
            self.process = subprocess.Popen(
                self.host.command("ecgedge.worker") if self.host else ours,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.logfile,
                env=environment,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # so that what it starts ends with it
            )
        except OSError as error:
            self.close()
            raise ChildError(f"the process cannot be started: {error.strerror}: {error.filename}") from error
        return self.process

    def obituary(self) -> str:
        """How it ended, in words."""
        code = self.process.wait() if self.process else None
        self.close()
        return how_it_ended(code)

    def last_words(self) -> str:
        """The last line that it printed; empty where it printed nothing."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n") if self.log.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        """End it, whatever it is doing."""
        if self.process:
            end(self.process)
            self.process.wait()
        for stream in (*((self.process.stdin, self.process.stdout) if self.process else ()), self.logfile):
            with contextlib.suppress(BrokenPipeError):
                if stream:
                    stream.close()
        self.process = self.logfile = None

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
