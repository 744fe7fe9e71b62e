"""The choice: the winner among the rows that meet all requirements, or the Pareto front."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ecgedge.choose.differences import Compare, by_figures
from ecgedge.choose.front import criteria, front, has
from ecgedge.choose.requirements import FIELDS, PORTABLE, Limit, Requirement, Wanted
from ecgedge.choose.result import Choice, Miss, Tie
from ecgedge.errors import EcgEdgeError, unknown
from ecgedge.evaluate.metric import Metric
from ecgedge.evaluate.portable import NOT_TRIED, VERDICTS
from ecgedge.run.metrics import METRICS, metrics_of
from ecgedge.run.row import TASKS, Row
from ecgedge.run.rows import UNSTEADY


def decide(
    rows: Sequence[Row],
    requirements: Iterable[Requirement] = (),
    optimize: Metric | None = None,
    compare: Compare = by_figures,
) -> list[Choice]:
    """The choice for each task and each device that the rows and what is asked for leave.

    Rows that are not ``ok`` never win. Requirements are judged by the figures themselves.

    Args:
        compare: ``Evidence`` of the run, which compares in pairs.

    Raises:
        EcgEdgeError: what is asked for concerns two tasks, or nothing that this run has; says what it has.
    """
    asked = tuple(requirements)
    sound = [row for row in rows if row.status == "ok"]
    if not sound:
        count = Counter(row.status for row in rows)
        raise EcgEdgeError(
            "no row of this run works", ", ".join(f"{number} {status}" for status, number in count.items())
        )
    wanted, named = settle(sound, asked, optimize)
    asked = tuple(each.among(rows) if isinstance(each, Limit) else each for each in asked)
    choices = []
    for considered in groups_of(wanted, named, asked, optimize):
        task, place = considered[0].task, considered[0].place
        statuses = Counter(row.status for row in rows if (row.task, row.place) == (task, place))
        working, left_out = statuses.pop("ok"), dict(statuses)
        qualified = [row for row in considered if all(each.met(row) for each in asked) and has(optimize, row)]
        choice = Choice(task, place, asked, optimize, considered, working, left_out, qualified)
        if not qualified:
            choice.misses = nearest_misses(choice)
        elif optimize:
            pick_winner(choice, optimize, compare)
        else:
            choice.front, choice.dominated = front(qualified, compare)
        choices.append(choice)
    return choices


def groups_of(
    rows: Sequence[Row], tasks: Sequence[str], requirements: Sequence[Requirement], optimize: Metric | None
) -> list[list[Row]]:
    """The rows of each task on each device that has the figures asked for: an emulated one has no times.

    Raises:
        EcgEdgeError: no device has such a figure.
    """
    found: list[list[Row]] = []
    for task in tasks:
        of_task = [row for row in rows if row.task == task]
        check_figures(of_task, requirements, optimize)
        groups = [[row for row in of_task if row.place == place] for place in dict.fromkeys(r.place for r in of_task)]
        found += [group for group in groups if optimize is None or any(has(optimize, row) for row in group)]
    return found


def settle(
    rows: Sequence[Row], requirements: Sequence[Requirement], optimize: Metric | None
) -> tuple[list[Row], list[str]]:
    """The rows that have the words required, and the tasks to decide on. A word that none has can be ruled out, too.

    Raises:
        EcgEdgeError: no row has such a word, or all of them; or the tasks cannot be settled, see ``tasks_of``.
    """
    words = [each for each in requirements if isinstance(each, Wanted)]
    for each in words:
        if each.field == "place":
            continue
        if each.field == "portability":
            check_portability(each, rows)
            continue
        known = sorted({str(word) for row in rows for word in FIELDS[each.field](row)} - {"None"})
        if each.operator == "==" and each.value not in known:
            raise unknown(each.field, each.value, known)
    places = sorted({row.place for row in rows})
    asked = [(each.metric, each.device) for each in requirements if isinstance(each, Limit) and each.device]
    asked += [(optimize, each.value) for each in words if optimize and each.field == "place"]
    for metric, place in asked:
        if place not in places:
            raise unknown("device", place, places)
        if metric.of_device and all(row.emulated for row in rows if row.place == place):
            raise EcgEdgeError(f"{place} is emulated: it has answers, and no {metric.name}", "name another device")
    left = [row for row in rows if all(each.met(row) for each in words)]
    if not left:
        is_asked = any(each.field == "portability" for each in words)
        alone = sum(bool(row.portable and row.portable.is_alone) for row in rows) if is_asked else 0
        told = f"no row is {' and '.join(each.text for each in words)}"
        told += f": only one way was tried for {alone} of the rows" * bool(alone)
        raise EcgEdgeError(told, "leave one of them out")
    return left, tasks_of(left, requirements, optimize)


def check_portability(asked: Wanted, rows: Sequence[Row]) -> None:
    """Raise EcgEdgeError for a verdict that no certificate has, or a run that has no certificates."""
    if asked.value not in (known := (PORTABLE, *VERDICTS, NOT_TRIED)):
        raise unknown(asked.field, asked.value, [*known])
    if not any(row.portable for row in rows):
        raise EcgEdgeError(f"{asked.text}: this run was not asked for it", "ecgedge matrix --portability tries it")


def tasks_of(rows: Sequence[Row], requirements: Iterable[Requirement], optimize: Metric | None) -> list[str]:
    """The tasks that are decided on: a metric that only one of them has settles it.

    Raises:
        EcgEdgeError: two are settled; or none, and a winner is wanted where there are models of both.
    """
    metrics = [each.metric for each in requirements if isinstance(each, Limit)] + ([optimize] if optimize else [])
    settled = {metric.task: metric.name for metric in metrics if metric.task}
    present = [task for task in TASKS if any(row.task == task for row in rows)]
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
    limits = [each for each in requirements if isinstance(each, Limit)]
    figures = [(limit.metric, [limit.figure(row) for row in rows]) for limit in limits]
    figures += [(optimize, [optimize.value(row) for row in rows])] if optimize else []
    for metric, values in figures:
        if all(value is None for value in values):
            known = [
                name for name, other in metrics_of(rows).items() if any(other.value(row) is not None for row in rows)
            ]
            raise EcgEdgeError(f"no row of this run has {metric.name}", f"choose from: {', '.join(known)}")


def pick_winner(choice: Choice, metric: Metric, compare: Compare) -> None:
    """Sort the qualified rows by the metric, equal ones by latency and size; compare the first with the others.

    What is unsteady in the metric comes last: a time that may be another machine's state wins against none.
    """
    by = (metric, *choice.criteria[-2:])
    winner, *others = choice.qualified = sorted(
        choice.qualified, key=lambda row: [metric.unsteady(row), *(each.order(row) for each in by)]
    )
    differences = [(row, compare(metric, winner, row)) for row in others]
    tied = [(row, found) for row, found in differences if found.tie]
    best, _ = front([winner, *(row for row, _ in tied)], compare)
    others_by = criteria(choice.qualified)
    for row, found in tied:
        results = {each: compare(each, row, winner).result for each in others_by}
        ahead, behind = ([each for each, word in results.items() if word == wanted] for wanted in ("better", "worse"))
        doubtful = [each for each, word in results.items() if word == UNSTEADY and each.order(row) > each.order(winner)]
        choice.ties.append(Tie(row, found, ahead, behind, doubtful, bool(ahead) and row in best))
    if differences:
        choice.against = differences[0][1]


def nearest_misses(choice: Choice) -> list[Miss]:
    """For each limit the row nearest to it that meets all the others; where none does, the nearest of all.

    A limit that every row meets has no miss. Of rows that are equally near it is the one that is better in
    the metric to optimize, or else in latency.
    """
    misses, limits = [], choice.limits()
    metric = choice.optimize or METRICS["latency_p50"]
    for limit in limits:
        failing = [row for row in choice.considered if not limit.met(row) and limit.figure(row) is not None]
        others = [row for row in failing if all(other.met(row) for other in limits if other is not limit)]
        if failing:
            nearest = min(
                others or failing, key=lambda row: (limit.gap(row), not has(metric, row) or metric.order(row))
            )
            misses.append(Miss(limit, nearest, bool(others)))
    return misses
