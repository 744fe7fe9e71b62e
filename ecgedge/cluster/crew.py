"""Hand out jobs to whoever carries them out, a window of them at a time, and send what they lack."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

AHEAD = 2  # jobs that are handed out for each that can be carried out at a time
SENT = 20  # times that a job's files are sent, each time to somebody else


class Job(Protocol):
    """What is to be done, as it goes to whoever carries it out: picklable."""

    @property
    def id(self) -> str:
        """By which it is told."""


class Made(Protocol):
    """What became of a job."""

    @property
    def entries(self) -> tuple[str, ...]:
        """Keys of the artifact store where it was carried out, of what was made there."""

    @property
    def worker(self) -> str:
        """Who did it, as a cluster names it; empty on this machine."""


@dataclass(frozen=True)
class Lacks:
    """Files that whoever was to carry out a job has not: they have to be sent.

    Attributes:
        data: digests of data sets.
        entries: keys of the store.
        worker: who lacks them.
    """

    data: tuple[str, ...]
    entries: tuple[str, ...]
    worker: str = ""


@dataclass(frozen=True)
class Lost:
    """Whoever carried out a job died with it, as often as is tried."""

    reason: str


J = TypeVar("J", bound=Job)
M = TypeVar("M", bound=Made)


class Crew(Protocol[J, M]):
    """Carries out jobs, several at a time.

    Attributes:
        size: how many.
        lost: how many of those who work were lost so far.
    """

    size: int
    lost: int

    def begin(self, job: J) -> None:
        """Have a job carried out as soon as somebody is free."""

    def ended(self) -> tuple[J, M | Lacks | Lost]:
        """Wait for the next job that has ended.

        Raises:
            MachineError, EcgEdgeError: the work cannot go on.
        """

    def give(self, lacks: Lacks) -> None:
        """Send the files that somebody lacks."""

    def take(self, made: M) -> None:
        """Bring what was made into the store here, where it is not there."""

    def close(self) -> None:
        """End all, whatever they are doing."""


def hand_out(jobs: Iterable[J], crew: Crew[J, M], settle: Callable[[J, M | Lost], Iterable[J]]) -> None:
    """Have jobs carried out until none is left.

    Args:
        settle: is told what became of each, whose files are in the store here; returns the jobs that follow from that.

    Raises:
        MachineError, EcgEdgeError, OSError: the work cannot go on.
    """
    left, underway = iter(jobs), 0
    sent: dict[str, int] = {}
    while True:
        for job in first(left, AHEAD * crew.size - underway):
            crew.begin(job)
            underway += 1
        if not underway:
            return
        job, found = crew.ended()
        underway -= 1
        follow: Iterable[J] = (job,)
        if isinstance(found, Lacks):
            sent[job.id] = sent.get(job.id, 0) + 1
            if sent[job.id] > SENT:
                raise RuntimeError(f"{job.id} lacks its files wherever it is carried out: {found}")
            crew.give(found)
        else:
            if not isinstance(found, Lost):
                crew.take(found)
            follow = settle(job, found)
        for job in follow:
            crew.begin(job)
            underway += 1


def first(jobs: Iterator[J], count: int) -> Iterator[J]:
    """At most so many of the jobs that are left."""
    for _ in range(max(count, 0)):
        if (job := next(jobs, None)) is None:
            return
        yield job
