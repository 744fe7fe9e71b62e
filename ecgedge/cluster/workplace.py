"""Where one job at a time is carried out. Whatever a framework does to a process, it does to a child of this one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ecgedge.cluster.crew import Lacks
from ecgedge.convert.converters import Converters
from ecgedge.convert.store import open_store
from ecgedge.data import kept
from ecgedge.data.dataset import Dataset
from ecgedge.files.locks import gate, turn
from ecgedge.workers.client import SERVER, Limits
from ecgedge.workers.hosts import hosts

if TYPE_CHECKING:
    from ecgedge.plugins import Parts

RENEWED = 200  # jobs after which child processes are started anew: frameworks keep something of each network


@dataclass
class Workplace:
    """Child processes that stay for the next job, and data sets that stay in memory.

    Attributes:
        name: of the file that the processes print to.
        threads: of each of them.
        module: that those in our interpreter run.
        converters: the processes; None: there are none yet.
        kept: data sets that were read, by their digest.
        jobs: how many these processes have had.
    """

    parts: Parts
    name: str
    threads: int = 1
    module: str = SERVER
    converters: Converters | None = None
    scratch: TemporaryDirectory[str] = field(default_factory=TemporaryDirectory)
    kept: dict[str, Dataset] = field(default_factory=dict)
    jobs: int = 0

    def lacks(self, data: str, *keys: str) -> Lacks | None:
        """What has to be sent before work on a data set can begin.

        Args:
            data: the digest of its file.
            keys: of entries of the store that are worked with.
        """
        store = open_store()
        missing = () if data in self.kept or kept.has(data) else (data,)
        entries = tuple(key for key in keys if key and store.find(key) is None)
        return Lacks(missing, entries) if missing or entries else None

    @contextlib.contextmanager
    def at_work(self, limits: Limits, logs: Path) -> Iterator[Converters]:
        """The child processes, while nothing is timed on this machine.

        Args:
            logs: the folder for what they print, where this machine has it.
        """
        self.jobs += 1
        if self.jobs % RENEWED == 0:
            self.close()
        converters, place = self.processes(limits, logs), gate()
        with turn(place, shared=True) if place else contextlib.nullcontext():
            yield converters

    def data(self, digest: str) -> Dataset:
        """A data set; the last few stay in memory."""
        if digest not in self.kept:
            if len(self.kept) >= 4:
                self.kept.pop(next(iter(self.kept)))
            self.kept[digest] = kept.read(kept.file_of(digest))
        return self.kept[digest]

    def processes(self, limits: Limits, logs: Path) -> Converters:
        """The child processes, with these limits."""
        if self.converters is None or self.converters.limits != limits:
            self.close()
            folder = logs if logs.is_dir() else Path(self.scratch.name)
            self.converters = Converters(
                folder, hosts(self.parts), limits, None, self.name, threads=self.threads, module=self.module
            )
        return self.converters

    def kill(self) -> None:
        """From another thread: end whatever is being done."""
        if self.converters:
            self.converters.kill()

    def close(self) -> None:
        """End the child processes; from the thread that works here."""
        if self.converters:
            self.converters.close()
        self.converters = None
