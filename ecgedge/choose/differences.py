"""How two rows differ in one figure, and whether that is more than noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ecgedge.evaluate.metric import Metric
from ecgedge.run.row import Row
from ecgedge.run.rows import TIE, UNSTEADY


@dataclass(frozen=True)
class Difference:
    """How the first of two rows compares with the second.

    Attributes:
        result: ``better``, ``worse``, ``tie``: within noise, ``same``: without any difference, or ``unsteady``: the
            machine changed its speed too often to tell.
        why: what that rests on, with its figures.
    """

    result: str
    why: str

    @property
    def tie(self) -> bool:
        """Whether the two cannot be told apart."""
        return self.result in ("tie", "same", UNSTEADY)

    @property
    def text(self) -> str:
        """One line, of the first row."""
        words = {"tie": "a tie: within noise", "same": "a tie: the same", UNSTEADY: "cannot be told: unsteady"}
        return f"{words.get(self.result, self.result)} ({self.why})"

    def as_data(self) -> dict[str, Any]:
        return {"result": self.result, "why": self.why}


Compare = Callable[[Metric, Row, Row], Difference]


def by_figures(metric: Metric, first: Row, second: Row) -> Difference:
    """From the two rows alone, which both have the figure.

    A tie is: for a size, the same; for any other figure with intervals, where these overlap; for times,
    rates and memory, also what is closer than the noise floor of either model, or than ``TIE``.
    A time of a row that is unsteady says nothing. Of times by two clocks it is said that they are.
    Scores without an interval tie only where they are the same, and then nothing is known of the noise.
    """
    found = from_figures(metric, first, second)
    if (metric.timed or metric.kind == "rate") and first.timed_by != second.timed_by:
        clocks = " and ".join(row.clock or f"that of {row.board or 'this machine'}" for row in (first, second))
        return replace(found, why=f"{found.why}; by two clocks, {clocks}")
    return found


def from_figures(metric: Metric, first: Row, second: Row) -> Difference:
    """As ``by_figures``, whatever the clocks."""
    here, there = metric.value(first), metric.value(second)
    assert here is not None and there is not None
    if odd := [row for row in (first, second) if metric.unsteady(row)]:
        return Difference(UNSTEADY, f"{' and '.join(map(quick_blocks, odd))} in the machine's usual quick state")
    result = "better" if metric.better(here, there) else "worse"
    if metric.exact or here == there:
        return Difference("same", "equal figures") if here == there else Difference(result, "an exact figure")
    if metric.kind not in ("share", "number"):
        floor = noise(first, second)
        ratio = max(here, there) / min(here, there) if min(here, there) > 0 else math.inf
        if ratio <= 1 + floor:
            return Difference("tie", f"{ratio - 1:.1%} apart, below the noise of {floor:.1%}")
    ends = metric.interval(first), metric.interval(second)
    if ends[0] is None or ends[1] is None:
        return Difference(result, "by the figures alone: no interval is known")
    if ends[0][0] <= ends[1][1] and ends[1][0] <= ends[0][1]:
        return Difference("tie", "the 95% intervals overlap")
    return Difference(result, "the 95% intervals are apart")


def quick_blocks(row: Row) -> str:
    """How many of a row's blocks were timed in the machine's usual quick state."""
    return f"{row.id} has {row.times.blocks_quick} of {row.times.blocks} blocks"


def noise(first: Row, second: Row) -> float:
    """How far apart, relatively, two times may be and still tie: the larger noise floor, ``TIE`` at least."""
    return max(TIE, *((row.latency and row.latency.noise_floor) or 0.0 for row in (first, second)))
