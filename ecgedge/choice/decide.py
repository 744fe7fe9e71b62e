"""The choice: the winner among the rows that meet all requirements, or the Pareto front."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ecgedge.choice.differences import Compare, Difference, by_figures
from ecgedge.choice.metrics import METRICS, QUALITY, TASKS, Metric, Row
from ecgedge.choice.requirements import FIELDS, Limit, Requirement, Wanted
from ecgedge.errors import EcgEdgeError, unknown


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
        breaks: whether it is ahead somewhere, and no other row of the tie dominates it.
    """

    row: Row
    difference: Difference
    ahead: list[Metric]
    behind: list[Metric]
    breaks: bool


@dataclass
class Choice:
    """What is decided for the models of one task.

    Attributes:
        optimize: the metric; None: the Pareto front is wanted.
        considered: the rows that work, of that task and of the words required.
        left_out: how many rows of each other status there are.
        qualified: those that meet every requirement, the best first.
        ties: the qualified rows that cannot be told from the winner, the best first.
        against: how the winner compares with the runner-up.
        misses: the nearest miss of each requirement, where nothing qualifies.
        front: no other row beats these, see ``dominates``; by latency.
        dominated: of each other qualified row, by id, the row that dominates it.
    """

    task: str
    requirements: tuple[Requirement, ...]
    optimize: Metric | None
    considered: list[Row]
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
            "require": [each.text for each in self.requirements],
            "optimize": self.optimize and self.optimize.name,
            "considered": len(self.considered),
            "not_considered": self.left_out,
            "qualified": [row["id"] for row in self.qualified],
            "winner": self.winner and brief(self.winner),
            "runner_up": self.runner_up and brief(self.runner_up),
            "winner_against_runner_up": self.against and self.against.as_data(),
            "ties": [
                brief(tie.row)
                | {"why": tie.difference.why, "breaks_the_tie": tie.breaks}
                | {"ahead": [each.name for each in tie.ahead], "behind": [each.name for each in tie.behind]}
                for tie in self.ties
            ],
            "crossed": {
                row["id"]: crossed for row in self.qualified if (crossed := [limit.text for limit in self.crossed(row)])
            },
            "nearest_misses": [
                {"require": miss.requirement.text, "others_met": miss.others_met} | brief(miss.row)
                for miss in self.misses
            ],
            "front": [brief(row) for row in self.front],
            "dominated": {name: row["id"] for name, row in self.dominated.items()},
        }

    def limits(self) -> list[Limit]:
        return [each for each in self.requirements if isinstance(each, Limit)]

    def crossed(self, row: Row) -> list[Limit]:
        """The limits that lie within the interval of the row's figure."""
        return [limit for limit in self.limits() if limit.crossed(row)]


def brief(row: Row) -> dict[str, Any]:
    """A row as a choice names it: what it is, the file in the run's folder, its figures as the rows have them."""
    names = ("id", "model", "format", "precision", "runtime", "artifact", "digest")
    keys = [f"{metric.key}{end}{metric.unit}" for metric in METRICS.values() for end in ("", "_low", "_high")]
    return {name: row[name] for name in (*names, *keys) if name in row}


def decide(
    rows: Sequence[Row],
    requirements: Iterable[Requirement] = (),
    optimize: Metric | None = None,
    compare: Compare = by_figures,
) -> list[Choice]:
    """The choice for each task that the rows and what is asked for leave; with ``optimize`` there is one.

    Rows that are not ``ok`` never win. Requirements are judged by the figures themselves.

    Args:
        compare: ``Evidence`` of the run, which compares in pairs.

    Raises:
        EcgEdgeError: what is asked for concerns two tasks, or nothing that this run has; says what it has.
    """
    asked = tuple(requirements)
    working = [row for row in rows if row["status"] == "ok"]
    if not working:
        count = Counter(row["status"] for row in rows)
        raise EcgEdgeError(
            "no row of this run works", ", ".join(f"{number} {status}" for status, number in count.items())
        )
    working, named = settle(working, asked, optimize)
    choices = []
    for task in named:
        considered = [row for row in working if row["task"] == task]
        check_figures(considered, asked, optimize)
        left_out = Counter(row["status"] for row in rows if row["status"] != "ok" and row["task"] == task)
        qualified = [row for row in considered if all(each.met(row) for each in asked) and has(optimize, row)]
        choice = Choice(task, asked, optimize, considered, dict(left_out), qualified)
        if not qualified:
            choice.misses = nearest_misses(choice)
        elif optimize:
            pick_winner(choice, optimize, compare)
        else:
            choice.front, choice.dominated = front(qualified, compare)
        choices.append(choice)
    return choices


def settle(
    rows: Sequence[Row], requirements: Sequence[Requirement], optimize: Metric | None
) -> tuple[list[Row], list[str]]:
    """The rows that have the words required, and the tasks to decide on.

    Raises:
        EcgEdgeError: no row has such a word, or all of them; or the tasks cannot be settled, see ``tasks_of``.
    """
    words = [each for each in requirements if isinstance(each, Wanted)]
    for each in words:
        known = sorted({str(FIELDS[each.field](row)) for row in rows} - {"None"})
        if each.value not in known:
            raise unknown(each.field, each.value, known)
    left = [row for row in rows if all(each.met(row) for each in words)]
    if not left:
        raise EcgEdgeError(f"no row is {' and '.join(each.text for each in words)}", "leave one of them out")
    return left, tasks_of(left, requirements, optimize)


def tasks_of(rows: Sequence[Row], requirements: Iterable[Requirement], optimize: Metric | None) -> list[str]:
    """The tasks that are decided on: a metric that only one of them has settles it.

    Raises:
        EcgEdgeError: two are settled; or none, and a winner is wanted where there are models of both.
    """
    metrics = [each.metric for each in requirements if isinstance(each, Limit)] + ([optimize] if optimize else [])
    settled = {metric.task: metric.name for metric in metrics if metric.task}
    present = [task for task in TASKS if any(row["task"] == task for row in rows)]
    if len(settled) > 1:
        both = " and ".join(f"{name} ({task})" for task, name in settled.items())
        raise EcgEdgeError(f"no model has {both}", "name metrics of one task")
    for task, name in settled.items():
        if task not in present:
            raise EcgEdgeError(f"no row has {name}: it is for {task}", f"this run has {' and '.join(present)}")
        return [task]
    if optimize and len(present) > 1:
        choices = " or ".join(f'--require "task=={task}"' for task in present)
        raise EcgEdgeError("this run has models of two tasks, which one winner cannot serve", f"add {choices}")
    return present


def check_figures(rows: Sequence[Row], requirements: Iterable[Requirement], optimize: Metric | None) -> None:
    """Raise EcgEdgeError for a metric that no row has a figure of."""
    metrics = [each.metric for each in requirements if isinstance(each, Limit)] + ([optimize] if optimize else [])
    for metric in metrics:
        if all(metric.value(row) is None for row in rows):
            known = [name for name, other in METRICS.items() if any(other.value(row) is not None for row in rows)]
            raise EcgEdgeError(f"no row of this run has {metric.name}", f"choose from: {', '.join(known)}")


def has(metric: Metric | None, row: Row) -> bool:
    """Whether a row can be ranked by a metric, if there is one."""
    return metric is None or metric.value(row) is not None


def pick_winner(choice: Choice, metric: Metric, compare: Compare) -> None:
    """Sort the qualified rows by the metric, equal ones by latency and size; compare the first with the others."""
    by = (metric, METRICS["latency_p50"], METRICS["size"])
    winner, *others = choice.qualified = sorted(choice.qualified, key=lambda row: [each.order(row) for each in by])
    differences = [(row, compare(metric, winner, row)) for row in others]
    tied = [(row, found) for row, found in differences if found.tie]
    best, _ = front([winner, *(row for row, _ in tied)], compare)
    for row, found in tied:
        results = {each: compare(each, row, winner).result for each in criteria(choice.qualified)}
        ahead, behind = ([each for each, word in results.items() if word == wanted] for wanted in ("better", "worse"))
        choice.ties.append(Tie(row, found, ahead, behind, bool(ahead) and row in best))
    if differences:
        choice.against = differences[0][1]


def criteria(rows: Sequence[Row]) -> list[Metric]:
    """What makes one file better than another: quality, where it is known of all rows, latency and size."""
    quality = QUALITY[rows[0]["task"]]
    known = all(has(quality, row) for row in rows)
    return [quality] * known + [METRICS["latency_p50"], METRICS["size"]]


def nearest_misses(choice: Choice) -> list[Miss]:
    """For each limit the row nearest to it that meets all the others; where none does, the nearest of all.

    A limit that every row meets has no miss. Of rows that are equally near it is the one that is better in
    the metric to optimize, or else in latency.
    """
    misses, limits = [], choice.limits()
    metric = choice.optimize or METRICS["latency_p50"]
    for limit in limits:
        failing = [row for row in choice.considered if not limit.met(row) and limit.metric.value(row) is not None]
        others = [row for row in failing if all(other.met(row) for other in limits if other is not limit)]
        if failing:
            nearest = min(
                others or failing, key=lambda row: (limit.gap(row), not has(metric, row) or metric.order(row))
            )
            misses.append(Miss(limit, nearest, bool(others)))
    return misses


def front(rows: Sequence[Row], compare: Compare) -> tuple[list[Row], dict[str, Row]]:
    """The rows that no other dominates, by latency; and of each other row, by id, one that dominates it.

    The heaviest rows are held against the rest first, and those that leave dominate nothing more: a circle
    of ties never empties the front.
    """
    latency, size = METRICS["latency_p50"], METRICS["size"]
    metrics = criteria(rows)[::-1]  # the quickest to compare first
    left = sorted(rows, key=lambda row: (size.order(row), latency.order(row)))
    dominated = {}
    for row in reversed(list(left)):
        if by := next((other for other in left if dominates(other, row, metrics, compare)), None):
            left.remove(row)
            dominated[row["id"]] = by
    return sorted(left, key=latency.order), dominated


def dominates(first: Row, second: Row, metrics: Iterable[Metric], compare: Compare) -> bool:
    """Whether the first row is better in one metric by more than noise, and in none worse by more than noise."""
    better = False
    for metric in metrics if first is not second else ():
        found = compare(metric, first, second)
        if found.result == "worse":
            return False
        better = better or found.result == "better"
    return better


def best_values(rows: Sequence[Row], metrics: Iterable[Metric], compare: Compare = by_figures) -> set[tuple[str, str]]:
    """``(id, metric name)`` of the best value of each model, and of all that tie with it.

    Where nothing differs by more than noise there is no best one.
    """
    best = set()
    models = dict.fromkeys(row["model"] for row in rows)
    for metric in metrics:
        for model in models:
            group = [
                row for row in rows
                if row["model"] == model and row["status"] == "ok" and has(metric, row)
            ]  # fmt: skip
            if not group:
                continue
            top = min(group, key=metric.order)
            level = [row for row in group if row is top or compare(metric, top, row).tie]
            if len(level) < len(group):
                best |= {(row["id"], metric.name) for row in level}
    return best
