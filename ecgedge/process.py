"""The parent's side of a child process: start it, ask it, survive it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

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


class Child:
    """A worker process that is started when first asked, and again after it died.

    Args:
        log: a file for whatever it prints.
        threads: for the libraries that take it from the environment; None: their default.
        memory: bytes that its data may take; None: no limit.

    On Linux it dies with the thread that started it: ask it from one that lives as long.
    """

    def __init__(self, log: Path, threads: int | None = None, memory: int | None = None):
        self.log, self.threads, self.memory = log, threads, memory
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
        timer.start()
        try:
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
            answer = json.loads(line)
        except ValueError:  # it died in the middle of a line
            raise ChildError(f"the process died: {self.obituary()}; see {self.log}") from None
        if "hint" in answer:
            raise EcgEdgeError(answer["error"], answer["hint"])
        if "error" in answer:
            raise ChildError(answer["error"])
        return answer["ok"]

    def start(self) -> subprocess.Popen[str]:
        environment = dict(os.environ) | {"PYTHONHASHSEED": "0"}  # or each process walks its own way through memory
        if self.threads is not None:
            environment |= {"OMP_NUM_THREADS": str(self.threads)}
        if self.memory is not None:
            environment |= {"ECGEDGE_MEMORY": str(self.memory)}
        self.logfile = self.log.open("a", encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ecgedge.worker"],  # -P: no module of the user's folder gets in
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.logfile,
            env=environment,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # so that what it starts ends with it
        )
        return self.process

    def obituary(self) -> str:
        """How it ended, in words."""
        code = self.process.wait() if self.process else None
        self.close()
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                name = signal.Signals(-code).name
                return f"{name} (out of memory?)" if name == "SIGKILL" else name
        return f"exit code {code}"

    def close(self) -> None:
        """End it, whatever it is doing."""
        if self.process:
            end(self.process)
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout, self.logfile):
                with contextlib.suppress(BrokenPipeError):
                    if stream:
                        stream.close()
        self.process = self.logfile = None

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
