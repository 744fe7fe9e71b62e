"""The journal of a run: what was found, appended as soon as it is known and on the disk before anything else happens.

``journal.jsonl`` holds one JSON record a line. The samples of timed blocks are too many for that: they
are appended to ``samples/CELL.i64``, pairs of little-endian int64 (nanoseconds of the model, of the
host), and the record of a block says where its samples lie and what their digest is. A line that a
dying process left half-written, and samples that no record names, are cut off when the run goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.errors import EcgEdgeError
from ecgedge.locks import lock

JOURNAL = "journal.jsonl"
PAIR = 16  # bytes of a call's two samples


class Journal:
    """Appends to the journal in a run's folder, and knows what it holds already.

    Attributes:
        records: all so far, in order.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "samples").mkdir(exist_ok=True)
        self.file = (folder / JOURNAL).open("ab")
        if not lock(self.file, wait=False):
            raise EcgEdgeError(f"{folder} is being written by another process", "wait for it, or name another folder")
        self.records = read(folder)
        self.file.truncate(sum(len(line(record)) for record in self.records))
        ends = {path.stem: 0 for path in (folder / "samples").iterdir()}
        ends |= {record["cell"]: record["offset"] + record["calls"] * PAIR for record in self.of("block")}
        for cell, end in ends.items():
            os.truncate(samples_file(folder, cell), end)

    def append(self, event: str, **fields: Any) -> None:
        """Write one record, and wait until the disk has it."""
        record = {"event": event, **fields}
        self.file.write(line(record))
        self.file.flush()
        os.fsync(self.file.fileno())
        self.records.append(record)

    def block(self, cell: str, number: int, samples: bytes, **figures: Any) -> None:
        """Keep the samples of one finished block, and record it."""
        path = samples_file(self.folder, cell)
        with path.open("ab") as file:
            offset = file.tell()
            file.write(samples)
            file.flush()
            os.fsync(file.fileno())
        digest = hashlib.sha256(samples).hexdigest()
        calls = len(samples) // PAIR
        self.append("block", cell=cell, round=number, offset=offset, calls=calls, sha256=digest, **figures)

    def of(self, event: str, cell: str | None = None) -> list[dict[str, Any]]:
        """The records of one kind, of one cell or of all."""
        return [r for r in self.records if r["event"] == event and cell in (None, r.get("cell"))]

    def close(self) -> None:
        self.file.close()


def line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, allow_nan=False).encode() + b"\n"


def read(folder: Path) -> list[dict[str, Any]]:
    """The records of a run, up to the first line that is not whole."""
    path = folder / JOURNAL
    records = []
    for text in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
        try:
            record = json.loads(text)
        except ValueError:
            break
        if line(record) != text:
            break
        records.append(record)
    return records


def samples_file(folder: Path, cell: str) -> Path:
    return folder / "samples" / f"{cell}.i64"


def samples(folder: Path, block: dict[str, Any]) -> np.ndarray:
    """The samples of a recorded block, nanoseconds ``(calls, 2)``: model, host."""
    with samples_file(folder, block["cell"]).open("rb") as file:
        file.seek(block["offset"])
        return np.frombuffer(file.read(block["calls"] * PAIR), dtype="<i8").reshape(-1, 2)


def sync(path: Path) -> None:
    """Wait until the disk has a file that another process wrote."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
