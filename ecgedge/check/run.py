"""A run's folder as it lies there: ``run.json``, the journal, the rows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.check.findings import Findings
from ecgedge.check.states import quick_blocks
from ecgedge.errors import EcgEdgeError

Row = dict[str, Any]
Record = dict[str, Any]

FIELDS: dict[str, dict[str, type]] = {  # of each record of the journal, beside its event
    "start": {"time": str},
    "scored": {"cell": str, "row": dict},
    "twin": {"cell": str, "name": str},
    "warm": {"cell": str},
    "block": {"cell": str, "round": int, "offset": int, "calls": int, "sha256": str},
    "failed": {"cell": str, "row": dict},
}


@dataclass
class Run:
    """Attributes:
    about: ``run.json``.
    records: of the journal.
    rows: of ``rows.jsonl`` by id; None: there is no such file.
    beats: the arrays of ``beats.npz``.
    samples: of each timed name, in nanoseconds ``(calls, 2)`` a block, by round: all rounds, or absent.
    """

    folder: Path
    about: dict[str, Any]
    records: list[Record]
    rows: dict[str, Row] | None
    beats: dict[str, np.ndarray] = field(default_factory=dict)
    samples: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scored = {record["cell"]: record for record in self.of("scored")}
        self.failed = {record["cell"]: record["row"] for record in reversed(self.of("failed"))}
        self.twins = {record["name"]: record["cell"] for record in self.of("twin")}

    @property
    def rounds_most(self) -> int:
        """How many rounds there may be; older runs add none."""
        most: int = self.about.get("rounds_most", self.about["rounds"])
        return most

    @cached_property
    def quick(self) -> set[tuple[str, int]] | None:
        """Name and round of the blocks in the machine's usual quick state; None where it is not told of each block."""
        blocks = self.of("block")
        if not blocks or not all("reference_ns" in block for block in blocks):
            return None
        return quick_blocks([(self.model(block["cell"]), block) for block in blocks])

    def model(self, name: str) -> str:
        """Of a cell, or of one that was timed a second time."""
        return str(self.scored[self.twins.get(name, name)]["row"].get("model"))

    def of(self, event: str) -> list[Record]:
        return [record for record in self.records if record["event"] == event]

    def base(self, cell: str) -> Row:
        """What the journal says of a cell, latency aside."""
        return {**self.scored[cell]["row"], **self.failed.get(cell, {})}

    def artifact(self, cell: str) -> dict[str, Any] | None:
        """The packed artifact of a cell, if one was made."""
        artifact: dict[str, Any] | None = self.scored[cell].get("artifact")
        return artifact

    def file(self, cell: str, what: str) -> Path:
        return self.folder / "cells" / f"{cell}.{what}"

    def timed(self) -> set[str]:
        """The names of cells and twins that had to be timed."""
        ready = {cell for cell in self.scored if self.scored[cell]["row"].get("status") == "ok"}
        return {name for name in ready | {*self.twins} if name not in self.failed}


def read_run(folder: Path, findings: Findings) -> Run:
    """Raises EcgEdgeError where there is no run in a folder."""
    try:
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if not isinstance(about, dict):
            raise ValueError
    except (OSError, ValueError):
        raise EcgEdgeError(f"{folder} holds no run", "name the folder of a run of ecgedge matrix") from None
    return Run(folder, about, read_journal(folder, findings), read_rows(folder, findings))


def read_journal(folder: Path, findings: Findings) -> list[Record]:
    """The records of the lines that are whole."""
    records: list[Record] = []
    with findings.reading("journal.jsonl", "it"):
        for number, line in enumerate((folder / "journal.jsonl").read_bytes().splitlines(keepends=True), 1):
            record = as_json(line)
            if not line.endswith(b"\n") or not is_record(record):
                findings.wrong("journal.jsonl", f"line {number} is not whole")
            elif record["event"] == "scored" and any(is_scored(other, record["cell"]) for other in records):
                findings.wrong("journal.jsonl", f"line {number} scores {record['cell']} once more")
            else:
                records.append(record)
    return records


def is_record(record: Any) -> bool:
    """Whether it is a known event with the fields of that event."""
    fields = FIELDS.get(str(record.get("event"))) if isinstance(record, dict) else None
    return fields is not None and all(isinstance(record.get(name), kind) for name, kind in fields.items())


def is_scored(record: Record, cell: str) -> bool:
    return bool(record["event"] == "scored" and record["cell"] == cell)


def read_rows(folder: Path, findings: Findings) -> dict[str, Row] | None:
    """The rows by id; None without ``rows.jsonl``."""
    path = folder / "rows.jsonl"
    if not path.is_file():
        return None
    rows: dict[str, Row] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        row = as_json(line)
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            findings.wrong("rows.jsonl", f"line {number} is no row")
        elif row["id"] in rows:
            findings.wrong("rows.jsonl", f"line {number} is a second row of {row['id']}")
        else:
            rows[row["id"]] = row
    return rows


def as_json(text: bytes) -> Any:
    """What it says; None where it is not JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return None
