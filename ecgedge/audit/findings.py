"""What a check found: how much holds, what does not, and what nobody knows how to check."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RELATIVE, ABSOLUTE = 1e-9, 1e-12  # two ways to one figure may differ by so much
DAMAGED = (
    OSError, EOFError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, MemoryError, RuntimeError,
    SyntaxError, csv.Error, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
MISSING = object()  # a claim that is not made


@dataclass
class Findings:
    """Attributes:
    reasons: why the run does not hold, a line each.
    figures: numbers of rows that were found again.
    digests: files whose digest holds.
    seen: the figures of each row that were looked at.
    unchecked: names of figures that are not known here.
    notes: what to know of rows that hold, a line each.
    older: cells whose graphs say too little for this check.
    """

    reasons: list[str] = field(default_factory=list)
    figures: int = 0
    digests: int = 0
    seen: dict[str, set[str]] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    older: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows that have figures."""
        return len(self.seen)

    def wrong(self, where: str, what: str) -> None:
        self.reasons.append(printable(f"{where}: {what}"))

    def hold(self, row: dict[str, Any], name: str, found: Any, step: float = 0.0) -> None:
        """Hold a figure of a row to what was found; ``step``: half of the last digit that it was rounded to."""
        self.seen.setdefault(row["id"], set()).add(name)
        self.compare(row["id"], name, row.get(name, MISSING), found, step)

    def compare(self, where: str, name: str, claimed: Any, found: Any, step: float) -> None:
        """Go through a figure, which may be a table or a list, and count the numbers in it."""
        if isinstance(claimed, dict) and isinstance(found, dict):
            for key in dict.fromkeys([*found, *claimed]):
                self.compare(where, f"{name}.{key}", claimed.get(key, MISSING), found.get(key, MISSING), step)
        elif isinstance(claimed, list) and isinstance(found, list) and len(claimed) == len(found):
            for i, pair in enumerate(zip(claimed, found)):
                self.compare(where, f"{name}.{i}", *pair, step)
        elif not agree(claimed, found, step):
            self.wrong(where, f"{name}: {shown(claimed)} is claimed, {shown(found)} was found")
        elif is_number(claimed):
            self.figures += 1

    @contextlib.contextmanager
    def reading(self, where: str, what: str) -> Iterator[None]:
        """What cannot be read cannot hold."""
        try:
            yield
        except DAMAGED as error:
            told = " ".join(f"{type(error).__name__}: {error}".split())
            if isinstance(error, FileNotFoundError) and error.filename:
                told = f"{Path(os.fsdecode(error.filename)).name} is missing"
            self.wrong(where, printable(f"{what} cannot be checked: {told}")[:300])


def printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def agree(claimed: Any, found: Any, step: float) -> bool:
    if is_number(claimed) and is_number(found):
        return bool(abs(claimed - found) <= step + ABSOLUTE + RELATIVE * max(abs(claimed), abs(found)))
    return type(claimed) is type(found) and bool(claimed == found)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def has_numbers(value: Any) -> bool:
    """Whether it is a number, or holds one."""
    if isinstance(value, dict | list):
        return any(map(has_numbers, value.values() if isinstance(value, dict) else value))
    return is_number(value)


def shown(value: Any) -> str:
    text = "nothing" if value is MISSING else json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:78] + ".."
