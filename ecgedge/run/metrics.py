"""The metrics: the figures of a row by the names that users give them, in one list."""

from __future__ import annotations

import re

from ecgedge.errors import unknown
from ecgedge.evaluate.metric import UNITS, Metric, Shown
from ecgedge.run.row import facts


def rate(size: int) -> Metric:
    """Throughput at so many beats a call."""
    return Metric(f"throughput_{size}", f"throughput_{size}_per_s", "rate", higher=True)


LARGEST = Shown("beats/s", "throughput", "beats/s", digits=0, means="in the largest batch that was measured")
BULK = Metric("throughput", "throughput", "rate", higher=True, shown=LARGEST, largest=True)
OF_ROWS: list[Metric] = [fact.metadata["metric"] for fact in facts() if "metric" in fact.metadata]
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in sorted([*OF_ROWS, BULK, *map(rate, (1, 16, 64))], key=lambda metric: [*UNITS].index(metric.kind))
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
