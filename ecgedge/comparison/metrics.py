"""What two runs are compared in, and how much worse each may become."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ecgedge.errors import EcgEdgeError


@dataclass(frozen=True)
class Metric:
    """A figure of a cell, by its change.

    Attributes:
        unit: of the change: ``"%"`` (relative), ``"points"`` (of a share, in percent), or the figure's own, empty.
        tolerance: by how much it may become worse, in that unit, where the user says nothing.
    """

    name: str
    unit: str
    tolerance: float


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "points", 0.0),
        Metric("class_recall", "points", 0.0),
        Metric("auroc", "", 0.0),
        Metric("latency", "%", 5.0),
        Metric("size", "%", 1.0),
    )
}
ALIASES = {"latency_p50": "latency"}  # as the rows call it


def read_tolerances(given: Iterable[str]) -> dict[str, float]:
    """The tolerance of each metric, from texts such as ``latency=5%`` or ``accuracy=0.2``.

    A bare number has the metric's own unit, so a share meant as 0.05 and read as 0.05% is the stricter one.

    Raises:
        EcgEdgeError: no such metric, no number, or a unit that is not the metric's.
    """
    tolerances = {name: metric.tolerance for name, metric in METRICS.items()}
    for text in given:
        for part in text.split(","):
            word, _, amount = (word.strip() for word in part.partition("="))
            plain = word.lower().replace("-", "_")
            name = ALIASES.get(plain, plain)
            if name not in METRICS:
                raise EcgEdgeError(f"--tolerance {text}: no metric {word!r}", f"METRIC=VALUE, of {', '.join(METRICS)}")
            tolerances[name] = read_amount(amount, METRICS[name], text)
    return tolerances


def read_amount(amount: str, metric: Metric, text: str) -> float:
    try:
        value = float(amount.removesuffix("%") if metric.unit else amount)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        examples = {"%": "5%", "points": "0.2 (points)", "": "0.002"}
        hint = f"a number from 0 up, such as {metric.name}={examples[metric.unit]}"
        raise EcgEdgeError(f"--tolerance {text}: not a tolerance of {metric.name}", hint)
    return value
