"""Commands in processes of their own, without the start of Python and its imports: forked from one that has them."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.brief import ECGEDGE
from tests.workers import AT_THE_START


class Forks:
    """``ecgedge`` without its start. Each command is a process that ends; none sees what another left in memory.

    Args:
        begun: the variables that Python and its libraries read when they start, as these commands have them.
        libraries: that their workers find imported.
    """

    def __init__(self, begun: Mapping[str, str], libraries: Sequence[str] = ()) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            script = Path(__file__).with_name("forking.py")
            command = [sys.executable, "-P", str(script), str(theirs.fileno()), *libraries]
            others = {name: value for name, value in os.environ.items() if not name.startswith(AT_THE_START)}
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, env=others | begun, pass_fds=[theirs.fileno()]
            )

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, timeout: float
    ) -> tuple[int, str, str]:
        """Exit code, stdout and stderr, as ``subprocess.run`` has them. Raises TimeoutExpired."""
        told, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pipes = [os.pipe() for _ in range(2)]
        asked = {"arguments": arguments, "environment": dict(environment), "folder": str(folder)}
        with told:
            with theirs, os.fdopen(os.memfd_create("question"), "w+", encoding="utf-8") as file:
                json.dump(asked, file)
                file.seek(0)
                with Path(os.devnull).open("rb") as nothing:
                    numbers = [theirs.fileno(), file.fileno(), nothing.fileno(), *(inner for _, inner in pipes)]
                    socket.send_fds(self.socket, [b"run"], numbers)
            for _, inner in pipes:
                os.close(inner)
            number = told.recv(16)
            assert number, "the process that forks has died"
            out, err = gathered([outer for outer, _ in pipes], int(number), timeout)
            return int(told.recv(16)), out, err

    def close(self) -> None:
        self.socket.close()
        self.process.wait()


LIBRARIES: list[str] = []  # that workers of these tests import, command after command: imported once
RUNNING: dict[str, Forks] = {}  # by the variables that they began with
ASKED: Counter[str] = Counter()
BEGINS = threading.Lock()  # one thread begins a process that forks, others wait for it
ENOUGH = 2  # commands that begin alike, for which one process more is worth its start


def run(arguments: Sequence[str], environment: Mapping[str, str], folder: Path, timeout: float) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that is a process of its own. Raises TimeoutExpired."""
    begun = begun_by(environment)
    key = json.dumps(begun, sort_keys=True)
    ASKED[key] += 1
    if key in RUNNING or (ASKED[key] >= ENOUGH and sys.platform == "linux"):
        return forks(begun).run(arguments, environment, folder, timeout)
    done = subprocess.run(
        [*ECGEDGE, *arguments], capture_output=True, text=True, env=environment, cwd=folder, timeout=timeout
    )
    return done.returncode, done.stdout, done.stderr


def begun_by(environment: Mapping[str, str]) -> dict[str, str]:
    """What Python and its libraries read of it when they start."""
    return {name: value for name, value in environment.items() if name.startswith(AT_THE_START)}


def forks(begun: Mapping[str, str]) -> Forks:
    """The process that forks commands which began so."""
    key = json.dumps(begun, sort_keys=True)
    with BEGINS:
        if key in RUNNING:
            return RUNNING[key]
        ours = begun == begun_by(os.environ)  # elsewhere others may stand for the libraries
        return RUNNING.setdefault(key, Forks(begun, LIBRARIES if ours else ()))


def for_scripts(environment: Mapping[str, str]) -> tuple[dict[str, str], tuple[int, ...]]:
    """Variables, and the file to hand on, by which ``tests/bin/ecgedge`` in a script is forked: see ``asking.py``."""
    if sys.platform != "linux":
        return {}, ()
    begun = begun_by(environment)
    number = forks(begun).socket.fileno()
    return {"ECGEDGE_FORKS": json.dumps({"socket": number, "begun": begun, "read": AT_THE_START})}, (number,)


def close() -> None:
    """End the processes that fork."""
    while RUNNING:
        RUNNING.popitem()[1].close()


def gathered(pipes: Sequence[int], process: int, timeout: float) -> list[str]:
    """What comes from the pipes until both are closed. Kills the process where that lasts too long."""
    found = {pipe: bytearray() for pipe in pipes}
    until = time.monotonic() + timeout
    with selectors.DefaultSelector() as waiting:
        for pipe in pipes:
            waiting.register(pipe, selectors.EVENT_READ)
        while waiting.get_map():
            for key, _ in waiting.select(max(until - time.monotonic(), 0)):
                piece = os.read(key.fd, 1 << 16)
                found[key.fd] += piece
                if not piece:
                    waiting.unregister(key.fd)
                    os.close(key.fd)
            if time.monotonic() > until:
                os.kill(process, signal.SIGKILL)
                raise subprocess.TimeoutExpired("ecgedge", timeout, bytes(found[pipes[0]]), bytes(found[pipes[1]]))
    return [bytes(told).decode().replace("\r\n", "\n").replace("\r", "\n") for told in found.values()]
