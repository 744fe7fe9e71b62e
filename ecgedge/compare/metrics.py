"""What two runs are compared in, and how much worse each may become."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ecgedge.api.figures import Figure as Declared
from ecgedge.errors import EcgEdgeError
from ecgedge.evaluate.metric import Metric as Figure
from ecgedge.run.metrics import METRICS as FIGURES
from ecgedge.run.metrics import metric_of
from ecgedge.run.row import Row


@dataclass(frozen=True)
class Metric:
    """A figure of a cell, by its change.

    Attributes:
        unit: of the change: ``"%"`` (relative), ``"points"`` (of a share, in percent), or the figure's own, empty.
        tolerance: by how much it may become worse, in that unit, where the user says nothing.
        figure: of a row, by which it may be named too; None: of all classes.
    """

    name: str
    unit: str
    tolerance: float
    figure: Figure | None = None

    def better(self, change: float) -> bool:
        """Whether a change, not 0, is one for the better."""
        return change > 0 if self.figure is None else self.figure.better(change, 0)


STATUS = "status"  # compared in every cell, without a tolerance
PORTABILITY = "portability"  # likewise, where both runs were asked for certificates
CLASS_RECALL = Metric("class_recall", "points", 0.0)  # of all classes: no figure of a row
OF_FIGURES = [Metric(f.change.name, f.change.unit, f.change.tolerance, f) for f in FIGURES.values() if f.change]
METRICS = {metric.name: metric for metric in (*OF_FIGURES, CLASS_RECALL)}
NAMES = {metric.figure.name: name for name, metric in METRICS.items() if metric.figure}
AGAIN = {"%": 5.0, "points": 1.0}  # by which a figure of a runtime that is not exact may be worse, told once more


def with_declared(rows: Iterable[Row]) -> dict[str, Metric]:
    """The metrics by name, those that the runtimes of some rows declare behind ours; a name that is ours stays ours."""
    declared = {figure.name: figure for row in rows for figure in row.declared if figure.name not in FIGURES}
    others = {
        name: metric_of_runtime(each) for name, each in declared.items() if name not in (*METRICS, STATUS, PORTABILITY)
    }
    return METRICS | others


def metric_of_runtime(figure: Declared) -> Metric:
    """How two runs are compared in a figure that a runtime declares."""
    unit = "points" if figure.kind == "share" else "%"
    return Metric(figure.name, unit, 0.0 if figure.exact else AGAIN[unit], metric_of(figure))


def read_tolerances(given: Iterable[str], known: Mapping[str, Metric] = METRICS) -> dict[str, float]:
    """The tolerance of each metric, from texts such as ``latency=5%`` or ``accuracy=0.2``.

    A bare number has the metric's own unit, so a share meant as 0.05 and read as 0.05% is the stricter one.

    Args:
        known: the metrics that there are.

    Raises:
        EcgEdgeError: no such metric, no number, or a unit that is not the metric's.
    """
    tolerances = {name: metric.tolerance for name, metric in known.items()}
    for text in given:
        for part in text.split(","):
            word, _, amount = (word.strip() for word in part.partition("="))
            plain = word.lower().replace("-", "_")
            name = NAMES.get(plain, plain)
            if name not in known:
                raise EcgEdgeError(f"--tolerance {text}: no metric {word!r}", f"METRIC=VALUE, of {', '.join(known)}")
            tolerances[name] = read_amount(amount, known[name], text)
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
