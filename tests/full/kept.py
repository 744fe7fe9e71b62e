"""The command line in this process, with workers that outlive a command: libraries are imported once for many tests.

What a worker does is what it does for any command. For tests of processes themselves, their limits and their ends,
there is the fixture ``ecgedge``.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock


@dataclass(frozen=True)
class Told:
    """What a command left: exit code, stdout, stderr with the traceback of what was raised."""

    code: int
    out: str
    err: str


class Kept:
    """A worker of ecgedge's that outlives the command it was started for."""

    def __init__(self, child: Any):
        self.child = child

    def __getattr__(self, name: str) -> Any:
        return getattr(self.child, name)

    def close(self) -> None:
        """Not yet: ``close_workers`` does."""


WORKERS: dict[Any, Kept] = {}
ROOT = str(Path(__file__).parents[2])


def worker(
    log: Path, threads: int | None = None, memory: int | None = None, host: Any = None, *_: Any, **__: Any
) -> Kept:
    """A ``Child``, the same one for all that ask for one in that interpreter. It has no limits, and no network."""
    from ecgedge.workers import client

    class Following(client.Child):
        def start(self) -> Any:
            there = mock.patch.object(client, "launching", lambda python, _: launching(python, "tests.full.following"))
            with there:
                return super().start()

    launching = client.launching
    if host not in WORKERS:
        places = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
        WORKERS[host] = Kept(Following(Path(os.devnull), host=host, variables={"PYTHONPATH": places}))
    return WORKERS[host]


def converter(log: Path, threads: int | None, memory: int | None, host: Any, *variables: Any, **named: Any) -> Any:
    """The same, for conversions; the processes of cells, which are timed, stay what they are."""
    from ecgedge.workers import client

    make = worker if variables else client.Child
    return make(log, threads, memory, host, *variables, **named)


def close_workers() -> None:
    while WORKERS:
        WORKERS.popitem()[1].child.close()


@contextmanager
def keeping_workers() -> Iterator[None]:
    """Meanwhile files are looked at and converted in workers that are kept."""
    from ecgedge.convert import converters
    from ecgedge.workers import standins

    with mock.patch.object(converters, "Child", converter), mock.patch.object(standins, "Child", worker):
        yield


def run_here(*arguments: str | Path) -> Told:
    """A command of ``ecgedge``, as its command line runs it; what it times, it times briefly."""
    from click.testing import CliRunner

    from ecgedge.cli import main
    from tests.brief import measuring_briefly

    own = mock.patch.dict(os.environ)  # a command may set variables for its children
    with keeping_workers(), measuring_briefly(), own:
        done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    bug = done.exception if not isinstance(done.exception, SystemExit) else None
    return Told(done.exit_code, done.stdout, done.stderr + ("".join(traceback.format_exception(bug)) if bug else ""))
