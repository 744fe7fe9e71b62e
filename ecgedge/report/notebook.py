"""A run as a notebook shows it: its tables alone, without a style or a script of their own."""

from __future__ import annotations

from collections.abc import Sequence

from ecgedge.files import escape
from ecgedge.report.columns import Column, text_columns
from ecgedge.report.document import Report
from ecgedge.report.table import TITLES, legend, noise_lines, own, reasons, unsteady
from ecgedge.run.row import Row

MOST = 100  # rows of a table; a notebook keeps all that it shows


def as_html(report: Report, head: str) -> str:
    """A table for each task, what its columns mean, what did not work, and the noise.

    Every text is escaped, whoever wrote it.

    Args:
        head: what the run is, in one line.
    """
    rows = report.rows
    parts = [f"<p>{escape.html(head)}<br>{escape.html(report.run['data'])}</p>"]
    for task in TITLES:
        if of_task := [row for row in rows if row.task == task]:
            parts.append(table(report, of_task, text_columns(of_task, task, relative=report.relative)))
    parts.append(f"<p>{escape.html(legend(report))}</p>")
    lines = [*reasons(rows), *unsteady(rows), *own(rows), *noise_lines(report.noise).splitlines()]
    items = "".join(f"<li>{escape.html(escape.unstyle(line))}</li>" for line in lines)
    return "\n".join([*parts, f"<ul>{items}</ul>" if items else ""]).rstrip()


def table(report: Report, rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """The first ``MOST`` rows; the best values of each model are bold."""
    head = "".join(f"<th>{escape.html(column.head)}</th>" for column in columns)
    body = "\n".join(f"<tr>{''.join(cell(report, row, column) for column in columns)}</tr>" for row in rows[:MOST])
    more = f"<p>and {len(rows) - MOST:,} more</p>" if len(rows) > MOST else ""
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>{more}"


def cell(report: Report, row: Row, column: Column) -> str:
    text = escape.html(column.text(row))
    return f"<td><b>{text}</b></td>" if (row.id, column.metric) in report.best else f"<td>{text}</td>"
