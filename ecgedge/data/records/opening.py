"""Which paths are records, and which records a folder has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ecgedge.data.records.edf_record import EdfRecord
from ecgedge.data.records.record import Record
from ecgedge.data.records.wfdb_record import WfdbRecord
from ecgedge.errors import EcgEdgeError

EDF = (".edf", ".bdf", ".rec")
HINT = "name records (100, 100.hea, a.edf), or a folder of them"


def is_record(path: Path) -> bool:
    """Whether a path is that of a record: an EDF file, a WFDB header, or the name of one without its suffix."""
    if path.suffix.lower() in (*EDF, ".hea"):
        return True
    return not path.exists() and path.with_name(f"{path.name}.hea").is_file()


def open_record(path: Path) -> Record:
    """Open a record.

    Raises:
        EcgEdgeError: it is missing, cannot be read, or its package is not installed.
    """
    header = path if path.suffix.lower() == ".hea" else path.with_name(f"{path.name}.hea")
    if path.suffix.lower() in EDF:
        if not path.is_file():
            raise EcgEdgeError(f"{path} does not exist", HINT)
        return EdfRecord(path)
    if not header.is_file():
        raise EcgEdgeError(f"{header} does not exist", HINT)
    return WfdbRecord(path)


def records_in(places: Iterable[Path]) -> list[Path]:
    """The records of paths and folders: in a folder those that its file ``RECORDS`` lists, else all.

    Raises:
        EcgEdgeError: there is none, or two have one name.
    """
    found: list[Path] = []
    for place in places:
        found += in_folder(place) if place.is_dir() else [place]
    names: dict[str, Path] = {}
    for path in found:
        name = path.stem if path.suffix.lower() in (*EDF, ".hea") else path.name
        if (other := names.setdefault(name, path)) is not path:
            raise EcgEdgeError(f"two records are called {name}: {other} and {path}", "name each record once")
    if not found:
        raise EcgEdgeError("no records are named", HINT)
    return found


def in_folder(folder: Path) -> Sequence[Path]:
    listed = folder / "RECORDS"
    if listed.is_file():
        names = listed.read_text(encoding="utf-8", errors="replace").split()
        found = [folder / name for name in names if not name.endswith("/")]
        inside = folder.resolve()
        if outside := [path for path in found if not path.resolve().is_relative_to(inside)]:
            raise EcgEdgeError(f"{listed} names {outside[0]}, which is not in the folder", HINT)
    else:
        headers = sorted(folder.glob("*.hea"))
        parts = {name for header in headers for name in segments_named(header)}
        edf = sorted(path for path in folder.iterdir() if path.suffix.lower() in EDF)
        found = [header for header in headers if header.stem not in parts] + edf
    if not found:
        raise EcgEdgeError(f"{folder} holds no records", HINT)
    return found


def segments_named(header: Path) -> list[str]:
    """The segments that a header of several names: its first line is ``NAME/COUNT ...``."""
    lines = [line for line in header.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("#")]
    if not lines or not re.match(r"\S+/[0-9]+\s", lines[0]):
        return []
    return [line.split()[0] for line in lines[1:]]
