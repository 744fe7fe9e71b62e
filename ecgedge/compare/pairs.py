"""The cells of two runs, matched, and the verdicts on each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecgedge.compare import quality
from ecgedge.compare.figures import (
    BETTER,
    CANNOT_TELL,
    SAME,
    WORSE,
    Verdict,
    of_latency,
    of_portability,
    of_quality,
    of_runtime,
    of_size,
    status,
)
from ecgedge.compare.metrics import STATUS, Metric, with_declared
from ecgedge.compare.quality import Beats
from ecgedge.compare.runs import Run, differences
from ecgedge.errors import EcgEdgeError
from ecgedge.run.row import Row


@dataclass(frozen=True)
class Pair:
    """A cell in both runs, or in A alone.

    Attributes:
        changed_decisions: beats that B decides otherwise, where the two are paired.
    """

    a: Row
    b: Row | None
    verdicts: tuple[Verdict, ...]
    changed_decisions: int | None = None

    @property
    def id(self) -> str:
        return self.a.id

    @property
    def result(self) -> str:
        """The worst of its verdicts; better only where nothing is worse."""
        found = {verdict.result for verdict in self.verdicts}
        return next(result for result in (WORSE, CANNOT_TELL, BETTER, SAME) if result in found)


@dataclass(frozen=True)
class Comparison:
    """Two runs, cell by cell.

    Attributes:
        pairs: in A's order, those that B lacks among them.
        only_b: the cells that A lacks.
        differences: what else is not the same, a line each.
        tolerances: of each metric, in its unit.
        metrics: that the two can be compared in, by name.
    """

    a: Run
    b: Run
    beats: Beats
    pairs: list[Pair]
    only_b: list[Row]
    differences: list[str]
    tolerances: dict[str, float]
    metrics: Mapping[str, Metric]

    @property
    def regressions(self) -> list[tuple[Pair, Verdict]]:
        return [(pair, verdict) for pair in self.pairs for verdict in pair.verdicts if verdict.regression]


def compare_runs(a: Run, b: Run, tolerances: Mapping[str, float], allow_missing: bool = False) -> Comparison:
    """Compare B with A.

    Args:
        tolerances: by how much each metric may become worse, in its unit; what is not among them: by its default.
        allow_missing: a cell that B lacks is no regression.

    Raises:
        EcgEdgeError: they have no cell in common, or what a run's folder holds cannot be read.
    """
    told = differences(a, b)
    known = {identity(row): row for row in b.rows}
    found = {identity(row) for row in a.rows}
    if not known.keys() & found:
        places = [sorted({row.place for row in run.rows}) for run in (a, b)]
        elsewhere = (
            f"A was measured on {', '.join(places[0])}, B on {', '.join(places[1])}: one run of both devices holds "
            "them against each other (ecgedge matrix --device)"
        )
        hint = next(
            (line for line in told if line.startswith(("threads", "command"))), "name two runs of the same cells"
        )
        raise EcgEdgeError(
            f"{a.folder} and {b.folder} have no cell in common",
            hint if {*places[0]} & {*places[1]} else elsewhere,
        )
    beats, metrics = quality.common_beats(a, b), metrics_of(a, b)
    allowed = {name: metric.tolerance for name, metric in metrics.items()} | dict(tolerances)
    pairs = []
    for row in a.rows:
        other = known.get(identity(row))
        if other is None:
            pairs.append(Pair(row, None, (missing(row, b, allow_missing),)))
        else:
            pairs.append(compare_cells(a, row, b, other, beats, metrics, allowed))
            told += passes_that_differ(row, other)
            told += [line for line in figures_that_differ(row, other) if line not in told]
    only_b = [row for row in b.rows if identity(row) not in found]
    return Comparison(a, b, beats, pairs, only_b, told, allowed, metrics)


def metrics_of(a: Run, b: Run) -> Mapping[str, Metric]:
    """The metrics that two runs can be compared in, those that their runtimes declare among them."""
    return with_declared([*b.rows, *a.rows])


def identity(row: Row) -> tuple[Any, ...]:
    """What makes a cell the same one in another run, on the same device. Its passes are not in it: they are told where
    they differ, since a new pass would else leave no cell to compare."""
    setup = row.setup
    assert setup is not None, "skipped rows are not compared"
    return row.model, tuple(row.route), row.quantizer, row.runtime, row.board, setup.batch, setup.threads


def passes_that_differ(a: Row, b: Row) -> list[str]:
    one, other = (row.file.passes if row.file else None for row in (a, b))
    if one is None or other is None or one == other:
        return []
    return [f"passes of {a.id}: {', '.join(one) or 'none'} in A, {', '.join(other) or 'none'} in B"]


def figures_that_differ(a: Row, b: Row) -> list[str]:
    """A line for each figure that the runtime declares in one of two rows alone."""
    if (a.status, b.status) != ("ok", "ok"):
        return []
    ours, theirs = ({figure.name for figure in row.declared} for row in (a, b))
    told = {name: "A" if name in ours else "B" for name in sorted(ours ^ theirs)}
    return [f"figure {name} of {a.runtime}: told in {run} alone" for name, run in told.items()]


def missing(row: Row, b: Run, allowed: bool) -> Verdict:
    """The verdict on a cell that B lacks."""
    text = f"not in B: {b.why_missing(row)}"
    return Verdict(STATUS, CANNOT_TELL if allowed else WORSE, text, regression=not allowed)


def compare_cells(
    a: Run,
    row: Row,
    b: Run,
    other: Row,
    beats: Beats,
    metrics: Mapping[str, Metric],
    tolerances: Mapping[str, float],
) -> Pair:
    """The verdicts on a cell that both runs have."""
    verdicts = [status(row, other)]
    if (row.status, other.status) != ("ok", "ok"):
        return Pair(row, other, tuple(verdicts))
    changed = None
    if row.task == other.task:
        found, changed = of_quality(a, row, b, other, beats, tolerances)
        verdicts += found
    if row.latency and other.latency:
        verdicts.append(of_latency(a, row, b, other, tolerances["latency"]))
    verdicts.append(of_size(row, other, tolerances["size"]))
    verdicts += of_portability(row, other)
    verdicts += of_runtime(row, other, metrics, tolerances)
    return Pair(row, other, tuple(verdicts), changed)
