"""A sweep as text: a table for the terminal and for Markdown, CSV of each form on each data set, JSON."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict

from ecgedge.files import escape
from ecgedge.report.grid import cut, table
from ecgedge.report.swept import SweepReport, notes
from ecgedge.report.table import TITLES
from ecgedge.sweep.statistics import Line

NOTHING = "-"
WIDEST = 34  # characters of a form's name in a terminal
COLUMNS = ("model", "form", "rank", "first in", "mean", "sd seeds", "sd data", "change", "kB", "ok", "p")


def terminal(report: SweepReport) -> str:
    """The table of each task, and what is worth knowing beside it."""
    return "\n".join([*told(report, markdown=False), ""])


def markdown(report: SweepReport) -> str:
    about = report.about
    lines = [
        "# ecgedge sweep",
        "",
        *(f"- data: {escape.markdown(each['data'])}" for each in about["data"]),
        f"- seeds: {', '.join(map(str, about['seeds']))}",
        f"- command: {escape.markdown_code(about['command'])}",
        "",
        *told(report, markdown=True),
    ]
    return "\n".join(lines) + "\n"


def told(report: SweepReport, markdown: bool) -> list[str]:
    lines: list[str] = []
    safe = escape.markdown if markdown else escape.line
    for ranking in report.rankings:
        lines += [f"{'## ' if markdown else ''}{TITLES[ranking.task]}, {ranking.metric}", ""]
        cells = [cells_of(line, markdown) for line in ranking.lines]
        lines += [table([*COLUMNS], cells, 2, markdown), "", *(safe(text) for text in notes(ranking)), ""]
    troubles = report.summary.troubles()
    if troubles:
        lines += [f"{'## ' if markdown else ''}What failed", ""]
        for status, form, stage, reason, count, data in troubles:
            where = ", ".join(data[:3]) + (f" and {len(data) - 3} more" if len(data) > 3 else "")
            lines.append(safe(f"{'- ' if markdown else ''}{status} {form} at {stage}, {count} x ({where}): {reason}"))
        lines.append("")
    if skips := report.about["skips"]:
        lines += [safe(f"skipped: {each['model']} {each['format']} on {each['runtime']}: {each['reason']}")
                  for each in skips]  # fmt: skip
        lines.append("")
    if report.missing > 0:
        lines += [f"{report.missing:,} of {report.planned:,} cells are missing yet", ""]
    return lines[:-1] if lines else ["nothing was made yet"]


def cells_of(line: Line, markdown: bool) -> list[str]:
    """The cells of a form."""
    safe = escape.markdown if markdown else cut
    return [
        safe(line.form.model),
        escape.markdown(line.words) if markdown else wide(line.words),
        number(line.rank, 2),
        str(line.wins),
        number(line.mean, 4),
        number(line.seed_sd, 4),
        number(line.data_sd, 4),
        signed(line.change),
        number(line.size_bytes and line.size_bytes / 1e3, 1),
        f"{line.ok}/{line.tried}",
        number(line.p, 3),
    ]


def wide(text: str) -> str:
    """The name of a form, as far as a terminal has room."""
    text = escape.line(text)
    return text if len(text) <= WIDEST else text[: WIDEST - 2] + ".."


def number(value: float | None, digits: int) -> str:
    return NOTHING if value is None else f"{value:,.{digits}f}"


def signed(value: float | None) -> str:
    return NOTHING if value is None else f"{value:+.4f}"


def flat(report: SweepReport) -> str:
    """A line for each form on each data set."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    names = "task dataset model format precision runtime id metric seeds mean sd least most"
    writer.writerow(names.split())
    for ranking in report.rankings:
        for line in ranking.lines:
            form = line.form
            for name, spread in line.by_data.items():
                words = [ranking.task, name, form.model, form.format, form.precision, form.runtime, form.id]
                told = [ranking.metric, spread.count, spread.mean, spread.sd, spread.least, spread.most]
                writer.writerow([escape.csv_cell(word) for word in [*words, *told]])
    return text.getvalue()


def whole(report: SweepReport) -> str:
    """All of it as one JSON document, the rows aside."""
    rankings = [asdict(ranking) | {"metric": ranking.metric} for ranking in report.rankings]
    names = ("status", "form", "stage", "reason", "cells", "datasets")
    troubles = [dict(zip(names, trouble, strict=True)) for trouble in report.summary.troubles()]
    found = {"sweep": dict(report.about), "rankings": rankings, "troubles": troubles, "missing": report.missing}
    return json.dumps(found, indent=1, allow_nan=False) + "\n"


def page(report: SweepReport) -> str:
    from ecgedge.report.html.sweep import render  # its templates

    return render(report)


FORMATS = {"table": terminal, "md": markdown, "csv": flat, "json": whole, "html": page}
FILES = {"sweep.md": markdown, "sweep.csv": flat, "summary.json": whole, "sweep.html": page}
