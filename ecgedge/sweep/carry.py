"""Have the jobs of a sweep carried out; what comes back is kept at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ecgedge.cluster.crew import Crew, Lost, hand_out
from ecgedge.plan.plan import Cell, is_parent
from ecgedge.run.row import Outcome
from ecgedge.sweep.job import Job, Made, Record
from ecgedge.sweep.journal import Journal
from ecgedge.sweep.work import row_of_lost

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


def carry_out(jobs: Iterable[Job], crew: Crew[Job, Made], journal: Journal, tell: Tell) -> None:
    """Carry out jobs until none is left.

    Args:
        tell: is called as cells are done.

    Raises:
        MachineError, EcgEdgeError, OSError: the sweep cannot go on; what the journal has stays.
    """
    alone: dict[str, Alone] = {}

    def settle(job: Job, found: Made | Lost) -> list[Job]:
        follow: Job | None
        if isinstance(found, Lost):
            follow = lost(job, alone, journal)
        else:
            keep(job, found, journal)
            follow = alone[job.id].next() if job.id in alone else None
        tell(len(journal.done), job.id)
        return [follow] if follow else []

    hand_out(jobs, crew, settle)


def lost(job: Job, alone: dict[str, Alone], journal: Journal) -> Job | None:
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
    rows = [lost_row(job, cell, outcome) for cell in gone]
    journal.append("made", job=job.id, rows=rows)
    return state.next()


def lost_row(job: Job, cell: Cell, outcome: Outcome) -> Record:
    return row_of_lost(job, cell, outcome).flat | {"id": job.row_id(cell), "seed": job.seed}


def keep(job: Job, made: Made, journal: Journal) -> None:
    """Put what became of a job into the journal."""
    more = {"worker": made.worker, "pid": made.pid, "cpu": dict(made.cpu), "trained": dict(made.trained)}
    checkpoint = {"checkpoint": made.checkpoint} if made.checkpoint else {}
    journal.append("made", job=job.id, rows=[*made.rows], **more, **checkpoint)
