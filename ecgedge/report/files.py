"""Rows as CSV and Markdown beside ``rows.jsonl``."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgedge.report.table import Row, render

NESTED = (dict, list)  # not for a flat file; they stay in rows.jsonl


def write_files(rows: Sequence[Row], run: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write ``report.csv`` and ``report.md``; returns their paths."""
    flat = [{key: value for key, value in row.items() if not isinstance(value, NESTED)} for row in rows]
    names = list(dict.fromkeys(key for row in flat for key in row))
    table = folder / "report.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(flat)
    page = folder / "report.md"
    page.write_text(markdown(rows, run), encoding="utf-8")
    return [table, page]


def markdown(rows: Sequence[Row], run: Mapping[str, Any]) -> str:
    lines = [
        "# ecgedge matrix",
        "",
        f"- data: {run['data']}",
        f"- scored: {run['beats']:,} test beats, profile {run['profile']}",
        f"- machine: {run['machine']['cpu']}, {run['machine']['cores']} cores, {run['machine']['system']}",
        f"- versions: {', '.join(f'{name} {version}' for name, version in run['versions'].items())}",
        f"- command: `{run['command']}`",
        "",
        render(rows, markdown=True),
    ]
    if changed := changed_decisions(rows):
        lines += ["", "## fp32 decisions that differ from the trained model", "", *changed]
    return "\n".join(lines) + "\n"


def changed_decisions(rows: Sequence[Row]) -> list[str]:
    """Each beat on which an fp32 row decides otherwise than the trained model, with its margin."""
    return [
        f"- {row['id']}, test beat {one['beat']}: class index {one['reference']} -> {one['here']}, "
        f"margin {one['margin']:.2g}"
        for row in rows
        if row["precision"] == "fp32"
        for one in row.get("changed", [])
    ]
