"""A run's folder as it lies there: ``run.json``, the journal, the rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.audit.findings import Findings
from ecgedge.audit.reading import JSON_BYTES, LINES_BYTES, as_json, is_file, read_bytes
from ecgedge.audit.states import quick_blocks
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
    "lost": {"cell": str, "row": dict},
    "void": {"cell": str, "reason": str},
    "board": {"board": str},
    "portability": {"digest": str, "found": dict},
}
ABOUT: dict[str, type] = {
    "rounds": int, "beats": int, "seed": int, "threads": int, "labels": list, "cells": list, "skips": list,
    "sources": dict, "versions": dict, "machine": dict, "data_digest": str, "profile": str,
}  # fmt: skip
ROUNDS_MOST = 30_000  # that can be told from a row of figures: a run asks for 20


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
        last = max((i for i, record in enumerate(self.records) if record["event"] == "start"), default=0)
        self.lost = {each["cell"]: each["row"] for each in self.records[last:] if each["event"] == "lost"}
        self.twins = {record["name"]: record["cell"] for record in self.of("twin")}

    @property
    def rounds_most(self) -> int:
        """How many rounds there may be; older runs add none."""
        most: int = self.about.get("rounds_most", self.about["rounds"])
        return most

    @cached_property
    def quick(self) -> set[tuple[str, int]] | None:
        """Name and round of the blocks in the usual quick state of this machine, or of the board that they were timed
        on; None where no state is told."""
        found: set[tuple[str, int]] = set()
        for board in self.stated:
            mine = [block for block in self.unclocked if self.board(block["cell"]) == board]
            found |= quick_blocks([(self.model(block["cell"]), block) for block in mine])
        return found if self.stated else None

    @cached_property
    def unclocked(self) -> list[Record]:
        """The blocks that were timed by the clock of this machine, or of their board."""
        return [block for block in self.of("block") if "clock" not in block]

    @cached_property
    def stated(self) -> set[str | None]:
        """The boards, None for this machine, whose state is told of each of their blocks."""
        boards: dict[str | None, bool] = {}
        for block in self.unclocked:
            board = self.board(block["cell"])
            boards[board] = boards.get(board, True) and "reference_ns" in block
        return {board for board, told in boards.items() if told}

    def model(self, name: str) -> str:
        """Of a cell, or of one that was timed a second time."""
        return str(self.row_of(name).get("model"))

    def row_of(self, name: str) -> Row:
        """What the journal says of a cell, or of the one that is timed twice under that name, from when it was scored;
        empty where it was not."""
        record = self.scored.get(self.twins.get(name, name))
        return record["row"] if record else {}

    def clock(self, name: str) -> str | None:
        """By which it was timed; None: that of this machine."""
        found: str | None = self.row_of(name).get("clock")
        return found

    def board(self, name: str) -> str | None:
        """On which it ran; None: this machine."""
        found: str | None = self.row_of(name).get("board")
        return found

    def by(self, name: str) -> tuple[str, str]:
        """The board and the clock that it was timed by; empty for this machine's."""
        return self.board(name) or "", self.clock(name) or ""

    def told(self, *names: str) -> bool:
        """Whether the reference kernel tells the machine's state in the blocks of all of these."""
        return all(self.clock(name) is None and self.board(name) in self.stated for name in names)

    def asked(self, name: str) -> Record:
        """The blocks that its runtime asked for, where it did."""
        found = self.row_of(name).get("blocks_asked")
        return found if isinstance(found, dict) else {}

    def rounds(self, name: str) -> int:
        """How many rounds it has at least."""
        rounds: int = self.asked(name).get("rounds", self.about["rounds"])
        if not is_a(rounds, int) or not 0 < rounds <= ROUNDS_MOST:
            raise ValueError(f"{name} was to have {rounds!r} rounds")
        return rounds

    def is_fixed(self, name: str) -> bool:
        """Whether its rounds hang on nothing: its runtime asked for so many, or its clock is not this machine's."""
        return "rounds" in self.asked(name) or self.clock(name) is not None

    def of(self, event: str) -> list[Record]:
        return [record for record in self.records if record["event"] == event]

    def base(self, cell: str) -> Row:
        """What the journal says of a cell, latency aside."""
        return {**self.scored[cell]["row"], **self.failed.get(cell, {})}

    def is_lost(self, cell: str) -> bool:
        """Whether its board was lost before it was done, so that its row says nothing else."""
        row = (self.rows or {}).get(cell, {})
        return cell in self.lost and (row.get("status"), row.get("stage")) == ("failed", "board")

    def artifact(self, cell: str) -> dict[str, Any] | None:
        """The packed artifact of a cell, if one was made."""
        artifact: dict[str, Any] | None = self.scored[cell].get("artifact")
        return artifact

    def file(self, cell: str, what: str) -> str:
        """Within the folder."""
        return f"cells/{cell}.{what}"

    def timed(self) -> set[str]:
        """The names of cells and twins that had to be timed."""
        rows = {cell: record["row"] for cell, record in self.scored.items()}
        ready = {cell for cell, row in rows.items() if row.get("status") == "ok" and not row.get("emulated")}
        return {name for name in ready | {*self.twins} if name not in self.failed}


def read_run(folder: Path, findings: Findings) -> Run:
    """Raises EcgEdgeError where there is no run in a folder."""
    try:
        about = as_json(read_bytes(folder, "run.json", JSON_BYTES))
        if not isinstance(about, dict):
            raise ValueError
    except (OSError, ValueError):
        raise EcgEdgeError(f"{folder} holds no run", "name the folder of a run of ecgedge matrix") from None
    return Run(folder, about, read_journal(folder, findings), read_rows(folder, findings))


def about_fault(about: dict[str, Any]) -> str:
    """Why ``run.json`` is none that can be checked; empty where it is."""
    for name, kind in ABOUT.items():
        if not is_a(about.get(name), kind):
            return f"its {name} cannot be"
    rounds = [about["rounds"], about.get("rounds_most", about["rounds"])]
    if not all(is_a(each, int) and 0 < each <= ROUNDS_MOST for each in rounds):
        return f"its rounds are more than {ROUNDS_MOST:,}, or none"
    if not all(isinstance(each, str) for name in ("labels", "cells", "skips") for each in about[name]):
        return "a label or a cell has no name"
    boards = about.get("boards", {})
    if not isinstance(boards, dict) or not all(isinstance(each, dict) for each in boards.values()):
        return "its boards are no table of what each is"
    return ""


def is_a(value: Any, kind: type) -> bool:
    """Of that type; true is no number."""
    return isinstance(value, kind) and not isinstance(value, bool)


def read_journal(folder: Path, findings: Findings) -> list[Record]:
    """The records of the lines that are whole."""
    records: list[Record] = []
    with findings.reading("journal.jsonl", "it"):
        scored: set[str] = set()
        for number, line in enumerate(read_bytes(folder, "journal.jsonl", LINES_BYTES).splitlines(keepends=True), 1):
            record = read_line(line)
            if not line.endswith(b"\n") or not is_record(record):
                findings.wrong("journal.jsonl", f"line {number} is not whole")
            elif record["event"] == "scored" and record["cell"] in scored:
                findings.wrong("journal.jsonl", f"line {number} scores {record['cell']} once more")
            else:
                records.append(record)
                scored |= {record["cell"]} if record["event"] == "scored" else set()
    return without_void(records)


def without_void(records: list[Record]) -> list[Record]:
    """Without what was timed of a cell before that came not to count."""
    ends = {record["cell"]: i for i, record in enumerate(records) if record["event"] == "void"}
    return [
        record
        for i, record in enumerate(records)
        if record["event"] not in ("block", "warm") or i > ends.get(record["cell"], -1)
    ]


def is_record(record: Any) -> bool:
    """Whether it is a known event with the fields of that event."""
    fields = FIELDS.get(str(record.get("event"))) if isinstance(record, dict) else None
    if fields is None or not all(is_a(record.get(name), kind) for name, kind in fields.items()):
        return False
    row = record.get("row", {})
    if not isinstance(row.get("board"), str | None) or not isinstance(record.get("boot"), str | None):
        return False
    counts = [record.get(name, 0) for name in ("round", "offset", "calls")]
    return all(count >= 0 for count in counts) and counts[0] <= ROUNDS_MOST


def read_rows(folder: Path, findings: Findings) -> dict[str, Row] | None:
    """The rows by id; None without ``rows.jsonl``."""
    if not is_file(folder, "rows.jsonl"):
        return None
    rows: dict[str, Row] = {}
    content = b""
    with findings.reading("rows.jsonl", "it"):
        content = read_bytes(folder, "rows.jsonl", LINES_BYTES)
    for number, line in enumerate(content.splitlines(), 1):
        row = read_line(line)
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            findings.wrong("rows.jsonl", f"line {number} is no row")
        elif row["id"] in rows:
            findings.wrong("rows.jsonl", f"line {number} is a second row of {row['id']}")
        else:
            rows[row["id"]] = row
    return rows


def read_line(text: bytes) -> Any:
    """What it says; None where it is not JSON."""
    try:
        return as_json(text)
    except ValueError:
        return None
