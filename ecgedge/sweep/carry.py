"""Have the jobs of a sweep carried out: a window of them at a time, what comes back kept at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from ecgedge.plan.plan import Cell, is_parent
from ecgedge.run.row import Outcome
from ecgedge.sweep.crew import Crew, Lost
from ecgedge.sweep.job import Job, Lacks, Made, Record
from ecgedge.sweep.journal import Journal
from ecgedge.sweep.work import row_of_lost

AHEAD = 2  # jobs that are handed out for each that can be carried out at a time
SENT = 20  # times that a job's files are sent, each time to somebody else
DIED = "whoever worked on it died with it, each time that it was tried"

Tell = Callable[[int, str], object]  # how many cells are done, and what came last


@dataclass
class Alone:
    """A job that took down whoever was given it: it is trained alone, then each of its cells is made alone.

    Attributes:
        left: cells that were not tried alone yet.
        deadly: those that died again.
    """

    job: Job
    left: list[Cell]
    deadly: list[Cell]

    def next(self) -> Job | None:
        """The job of the next cell; None where there is none."""
        if not self.left:
            return None
        cell = self.left.pop(0)
        parents = [each for each in self.job.cells if is_parent(each, cell) and each not in self.deadly]
        return replace(self.job, cells=(cell,), beside=tuple(parents[:1]))


def carry_out(jobs: Iterable[Job], crew: Crew, journal: Journal, tasks: dict[str, str], tell: Tell) -> None:
    """Carry out jobs until none is left.

    Args:
        tasks: of each model, for rows of what could not even be begun.
        tell: is called as cells are done.

    Raises:
        MachineError, EcgEdgeError, OSError: the sweep cannot go on; what the journal has stays.
    """
    left, alone, underway = iter(jobs), dict[str, Alone](), 0
    sent: dict[str, int] = {}
    while True:
        for job in first(left, AHEAD * crew.size - underway):
            crew.begin(job)
            underway += 1
        if not underway:
            return
        job, found = crew.ended()
        underway -= 1
        follow: Job | None = None
        if isinstance(found, Lacks):
            sent[job.id] = sent.get(job.id, 0) + 1
            if sent[job.id] > SENT:
                raise RuntimeError(f"{job.id} lacks its files wherever it is carried out: {found}")
            crew.give(found)
            follow = job
        elif isinstance(found, Lost):
            follow = lost(job, alone, journal, tasks)
        else:
            crew.take(found)
            keep(job, found, journal)
            follow = alone[job.id].next() if job.id in alone else None
        if follow:
            crew.begin(follow)
            underway += 1
        tell(len(journal.done), job.id)


def lost(job: Job, alone: dict[str, Alone], journal: Journal, tasks: dict[str, str]) -> Job | None:
    """What is tried next of a job that nobody survived; what died alone is a row."""
    state = alone.get(job.id)
    if state is None:
        alone[job.id] = Alone(job, [*job.cells], [])
        return replace(job, cells=(), beside=())
    stage, gone = ("cell", job.cells) if job.cells else ("train", tuple(state.left))
    if not job.cells:
        state.left.clear()
    state.deadly += gone
    outcome = Outcome(status="failed", stage=stage, reason=DIED)
    rows = [lost_row(job, cell, tasks[job.model], outcome) for cell in gone]
    journal.append("made", job=job.id, rows=rows)
    return state.next()


def lost_row(job: Job, cell: Cell, task: str, outcome: Outcome) -> Record:
    return row_of_lost(job, cell, task, outcome).flat | {"id": job.row_id(cell), "seed": job.seed}


def keep(job: Job, made: Made, journal: Journal) -> None:
    """Put what became of a job into the journal."""
    more = {"worker": made.worker, "pid": made.pid, "cpu": dict(made.cpu), "trained": dict(made.trained)}
    checkpoint = {"checkpoint": made.checkpoint} if made.checkpoint else {}
    journal.append("made", job=job.id, rows=[*made.rows], **more, **checkpoint)


def first(jobs: Iterator[Job], count: int) -> Iterator[Job]:
    """At most so many of the jobs that are left."""
    for _ in range(max(count, 0)):
        if (job := next(jobs, None)) is None:
            return
        yield job
