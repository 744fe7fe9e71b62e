"""What all formats share: numbers, labels, and how their faults are told."""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from ecgedge.errors import EcgEdgeError

WAYS_TO_NAME_DATA = "name a folder with NAME_TRAIN.txt and NAME_TEST.txt, a file or a zip, or use --dataset synthetic"
ONE_LENGTH = "the file is cut, or its beats differ in length: every beat needs a label and the same samples"
# what a column of labels is called, as ``plain`` has it
LABEL_NAMES = (
    "label",
    "labels",
    "class",
    "classes",
    "classlabel",
    "target",
    "y",
    "diagnosis",
    "category",
    "annotation",
)
LONGEST_LABEL = 80
BIGGEST = 1_000_000_000  # bytes of a file, unpacked
LONGEST_LINE = 50_000_000  # characters
KINDS = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISCHR: "a device", stat.S_ISBLK: "a device",
         stat.S_ISSOCK: "a socket"}  # fmt: skip


def short(text: object, length: int = 40) -> str:
    """A text from a file, as an error may show it: one line, ``length`` characters at most."""
    told = str(text)
    return repr(told if len(told) <= length else told[: length - 3] + "...")


def plain(name: str) -> str:
    """A column's name in small letters and digits alone, as it is held against the names that are known."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def as_float(field: str) -> float:
    """The number that a field holds; nan where it holds none (Python's ``1_0`` is none)."""
    try:
        return math.nan if "_" in field else float(field)
    except ValueError:
        return math.nan


def as_floats(fields: Sequence[str]) -> list[float]:
    """The numbers that fields hold, as ``as_float`` has each."""
    try:
        if not any("_" in field for field in fields):
            return [*map(float, fields)]  # nearly always, and several times as fast
    except ValueError:
        pass
    return [*map(as_float, fields)]


def parse_numbers(
    fields: Sequence[str],
    where: str,
    columns: Sequence[int],
    numbers: Callable[[Sequence[str]], list[float]] = as_floats,
) -> np.ndarray:
    """Samples ``(len(fields),)`` float32.

    Args:
        columns: those of the fields, counted from 1.
        numbers: the numbers that fields hold, nan where one holds none.

    Raises:
        EcgEdgeError: with ``where`` (file and line) and the column of the first that is no finite float32.
    """
    with np.errstate(over="ignore"):  # too large for float32 becomes inf, which is told below
        row = np.array(numbers(fields), np.float64).astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(row))
    if len(wrong):
        index = int(wrong[0])
        told = short(fields[index]) if fields[index] else "nothing"
        raise EcgEdgeError(
            f"{where}, column {columns[index]}: {told} is not a finite number",
            "every sample must be a number; remove or repair the beat",
        )
    return row


def parse_label(field: str, where: str) -> str:
    """A label: any printable word. Numbers are brought to one form (``1.0`` and ``1.0e+00`` to ``1``).

    Raises:
        EcgEdgeError: it is empty, missing (``?``, ``nan``), too long, or cannot be printed.
    """
    label = field.strip()
    if not label or label == "?" or label.lower() == "nan":
        raise EcgEdgeError(f"{where}: {short(label) if label else 'nothing'} is no label", "every beat needs a label")
    if len(label) > LONGEST_LABEL or not label.isprintable():
        foreign = any("\udc80" <= character <= "\udcff" for character in label)  # bytes that are no UTF-8
        raise EcgEdgeError(
            f"{where}: {short(label)} is no label",
            "it is not in UTF-8: save the file so (a spreadsheet calls it CSV UTF-8)"
            if foreign
            else f"a label has at most {LONGEST_LABEL} characters, all printable",
        )
    value = as_float(label)
    if not math.isfinite(value):
        return label
    brief = f"{value + 0.0:g}"
    if float(brief) == value:
        return brief
    return str(int(value)) if value.is_integer() else repr(value)  # too long for %g: labels must stay apart


def parse_group(field: str, where: str) -> str:
    """The patient or record that a beat is of: any printable word; numbers as ``parse_label`` has them.

    Raises:
        EcgEdgeError: it is empty or missing, too long, or cannot be printed.
    """
    try:
        return parse_label(field, where)
    except EcgEdgeError as error:
        raise EcgEdgeError(
            error.message.replace("is no label", "names no patient"), "every beat needs its patient, a printable word"
        ) from error


def order_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """The labels without repetition: by number where all are numbers, else by alphabet."""
    found = set(labels)
    values = {label: as_float(label) for label in found}
    if all(math.isfinite(value) for value in values.values()):
        return tuple(sorted(found, key=values.__getitem__))
    return tuple(sorted(found))


def stack(rows: list[np.ndarray], path: Path) -> np.ndarray:
    """Beats ``(N, C, L)`` of rows ``(L,)`` or ``(C, L)`` of one length. Raises EcgEdgeError where there is none."""
    if not rows:
        raise EcgEdgeError(f"{path} is empty", WAYS_TO_NAME_DATA)
    x = np.stack(rows)
    return x[:, None] if x.ndim == 2 else x


def check_file(path: Path, most: int | None = BIGGEST) -> None:
    """Raise EcgEdgeError where a path is a pipe, a device or a folder, or has more than ``most`` bytes."""
    try:
        found = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for is_kind, name in KINDS.items() if is_kind(found.st_mode)), "no file")
        raise EcgEdgeError(f"{path} is {kind}, not a file of beats", "copy its content to a file, and name that")
    if most is not None and found.st_size > most:
        raise too_big(path, found.st_size)


def too_big(path: object, size: int) -> EcgEdgeError:
    return EcgEdgeError(f"{path} has {size:,} bytes or more", f"up to {BIGGEST:,} are read")


def lines_of(file: IO[str], where: object, most: int | None = BIGGEST) -> Iterator[str]:
    """The lines of a text, read in pieces, without what ends them.

    Args:
        where: the file, as errors call it.
        most: characters that are read; None: any number.

    Raises:
        EcgEdgeError: there are more, or a line has more than ``LONGEST_LINE``.
    """
    read = 0
    while line := file.readline(LONGEST_LINE + 1):
        read += len(line)
        if len(line) > LONGEST_LINE:
            told = f"{where} has a line of more than {LONGEST_LINE:,} characters"
            raise EcgEdgeError(told, "a beat is a line, its samples are parted by commas, tabs or blanks")
        if most is not None and read > most:
            raise too_big(where, read)
        yield line.removesuffix("\n")


def unreadable(path: Path, error: OSError) -> EcgEdgeError:
    return EcgEdgeError(f"{path} cannot be read: {error.strerror or type(error).__name__}", WAYS_TO_NAME_DATA)
