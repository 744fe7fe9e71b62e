"""A table as a text file holds it: lines, names of its columns, and what its columns are made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from ecgedge.data.readers.dialect import MISSING, Dialect, Line, guess, separator_told, split_line, split_lines
from ecgedge.data.readers.fields import LABEL_NAMES, plain, short
from ecgedge.errors import EcgEdgeError

COUNTED = 8  # columns whose names are 0, 1, 2, ...: as many are no beat


@dataclass(frozen=True)
class Table:
    """What was read of a table.

    Attributes:
        where: the file, as errors call it.
        names: of the columns; empty where there is no header.
        lines: number and fields of each line but the header.
        width: columns of the first line (of the second, where a header does not name the row numbers).
        unit: what a line is called.
        kind: what the table is, where it is no text.
    """

    where: str
    dialect: Dialect
    names: list[str]
    lines: Sequence[Line]
    width: int
    unit: str = "line"
    kind: str = ""

    def describe(self) -> str:
        """How it is written, for the user."""
        return self.kind or f"{self.dialect.describe()}, {'a header' if self.names else 'no header'}"

    @cached_property
    def values(self) -> np.ndarray:
        """The numbers in the lines of the table's width, ``(N, width)`` float64, nan where a field holds none."""
        rows = [self.dialect.numbers(fields) for _, fields in self.lines if len(fields) == self.width]
        return np.array(rows, np.float64).reshape(len(rows), self.width)

    def column(self, index: int) -> list[str]:
        """The fields of one column."""
        return [fields[index] for _, fields in self.lines if len(fields) == self.width]

    def is_words(self, index: int) -> bool:
        """Whether more fields of a column are words than numbers."""
        present = [field for field in self.column(index) if field.lower() not in MISSING]
        return 2 * int(np.isfinite(self.values[:, index]).sum()) < len(present)

    def is_blank(self, index: int) -> bool:
        """Whether all fields of a column are empty."""
        return not any(self.column(index))

    def call(self, index: int) -> str:
        """A column as an error calls it: its number from 1, and its name."""
        name = self.names[index].strip() if self.names else ""
        return f"column {index + 1} ({name[:40]})" if name.isprintable() and name else f"column {index + 1}"


def read_table(where: str, source: Iterable[tuple[int, str]]) -> Table:
    """Guess how lines are written, and split them.

    Args:
        where: the file, as errors call it.
        source: numbered lines: all of the file, or the first.

    Raises:
        EcgEdgeError: a quote is not closed.
    """
    rest = [(number, line) for number, line in source if line.strip()]
    told = separator_told(rest[0][1]) if rest else None
    if told:
        rest = rest[1:]
    dialect = guess([line for _, line in rest])
    if told and told != dialect.separator:
        dialect = Dialect(told)
    comments, rest = leading_comments(rest, dialect)
    lines = without_last_separator(list(split_lines(rest, dialect.separator, where)))
    names: list[str] = []
    width = len(lines[0][1]) if lines else 0
    if comments and len(comments[-1]) == width and names_columns(comments[-1], lines, dialect, where):
        names = comments[-1]
    elif len(lines) > 1 and names_columns(lines[0][1], lines[1:], dialect, where):
        names = lines.pop(0)[1]
        if all(len(fields) == width + 1 for _, fields in lines):  # R does not name the row names
            names, width = ["", *names], width + 1
    return Table(where, dialect, names, lines, width)


def is_even(numbers: Sequence[float]) -> bool:
    """Whether numbers rise by the same step, but for their rounding, as no beat does: ``COUNTED`` or more of them."""
    found = np.array([number for number in numbers if math.isfinite(number)])
    if len(found) < COUNTED or not (np.diff(found) > 0).all():
        return False
    line, step = np.linspace(found[0], found[-1], len(found), retstep=True)
    return bool((np.abs(found - line) <= step / 2).all())


def without_last_separator(lines: list[Line]) -> list[Line]:
    """The lines without the empty field behind a separator that ends each of them (the header's too, or not)."""
    width = len(lines[-1][1]) if lines else 0
    if len(lines) < 2 or width < 3 or any(len(fields) != width or fields[-1] for _, fields in lines[1:]):
        return lines
    head = lines[0][1]
    if len(head) == width - 1 or (len(head) == width and not head[-1]):
        return [(lines[0][0], head[: width - 1]), *((number, fields[:-1]) for number, fields in lines[1:])]
    return lines


def leading_comments(lines: list[tuple[int, str]], dialect: Dialect) -> tuple[list[list[str]], list[tuple[int, str]]]:
    """The fields of the first lines that begin with ``#`` and hold no beat, and the lines behind them."""
    comments: list[list[str]] = []
    for at, (_, line) in enumerate(lines):
        fields = split_line(line, dialect.separator)
        beat = sum(math.isfinite(dialect.number(field)) for field in fields[1:])
        if not line.lstrip().startswith("#") or (beat and 2 * beat >= len(fields[1:])):
            return comments, lines[at:]
        comments.append(split_line(line.lstrip().lstrip("#").strip(), dialect.separator))
    return comments, []


def names_columns(first: list[str], lines: Sequence[Line], dialect: Dialect, where: str) -> bool:
    """Whether the first line names the columns of the others: no number stands over a column of numbers, or
    the numbers there only count the columns.

    Raises:
        EcgEdgeError: they may count the columns, or be a beat.
    """
    body = [fields for _, fields in lines if len(fields) in (len(first), len(first) + 1)][:200]
    if not body or len(first) < 2:
        return False
    shift = 1 if all(len(fields) == len(first) + 1 for fields in body) and any(fields[-1] for fields in body) else 0
    over = []
    for index, field in enumerate(first):
        below = [fields[index + shift] for fields in body if index + shift < len(fields)]
        numbers = sum(math.isfinite(dialect.number(each)) for each in below)
        missing = sum(each.lower() in MISSING for each in below)
        if numbers and 2 * numbers >= len(below) - missing:
            over.append(field)
    heads = [dialect.number(field) for field in over]
    if not over:
        return False
    if not any(map(math.isfinite, heads)):
        return not all(field.lower() in MISSING for field in over)
    numbered = [value for value in map(dialect.number, first) if math.isfinite(value)]
    if len(numbered) < len(first) - 2 or any(field.lower() in ("nan", "?") for field in first):
        return False
    if len(numbered) < len(first) and is_even(numbered) and not is_even(dialect.numbers(body[0])):  # times, as s / 250
        return True
    counts = numbered in (list(range(len(numbered))), list(range(1, len(numbered) + 1)))
    if {b - a for a, b in pairwise(map(dialect.number, body[0]))} == {1.0}:  # so does a beat that is a ramp
        return False
    named = any(plain(field) in LABEL_NAMES for field in first) or not first[0]
    if not counts or named or len(numbered) >= COUNTED:
        return counts
    beneath = [dialect.number(field) for fields in body for field in fields]
    if any(math.isfinite(value) and not value.is_integer() for value in beneath):
        return True
    if len(numbered) == len(first) > 2:
        raise EcgEdgeError(
            f"{where}: the first line ({short(' '.join(first))}) may be a beat, or count the columns",
            "leave it out, or name the columns in words",
        )
    return False
