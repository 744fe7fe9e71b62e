"""Rows as JSON lines, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgedge.report.table import Row, noise_lines, render

NESTED = (dict, list)  # not for a flat file; they stay in rows.jsonl


def write_files(rows: Sequence[Row], run: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write ``rows.jsonl``, ``report.csv`` and ``report.md``; returns their paths."""
    lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    flat = [{key: value for key, value in row.items() if not isinstance(value, NESTED)} for row in rows]
    names = list(dict.fromkeys(key for row in flat for key in row))
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, names)
    writer.writeheader()
    writer.writerows(flat)
    texts = {"rows.jsonl": lines, "report.csv": table.getvalue(), "report.md": markdown(rows, run)}
    return [write(folder / name, text) for name, text in texts.items()]


def write(path: Path, text: str) -> Path:
    """Write a file whole or not at all."""
    scratch = path.with_name(f".{path.name}")
    scratch.write_text(text, encoding="utf-8", newline="")
    return scratch.replace(path)


def markdown(rows: Sequence[Row], run: Mapping[str, Any]) -> str:
    lines = [
        "# ecgedge matrix",
        "",
        f"- data: {run['data']}",
        f"- scored: {run['beats']:,} test beats, profile {run['profile']}",
        f"- machine: {', '.join(machine_words(run['machine']))}",
        f"- versions: {', '.join(f'{name} {version}' for name, version in run['versions'].items())}",
        *(
            f"- environment {name}: {', '.join(f'{library} {version}' for library, version in found.items())}"
            for name, found in run.get("environments", {}).items()
        ),
        f"- command: `{run['command']}`",
        "",
        render(rows, markdown=True),
        "",
        "## Noise",
        "",
        noise_lines(run["noise"], markdown=True) or "not measured",
    ]
    for title, told in (
        ("What each file is, and who ran it", certificate),
        ("Graph passes", passes),
        ("Against the trained model", verdict),
    ):
        if found := [f"- {row['id']}: {text}" for row in rows if (text := told(row))]:
            lines += ["", f"## {title}", "", *found]
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


def machine_words(machine: Mapping[str, Any]) -> list[str]:
    """Processor, cores, instruction sets, governor, load and energy counter."""
    energy = machine["energy"]
    return [
        machine["cpu"],
        f"{machine['cores']} cores",
        machine["system"],
        " ".join(machine["isa"]),
        f"governor {machine['governor'] or 'unknown'}",
        f"load {machine['load']} before",
        f"energy {energy if isinstance(energy, str) else energy['counter']}",
    ]


def certificate(row: Row) -> str:
    """What a file holds, what it computes in, and who ran it; empty where that is not known."""
    if not row.get("computes"):
        return row.get("truth", "")
    shares = ", ".join(f"{share:.1%} {kind}" for kind, share in row["weight_shares"].items())
    nodes = ", ".join(f"{count} {kind}" for kind, count in row["computes"].items())
    return f"weights {shares or 'unknown'}; nodes {nodes}; {row['placement']}"


def passes(row: Row) -> str:
    """The graph passes that changed the file; empty where there are none."""
    return ", ".join(row.get("passes", []))


def verdict(row: Row) -> str:
    """The verdict, with its interval and what the gates say; empty where there is none."""
    found = row.get("verdict")
    if not found:
        return ""
    within = f", change {found['difference']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
    return "; ".join([found["text"] + within, *(gate["text"] for gate in row.get("gates", []))])
