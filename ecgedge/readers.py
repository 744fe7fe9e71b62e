"""Read files of beats; whatever is wrong in one is told with its line and column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ecgedge.errors import EcgEdgeError

WAYS_TO_NAME_DATA = "name a folder with NAME_TRAIN.txt and NAME_TEST.txt, or use --dataset synthetic"


def read_text(path: Path) -> np.ndarray:
    """Read a text file of numbers, ``(rows, columns)`` float32, the label in column 0.

    Raises:
        EcgEdgeError: with the line and the column of what is wrong.
    """
    rows: list[np.ndarray] = []
    for number, fields in text_rows(path):
        if rows and len(fields) != len(rows[0]):
            raise EcgEdgeError(
                f"{path}, line {number}, column {min(len(fields), len(rows[0])) + 1}: {len(fields)} columns "
                f"where the first line has {len(rows[0])}",
                "the file is cut, or its beats differ in length: every line needs a label and the same samples",
            )
        if len(fields) < 2:
            raise EcgEdgeError(f"{path}, line {number}, column 2: a label without samples", WAYS_TO_NAME_DATA)
        rows.append(parse_row(path, number, fields))
    if not rows:
        raise EcgEdgeError(f"{path} is empty", WAYS_TO_NAME_DATA)
    return np.stack(rows)


def text_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not blank, as (line number, fields).

    Fields part at commas where the first line has one, else at blanks. Bytes that are no UTF-8 stay
    in their field, so that whoever reads it can name line and column.
    """
    separator = None
    try:
        with path.open(encoding="utf-8-sig", errors="backslashreplace") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                separator = "," if separator or (separator is None and "," in line) else ""
                yield number, line.strip().split(separator) if separator else line.split()
    except OSError as error:
        raise EcgEdgeError(f"{path} cannot be read: {error.strerror}", WAYS_TO_NAME_DATA) from error


def parse_row(path: Path, number: int, fields: list[str]) -> np.ndarray:
    with np.errstate(over="ignore"):  # too large for float32 becomes inf, which is told below
        row = np.array([as_float(field) for field in fields]).astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(row))
    if len(wrong):
        column = int(wrong[0])
        told = repr(fields[column][:40]) if fields[column] else "nothing"
        raise EcgEdgeError(
            f"{path}, line {number}, column {column + 1}: {told} is not a finite number",
            "every field must be a number; remove or repair the beat",
        )
    return row


def as_float(field: str) -> float:
    """The number that a field holds; nan where it holds none (Python's ``1_0`` is none)."""
    try:
        return float("nan") if "_" in field else float(field)
    except ValueError:
        return float("nan")
