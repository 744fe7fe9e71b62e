"""The journal of a run: what was found, appended as soon as it is known and on the disk before anything else happens.

``journal.jsonl`` holds one JSON record a line. The samples of timed blocks are too many for that: they
are appended to ``samples/CELL.i64``, pairs of little-endian int64 (nanoseconds of the model, of the
host), and the record of a block says where its samples lie and what their digest is. A line that a
dying process left half-written, and samples that no record names, are cut off when the run goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import IO, Any

import numpy as np

from ecgedge.errors import EcgEdgeError
from ecgedge.locks import lock, open_to_append

JOURNAL = "journal.jsonl"
PAIR = 16  # bytes of a call's two samples


class Journal:
    """Appends to the journal in a run's folder, and knows what it holds already.

    Attributes:
        records: all so far, in order.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.file = open_to_append(folder / JOURNAL)
        if not lock(self.file, wait=False):
            raise EcgEdgeError(f"{folder} is being written by another process", "wait for it, or name another folder")
        (folder / "samples").mkdir(exist_ok=True)
        self.records = read(folder)
        self.file.truncate(sum(len(line(record)) for record in self.records))
        ends = {path.stem: 0 for path in (folder / "samples").iterdir()}
        ends |= {record["cell"]: record["offset"] + record["calls"] * PAIR for record in self.of("block")}
        for cell, end in ends.items():
            os.truncate(samples_file(folder, cell), end)

    def append(self, event: str, **fields: Any) -> None:
        """Write one record, and wait until the disk has it.

        Raises:
            OSError: the disk does not take it; nothing of it is left.
        """
        record = {"event": event, **fields}
        add(self.file, line(record))
        self.records.append(record)

    def block(self, cell: str, number: int, samples: bytes, **figures: Any) -> None:
        """Keep the samples of one finished block, and record it."""
        digest = hashlib.sha256(samples).hexdigest()
        calls = len(samples) // PAIR
        with open_to_append(samples_file(self.folder, cell)) as file:
            offset = add(file, samples)
        self.append("block", cell=cell, round=number, offset=offset, calls=calls, sha256=digest, **figures)

    def of(self, event: str, cell: str | None = None) -> list[dict[str, Any]]:
        """The records of one kind, of one cell or of all."""
        return [r for r in self.records if r["event"] == event and cell in (None, r.get("cell"))]

    def close(self) -> None:
        self.file.close()


def add(file: IO[bytes], content: bytes) -> int:
    """Append to an unbuffered file, and wait until the disk has it; returns where it begins.

    Raises:
        OSError: the disk does not take all of it; what it took is cut off again.
    """
    start = file.seek(0, os.SEEK_END)
    try:
        left = memoryview(content)
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())
    except OSError:
        with contextlib.suppress(OSError):
            file.truncate(start)
        raise
    return start


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
