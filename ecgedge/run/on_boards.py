"""The cells of boards: boards work side by side, and one that is lost fails its own rows only.

All that this machine does for them is done before: artifacts and the answers of the trained models. Boards that this
machine plays come last, one by one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import groupby
from threading import Event, Lock

from ecgedge.convert.lab import Lab
from ecgedge.errors import EcgEdgeError
from ecgedge.files.notices import warn
from ecgedge.measure.bench import Profile
from ecgedge.measure.machine import EnergyCounter
from ecgedge.plan.plan import Cell
from ecgedge.run.block import Pauses
from ecgedge.run.device import AWAY, BoardGone, OnBoard
from ecgedge.run.journal import Journal
from ecgedge.run.measuring import STEPS, Judged, Measuring, Tell, carry_out
from ecgedge.run.processes import Processes
from ecgedge.run.row import Outcome, Row
from ecgedge.run.rows import fixed_rounds, is_timed
from ecgedge.run.scored_row import started
from ecgedge.run.scoring import Attempt, Scoring
from ecgedge.workers.client import ChildError


@dataclass
class Work:
    """The cells of one model on one board, as far as this machine prepares them."""

    measuring: Measuring
    processes: Processes
    scoring: Scoring
    attempts: list[Attempt]


@dataclass
class Shared:
    """The progress of boards that work side by side.

    Attributes:
        done: steps, by board.
        ending: set where they are to leave off, and nothing of what they have not done is lost.
    """

    tell: Tell
    done: dict[str | None, float] = field(default_factory=dict)
    ending: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)

    def told(self, board: str | None, steps: float, what: str) -> None:
        with self.lock:
            self.done[board] = steps
            self.tell(sum(self.done.values()), what)


def measure_on_boards(
    cells: Sequence[Cell],
    boards: Sequence[OnBoard],
    lab: Lab,
    journal: Journal,
    profile: Profile,
    energy: EnergyCounter,
    tell: Tell,
    judged: Judged = lambda _: None,
) -> None:
    """Carry out the cells of boards, of which the journal does not hold all yet.

    Raises:
        MachineError, OSError: this machine failed; what the journal holds stays.
    """
    plans = {board: prepared(board, cells, lab, journal, profile, energy, tell, judged) for board in boards}
    shared = Shared(tell)
    side_by_side = [board for board in boards if board.beside]
    with ThreadPoolExecutor(max(len(side_by_side), 1)) as pool:
        futures = [pool.submit(work_on, board, plans[board], shared) for board in side_by_side]
        end_with(futures, side_by_side, shared)
    for board in boards:
        if not board.beside:
            work_on(board, plans[board], shared)


def end_with(futures: Sequence[Future[None]], boards: Sequence[OnBoard], shared: Shared) -> None:
    """Wait for boards. What one of them raises, or Ctrl-C, ends them all."""
    try:
        for future in futures:
            while not wait([future], 0.5).done:  # so that Ctrl-C is heard
                pass
            future.result()
    except BaseException:
        shared.ending.set()
        for board in boards:
            board.stop()
        raise


def prepared(
    board: OnBoard,
    cells: Sequence[Cell],
    lab: Lab,
    journal: Journal,
    profile: Profile,
    energy: EnergyCounter,
    tell: Tell,
    judged: Judged,
) -> list[Work]:
    """What this machine does for a board, model by model: artifacts, and the answers of the trained model."""
    found = []
    for model, group in groupby((cell for cell in cells if cell.board == board.board), lambda cell: cell.model):
        measuring = Measuring(list(group), lab, journal, profile, energy, Pauses(), board, judged)
        processes = measuring.processes()
        scoring = measuring.scoring(processes)
        tell(0, f"{measuring.name} artifacts")
        attempts = scoring.prepare(measuring.left())
        with contextlib.suppress(ChildError, EcgEdgeError):  # whoever is judged by it tells
            scoring.reference(model)
        for cell in set(measuring.cells) - {attempt.cell for attempt in attempts}:
            if is_timed(journal.row(cell.id)):
                scoring.bring_back(cell)
        found.append(Work(measuring, processes, scoring, attempts))
    return found


def work_on(board: OnBoard, works: Sequence[Work], shared: Shared) -> None:
    """Measure a board's cells, model by model; where it is lost, each that it has not done has a row that says so."""
    done = 0
    try:
        for work in works:
            with work.processes:
                work.processes.start(work.measuring.left())
                carry_out(
                    work.measuring,
                    work.scoring,
                    work.attempts,
                    lambda steps, what, base=done: shared.told(board.board, base + steps, what),  # type: ignore[misc]
                )
            done += (STEPS - 1) * len(work.measuring.cells)
            shared.told(board.board, done, f"{work.measuring.name} is done")
            note_state(board, work.measuring)
    except BoardGone as gone:
        if shared.ending.is_set():
            return
        warn(f"board {board.board} is left out from here on: {gone}")
        for work in works:
            for cell in work.measuring.cells:
                record_loss(cell, str(gone), work)
    finally:
        board.close()


def note_state(board: OnBoard, measuring: Measuring) -> None:
    """Write down how warm a board is, and whether it was throttled, once one model is measured."""
    if board.emulated:
        return
    with contextlib.suppress(ChildError, EcgEdgeError):  # it is told where something is asked of it next
        facts = board.describe(measuring.lab.converters.limits.seconds)
        throttled = list(facts.throttled) if facts.throttled is not None else None
        measuring.journal.append("board", board=board.board, celsius=facts.celsius, throttled=throttled)


def record_loss(cell: Cell, reason: str, work: Work) -> None:
    """Write down that a cell's board was lost before it was done; a run that goes on does it then."""
    measuring = work.measuring
    journal, lab = measuring.journal, measuring.lab
    if not is_done(cell, measuring):
        base = journal.row(cell.id) if journal.of("scored", cell.id) else None
        row = (
            Row.from_record(base) if base else started(cell, lab, measuring.profile.name, work.processes.emulated(cell))
        )
        row = replace(row, outcome=Outcome(status="failed", stage=AWAY, reason=reason))
        journal.append("lost", cell=cell.id, row=row.flat)


def is_done(cell: Cell, measuring: Measuring) -> bool:
    """Whether a cell has all that its row takes."""
    journal = measuring.journal
    if not journal.of("scored", cell.id):
        return False
    row, rounds = journal.row(cell.id), measuring.profile.rounds
    wanted = fixed_rounds(row, rounds) or rounds
    return not is_timed(row) or bool(journal.of("failed", cell.id)) or len(journal.of("block", cell.id)) >= wanted
