"""A process that has ecgedge loaded, and forks itself for each command that it is asked for: see ``forked.py``.

A command begins as ``python -P -m ecgedge`` does, with nothing run yet but imports; so do the workers that it starts in
our interpreter, without a limit of memory: ``workers.py`` forks them. What is measured of fakes is measured briefly.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from ecgedge.report.html import page

LOADED = ("audit", "bundle", "choose", "cli", "commands", "commands.matrix", "compare", "run.matrix")


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests import brief, workers

    load()
    workers.load()
    for library in sys.argv[2:]:
        importlib.import_module(library)
    sys.path.pop(0)  # a command finds what it always finds
    brief.measure_briefly()
    gc.collect()
    gc.freeze()
    asked = socket.socket(fileno=int(sys.argv[1]))
    while True:
        message, files, _, _ = socket.recv_fds(asked, 16, 5)
        with contextlib.suppress(ChildProcessError):  # none is left
            while os.waitpid(-1, os.WNOHANG if message else 0)[0]:
                pass
        if not message:
            return
        if os.fork() == 0:  # who waits for the command, while others are asked for
            asked.close()
            attend(workers, *files)
        for file in files:
            os.close(file)


def load() -> None:
    """Import what most commands do."""
    for name in LOADED:
        importlib.import_module(f"ecgedge.{name}")
    for name in page.templates().list_templates():
        page.templates().get_template(name)


def attend(workers: ModuleType, told: int, question: int, given: int, out: int, err: int) -> NoReturn:
    """Fork the command, which runs, and whose workers are forked; say its number, then how it ended."""
    with socket.socket(fileno=told) as answers:
        if (number := os.fork()) == 0:
            answers.close()
            for stream, end in enumerate((given, out, err)):
                os.dup2(end, stream)
            with os.fdopen(question, encoding="utf-8") as file:
                asked = json.load(file)
            for each in (given, out, err):
                os.close(each)
            os.environ.clear()
            os.environ.update(asked["environment"])
            os.chdir(asked["folder"])
            workers.fork_them()
            sys.argv = [str(Path(__file__)), *asked["arguments"]]
            workers.end_after(lambda: runpy.run_module("ecgedge", run_name="__main__", alter_sys=True))
        for each in (question, given, out, err):
            os.close(each)
        with contextlib.suppress(BrokenPipeError):
            answers.send(str(number).encode())
            answers.send(str(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])).encode())
    os._exit(0)


if __name__ == "__main__":
    main()
