"""Which rows no other beats by more than noise: the Pareto front, and the best values of each model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ecgedge.choose.differences import Compare, by_figures, noise
from ecgedge.evaluate.metric import Metric
from ecgedge.run.metrics import METRICS, QUALITY
from ecgedge.run.row import Row
from ecgedge.run.rows import UNSTEADY

ROUNDING = 1e-12  # of a limit that is made in another way


def has(metric: Metric | None, row: Row) -> bool:
    """Whether a row can be ranked by a metric, if there is one."""
    return metric is None or metric.value(row) is not None


def criteria(rows: Sequence[Row]) -> list[Metric]:
    """What makes one file better than another: quality and latency, where they are known of all rows, and size."""
    wanted = QUALITY[rows[0].task], METRICS["latency_p50"]
    return [metric for metric in wanted if all(has(metric, row) for row in rows)] + [METRICS["size"]]


def front(rows: Sequence[Row], compare: Compare) -> tuple[list[Row], dict[str, Row]]:
    """The rows that no other dominates, by latency; and of each other row, by id, one that dominates it.

    The heaviest rows are held against the rest first, and those that leave dominate nothing more: a circle
    of ties never empties the front.
    """
    metrics = criteria(rows)[::-1]  # the quickest to compare first
    latency, size = METRICS["latency_p50"], METRICS["size"]
    second = latency if latency in metrics else size
    by_size = sorted(rows, key=lambda row: (size.order(row), second.order(row)))
    times, left, dominated = Times(by_size), np.ones(len(by_size), dtype=bool), {}
    for place, row in reversed(list(enumerate(by_size))):
        rivals = (by_size[i] for i in np.flatnonzero(left & ~times.worse_than(place)))
        if by := dominator(row, rivals, metrics, compare):
            left[place] = False
            dominated[row.id] = by
    return sorted((by_size[i] for i in np.flatnonzero(left)), key=second.order), dominated


class Times:
    """The latencies of many rows at once: few pairs of thousands of rows have to be compared one by one."""

    def __init__(self, rows: Sequence[Row]):
        metric = METRICS["latency_p50"]
        ends = [metric.interval(row) or (np.inf, -np.inf) for row in rows]  # without one nothing overlaps
        self.value = np.array([metric.value(row) or np.nan for row in rows])  # nothing is slower than what is not timed
        self.low, self.high = np.array(ends).reshape(-1, 2).T
        self.floor = np.array([noise(row, row) for row in rows])
        self.unsteady = np.array([metric.unsteady(row) for row in rows])
        models = {model: number for number, model in enumerate(dict.fromkeys(row.model for row in rows))}
        self.model = np.array([models[row.model] for row in rows])

    def worse_than(self, place: int) -> np.ndarray:
        """Which rows of other models are slower than one by more than noise, as ``by_figures`` says; ``(N,)`` bool."""
        beyond = self.value[place] * (1 + np.maximum(self.floor, self.floor[place])) * (1 + ROUNDING)
        apart = (self.value > beyond) & (self.low > self.high[place])
        return apart & (self.model != self.model[place]) & ~self.unsteady & ~self.unsteady[place]


def dominator(row: Row, others: Iterable[Row], metrics: Sequence[Metric], compare: Compare) -> Row | None:
    """One of the others, the lightest first, that dominates a row. None: none does; a heavier one cannot."""
    size = METRICS["size"]
    for other in others:
        if size.order(other) > size.order(row):
            return None
        if dominates(other, row, metrics, compare):
            return other
    return None


def dominates(first: Row, second: Row, metrics: Iterable[Metric], compare: Compare) -> bool:
    """Whether the first row is better in one metric by more than noise, and in none worse by more than noise.

    Of two times of which one is unsteady nothing is known: they make no row better, and one that looks slower may be
    worse.
    """
    better = False
    for metric in metrics if first is not second else ():
        found = compare(metric, first, second)
        if found.result == "worse" or (found.result == UNSTEADY and metric.order(first) > metric.order(second)):
            return False
        better = better or found.result == "better"
    return better


def best_values(rows: Sequence[Row], metrics: Iterable[Metric], compare: Compare = by_figures) -> set[tuple[str, str]]:
    """``(id, metric name)`` of the best value of each model on each device, and of all that tie with it.

    Where nothing differs by more than noise there is no best one.
    """
    best = set()
    models: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.status == "ok":
            models.setdefault((row.model, row.place), []).append(row)
    for metric in metrics:
        for working in models.values():
            group = [row for row in working if has(metric, row) and not metric.unsteady(row)]
            if not group:
                continue
            top = min(group, key=metric.order)
            level = [row for row in group if row is top or compare(metric, top, row).tie]
            if len(level) < len(group):
                best |= {(row.id, metric.name) for row in level}
    return best
