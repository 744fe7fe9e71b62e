"""Cells in rows and columns, as text: what every table of a report is made of."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tabulate import DataRow, TableFormat, tabulate

from ecgedge.files import escape
from ecgedge.run.row import Row

if TYPE_CHECKING:
    from ecgedge.report.relative import Relative

WIDEST = 18  # characters of a cell in the terminal
NARROW = TableFormat(None, None, None, None, DataRow("", " ", ""), DataRow("", " ", ""), 0, None)
NESTED = (dict, list)  # not for a flat file; they stay in rows.jsonl


def table(names: list[str], cells: list[list[str]], words: int, markdown: bool) -> str:
    """Cells are escaped by whoever makes them: those of Markdown for it, others with ``escape.line``.

    Args:
        words: how many columns at the front are text.
    """
    align = ["left"] * words + ["right"] * (len(names) - words - 1) + ["left"]
    if markdown:
        return tabulate(cells, names, "github", colalign=align, disable_numparse=True)
    # The head as rows of the body: tabulate widens a head by two, and 120 columns are soon full.
    rule = [
        "-" * max(len(escape.unstyle(name)), *(len(escape.unstyle(row[i])) for row in cells))
        for i, name in enumerate(names)
    ]
    return tabulate([names, rule, *cells], (), NARROW, colalign=align, disable_numparse=True)


def cut(text: str) -> str:
    """At most ``WIDEST`` characters of what is printed: what users name may be long, and 120 columns are soon full."""
    text = escape.line(text)
    return text if len(text) <= WIDEST else text[: WIDEST - 2] + ".."


def as_csv(rows: Sequence[Row], more: Sequence[Mapping[str, str]] = ()) -> str:
    """Rows as CSV, without what is nested.

    Args:
        more: columns before the others, of each row.
    """
    found = [{**first, **row.flat} for first, row in zip(more or [{}] * len(rows), rows)]
    short = [{key: value for key, value in row.items() if not isinstance(value, NESTED)} for row in found]
    short = [one | {f"figures.{name}": value for name, value in row.figures.items()} for one, row in zip(short, rows)]
    safe = [{escape.csv_cell(key): escape.csv_cell(value) for key, value in row.items()} for row in short]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in safe for key in row)))
    writer.writeheader()
    writer.writerows(safe)
    return text.getvalue()


def relative_columns(rows: Sequence[Row], relative: Relative | None) -> list[dict[str, str]]:
    """The columns before the others that tell times against a reference; none where there is no reference."""
    if relative is None:
        return []
    found = [relative.ratios.get(row.id) for row in rows]
    return [
        {"relative_to": row.id if row.id in relative.references else (ratio and ratio.to) or "",
         "time_x": "1.0" if row.id in relative.references else str(ratio.ratio) if ratio else "",
         "time_x_result": ratio.result if ratio else ""}
        for row, ratio in zip(rows, found)
    ]  # fmt: skip


def spread(counts: Sequence[int]) -> str:
    """Of several counts the least and the most: ``3 to 5``, or ``3``."""
    least, most = min(counts), max(counts)
    return str(least) if least == most else f"{least} to {most}"
