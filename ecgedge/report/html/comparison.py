"""The page of two runs held against each other, cell by cell; in the design of a run's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecgedge.compare.figures import BETTER, CANNOT_TELL, WORSE, Verdict
from ecgedge.compare.metrics import STATUS
from ecgedge.compare.pairs import Comparison, Pair
from ecgedge.files import escape
from ecgedge.report.comparison import (
    FIGURES,
    Column,
    about,
    columns_of,
    legend_of_figures,
    remarks,
    summary,
    tolerance,
    verdict_on,
)
from ecgedge.report.html.page import page_of
from ecgedge.report.machines import machine_words
from ecgedge.report.table import TITLES

CLASSES = {BETTER: "better", WORSE: "worse"}  # of the style sheet
MOST_ROWS = 1000  # of a table; the worst first


@dataclass(frozen=True)
class Block:
    """The cells of one task."""

    title: str
    pairs: Sequence[Pair]
    columns: Sequence[Column]
    left_out: int

    def class_of(self, pair: Pair, column: Column) -> str:
        """How a cell of the table is shown."""
        result = pair.result if column.metric == STATUS else getattr(verdict_on(pair, column.metric), "result", "")
        return " ".join(filter(None, ["words" if column.words else "", CLASSES.get(result, "")]))


def render(comparison: Comparison) -> str:
    """One HTML page, which needs no other file."""
    runs = [("A", comparison.a), ("B", comparison.b)]
    return page_of(
        "compare.html",
        "",
        runs=[(name, run.folder, about(run), machine_words(run.about["machine"])) for name, run in runs],
        comparison=comparison,
        blocks=blocks(comparison),
        regressions=[(pair, found, allowed(comparison, found)) for pair, found in comparison.regressions],
        remarks=[line for line in remarks(comparison) if not line.startswith("regression: ")],
        legend=[*legend_of_figures(comparison)],
        summary=[*summary(comparison)],
        anchor=anchor,
    )


def blocks(comparison: Comparison) -> list[Block]:
    """A table a task, what is worse first; of too many cells the first."""
    order = {WORSE: 0, CANNOT_TELL: 1, BETTER: 2}
    found = []
    for task, names in FIGURES.items():
        pairs = sorted((p for p in comparison.pairs if p.a.task == task), key=lambda pair: order.get(pair.result, 3))
        if pairs:
            shown = pairs[:MOST_ROWS]
            left_out = len(pairs) - len(shown)
            found.append(Block(TITLES[task], shown, columns_of(comparison, shown, names), left_out))
    return found


def allowed(comparison: Comparison, found: Verdict) -> str:
    """How much worse a figure may be; empty where a cell has to work."""
    return "" if found.metric == STATUS else tolerance(comparison, found.metric)


def anchor(pair: Pair) -> str:
    """What a cell's line is called in the address of the page."""
    return f"row-{escape.file_name(pair.id, 255)}"
