"""The journal of a run: what was found, appended as soon as it is known and on the disk before anything else happens.

``journal.jsonl`` holds one JSON record a line. The samples of timed blocks are too many for that: they
are appended to ``samples/CELL.i64``, pairs of little-endian int64 (nanoseconds of the model, of the
host), and the record of a block says where its samples lie and what their digest is. A line that a
dying process left half-written, and samples of its own cells that no record names, are cut off when
the run goes on; nothing else is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from pathlib import Path
from typing import IO, Any

import numpy as np

from ecgedge.errors import EcgEdgeError
from ecgedge.files.locks import lock, open_to_append
from ecgedge.run import open_inside, read_records, read_samples

JOURNAL = "journal.jsonl"
PAIR = 16  # bytes of a call's two samples


class Journal:
    """Appends to the journal in a run's folder, and knows what it holds already; boards share it.

    Attributes:
        records: all so far, in order.
        changing: held by whoever appends, or forgets.
    """

    def __init__(self, folder: Path):
        self.folder, self.changing = folder, threading.RLock()
        (folder / "samples").mkdir(exist_ok=True)
        descriptor = open_inside(folder, JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.file = os.fdopen(descriptor, "ab", buffering=0)
        if not lock(self.file, wait=False):
            raise EcgEdgeError(f"{folder} is being written by another process", "wait for it, or name another folder")
        records, whole = read_records(folder)
        self.records: list[dict[str, Any]] = []
        self.found: dict[tuple[str, str | None], list[dict[str, Any]]] = {}  # by kind and cell; None: of all cells
        for record in records:
            self.remember(record)
            if record["event"] == "void":
                self.forget(record["cell"])
        self.file.truncate(whole)
        ends = {record["cell"]: 0 for record in self.of("scored")} | {record["name"]: 0 for record in self.of("twin")}
        ends |= {record["cell"]: record["offset"] + record["calls"] * PAIR for record in self.of("block")}
        for name, end in ends.items():
            cut_samples(folder, name, end)

    def append(self, event: str, **fields: Any) -> None:
        """Write one record, and wait until the disk has it.

        Raises:
            OSError: the disk does not take it; nothing of it is left.
        """
        record = {"event": event, **fields}
        with self.changing:
            add(self.file, line(record))
            self.remember(record)

    def void(self, cell: str, reason: str) -> None:
        """What was timed of a cell or twin does not count; it begins anew."""
        with self.changing:
            self.append("void", cell=cell, reason=reason)
            self.forget(cell)
        cut_samples(self.folder, cell, 0)

    def forget(self, cell: str) -> None:
        """Know no block of a cell any more, nor that it was warm."""
        kinds = ("block", "warm")
        self.records = [each for each in self.records if each["event"] not in kinds or each["cell"] != cell]
        for event in kinds:
            self.found.pop((event, cell), None)
            self.found[event, None] = [each for each in self.of(event) if each["cell"] != cell]

    def remember(self, record: dict[str, Any]) -> None:
        """Know a record, by its kind and its cell, so that a run of many cells need not look through all of them."""
        self.records.append(record)
        for key in {(record["event"], None), (record["event"], record.get("cell"))}:
            self.found.setdefault(key, []).append(record)

    def block(self, cell: str, number: int, samples: bytes, **figures: Any) -> None:
        """Keep the samples of one finished block, and record it."""
        digest = hashlib.sha256(samples).hexdigest()
        calls = len(samples) // PAIR
        with open_to_append(samples_file(self.folder, cell)) as file:
            offset = add(file, samples)
        self.append("block", cell=cell, round=number, offset=offset, calls=calls, sha256=digest, **figures)

    def of(self, event: str, cell: str | None = None) -> list[dict[str, Any]]:
        """The records of one kind, of one cell or of all."""
        return list(self.found.get((event, cell), ()))

    def row(self, cell: str) -> dict[str, Any]:
        """What was found of a cell that was scored."""
        row: dict[str, Any] = self.of("scored", cell)[0]["row"]
        return row

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


def cut_samples(folder: Path, name: str, end: int) -> None:
    """Cut off what no record names. Raises EcgEdgeError where samples are missing that a record names."""
    try:
        descriptor = open_inside(folder, f"samples/{name}.i64", os.O_RDWR)
    except FileNotFoundError:
        size = 0
    else:
        with os.fdopen(descriptor, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.truncate(min(size, end))
    if size < end:
        told = f"{samples_file(folder, name)} has {size:,} bytes, the journal tells of {end:,}"
        raise EcgEdgeError(told, "bring the file back, or start a new run")


def read(folder: Path) -> list[dict[str, Any]]:
    """The records of a run; a torn last line is left out. Raises EcgEdgeError where another one is damaged."""
    return read_records(folder)[0]


def samples_file(folder: Path, cell: str) -> Path:
    return folder / "samples" / f"{cell}.i64"


def samples(folder: Path, block: dict[str, Any]) -> np.ndarray:
    """The samples of a recorded block, nanoseconds ``(calls, 2)``: model, host. Raises EcgEdgeError without them."""
    return read_samples(folder, block)
