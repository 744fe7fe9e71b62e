"""What a user says of the columns of a table, what each column is, and the beats that come of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgedge.data.readers.fields import short
from ecgedge.errors import EcgEdgeError

SAY = "say --label-column NAME|N|last, and --ignore-column NAME|N for each that holds no samples"


@dataclass(frozen=True)
class Columns:
    """What the user says of the columns of a table, and of leads. None and empty: nothing.

    It is true where something is said of columns.

    Attributes:
        label: the one that holds the label: its name, its number from 1 (``:1`` is never a name), or ``last``; or those
            of a label in one-hot form, as ``N,S,V`` or ``6-8``.
        ignore: those that hold neither label nor samples, likewise.
        leads: those that are wanted, each by its name or its number from 1, in that order; empty: all.
        layout: of arrays with three axes, ``"NCL"`` or ``"NLC"``; None: it is told from their shape.
        group: the one that holds the patient, or whatever else must not be in both parts.
        labels: a file with the labels of beats that are in a file without them, an ``.npy``.
        classes: a file with the names of the classes, as ``ecgedge.data.readers.names`` reads it.
        known: no word of the user's, but the labels of a model, of which several may hold: where beats without labels
            are read, columns that are called so hold no samples.
    """

    label: str | None = None
    ignore: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()
    layout: str | None = None
    group: str | None = None
    labels: str | None = None
    classes: str | None = None
    known: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        said = (self.label, self.group, self.labels, self.classes)
        return bool(self.ignore) or any(each is not None for each in said)

    def describe(self) -> str:
        """What was said, as a data set's source has it."""
        said = [
            ("label in column", self.label), ("label file", self.labels),
            *(("without column", each) for each in self.ignore),
            ("patients in column", self.group), ("class names of", self.classes),
        ]  # fmt: skip
        return ", ".join(f"{what} {which}" for what, which in said if which is not None)

    def options(self) -> list[str]:
        """The options that name columns, of those that were given."""
        said = {"--label-column": self.label, "--ignore-column": self.ignore or None, "--group": self.group}
        return [option for option, value in said.items() if value is not None]


@dataclass(frozen=True)
class Layout:
    """What each column of a table is, by its index from 0.

    Attributes:
        names: of all columns; empty where the table has no header.
        label_told: the label's column, as an error calls it.
        asked: whether the user named it.
        told: what was found and guessed, in one line.
        one_hot: the columns of a label in one-hot form, of which ``label`` is the first; empty for any other.
        group: the column of the patient; None where none was named.
    """

    width: int
    names: tuple[str, ...]
    label: int
    samples: tuple[int, ...]
    label_told: str
    asked: bool
    told: str
    one_hot: tuple[int, ...] = ()
    group: int | None = None


@dataclass(frozen=True)
class Part:
    """Beats of one file, or of one part of it.

    Attributes:
        labels: N words.
        x: beats ``(N, C, L)`` float32 of C leads.
        layout: of the table that they were in; None where they were in none.
        leads: what they are called, C names; empty where the file does not say.
        told: how the axes of an array were told; empty where there was nothing to tell.
        groups: the patient of each beat, N words; None where that is not known.
        recipe: how the beats were cut from records, as ``ecgedge.data.records`` writes it; empty for any others.
        bits: of labels in a column each, which each beat has, ``(N, K)`` int64 of 0 and 1; None for any others.
        bit_names: what the K labels are called; empty with ``bits`` None.
    """

    labels: list[str]
    x: np.ndarray
    layout: Layout | None = None
    leads: tuple[str, ...] = ()
    told: str = ""
    groups: list[str] | None = None
    recipe: str = ""
    bits: np.ndarray | None = None
    bit_names: tuple[str, ...] = ()

    @property
    def several(self) -> bool:
        """Whether several labels hold for a beat, or none."""
        return self.bits is not None and bool((self.bits.sum(axis=1) != 1).any())


def refuse_columns(path: Path, asked: Columns, label: str) -> None:
    """Raise EcgEdgeError where the user names columns of a file that has none; ``label``: where it has its label."""
    if named := asked.options():
        raise EcgEdgeError(f"{path} is no table: {named[0]} has no place, {label}", f"leave {named[0]} out")


def find_column(said: str, option: str, names: Sequence[str], width: int, where: str) -> int:
    """The index from 0 of the column that the user names.

    Raises:
        EcgEdgeError: there is none, or what was said means two.
    """
    text = said.strip()
    named = [index for index, name in enumerate(names) if name.strip() == text]
    named = named or [index for index, name in enumerate(names) if name.strip().lower() == text.lower()]
    counted = text.removeprefix(":")
    number = int(counted) - 1 if re.fullmatch("[0-9]{1,9}", counted) else width - 1 if text.lower() == "last" else None
    if number is not None and not 0 <= number < width:
        number = None
    found = sorted({*(named if not text.startswith(":") else []), *([] if number is None else [number])})
    if len(found) > 1:
        told = " and ".join(f"column {index + 1}" for index in found[:3])
        raise EcgEdgeError(f"{where}: {option} {said} means {told}", f"say its number, as in {option} :{found[0] + 1}")
    if not found:
        has = f"the columns {', '.join(short(name) for name in names[:3])}, ... " if names else "columns without names"
        raise EcgEdgeError(
            f"{where}: no column {said[:40]!r} ({option}); it has {has.rstrip()}, {width} in all",
            "name one by its name, by its number from 1, or as last",
        )
    return found[0]


def find_labels(said: str, names: Sequence[str], width: int, where: str) -> tuple[int, ...]:
    """The indices from 0 of the columns that the user names as the label: several are one in one-hot form.

    Raises:
        EcgEdgeError: as ``find_column``; or one is named twice.
    """
    known = {name.strip().lower() for name in names}
    each = [word.strip() for word in said.split(",")] if said.strip().lower() not in known else [said]
    if len(each) == 1 and each[0].lower() not in known and (span := re.fullmatch("([0-9]{1,6})-([0-9]{1,6})", each[0])):
        each = [f":{number}" for number in range(int(span[1]), int(span[2]) + 1)][: width + 1] or each
    found = tuple(find_column(one, "--label-column", names, width, where) for one in each)
    if len({*found}) < len(found):
        raise EcgEdgeError(f"{where}: --label-column {said} names a column twice", "name each column once")
    return found
