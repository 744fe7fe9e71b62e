"""The files of a run, each read strictly: what is found wrong is told in one line, before any of it is used."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.errors import EcgEdgeError
from ecgedge.files import strict_json
from ecgedge.files.opening import kind_of, open_file, open_inside, read_bytes
from ecgedge.files.schema import SchemaError
from ecgedge.run.layout import GRAPH, OtherFormat, check_about, check_record

FOLDERS = ("artifacts", "cells", "logs", "samples")
NESTED = ("artifacts", "portability")  # in which there are folders, too
RUN, JOURNAL, ROWS, BEATS = "run.json", "journal.jsonl", "rows.jsonl", "beats.npz"
MOST_RUN = 2**26  # bytes of run.json
MOST_LINE = 2**30  # bytes of a line of the journal or of the rows, or of a graph
MOST_LINES = 2**32  # bytes of the journal, or of the rows
MOST_ENTRIES = 5_000_000  # files of a folder
PAIR = 16  # bytes of a call's two samples
LONGEST_CALL = 10**16  # nanoseconds
TWIN = ".twin"  # ends the name under which a cell is timed a second time
CHECK = "ecgedge check says what else is wrong with the folder"
OTHER = "measure it again, or read it with the ecgedge that wrote it"
TRUST = "only a folder that ecgedge matrix wrote can be used"

Record = dict[str, Any]


def read_about(folder: Path) -> dict[str, Any]:
    """``run.json``. Raises EcgEdgeError where there is none, or it is not as this version writes it."""
    try:
        text = read_bytes(folder, RUN, MOST_RUN)
    except (FileNotFoundError, NotADirectoryError):
        raise EcgEdgeError(f"{folder} holds no run", "name the folder of a run of ecgedge matrix") from None
    return checked(check_about, text, f"{folder / RUN}")


def read_records(folder: Path) -> tuple[list[Record], int]:
    """The records of the journal, and where the last whole line ends; a torn one after it is what a kill leaves.

    Raises:
        EcgEdgeError: a line is damaged, tells of an event that is not known, or of what cannot have come then.
    """
    records: list[Record] = []
    end, state = 0, JournalState()
    try:
        lines = read_bytes(folder, JOURNAL, MOST_LINES).splitlines(keepends=True)
    except (FileNotFoundError, NotADirectoryError):
        lines = []
    for number, line in enumerate(lines, 1):
        where = f"{folder / JOURNAL}, line {number}"
        if not line.endswith(b"\n"):
            if number < len(lines):
                raise damaged(where, "it is not whole")
            break
        record = checked(check_record, line, where)
        if fault := state.fault_of(record):
            raise damaged(where, fault)
        records.append(record)
        end += len(line)
    return records, end


class JournalState:
    """What the journal has told so far, by which its next record is judged."""

    def __init__(self) -> None:
        self.scored: set[str] = set()
        self.twins: set[str] = set()
        self.warm: set[str] = set()
        self.rounds: dict[str, int] = {}
        self.ends: dict[str, int] = {}

    def fault_of(self, record: Record) -> str:
        """Why a record cannot come here; empty where it can."""
        event, cell = record["event"], record.get("cell", "")
        if event in ("start", "board", "portability"):
            return ""
        if event == "scored":
            fault = "scores it a second time" if cell in self.scored else ""
            fault = fault or ("is not about that cell" if record["row"]["id"] != cell else "")
            self.scored.add(cell)
        elif event == "twin":
            known = cell in self.scored and record["name"] == cell + TWIN and record["name"] not in self.scored
            fault = "" if known else "is of no cell that was scored"
            self.twins.add(record["name"])
        elif event == "lost":
            fault = "is not about that cell" if record["row"]["id"] != cell else ""
        elif cell not in self.scored | self.twins:
            fault = "is of no cell that was scored"
        elif event == "void":
            self.begin_anew(cell)
            fault = ""
        else:
            fault = self.block_fault(record) if event == "block" else ""
            self.warm |= {cell} if event == "warm" else set()
        return f"{event} of {cell!r} {fault}"[:200] if fault else ""

    def begin_anew(self, cell: str) -> None:
        """Its blocks are void: it is warmed up and timed from the first round on."""
        self.warm.discard(cell)
        self.rounds.pop(cell, None)
        self.ends.pop(cell, None)

    def block_fault(self, block: Record) -> str:
        cell = block["cell"]
        if cell not in self.warm:
            return "comes before it was warm"
        if block["round"] != self.rounds.get(cell, 0):
            return f"is round {block['round']}, and not {self.rounds.get(cell, 0)}"
        if block["offset"] < self.ends.get(cell, 0):
            return "has the samples of another block"
        if ("reference_ns" in block) != ("kernel" in block):
            return "has a reference without its kernel, or the other way round"
        self.rounds[cell], self.ends[cell] = block["round"] + 1, block["offset"] + block["calls"] * PAIR
        return ""


def blocks_of(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The recorded blocks of each cell and twin, by round; those that came to be void left out."""
    found: dict[str, list[Record]] = {}
    for record in records:
        if record["event"] == "block":
            found.setdefault(record["cell"], []).append(record)
        elif record["event"] == "void":
            found.pop(record["cell"], None)
    return {name: sorted(each, key=lambda block: block["round"]) for name, each in found.items()}


def read_graph(folder: Path, name: str) -> Record:
    """The record of a graph, ``cells/CELL.graph.json``. Raises EcgEdgeError where it is damaged."""
    return checked(lambda told: GRAPH(told, ""), read_bytes(folder, name, MOST_LINE), str(folder / name))


def read_samples(folder: Path, block: Record) -> np.ndarray:
    """The samples of a recorded block, nanoseconds ``(calls, 2)``: model, host.

    Raises:
        EcgEdgeError: they are not there, are cut off, or are no times.
    """
    name = f"samples/{block['cell']}.i64"
    try:
        with open_file(folder, name, MOST_LINES) as file:
            if os.fstat(file.fileno()).st_size < block["offset"] + block["calls"] * PAIR:
                raise damaged(folder / name, f"the samples of round {block['round']} are cut off")
            file.seek(block["offset"])
            found = np.frombuffer(file.read(block["calls"] * PAIR), dtype="<i8").reshape(-1, 2)
    except FileNotFoundError:
        raise damaged(folder / name, "it is missing") from None
    except OSError as error:
        raise damaged(folder / name, error.strerror or error) from error
    if not (found[:, 0] > 0).all() or (found < 0).any() or (found > LONGEST_CALL).any():
        raise damaged(folder / name, f"the samples of round {block['round']} are no times")
    return found


def check_entries(folder: Path) -> None:
    """Raise EcgEdgeError where anything below a folder is a link, a device or the like, or a folder where a run has a
    file: before it is written into."""
    left, seen = [folder], 0
    while left:
        place = left.pop()
        try:
            entries = list(os.scandir(place))
        except OSError as error:
            raise EcgEdgeError(f"{place} cannot be read: {error.strerror}", TRUST) from error
        for entry in entries:
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                left.append(Path(entry.path))
            if not is_as_written(Path(entry.path).relative_to(folder), mode):
                raise EcgEdgeError(f"{printable(entry.path)} is {kind_of(mode)}, and none of a run", TRUST)
        seen += len(entries)
        if seen > MOST_ENTRIES:
            raise EcgEdgeError(f"{folder} has more than {MOST_ENTRIES:,} entries", TRUST)


def is_as_written(name: Path, mode: int) -> bool:
    """Whether what lies there, by its name in the folder, is a folder where a run has one, and a file elsewhere."""
    if name.parts[0] in NESTED and len(name.parts) > 1:
        return stat.S_ISDIR(mode) or stat.S_ISREG(mode)
    return stat.S_ISDIR(mode) if str(name) in (*FOLDERS, *NESTED) else stat.S_ISREG(mode)


def sha256_of(folder: Path, name: str) -> str:
    """SHA-256 of a file in a folder, read in pieces; empty where there is none."""
    digest = hashlib.sha256()
    try:
        with os.fdopen(open_inside(folder, name), "rb") as file:
            while piece := file.read(2**20):
                digest.update(piece)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise damaged(folder / name, error.strerror or error) from error
    return digest.hexdigest()


def checked(rule: Callable[[Any], Any], text: bytes, where: str) -> Any:
    """What a JSON text says, once the rule takes it. Raises EcgEdgeError, one line with ``where``."""
    told = strict_json.loads(text, where, CHECK, most=MOST_LINE)
    try:
        rule(told)
    except OtherFormat as error:
        raise EcgEdgeError(f"{where} cannot be used: {error}", OTHER) from error
    except SchemaError as error:
        raise damaged(where, error) from error
    return told


def damaged(where: object, error: object) -> EcgEdgeError:
    """The error for what is not as it was written."""
    told = f"{type(error).__name__}: {error}" if isinstance(error, KeyError | TypeError | AttributeError) else error
    return EcgEdgeError(printable(f"{where} cannot be used: {told}")[:400], CHECK)


def printable(text: object) -> str:
    """One line of it."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(str(text).split()))
