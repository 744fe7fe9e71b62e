"""Workers of a command that was forked, forked as well: see ``forking.py``.

The command has a process beside it that has run nothing yet, and forks itself when a worker is wanted. What it makes is
the command's own child all the same, as CLONE_PARENT has it: waited for, killed and counted as any worker is.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib
import json
import os
import platform
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from ecgedge.devices import launch
from ecgedge.devices.host import launching
from ecgedge.plugins.sources import BUILTIN
from ecgedge.sweep.work import TRAINER
from ecgedge.workers import client

CLONE_PARENT = 0x00008000  # linux/sched.h
CLONE = {"x86_64": 56, "aarch64": 220}  # the number of the call
AT_THE_START = ("PYTHON", "LC_", "LANG", "LD_", "OMP_", "OPENBLAS_", "MKL_")  # what Python and its libraries read then
OF_WORKERS = dict.fromkeys(("PYTHONHASHSEED", "OMP_NUM_THREADS", "OMP_WAIT_POLICY"))  # that each is given
RUN = (client.SERVER, TRAINER)  # the modules that workers run


def load() -> None:
    """Import what a worker does when it starts."""
    for name in (*RUN, *BUILTIN):
        importlib.import_module(name)
    for name in RUN:
        del sys.modules[name]  # it is run, not imported


def fork_them() -> None:
    """From now on the workers of this process are forked: those that run in its interpreter, with its surroundings."""
    if sys.platform != "linux" or platform.machine() not in CLONE:
        return
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        serve(theirs)
    theirs.close()
    begun, asks = settings(os.environ), threading.Lock()

    class Forked(subprocess.Popen):
        """A worker, started by a process that has loaded what it needs."""

        def _execute_child(self, *terms: Any) -> None:
            environment, ends = terms[6], terms[10:16]
            with asks:
                self.pid = ask(ours, self.args[-1], environment, (ends[0], ends[3], ends[5]))
            self._child_created = True
            self._close_pipe_fds(*ends)

    def start(command: Sequence[str], **terms: Any) -> subprocess.Popen:
        environment = terms["env"]
        ours = command[-1] in RUN and command == launching(sys.executable, command[-1])
        alike = launch.MEMORY not in environment and settings(environment) == begun
        return (Forked if ours and alike else subprocess.Popen)(command, **terms)

    client.subprocess = SimpleNamespace(Popen=start, PIPE=subprocess.PIPE)  # type: ignore[assignment]


def settings(environment: Mapping[str, str]) -> dict[str, str | None]:
    """What Python and its libraries read when they start, but for what each worker is given."""
    return {name: environment[name] for name in sorted(environment) if name.startswith(AT_THE_START)} | OF_WORKERS


def ask(spawner: socket.socket, module: str, environment: Mapping[str, str], ends: Sequence[int]) -> int:
    """The number of a new process that runs the module, and has these ends as its standard streams."""
    with os.fdopen(os.memfd_create("question"), "w+", encoding="utf-8") as file:
        json.dump({"module": module, "environment": dict(environment), "folder": str(Path.cwd())}, file)
        file.seek(0)
        socket.send_fds(spawner, [b"start"], [file.fileno(), *ends])
    return int(spawner.recv(16))


def serve(asked: socket.socket) -> NoReturn:
    """Fork a worker for each question, until whoever asks has ended."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nothing, stream)  # else who waits for their end would wait for ours
    while True:
        message, files, _, _ = socket.recv_fds(asked, 16, 4)
        if not message:
            os._exit(0)
        if (number := fork_a_sibling()) == 0:
            asked.close()
            work(*files)
        for file in files:
            os.close(file)
        asked.send(str(number).encode())


def fork_a_sibling() -> int:
    """As ``os.fork``; but the new process is a child of our parent."""
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    number: int = python.syscall(CLONE[platform.machine()], CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    (python.PyOS_AfterFork_Parent if number else python.PyOS_AfterFork_Child)()
    if number < 0:
        raise OSError("no process can be forked")
    return number


def work(question: int, *ends: int) -> NoReturn:
    """Be a worker: what ``launch.py`` runs."""
    os.setsid()
    for stream, end in enumerate(ends):
        os.dup2(end, stream)
        os.close(end)
    with os.fdopen(question, encoding="utf-8") as file:
        asked = json.load(file)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv = [launch.__file__, asked["module"]]
    end_after(lambda: runpy.run_path(launch.__file__, run_name="__main__"))


def end_after(run: Callable[[], object]) -> NoReturn:
    """Do something, and end as Python does then, but for what libraries in C++ do at the end: in a process that was
    forked TensorFlow waits there for threads that only the other one has."""
    code: object = None
    try:
        run()
    except SystemExit as ended:
        code = ended.code
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        code = 1
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons, as Python does
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit((code or 0) & 255)
