"""Text files, a beat a line: ``.txt``, ``.tsv``, ``.csv``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ecgedge.errors import EcgEdgeError
from ecgedge.readers.fields import (
    LABEL_NAMES,
    ONE_LENGTH,
    WAYS_TO_NAME_DATA,
    as_float,
    parse_label,
    parse_numbers,
    stack,
    unreadable,
)


def read_text(path: Path) -> tuple[list[str], np.ndarray]:
    """Labels, and beats ``(N, L)`` float32, of a text file.

    The label is in the first column, or in the last where a header calls it so. Fields part at commas
    where the first line has one, in a ``.tsv`` at tabs, else at blanks. Blank lines do not count.

    Raises:
        EcgEdgeError: with the line and the column of what is wrong.
    """
    lines = list(text_rows(path))
    header: list[str] = []
    if len(lines) > 1 and is_header(lines[0][1], lines[1][1]):
        header = [field.strip().lower() for field in lines.pop(0)[1]]
    last = bool(header) and header[-1] in LABEL_NAMES and header[0] not in LABEL_NAMES
    labels: list[str] = []
    rows: list[np.ndarray] = []
    columns = len(header or lines[0][1]) if lines else 0
    for number, fields in lines:
        where = f"{path}, line {number}"
        if len(fields) != columns:
            raise EcgEdgeError(
                f"{where}, column {min(len(fields), columns) + 1}: {len(fields)} columns "
                f"where the first line has {columns}",
                ONE_LENGTH,
            )
        if len(fields) < 2:
            raise EcgEdgeError(f"{where}, column 2: a label without samples", WAYS_TO_NAME_DATA)
        at = len(fields) - 1 if last else 0
        labels.append(parse_label(fields[at], f"{where}, column {at + 1}"))
        rows.append(parse_numbers(fields[:-1] if last else fields[1:], where, 1 if last else 2))
    return labels, stack(rows, path)


def text_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not blank, as (line number, fields), without quotes around fields.

    Bytes that are no UTF-8 stay in their field, so that whoever reads it can name line and column.
    """
    separator = None
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                if separator is None:
                    separator = "," if "," in line else "\t" if path.suffix.lower() == ".tsv" and "\t" in line else ""
                if separator:
                    yield number, [unquoted(field) for field in line.strip(" \r\n").split(separator)]
                else:
                    yield number, [unquoted(field) for field in line.split()]
    except OSError as error:
        raise unreadable(path, error) from error


def unquoted(field: str) -> str:
    field = field.strip()
    return field[1:-1] if len(field) > 1 and field[0] == field[-1] and field[0] in "\"'" else field


def is_header(first: list[str], second: list[str]) -> bool:
    """Whether the first line names columns: it holds no number, or numbers columns, and the second holds beats."""
    numbers = [as_float(field) for field in first]
    beat = sum(math.isfinite(as_float(field)) for field in second) >= max(len(second) - 1, 1)
    if not beat or len(first) < 2:
        return False
    if not any(map(math.isfinite, numbers)):
        return True
    counted = numbers[1:] if first[0].strip().lower() in LABEL_NAMES else numbers[:-1]
    named = first[0].strip().lower() in LABEL_NAMES or first[-1].strip().lower() in LABEL_NAMES
    return named and counted in (list(range(len(counted))), list(range(1, len(counted) + 1)))
