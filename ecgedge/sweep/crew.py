"""Who carries out the jobs of a sweep: processes of this machine, here; or a cluster, see ``cluster.py``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

from ecgedge.errors import MachineError
from ecgedge.files.cache import cache_folder
from ecgedge.sweep.job import Job, Lacks, Made
from ecgedge.sweep.work import Workplace

HERE = "here"


@dataclass(frozen=True)
class Lost:
    """Whoever carried out a job died with it, as often as is tried."""

    reason: str


Ended = Made | Lacks | Lost


class Crew(Protocol):
    """Carries out jobs, several at a time.

    Attributes:
        size: how many.
        lost: how many of those who work were lost so far.
    """

    size: int
    lost: int

    def begin(self, job: Job) -> None:
        """Have a job carried out as soon as somebody is free."""

    def ended(self) -> tuple[Job, Ended]:
        """Wait for the next job that has ended.

        Raises:
            MachineError, EcgEdgeError: the sweep cannot go on.
        """

    def give(self, lacks: Lacks) -> None:
        """Send the files that somebody lacks."""

    def take(self, made: Made) -> None:
        """Bring what was made into the store here, where it is not there."""

    def close(self) -> None:
        """End all, whatever they are doing."""


class Threads:
    """Threads of this process, each with child processes of its own, in which all work is done.

    Args:
        make: a workplace of that name.
        size: how many.
    """

    def __init__(self, make: Callable[[str], Workplace], size: int):
        self.make, self.size, self.lost = make, size, 0
        self.pool = ThreadPoolExecutor(size)
        self.places: list[Workplace] = []
        self.underway: set[Future[Made | Lacks]] = set()
        self.mine = threading.local()
        self.done: SimpleQueue[tuple[Job, Future[Made | Lacks]]] = SimpleQueue()

    def begin(self, job: Job) -> None:
        future = self.pool.submit(self.work, job)
        self.underway.add(future)
        future.add_done_callback(lambda ended: self.done.put((job, ended)))

    def work(self, job: Job) -> Made | Lacks:
        if not hasattr(self.mine, "place"):
            self.mine.place = self.make(f"worker-{len(self.places)}")
            self.places.append(self.mine.place)
        found: Made | Lacks = self.mine.place.carry_out(job)
        return found

    def ended(self) -> tuple[Job, Ended]:
        job, future = self.done.get()
        self.underway.discard(future)
        return job, future.result()

    def give(self, lacks: Lacks) -> None:
        raise MachineError(f"{cache_folder()} has lost what the sweep needs", "leave it alone meanwhile")

    def take(self, made: Made) -> None:
        """It is there."""

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
        while left := [future for future in self.underway if not future.done()]:
            for place in [*self.places]:
                place.kill()
            wait(left, 0.1)  # and again: one may just be starting a process
        self.pool.shutdown(wait=True)
        for place in self.places:
            place.close()
