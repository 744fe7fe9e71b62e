"""A comparison as a table, as Markdown, and as data for JSON."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from ecgedge.compare.figures import BETTER, CANNOT_TELL, SAME, WORSE, Verdict
from ecgedge.compare.metrics import PORTABILITY, STATUS
from ecgedge.compare.pairs import Comparison, Pair
from ecgedge.compare.runs import Run
from ecgedge.errors import counted
from ecgedge.files import escape
from ecgedge.report import columns as of_rows
from ecgedge.report.columns import IDENTITY, PLACE, ROUTE, rivals, several_places
from ecgedge.report.grid import cut, table
from ecgedge.report.table import NOISY, TITLES, TOO_NOISY
from ecgedge.run.rows import timed_words

FORMS = {
    "accuracy": "+.2f",
    "exact_match": "+.2f",
    "macro_auroc": "+.4f",
    "class_recall": "+.1f",
    "auroc": "+.4f",
    "latency": "+.1f",
    "size": "+.2g",
}
HEADS = {"class_recall": "recall", "auroc": "AUROC", "macro_auroc": "mAUROC", "exact_match": "exact"}
MARKS = {SAME: "", BETTER: " better", WORSE: " worse", CANNOT_TELL: " ?"}
FIGURES = {
    "classification": ("accuracy", "class_recall"), "multilabel": ("macro_auroc", "exact_match", "class_recall"),
    "anomaly": ("accuracy", "auroc"),
}  # fmt: skip
LEGEND = (
    "B against A: accuracy and recall of a class in points, AUROC as it is, latency (p50) and size in %; a figure\n"
    "without a word is the same; changed: beats that B decides otherwise; [interval]: 95% of latency; floor: what\n"
    "noise may do to it, in %; ?: cannot be told"
)
COLOURS = {"regression": "red", CANNOT_TELL: "yellow"}  # of the first word of a line, on a terminal
OF_RUNTIMES = "+.3g"  # of figures that runtimes declare


def render(comparison: Comparison, markdown: bool = False) -> str:
    """The two runs and in what they differ; one table a task; below it what is worse or cannot be told, and why."""
    shown = escape.markdown if markdown else escape.line
    blocks = ["\n".join(map(shown, heading(comparison)))]
    for task, names in FIGURES.items():
        if pairs := [pair for pair in comparison.pairs if pair.a.task == task]:
            columns = columns_of(comparison, pairs, names)
            blocks += [f"## {TITLES[task]}" if markdown else TITLES[task], pairs_table(pairs, columns, markdown)]
    blocks.append("\n".join([LEGEND, *map(shown, legend_of_figures(comparison))]))
    if notes := [*remarks(comparison)]:
        blocks.append("\n".join(map(shown if markdown else coloured, notes)))
    blocks.append("\n".join(map(shown, summary(comparison))))
    return "\n\n".join(blocks)


def coloured(note: str) -> str:
    """A line whose first word says by its colour how bad it is."""
    word, colon, rest = note.partition(":")
    colour = COLOURS.get(word)
    return escape.style(word, colour) + escape.line(colon + rest) if colour else escape.line(note)


def markdown(comparison: Comparison) -> str:
    """The same as a page."""
    return f"# ecgedge compare\n\n{render(comparison, markdown=True)}\n"


def heading(comparison: Comparison) -> Iterator[str]:
    for name, run in (("A", comparison.a), ("B", comparison.b)):
        yield f"{name}: {run.folder} ({about(run)})"
    yield from (f"differs: {line}" for line in comparison.differences)
    yield f"quality: {comparison.beats.why}"


def about(run: Run) -> str:
    found = run.about
    return f"{found['started']}, {found['data_source']}, {found['beats']:,} beats, profile {found['profile']}"


def told_by_runtimes(comparison: Comparison, pairs: Sequence[Pair]) -> list[str]:
    """The figures, of those that runtimes declare, on which there is a verdict in some of these cells."""
    judged = {verdict.metric for pair in pairs for verdict in pair.verdicts}
    return [
        name for name, metric in comparison.metrics.items()
        if name in judged and metric.figure and metric.figure.of_runtime
    ]  # fmt: skip


def legend_of_figures(comparison: Comparison) -> Iterator[str]:
    """A line for each of them: what its column is in."""
    for name in told_by_runtimes(comparison, comparison.pairs):
        figure = comparison.metrics[name].figure
        assert figure and figure.shown
        better = "higher" if figure.higher else "lower"
        means = f": {figure.shown.means}" if figure.shown.means else ""
        yield f"{name}: in {comparison.metrics[name].unit}, {better} is better{means}"


@dataclass(frozen=True)
class Column:
    """What a column of the table of cells shows.

    Attributes:
        show: its text.
        metric: whose verdict it tells; ``STATUS``: that on the whole cell; empty: none.
        unit, means: below its head and for who hovers, on the page.
        words: whether it is text.
    """

    head: str
    show: Callable[[Pair], str]
    metric: str = ""
    unit: str = ""
    means: str = ""
    words: bool = False

    def key(self, pair: Pair) -> float | str | None:
        """By which the page sorts: the change in the metric, else the text."""
        if self.words:
            return self.show(pair)
        found = verdict_on(pair, self.metric)
        return found.change if found else None


def columns_of(comparison: Comparison, pairs: Sequence[Pair], figures: Sequence[str]) -> list[Column]:
    """The columns of the table of one task's cells; the first ones say which cell it is."""
    rows = [pair.a for pair in pairs]
    identity = [*IDENTITY, *([PLACE] if several_places(rows) else []), *([ROUTE] if rivals(rows) else [])]
    units = {name: metric.unit for name, metric in comparison.metrics.items()}

    def who(column: of_rows.Column) -> Column:
        return Column(column.head, lambda pair: column.text(pair.a), words=True)

    def told(name: str) -> Column:
        return Column(HEADS.get(name, name), changed(name), name, units.get(name, ""))

    return [
        *map(who, identity),
        *map(told, figures),
        Column("changed", lambda pair: "-" if pair.changed_decisions is None else str(pair.changed_decisions),
               means="beats that B decides otherwise"),
        told("latency"),
        Column("[interval]", interval, means="95% interval of the change of latency, in %"),
        Column("floor", lambda pair: amount_of(pair, "floor"), means="what noise may do to latency, in %"),
        told("size"),
        *map(told, told_by_runtimes(comparison, pairs)),
        *([told(PORTABILITY)] if any(verdict_on(pair, PORTABILITY) for pair in pairs) else []),
        Column("verdict", lambda pair: pair.result if pair.b else "missing", STATUS, words=True),
    ]  # fmt: skip


def pairs_table(pairs: Sequence[Pair], columns: Sequence[Column], markdown: bool) -> str:
    cells = [[column.show(pair) for column in columns] for pair in pairs]
    cells = [[escape.markdown(cell, starts=False) if markdown else cut(cell) for cell in row] for row in cells]
    words = [column.words for column in columns].index(False)
    return table([column.head for column in columns], cells, words, markdown)


def verdict_on(pair: Pair, metric: str) -> Verdict | None:
    return next((verdict for verdict in pair.verdicts if verdict.metric == metric), None)


def changed(metric: str) -> Callable[[Pair], str]:
    """A column: the change, and a word where it is one."""

    def show(pair: Pair) -> str:
        found = verdict_on(pair, metric)
        if found is None:
            return "-"
        if found.change is None:
            return found.result if found.result != CANNOT_TELL else "?"
        text = format(found.change, FORMS.get(metric, OF_RUNTIMES)) if found.change else "0"
        return text + MARKS[found.result]

    return show


def interval(pair: Pair) -> str:
    found = verdict_on(pair, "latency")
    return "-" if found is None or found.low is None else f"[{found.low:+.1f}, {found.high:+.1f}]"


def amount_of(pair: Pair, field: str) -> str:
    found = verdict_on(pair, "latency")
    value = getattr(found, field) if found else None
    return "-" if value is None else f"{value:.1f}"


def remarks(comparison: Comparison) -> Iterator[str]:
    """A line for whatever is new, noisy, cannot be told, works again, or is worse; the regressions last."""
    yield from (f"only in B: {row.id} ({row.status})" for row in comparison.only_b)
    for name, run in (("A", comparison.a), ("B", comparison.b)):
        yield from (
            f"noise: {timed_words(model, by)} in {name}: floor {floor:.1%}{TOO_NOISY}"
            for (model, by), floor in run.floors.items()
            if floor > NOISY
        )
    for pair in comparison.pairs:
        for found in pair.verdicts:
            if found.metric == PORTABILITY and found.result not in (SAME, CANNOT_TELL) and not found.regression:
                yield f"{found.result}: {pair.id}: {found.text}"
            elif found.result == WORSE and not found.regression:
                yield f"tolerated: {pair.id}: {found.text}; tolerance {tolerance(comparison, found.metric)}"
            elif found.result == CANNOT_TELL or (found.metric == STATUS and found.result == BETTER):
                yield f"{found.result}: {pair.id}: {found.text}"
    for pair, found in comparison.regressions:
        allowed = "" if found.metric in (STATUS, PORTABILITY) else f"; tolerance {tolerance(comparison, found.metric)}"
        yield f"regression: {pair.id}: {found.text}{allowed}"


def tolerance(comparison: Comparison, metric: str) -> str:
    unit = comparison.metrics[metric].unit
    return f"{comparison.tolerances[metric]:g}{'' if unit in ('', '%') else ' '}{unit}"


def summary(comparison: Comparison) -> Iterator[str]:
    ratios = [v.change for pair in comparison.pairs if (v := verdict_on(pair, "latency")) and v.change is not None]
    if ratios:
        yield f"latency of all cells: {median(ratios):+.1f}% in the median; two runs at two times are not paired"
    counts = Counter(pair.result for pair in comparison.pairs)
    told = ", ".join(f"{counts[result]} {result}" for result in (SAME, BETTER, WORSE, CANNOT_TELL) if counts[result])
    tasks = {pair.a.task for pair in comparison.pairs}
    known = [name for name, metric in comparison.metrics.items()
             if not metric.figure or metric.figure.task is None or metric.figure.task in tasks]  # fmt: skip
    allowed = ", ".join(f"{name} {tolerance(comparison, name)}" for name in known)
    found = len(comparison.regressions)
    yield f"{counted(len(comparison.pairs), 'cell')}: {told}"
    yield f"{counted(found, 'regression') if found else 'no regressions'} beyond tolerance ({allowed})"


def as_data(comparison: Comparison) -> dict[str, Any]:
    """All of it, fit for JSON."""
    return {
        "a": str(comparison.a.folder),
        "b": str(comparison.b.folder),
        "differences": comparison.differences,
        "paired": comparison.beats.paired,
        "quality": comparison.beats.why,
        "tolerances": comparison.tolerances,
        "regressions": len(comparison.regressions),
        "cells": [
            {
                "id": pair.id,
                "model": pair.a.model,
                "format": pair.a.format,
                "precision": pair.a.precision,
                "runtime": pair.a.runtime,
                "device": pair.a.place,
                "in_b": pair.b is not None,
                "result": pair.result,
                "changed_decisions": pair.changed_decisions,
                "verdicts": [dataclasses.asdict(verdict) for verdict in pair.verdicts],
            }
            for pair in comparison.pairs
        ],
        "only_in_b": [row.id for row in comparison.only_b],
    }
