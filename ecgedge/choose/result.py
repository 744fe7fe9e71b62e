"""What a choice is."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ecgedge.choose.differences import Difference
from ecgedge.choose.front import criteria
from ecgedge.choose.requirements import Limit, Requirement
from ecgedge.evaluate.metric import Metric
from ecgedge.run.metrics import METRICS, QUALITY
from ecgedge.run.row import Row


@dataclass(frozen=True)
class Miss:
    """The row that is nearest to one requirement.

    Attributes:
        others_met: whether it meets all the others; else no row does, and it is the nearest of all.
    """

    requirement: Limit
    row: Row
    others_met: bool


@dataclass(frozen=True)
class Tie:
    """A row that cannot be told from the winner.

    Attributes:
        difference: from the winner to it.
        ahead, behind: in which of quality, latency and size it is better or worse by more than noise.
        doubtful: in which it looks worse, and its figure or the winner's is unsteady.
        breaks: whether it is ahead somewhere, and no other row of the tie dominates it.
    """

    row: Row
    difference: Difference
    ahead: list[Metric]
    behind: list[Metric]
    doubtful: list[Metric]
    breaks: bool


@dataclass(frozen=True)
class Suggestion:
    """What a choice advises, for whoever tells of it.

    Attributes:
        row: the form to take.
        why: it is the one, as the end of "it is ...".
        doubt: why to look twice before it is shipped; empty where nothing speaks against it.
    """

    row: Row
    why: str
    doubt: str

    @property
    def advice(self) -> str:
        """What to do before its file is shipped; empty where nothing speaks against it. Why is ``doubt``, at length."""
        return "look twice before you ship it" if self.doubt else ""


@dataclass
class Choice:
    """What is decided for the models of one task on one device.

    Attributes:
        device: the board, the core that is played, or ``host``.
        optimize: the metric; None: the Pareto front is wanted.
        considered: the rows that work, of that task and of the words required.
        working: how many rows of that task and device work, whatever words are required.
        left_out: how many rows of each other status there are.
        qualified: those that meet every requirement; with a metric the best first.
        ties: the qualified rows that cannot be told from the winner, the best first.
        against: how the winner compares with the runner-up.
        misses: the nearest miss of each requirement, where nothing qualifies.
        front: no other row beats these, see ``dominates``; by latency.
        dominated: of each other qualified row, by id, the row that dominates it.
    """

    task: str
    device: str
    requirements: tuple[Requirement, ...]
    optimize: Metric | None
    considered: list[Row]
    working: int
    left_out: dict[str, int]
    qualified: list[Row]
    ties: list[Tie] = field(default_factory=list)
    against: Difference | None = None
    misses: list[Miss] = field(default_factory=list)
    front: list[Row] = field(default_factory=list)
    dominated: dict[str, Row] = field(default_factory=dict)

    @property
    def winner(self) -> Row | None:
        return self.qualified[0] if self.optimize and self.qualified else None

    @property
    def runner_up(self) -> Row | None:
        return self.qualified[1] if self.optimize and len(self.qualified) > 1 else None

    @property
    def suggested(self) -> Row | None:
        """The row that ``suggestion`` is of."""
        return self.suggestion.row if self.suggestion else None

    @cached_property
    def suggestion(self) -> Suggestion | None:
        """The winner. Without a metric the quickest form of the front that is sound; else, where one whose times are
        unsteady holds the place of a sound one there, the quickest sound form of all; else the first of the front."""
        if self.winner:
            return Suggestion(self.winner, "the choice", doubt(self.winner, times=self.winner in self.unsteady))
        if not self.front:
            return None
        first = "quickest" if self.front[0].latency else "smallest"
        if row := next(filter(is_sound, self.front), None):
            alone = "the one that no other form is better than"
            many = f"the {first} on the front that decides no worse than its trained model"
            return Suggestion(row, alone if len(self.front) == 1 else many, "")
        by = METRICS["latency_p50" if self.front[0].latency else "size"]
        if sound := [row for row in self.qualified if is_sound(row) and by.value(row) is not None]:
            anywhere = f"the {first} of all forms that decides no worse than its trained model"
            return Suggestion(min(sound, key=by.order), anywhere, "")
        return Suggestion(self.front[0], "on the front", doubt(self.front[0]))

    @property
    def unsteady(self) -> list[Row]:
        """The rows whose times are none to decide by, of those whose times were asked for or compared."""
        used = [*self.limits_on(), *([self.optimize] if self.optimize else self.criteria)]
        return [row for row in self.considered if any(metric.unsteady(row) for metric in used)]

    @property
    def quality(self) -> Metric:
        return QUALITY[self.task]

    @property
    def criteria(self) -> list[Metric]:
        """What the front is made of."""
        return criteria(self.considered)

    def as_data(self) -> dict[str, Any]:
        """All of it, fit for JSON; rows that are named by their id are in ``rows.jsonl``."""
        return {
            "task": self.task,
            "device": self.device,
            "require": [each.text for each in self.requirements],
            "optimize": self.optimize and self.optimize.name,
            "working": self.working,
            "considered": len(self.considered),
            "not_considered": self.left_out,
            "qualified": [row.id for row in self.qualified],
            "winner": self.winner and brief(self.winner),
            "runner_up": self.runner_up and brief(self.runner_up),
            "winner_against_runner_up": self.against and self.against.as_data(),
            "ties": [
                brief(tie.row)
                | {"why": tie.difference.why, "breaks_the_tie": tie.breaks}
                | {"ahead": [each.name for each in tie.ahead], "behind": [each.name for each in tie.behind]}
                | {"doubtful": [each.name for each in tie.doubtful]}
                for tie in self.ties
            ],
            "unsteady": [row.id for row in self.unsteady],
            "crossed": {
                row.id: crossed for row in self.qualified if (crossed := [limit.text for limit in self.crossed(row)])
            },
            "nearest_misses": [
                {"require": miss.requirement.text, "others_met": miss.others_met} | brief(miss.row)
                for miss in self.misses
            ],
            "front": [brief(row) for row in self.front],
            "suggested": self.suggestion
            and {"id": self.suggestion.row.id, "why": self.suggestion.why, "doubt": self.suggestion.doubt},
            "dominated": {name: row.id for name, row in self.dominated.items()},
        }

    def limits_on(self) -> list[Metric]:
        """The metrics that are limited."""
        return [limit.metric for limit in self.limits()]

    def limits(self) -> list[Limit]:
        return [each for each in self.requirements if isinstance(each, Limit)]

    def unknown(self) -> list[str]:
        """The limits that no row of this device has a figure for, as an emulated one has no times."""
        return [each.text for each in self.limits() if all(each.figure(row) is None for row in self.considered)]

    def crossed(self, row: Row) -> list[Limit]:
        """The limits that lie within the interval of the row's figure."""
        return [limit for limit in self.limits() if limit.crossed(row)]


def is_sound(row: Row) -> bool:
    """Whether a row decides no worse than its trained model, no gate doubts it, and its times are steady."""
    return not doubt(row)


def doubt(row: Row, times: bool = True) -> str:
    """Why a row is not sound; empty where it is.

    Args:
        times: they matter: a winner in size is none by its times.
    """
    if row.gates:
        return row.gates[0].text
    if row.verdict is not None and row.verdict.result == "worse":
        return "it decides worse than its trained model"
    return "its times are unsteady" if times and row.unsteady else ""


def brief(row: Row) -> dict[str, Any]:
    """A row as a choice names it: what it is, the file in the run's folder, its figures as the rows have them."""
    names = ("id", "model", "format", "precision", "runtime", "artifact", "digest")
    keys = [key for metric in METRICS.values() for key in (metric.key, *(metric.ends or ()))]
    told = {name: row.flat[name] for name in (*names, *keys) if name in row.flat}
    return told | ({"figures": dict(row.figures)} if row.declared else {})
