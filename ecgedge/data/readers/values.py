"""What the names and values of a table's columns look like: labels, row numbers, or samples."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ecgedge.data.readers.fields import plain
from ecgedge.data.readers.table import Table

ROW_NUMBERS = ("", "unnamed0", "index", "idx", "row", "rownames", "rowid", "id", "no", "nr", "beat", "beatid")
NO_SAMPLES = (  # what columns are called that are neither label nor samples, as ``plain`` has it
    "id", "index", "idx", "row", "rowid", "beat", "beatid", "patient", "patientid", "subject", "subjectid", "record",
    "recordid", "recordname", "fold", "split", "age", "sex", "gender", "lead", "time", "timestamp", "file", "filename",
)  # fmt: skip
ENOUGH = 4  # lines from which the values of a column tell anything
ONE_HOT = 8  # lines from which columns of 0 and 1 that sum to 1 are no chance


def strays(table: Table, columns: Sequence[int]) -> list[int]:
    """The columns of numbers whose names are not like those of the samples (``s0``, ``s1``, ...), or are known."""
    if not table.names:
        return []
    stems = {index: re.sub(r"[0-9]+$", "", table.names[index].strip()) for index in columns}
    numbered = [index for index in columns if stems[index] != table.names[index].strip()]
    stem, count = Counter(stems[index] for index in numbered).most_common(1)[0] if numbered else ("", 0)
    pattern = count >= 3 and 2 * count > len(columns)
    return [
        index
        for index in columns
        if plain(table.names[index]) in NO_SAMPLES
        or (pattern and not (index in numbered and stems[index] == stem))
    ]  # fmt: skip


def distinct(table: Table, index: int) -> int:
    """How many values a column has."""
    return len(np.unique(table.values[:, index]))


def is_whole(table: Table, index: int) -> bool:
    """Whether a column holds whole numbers alone."""
    values = table.values[:, index]
    return bool(len(values)) and bool((np.isfinite(values) & (values == np.round(values))).all())


def is_constant(table: Table, index: int) -> bool:
    return is_whole(table, index) and distinct(table, index) == 1


def like_labels(table: Table, index: int) -> bool:
    """Whether a column holds two classes or more, in whole numbers or words, of two beats or more on average."""
    fields = table.column(index)
    values = table.values[:, index]
    numbers = values[np.isfinite(values)]
    count = distinct(table, index) if len(numbers) == len(fields) else len(set(fields))
    return 2 <= count <= len(fields) / 2 and bool((numbers == np.round(numbers)).all())


def stands_out(table: Table, index: int, columns: Sequence[int]) -> bool:
    """Whether a column is like labels, and most of the others are not: they hold fractions, or far more values."""
    if not like_labels(table, index):
        return False
    inner = [other for other in columns if other not in (columns[0], columns[-1], index)]
    values = [distinct(table, other) if is_whole(table, other) else math.inf for other in inner]
    return bool(values) and 2 * distinct(table, index) <= float(np.median(values))


def is_row_number(table: Table, index: int) -> bool:
    """Whether a column numbers the rows: it is called so, or has no name where others have; none comes twice."""
    if not table.names or plain(table.names[index]) not in ROW_NUMBERS or not any(table.names[1:]):
        return False
    if plain(table.names[index]) in ("", "unnamed0"):  # what was drawn from a larger table keeps its numbers
        return is_whole(table, index) and distinct(table, index) == len(table.lines)
    return counts_rows(table, index)


def whole_among_fractions(table: Table, samples: Sequence[int]) -> list[int]:
    """The first and last samples of a table without a header that hold whole numbers, where most hold fractions.

    Of 0 and 1 alone are the ends of many a beat that was brought between these.
    """
    if table.names or len(table.values) < ONE_HOT or len(samples) < ENOUGH:
        return []
    if 2 * sum(is_whole(table, index) for index in samples) > len(samples):
        return []
    ends = (samples[0], samples[-1])
    return [index for index in ends if is_whole(table, index) and np.ptp(table.values[:, index]) > 1]


def counts_rows(table: Table, index: int) -> bool:
    """Whether a column holds 0, 1, 2, ... or 1, 2, 3, ..."""
    values = table.values[:, index]
    return len(values) >= ENOUGH and values[0] in (0, 1) and bool((np.diff(values) == 1).all())


def leading_bits(table: Table, samples: Sequence[int]) -> list[int]:
    """The first of these columns that hold 0 and 1 alone, where exactly one of them is 1 in every line."""
    values = table.values
    if len(values) < ONE_HOT:
        return []
    block: list[int] = []
    for index in samples:
        if not np.isin(values[:, index], (0, 1)).all():
            break
        block.append(index)
    hot = 1 < len(block) < len(samples) and (values[:, block].sum(axis=1) == 1).all()
    return block if hot and values[:, block].any(axis=0).all() else []
