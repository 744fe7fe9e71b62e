"""What the user requires of a row: ``accuracy>=0.94``, ``latency_p50@pi4<=2ms``, ``format==tflite``."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from ecgedge.errors import EcgEdgeError, unknown
from ecgedge.evaluate.metric import Metric
from ecgedge.run.metrics import METRICS, find_metric, known_metric
from ecgedge.run.row import Row

EXPRESSION = re.compile(r"\s*([\w-]+)(?:@([\w-]+))?\s*(>=|<=|==|!=|=|>|<)\s*(\S.*?)\s*")
NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*)")
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": math.isclose,
}
FIELDS: dict[str, Callable[[Row], tuple[str | None, ...]]] = {  # the words that a row answers to
    "task": lambda row: (row.task,),
    "model": lambda row: (row.model,),
    "format": lambda row: (row.format,),
    "precision": lambda row: (row.precision,),
    "runtime": lambda row: (row.runtime,),
    "device": lambda row: (row.place, row.device),  # where it ran, and what of that its runtime uses
    "place": lambda row: (row.place,),
    "verdict": lambda row: (row.verdict.result if row.verdict else None,),
    "portability": lambda row: portability(row),
}
PORTABLE = "portable"  # exact or equivalent; a requirement of its own
EXAMPLE = 'such as "accuracy>=0.94", "size<=200KB", "latency_p50@pi4<=2ms" or "format==tflite"'


@dataclass(frozen=True)
class Limit:
    """A metric held against a value in the own unit of its kind.

    Attributes:
        device: whose figure it is, of the same form there; empty: the row's own.
        there: the row of the same form that works on that device, by the id of a row; see ``among``.
    """

    text: str
    metric: Metric
    operator: str
    value: float
    device: str = ""
    there: Mapping[str, Row] = field(default_factory=dict)

    def among(self, rows: Iterable[Row]) -> Limit:
        """The limit as it is held to rows of a run: one of another device by their forms there, where these work."""
        if not self.device:
            return self
        rows = [*rows]
        forms = {form_of(row): row for row in rows if row.place == self.device and row.status == "ok"}
        return replace(self, there={row.id: forms[form_of(row)] for row in rows if form_of(row) in forms})

    def figure(self, row: Row) -> float | None:
        """What is held against the value; None where it is not known."""
        asked = self.row(row)
        return self.metric.value(asked) if asked else None

    def row(self, row: Row) -> Row | None:
        """The row whose figure counts: itself, or its form on the device."""
        return self.there.get(row.id) if self.device else row

    def met(self, row: Row) -> bool:
        """By the figure itself; a row without it does not meet it."""
        found = self.figure(row)
        return found is not None and OPERATORS[self.operator](found, self.value)

    def told(self, row: Row) -> str:
        """The figure as people read it."""
        asked = self.row(row)
        return self.metric.told(asked) if asked else "-"

    def crossed(self, row: Row) -> bool:
        """Whether the limit lies within the figure's 95% interval: other beats or calls might tell otherwise.

        So it is with every limit on a figure that is unsteady.
        """
        asked = self.row(row)
        if asked is None:
            return False
        ends = self.metric.interval(asked)
        if self.metric.unsteady(asked):
            return True
        return ends is not None and self.operator != "==" and ends[0] < self.value < ends[1]

    def gap(self, row: Row) -> float:
        """How far the figure is from the limit; infinite without a figure."""
        found = self.figure(row)
        return math.inf if found is None else abs(found - self.value)


@dataclass(frozen=True)
class Wanted:
    """A word that a row says of itself, such as its format."""

    text: str
    field: str
    operator: str
    value: str

    def met(self, row: Row) -> bool:
        return (self.value in FIELDS[self.field](row)) == (self.operator == "==")


Requirement = Limit | Wanted


def portability(row: Row) -> tuple[str | None, ...]:
    """The verdict of its certificate; none that may be required where one way alone was tried."""
    if row.portable and row.portable.is_alone:
        return (None,)
    return row.portability, PORTABLE if row.portable and row.portable.is_portable else None


def form_of(row: Row) -> tuple[object, ...]:
    """What rows of one form have in common, whichever device they ran on."""
    return row.model, tuple(row.route), row.quantizer, row.format, row.precision, row.runtime


def parse_optimize(text: str, metrics: Mapping[str, Metric] = METRICS) -> tuple[Metric, Wanted | None]:
    """Read ``METRIC``, or ``METRIC@DEVICE``: the metric, and the requirement to be of that device.

    Raises:
        EcgEdgeError: there is no such metric.
    """
    name, at, device = text.partition("@")
    return find_metric(name, metrics), Wanted(f"place=={device}", "place", "==", device) if at else None


def parse_requirement(text: str, metrics: Mapping[str, Metric] = METRICS) -> Requirement:
    """Read ``METRIC OPERATOR VALUE UNIT``, with ``@DEVICE`` behind the metric or without, ``FIELD==WORD``, or
    ``portable``.

    Args:
        metrics: that there are, by name.

    Raises:
        EcgEdgeError: it is neither; the metric or the unit is unknown; a unit is missing.
    """
    if text.strip().lower() == PORTABLE:
        return Wanted(PORTABLE, "portability", "==", PORTABLE)
    found = EXPRESSION.fullmatch(text)
    if not found:
        raise EcgEdgeError(f"{text!r} is no requirement", EXAMPLE)
    name, device, sign, value = found.groups()
    sign = "==" if sign == "=" else sign
    is_number = NUMBER.fullmatch(value) and known_metric(name, metrics)  # precision is a word and, of alarms, a metric
    if (field := name.lower()) in FIELDS and not is_number:
        if device:
            raise EcgEdgeError(f"{text!r}: {field} is no figure of a device", f"METRIC@DEVICE, {EXAMPLE}")
        if sign not in ("==", "!="):
            raise EcgEdgeError(f"{text!r}: {field} is a word, not a number", f"{field}==WORD or {field}!=WORD")
        return Wanted(text.strip(), field, sign, value)
    if known_metric(name, metrics) is None:
        raise unknown("metric", name, [*metrics, *FIELDS])
    if sign not in OPERATORS:
        raise EcgEdgeError(f"{text!r}: {sign} is for words only", f"choose from: {', '.join(OPERATORS)}")
    metric = find_metric(name, metrics)
    return Limit(text.strip(), metric, sign, read_value(text, value, metric), device or "")


def read_value(text: str, value: str, metric: Metric) -> float:
    """A number and its unit, in the own unit of the metric's kind. Raises EcgEdgeError where they are not that."""
    units = {unit.casefold(): factor for unit, factor in metric.units.items()}
    listed = f"units of {metric.name}: {', '.join(unit or 'none' for unit in metric.units)}"
    found = NUMBER.fullmatch(value)
    if not found:
        raise EcgEdgeError(f"{text!r}: {value!r} is no number", EXAMPLE)
    number, unit = float(found[1]), found[2]
    if unit.casefold() not in units:
        raise EcgEdgeError(f"{text!r}: {f'unknown unit {unit!r}' if unit else f'{found[1]} of what?'}", listed)
    number *= units[unit.casefold()]
    if metric.kind == "share" and not 0 <= number <= 1:
        raise EcgEdgeError(f"{text!r}: {metric.name} is between 0 and 1", f"or between 0% and 100%; {listed}")
    return number
