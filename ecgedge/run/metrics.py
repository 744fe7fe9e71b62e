"""The metrics: the figures of a row by the names that users give them, in one list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ecgedge.api.figures import UNITS, Figure
from ecgedge.errors import unknown
from ecgedge.evaluate.metric import Metric, Shown
from ecgedge.run.row import Row, facts


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
QUALITY = {
    "classification": METRICS["accuracy"], "multilabel": METRICS["macro_auroc"], "anomaly": METRICS["auroc"],
}  # fmt: skip


def metric_of(figure: Figure) -> Metric:
    """A figure of a runtime as a metric like any other."""
    own = figure.unit if figure.kind == "number" else ""
    return Metric(
        figure.name,
        figure.name,
        figure.kind,
        higher=figure.better == "higher",
        scale=figure.scale,
        exact=figure.exact,
        shown=Shown(figure.name, figure.name.replace("_", " "), figure.unit, 1 / figure.scale, means=figure.help),
        unit=own,
        of_runtime=True,
    )


def with_figures(figures: Iterable[Figure]) -> dict[str, Metric]:
    """The metrics by name, those that runtimes declare behind the others; one that is ours stays ours."""
    return {figure.name: metric_of(figure) for figure in figures} | METRICS if figures else METRICS


def metrics_of(rows: Iterable[Row]) -> dict[str, Metric]:
    """The metrics that there are for some rows."""
    return with_figures({figure.name: figure for row in rows for figure in row.declared}.values())


def known_metric(name: str, known: Mapping[str, Metric] = METRICS) -> Metric | None:
    """A metric by its name, in any case, ``-`` or ``_``; ``throughput_N`` is one for each N. None: there is none."""
    plain = name.strip().lower().replace("-", "_")
    if size := re.fullmatch(r"throughput_([1-9]\d*)", plain):
        return known.get(plain) or rate(int(size[1]))
    return known.get(plain)


def find_metric(name: str, known: Mapping[str, Metric] = METRICS) -> Metric:
    """As ``known_metric``. Raises EcgEdgeError where there is none: lists all."""
    if (metric := known_metric(name, known)) is None:
        raise unknown("metric", name, list(known))
    return metric
