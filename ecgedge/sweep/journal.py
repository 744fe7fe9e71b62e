"""The folder of a sweep: ``sweep.json``, what was asked for, and ``journal.jsonl``, what was found, a job a line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ecgedge.errors import EcgEdgeError
from ecgedge.files import strict_json
from ecgedge.files.locks import lock, whole_file
from ecgedge.files.opening import open_file, open_inside, read_bytes
from ecgedge.files.schema import SchemaError, list_of, record, table_of, unlike, whole
from ecgedge.files.values import AMOUNT, ANY, COUNTED, LINE, MANY, TEXT, WORD, either, name
from ecgedge.run.journal import add, line
from ecgedge.run.layout import CELLS, MACHINE, VERSIONS, scored_row
from ecgedge.run.reading import JOURNAL, MOST_LINE, MOST_LINES, MOST_RUN, printable

SWEEP, ROWS = "sweep.json", "rows.jsonl"
SCHEMA = 1  # of the folder

Record = dict[str, Any]

DATA = record({"name": LINE, "data": LINE, "source": LINE, "digest": WORD, "file": WORD}, others=ANY)
SKIP = record({"model": LINE, "format": LINE, "runtime": LINE, "reason": TEXT}, others=ANY)
ABOUT = record(
    {
        "schema": whole(SCHEMA, SCHEMA),
        "command": TEXT,
        "request": ANY,
        "data": list_of(DATA, 100_000, least=1),
        "seeds": list_of(whole(0, 2**31), 100_000, least=1),
        "cells": CELLS,
        "skips": list_of(SKIP, MANY),
        "machine": MACHINE,
        "versions": VERSIONS,
        "started": WORD,
    },
    others=ANY,
)


HINT = "start a new sweep: what is made already comes from the store"


def damaged(where: str, error: object) -> EcgEdgeError:
    """The error for what is not as it was written."""
    return EcgEdgeError(printable(f"{where} cannot be used: {error}")[:400], HINT)


def checked(rule: Callable[[Any], object], text: bytes, where: str) -> Record:
    """What a JSON text says, once the rule takes it. Raises EcgEdgeError, one line with ``where``."""
    try:
        told: Record = strict_json.loads(text, where, HINT, most=MOST_LINE)
        rule(told)
    except SchemaError as error:
        raise damaged(where, error) from error
    return told


def sweep_row(row: Any, where: str) -> Record:
    """A row of a cell: as the journal of a matrix has it, and its seed."""
    found = scored_row(row, where)
    whole(0, 2**31)(found.get("seed"), f"{where}.seed")
    return found


def trained(value: Any, where: str) -> Any:
    return either(AMOUNT, lambda found, at: None if found is None else AMOUNT(found, at))(value, where)


EVENTS = {
    "start": record({"time": WORD}, others=ANY),
    "made": record(
        {"job": name, "rows": list_of(sweep_row, MANY)},
        {"trained": table_of(trained, 1000), "cpu": table_of(AMOUNT, 100), "worker": LINE, "pid": COUNTED,
         "checkpoint": WORD},
        others=ANY,
    ),
}  # fmt: skip


def read_about(folder: Path) -> Record:
    """``sweep.json``. Raises EcgEdgeError where there is none, or it is damaged."""
    try:
        text = read_bytes(folder, SWEEP, MOST_RUN)
    except (FileNotFoundError, NotADirectoryError):
        raise EcgEdgeError(f"{folder} holds no sweep", "name the folder of a run of ecgedge sweep") from None
    return checked(lambda told: ABOUT(told, ""), text, str(folder / SWEEP))


def write_about(folder: Path, about: Mapping[str, Any]) -> None:
    """Write ``sweep.json``, which makes a folder that of a sweep. Raises EcgEdgeError where it could not be read."""
    told = strict_json.loads(json.dumps(about), "what is asked for", "name it otherwise")
    try:
        ABOUT(told, "")
    except SchemaError as error:
        raise EcgEdgeError(f"no sweep can be kept of what is asked for: {error}"[:300], "name it otherwise") from error
    with whole_file(folder / SWEEP, "w", encoding="utf-8") as file:
        file.write(json.dumps(about, indent=1) + "\n")


def records(folder: Path) -> Iterator[tuple[Record, int]]:
    """The records of the journal, one at a time, and where each ends; a torn last line is left out.

    Raises:
        EcgEdgeError: a line is damaged, or tells of what is not known.
    """
    try:
        file = open_file(folder, JOURNAL, MOST_LINES)
    except FileNotFoundError:
        return
    end, seen = 0, set[str]()
    with file:
        for number, text in enumerate(iter(file.readline, b""), 1):
            where = f"{folder / JOURNAL}, line {number}"
            if not text.endswith(b"\n"):
                return
            if len(text) > MOST_LINE:
                raise damaged(where, "it is too long")
            found = checked(check_record, text, where)
            for row in found.get("rows", ()):
                if row["id"] in seen:
                    raise damaged(where, f"it has a second row of {row['id']}")
                seen.add(row["id"])
            end += len(text)
            yield found, end


def check_record(told: Any) -> None:
    """Raise SchemaError where a line of the journal is no record of a known event."""
    event = told.get("event") if isinstance(told, dict) else None
    if not isinstance(event, str) or event not in EVENTS:
        raise unlike("event", event, f"one of {', '.join(EVENTS)}")
    EVENTS[event](told, "")


class Journal:
    """Appends to the journal of a sweep, and knows which cells it has a row of.

    Attributes:
        done: their ids.
        checkpoints: the key of the checkpoint of each job that was trained.

    Raises:
        EcgEdgeError: another process writes it, or it is damaged.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        descriptor = open_inside(folder, JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.file = os.fdopen(descriptor, "ab", buffering=0)
        if not lock(self.file, wait=False):
            raise EcgEdgeError(f"{folder} is being written by another process", "wait for it, or name another folder")
        self.done: set[str] = set()
        self.checkpoints: dict[str, str] = {}
        end = 0
        for found, after in records(folder):
            self.remember(found)
            end = after
        self.file.truncate(end)

    def append(self, event: str, **fields: Any) -> None:
        """Write one record, and wait until the disk has it. Raises OSError where that does not take it."""
        found = {"event": event, **fields}
        add(self.file, line(found))
        self.remember(found)

    def remember(self, found: Record) -> None:
        self.done |= {row["id"] for row in found.get("rows", ())}
        if found.get("checkpoint"):
            self.checkpoints[found["job"]] = found["checkpoint"]

    def close(self) -> None:
        self.file.close()
