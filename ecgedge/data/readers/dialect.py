"""How the lines of a table are written: separator, decimal sign, quotes. Guessed from the lines themselves."""

from __future__ import annotations

import codecs
import csv
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgedge.data.readers.fields import as_float, as_floats, lines_of, short, unreadable
from ecgedge.errors import EcgEdgeError

BLANKS = " "  # any number of blanks and tabs
SEPARATORS = ("\t", ";", "|", ",", BLANKS)  # of two that fit alike the first is taken
NAMES = {"\t": "tabs", ";": "';'", "|": "'|'", ",": "commas", BLANKS: "blanks"}
LOOKED_AT = 50  # lines that a guess is made from
MISSING = ("", "?", "na", "n/a", "nan", "null", "none", "-")  # what stands for no value, in small letters
DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+(,[0-9]+)?([eE][+-]?[0-9]+)?")
THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
WORD = re.compile(r'"(?:[^"]|"")*"(?!\S)|\S+')  # of a line parted by blanks; quotes hold one together
SPLIT_AT = re.compile(r"[;|\t, ]+")
ONE_SEPARATOR = "part the fields of every line by one separator: tabs, ';', '|', commas or blanks"

Line = tuple[int, list[str]]  # its number, counted from 1, and its fields


@dataclass(frozen=True)
class Dialect:
    """What parts the fields of a line, and what stands before the decimals of a number."""

    separator: str
    decimal: str = "."

    def number(self, field: str) -> float:
        """The number that a field holds; nan where it holds none."""
        if self.decimal == ".":
            return as_float(field)
        return as_float(field.replace(",", ".")) if DECIMAL_COMMA.fullmatch(field.strip()) else math.nan

    def numbers(self, fields: Sequence[str]) -> list[float]:
        """The numbers that fields hold, as ``number`` has each."""
        return as_floats(fields) if self.decimal == "." else [self.number(field) for field in fields]

    def describe(self) -> str:
        commas = ", decimal commas" if self.decimal == "," else ""
        return f"fields parted by {NAMES[self.separator]}{commas}"


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file, whatever ends them, in UTF-8, or in UTF-16 where its first bytes say so.

    Bytes that are no UTF-8 stay in their line, so that whoever reads it can name line and column.

    Raises:
        EcgEdgeError: it cannot be read, or is too big.
    """
    try:
        with path.open("rb") as raw:
            wide = raw.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        coded = ("utf-16", "replace") if wide else ("utf-8-sig", "surrogateescape")
        with path.open(encoding=coded[0], errors=coded[1]) as file:
            yield from lines_of(file, path)
    except OSError as error:
        raise unreadable(path, error) from error


def guess(lines: Sequence[str]) -> Dialect:
    """The dialect in which most fields of the first lines are numbers, and the lines are of one width."""
    looked = [line for line in lines if line.strip() and not line.lstrip().startswith("#")][:LOOKED_AT]
    best, best_score = Dialect(BLANKS), 0.0
    for separator in SEPARATORS:
        rows = [split_line(line, separator) for line in looked]
        widths = Counter(map(len, rows))
        if not widths or widths.most_common(1)[0][0] < 2:
            continue
        alike = widths.most_common(1)[0][1] / len(rows)
        fields = [field for row in rows for field in row if field.lower() not in MISSING]
        for decimal in (".", ",") if separator != "," else (".",):
            dialect = Dialect(separator, decimal)
            numbers = sum(math.isfinite(dialect.number(field)) for field in fields)
            score = alike * (numbers + 0.001) / max(len(fields), 1)  # where nothing is a number, one width counts
            if score > best_score * (1 + 1e-9):
                best, best_score = dialect, score
    return best


def split_line(line: str, separator: str) -> list[str]:
    """The fields of one line, as far as a guess needs them."""
    try:
        return next(split_lines([(1, line)], separator, ""), (1, []))[1]
    except EcgEdgeError:
        return []


def split_lines(lines: Iterable[tuple[int, str]], separator: str, where: str) -> Iterator[Line]:
    """The fields of lines that are not blank, without quotes around them; a quoted field may hold a separator.

    Raises:
        EcgEdgeError: a quote is not closed, with ``where`` (the file) and the line.
    """
    if separator == BLANKS:
        yield from ((number, split_blanks(line)) for number, line in lines if line.strip())
        return
    number = 1

    def fed() -> Iterator[str]:
        nonlocal number
        for at, line in lines:
            if line.strip():
                number = at
                yield line.strip(" \r\n")

    reader = csv.reader(fed(), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        for fields in reader:
            yield number, [unquoted(field) for field in fields]
    except csv.Error as error:
        unclosed = "expected after" in str(error) or "end of data" in str(error)
        raise EcgEdgeError(
            f"{where}, line {number}: {'a quote is not closed' if unclosed else error}",
            "double a quote that is part of a field, or close it",
        ) from error


def split_blanks(line: str) -> list[str]:
    if '"' not in line:
        return [unquoted(field) for field in line.split()] if "'" in line else line.split()
    return [unquoted(field).replace('""', '"') for field in WORD.findall(line)]


def unquoted(field: str) -> str:
    field = field.strip()
    return field[1:-1].strip() if len(field) > 1 and field[0] == field[-1] and field[0] in "\"'" else field


def separator_told(line: str) -> str | None:
    """What spreadsheets write in front of a table: the separator of a line ``sep=;``; None of another line."""
    found = re.fullmatch(r"[\"']?sep=(.)[\"']?", line.strip(" \r\n"), re.IGNORECASE)
    return found[1] if found and found[1] in SEPARATORS else None


def check_thousands(fields: Iterable[str], where: str) -> None:
    """Raise EcgEdgeError where all commas may part thousands as well as decimals."""
    commas = [field for field in fields if "," in field]
    if commas and all(THOUSANDS.fullmatch(field) for field in commas):
        raise EcgEdgeError(
            f"{where}: the comma in {short(commas[0])} may part thousands or decimals",
            "write the numbers without thousands separators, or with a decimal point",
        )


def check_one_separator(field: str, where: str, separator: str) -> None:
    """Raise EcgEdgeError for a word that is numbers parted by another separator, as of a line with two of them."""
    parts = [part for part in SPLIT_AT.split(field) if part]
    if len(parts) > 1 and all(math.isfinite(as_float(part)) for part in parts):
        raise EcgEdgeError(f"{where}: {short(field)} among fields parted by {NAMES[separator]}", ONE_SEPARATOR)
