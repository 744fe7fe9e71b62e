"""Processes of this machine that carry out the jobs of a sweep."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import SimpleQueue

from ecgedge.cluster.crew import Lacks, Lost
from ecgedge.cluster.workplace import Workplace
from ecgedge.errors import MachineError
from ecgedge.files.cache import cache_folder
from ecgedge.sweep.job import Job, Made
from ecgedge.sweep.work import carry_out


class Threads:
    """A crew, see ``cluster.crew.Crew``: threads of this process, each with child processes that work.

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
        return carry_out(self.mine.place, job)

    def ended(self) -> tuple[Job, Made | Lacks | Lost]:
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
