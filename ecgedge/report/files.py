"""Rows as JSON lines, CSV and Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ecgedge.evaluate.metric import percent_of
from ecgedge.files import escape
from ecgedge.files.locks import whole_file
from ecgedge.report import decision, devices, portability
from ecgedge.report.document import Report
from ecgedge.report.grid import as_csv, relative_columns
from ecgedge.report.machines import machine_of, machine_words
from ecgedge.report.table import noise_lines, tables, wide_lines
from ecgedge.run.row import Row


def lines(report: Report) -> str:
    """Rows as JSON lines."""
    return "".join(json.dumps(row.flat, allow_nan=False) + "\n" for row in report.rows)


def flat(report: Report) -> str:
    """Rows as CSV, without what is nested."""
    return as_csv(report.rows, relative_columns(report.rows, report.relative))


def whole(report: Report) -> str:
    """Run, rows and choices as one JSON document."""
    choices = {"choices": [choice.as_data() for choice in report.choices]} if report.choices else {}
    run = {**report.run, "noise": {model: pair.record() for model, pair in report.noise.items()}}
    rows = [row.flat for row in report.rows]
    relative = {"relative_to": report.relative.record()} if report.relative else {}
    return json.dumps({"run": run, "rows": rows} | choices | relative, indent=1, allow_nan=False) + "\n"


def write(path: Path, text: str) -> Path:
    """Write a file whole or not at all; a character that no encoding has is written as its code."""
    with whole_file(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        file.write(text)
    return path


def markdown(report: Report) -> str:
    """The whole run as a page of Markdown."""
    rows, run = report.rows, report.run
    lines = [
        "# ecgedge matrix",
        "",
        item(f"data: {run['data']}"),
        item(f"scored: {run['beats']:,} test beats, profile {run['profile']}"),
        item(f"machine: {', '.join(machine_words(run['machine']))}"),
        *(item(f"board {name}: {', '.join(machine_of(board))}") for name, board in run.get("boards", {}).items()),
        item(f"versions: {', '.join(f'{name} {version}' for name, version in run['versions'].items())}"),
        *(
            item(f"environment {name}: {', '.join(f'{library} {version}' for library, version in found.items())}")
            for name, found in run.get("environments", {}).items()
        ),
        f"- command: {escape.markdown_code(run['command'])}",
        "",
        tables(report, markdown=True),
        "",
        "## Noise",
        "",
        noise_lines(report.noise, markdown=True) or "not measured",
        *(item(text) for text in wide_lines(rows, report.noise)),
    ]
    for title, told in (
        ("The file of each row", file_of),
        ("What each file is, and who ran it", certificate),
        ("Graph passes", passes),
        ("Against the trained model", verdict),
        ("On other devices than the CPU", on_device),
        ("What runtimes tell besides", figures),
    ):
        if found := [item(f"{row.id}: {text}") for row in rows if (text := told(row))]:
            lines += ["", f"## {title}", "", *found]
    if found := devices.lines(devices.agreements(report), markdown=True):
        lines += ["", "## The same file on each device", "", *found]
    lines += ["", *portability.markdown(report)]
    if changed := changed_decisions(rows):
        lines += ["", "## fp32 decisions that differ from the trained model", "", *map(item, changed)]
    if report.choices:
        lines += ["", decision.markdown(report).rstrip()]
    return "\n".join(lines) + "\n"


def item(text: str) -> str:
    """Of a list in Markdown."""
    return f"- {escape.markdown(text)}"


def changed_decisions(rows: Sequence[Row]) -> list[str]:
    """Each beat on which an fp32 row decides otherwise than the trained model, with its margin."""
    return [
        f"{row.id}, test beat {one.beat}: class index {one.reference} -> {one.here}, margin {one.margin:.2g}"
        for row in rows
        if row.precision == "fp32"
        for one in row.changed
    ]


def certificate(row: Row) -> str:
    """What a file holds, what it computes in, and who ran it; empty where that is not known."""
    check = row.precision_check
    if check is None or not check.computes:
        return (check.text or "") if check else ""
    shares = ", ".join(f"{percent_of(share, 1)} {kind}" for kind, share in (check.weight_shares or {}).items())
    nodes = ", ".join(f"{count} {kind}" for kind, count in check.computes.items())
    return f"weights {shares or 'unknown'}; nodes {nodes}; {check.placement}"


def file_of(row: Row) -> str:
    """Where its file is in the folder of the run; empty where there is none."""
    return (row.file.path if row.file else None) or ""


def figures(row: Row) -> str:
    """What a runtime tells of a file besides, by name; empty where there is nothing."""
    return "; ".join(
        f"{name} {value if isinstance(value, str) else f'{value:,}'}" for name, value in row.figures.items()
    )


def on_device(row: Row) -> str:
    """How a form was measured on another device than the CPU; empty for one that was not, or not at all."""
    there = row.elsewhere
    if row.device in (None, "cpu") or there is None or row.setup is None:
        return ""
    where = "not told" if there.copies is None else f"{there.copies} of the time of a call"
    told = [f"{row.device}: copies to and from the device {where}"]
    if there.memory_kib is not None:
        told.append(f"{there.memory_kib * 1.024e-3:,.1f} MB of its memory")
    if row.latency and row.latency.sm_clock_mhz:
        told.append(f"at {row.latency.sm_clock_mhz:,} MHz")
    if row.setup.runtime_options:
        told.append(" ".join(f"{name}={value}" for name, value in row.setup.runtime_options.items()))
    return ", ".join(told)


def passes(row: Row) -> str:
    """The graph passes that changed the file; empty where there are none."""
    return ", ".join((row.file.passes if row.file else None) or ())


def verdict(row: Row) -> str:
    """The verdict, with its interval and what the gates say; empty where there is none."""
    found = row.verdict
    if not found:
        return ""
    within = f", change {found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
    return "; ".join([found.text + within, *(gate.text for gate in row.gates)])


TEXTS = {"rows.jsonl": lines, "report.csv": flat, "report.md": markdown}  # of each run, by the name of its file


def write_files(report: Report) -> list[Path]:
    """Write ``TEXTS`` into the run's folder; returns their paths. Raises OSError."""
    return [write(report.folder / name, make(report)) for name, make in TEXTS.items()]
