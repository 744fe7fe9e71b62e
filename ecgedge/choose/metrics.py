"""The figures of a row by the names that users give them: unit, direction, interval."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ecgedge.errors import unknown

Row = dict[str, Any]

UNITS: dict[str, dict[str, float]] = {  # of each kind of figure: in shares, bytes, microseconds, beats/s, microjoules
    "share": {"": 1, "%": 0.01},
    "bytes": {"B": 1, "KB": 1e3, "KiB": 2**10, "MB": 1e6, "MiB": 2**20, "GB": 1e9, "GiB": 2**30},
    "time": {"ns": 1e-3, "us": 1, "µs": 1, "ms": 1e3, "s": 1e6},
    "rate": {"": 1, "/s": 1, "beats/s": 1},
    "energy": {"nJ": 1e-3, "uJ": 1, "µJ": 1, "mJ": 1e3, "J": 1e6},
}
SHOWN: dict[str, list[tuple[float, str, int]]] = {  # from which value on, in which unit, with how many decimals
    "share": [(1, "", 4)],
    "bytes": [(1e6, " MB", 2), (1e3, " kB", 1)],
    "time": [(1e6, " s", 2), (1e3, " ms", 2), (1, " us", 1)],
    "rate": [(1, " beats/s", 0)],
    "energy": [(1e6, " J", 2), (1e3, " mJ", 2), (1, " uJ", 1)],
}
TASKS = ("classification", "anomaly")


@dataclass(frozen=True)
class Metric:
    """One figure of a row.

    Attributes:
        name: as users write it.
        key: of the row, without its unit; ``unit`` is the ending of the key.
        kind: of ``UNITS``.
        higher: whether more is better.
        scale: from the row's figure to the kind's own unit.
        task: the only one that has it; None: both.
        exact: measuring it again gives the same.
        timed: it is from the timed blocks, and is unsteady where these are.
    """

    name: str
    key: str
    kind: str
    higher: bool = False
    unit: str = ""
    scale: float = 1
    task: str | None = None
    exact: bool = False
    timed: bool = False

    def unsteady(self, row: Row) -> bool:
        """Whether the machine changed its speed so often that a row's figure is none to decide by."""
        return self.timed and bool(row.get("unsteady"))

    def value(self, row: Row) -> float | None:
        """The figure in the kind's own unit; None where the row has none."""
        return self.read(row, self.key + self.unit)

    def interval(self, row: Row) -> tuple[float, float] | None:
        """Its 95% interval; None where the row has none."""
        low, high = (self.read(row, f"{self.key}_{end}{self.unit}") for end in ("low", "high"))
        return None if low is None or high is None else (low, high)

    def read(self, row: Row, key: str) -> float | None:
        found = row.get(key)
        return found * self.scale if isinstance(found, int | float) else None

    def better(self, first: float, second: float) -> bool:
        """Whether the first of two values is the better one."""
        return first > second if self.higher else first < second

    def order(self, row: Row) -> float:
        """A key to sort rows by, the best first. The row has the figure."""
        value = self.value(row)
        assert value is not None, f"{row['id']} has no {self.name}"
        return -value if self.higher else value

    def show(self, value: float, *ends: float) -> str:
        """A value and perhaps the ends of its interval, in a unit that suits the value."""
        least, unit, digits = next((step for step in SHOWN[self.kind] if value >= step[0]), SHOWN[self.kind][-1])
        first, *others = (f"{each / least:.{digits}f}" for each in (value, *ends))
        return first + (f" [{', '.join(others)}]" if others else "") + unit

    def told(self, row: Row) -> str:
        """The row's figure with its interval where there is one, and its unit; a question mark where it is unsteady."""
        value = self.value(row)
        mark = " ?" if self.unsteady(row) else ""
        return "-" if value is None else self.show(value, *(self.interval(row) or ())) + mark


class Bulk(Metric):
    """Throughput in the largest batch that was measured, as the table shows it."""

    def value(self, row: Row) -> float | None:
        sizes = [int(key.split("_")[1]) for key in row if key.startswith("throughput_")]
        return self.read(row, f"throughput_{max(sizes)}_per_s") if sizes else None


def score(name: str, task: str, key: str = "") -> Metric:
    return Metric(name, key or name, "share", higher=True, task=task)


def time(name: str, key: str = "", unit: str = "_us", scale: float = 1, timed: bool = True) -> Metric:
    return Metric(name, key or name, "time", unit=unit, scale=scale, timed=timed)


def rate(size: int) -> Metric:
    """Throughput at so many beats a call."""
    return Metric(f"throughput_{size}", f"throughput_{size}", "rate", higher=True, unit="_per_s")


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        score("accuracy", "classification"),
        score("macro_f1", "classification"),
        score("auroc", "anomaly"),
        score("auprc", "anomaly"),
        score("f1", "anomaly"),
        score("precision", "anomaly", "anomaly_precision"),
        score("recall", "anomaly", "anomaly_recall"),
        time("latency_p50"),
        time("latency_p90"),
        time("latency_p95"),
        time("latency_p99"),
        time("host_p50"),
        time("load_time", "load", "_ms", 1e3, timed=False),
        time("first_call", timed=False),
        Bulk("throughput", "throughput", "rate", higher=True),
        *map(rate, (1, 16, 64)),
        Metric("size", "size", "bytes", unit="_bytes", exact=True),
        Metric("memory", "memory", "bytes", unit="_kb", scale=1024),
        Metric("device_memory", "device_memory", "bytes", unit="_kb", scale=1024),
        Metric("energy", "energy", "energy", unit="_uj_per_beat", timed=True),
    )
}
QUALITY = {"classification": METRICS["accuracy"], "anomaly": METRICS["auroc"]}


def known_metric(name: str) -> Metric | None:
    """A metric by its name, in any case, ``-`` or ``_``; ``throughput_N`` is one for each N. None: there is none."""
    plain = name.strip().lower().replace("-", "_")
    if size := re.fullmatch(r"throughput_([1-9]\d*)", plain):
        return METRICS.get(plain) or rate(int(size[1]))
    return METRICS.get(plain)


def find_metric(name: str) -> Metric:
    """As ``known_metric``. Raises EcgEdgeError where there is none: lists all."""
    if (metric := known_metric(name)) is None:
        raise unknown("metric", name, list(METRICS))
    return metric
