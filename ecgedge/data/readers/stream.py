"""Beats without need of labels, from text of any length: a line a beat, as they come."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np

from ecgedge.data.readers.columns import Columns, find_column, find_labels
from ecgedge.data.readers.dialect import Line, check_thousands, split_lines
from ecgedge.data.readers.fields import LABEL_NAMES, lines_of, plain, short
from ecgedge.data.readers.layout import find_label, named_one_hot, stray, wordless
from ecgedge.data.readers.table import Table, read_table
from ecgedge.data.readers.values import counts_rows, is_row_number, stands_out, strays
from ecgedge.errors import EcgEdgeError

HEAD = 256  # lines that guesses are made from
LEAVE_OUT = "--labelled leaves out the first column, --label-column last the last, --ignore-column NAME|N another"


@dataclass(frozen=True)
class Stream:
    """Beats ``(L,)`` float64, read when they are asked for; ``told``: what was guessed, empty where nothing was."""

    beats: Iterator[np.ndarray]
    told: str


def read_stream(source: Iterable[str], where: str, asked: Columns, length: int | None) -> Stream:
    """Guess from the first lines how all are written.

    Args:
        where: the file, as errors call it.
        asked: what the user says of the columns; the label's is left out, too.
        length: samples a beat; None: all columns that nothing speaks against.

    Raises:
        EcgEdgeError: the columns are not what a model takes; and in the reading, with line and column, what is wrong.
    """
    if isinstance(source, io.TextIOWrapper):
        source = lines_of(source, where, most=None)
    numbered = ((number, line.removeprefix("\ufeff")) for number, line in enumerate(source, 1) if line.strip())
    table = read_table(where, list(islice(numbered, HEAD)))
    if not table.lines:
        return Stream(iter(()), "")
    samples, told = sample_columns(table, asked, length)
    if table.dialect.decimal == ",":
        told.insert(0, table.dialect.describe())
        check_thousands((fields[i] for _, fields in table.lines for i in samples if i < len(fields)), where)
    if table.names:
        told.insert(0, "the first line names the columns")
    rest = split_lines(numbered, table.dialect.separator, where)
    taken = "the lines before have" if length is None else "the model takes"
    return Stream(rows(chain(table.lines, rest), table, samples, taken), "; ".join(told))


def rows(lines: Iterable[Line], table: Table, samples: list[int], taken: str) -> Iterator[np.ndarray]:
    """The samples of each line ``(L,)`` float64; ``taken``: who wants so many, in words."""
    others = table.width - len(samples)
    for number, fields in lines:
        here = f"{table.where}, line {number}"
        if len(fields) == table.width + 1 and not fields[-1]:  # a separator ends it
            fields = fields[:-1]
        if len(fields) != table.width:
            hint = LEAVE_OUT if len(fields) == table.width + 1 else "one beat a line"
            raise wrong_count(here, len(fields) - others, len(samples), hint, taken)
        x = np.array([table.dialect.number(fields[index]) for index in samples], np.float64)
        if not np.isfinite(x).all():
            index = samples[int(np.flatnonzero(~np.isfinite(x))[0])]
            told = short(fields[index])
            raise EcgEdgeError(f"{here}, column {index + 1}: {told} is not a finite number", "repair the line")
        yield x


def sample_columns(table: Table, asked: Columns, length: int | None) -> tuple[list[int], list[str]]:
    """The columns that hold samples, and what was guessed of the others.

    Raises:
        EcgEdgeError: they are not as many as a model takes, or hold words.
    """
    said = [("--ignore-column", each) for each in asked.ignore]
    said += [("--group", asked.group)] if asked.group is not None else []
    out = {find_column(each, option, table.names, table.width, table.where) for option, each in said}
    out |= {*find_labels(asked.label, table.names, table.width, table.where)} if asked.label is not None else set()
    rest, told = [index for index in range(table.width) if index not in out], []

    def leave_out(index: int, reason: str) -> None:
        rest.remove(index)
        told.append(f"{table.call(index)} {reason} and is left out")

    if rest[:1] == [0] and (is_row_number(table, 0) or (not table.names and counts_rows(table, 0))):
        leave_out(0, "holds row numbers")
    named = [index for index in rest if table.names and table.names[index] in asked.known]
    if asked.label is None and named and (length is None or len(rest) > length):
        rest = [index for index in rest if index not in named]
        called = ", ".join(table.names[index] for index in named)
        several = len(named) > 1
        told.append(f"{called} {'are labels' if several else 'is a label'} of the model and "
                    f"{'are' if several else 'is'} left out")  # fmt: skip
    if asked.label is None and not named and (bits := named_one_hot(table, rest)):
        rest = [index for index in rest if index not in bits]
        told.append(f"columns {bits[0] + 1} to {bits[-1] + 1} are a label in one-hot form and are left out")
    labels = [index for index in rest if table.names and plain(table.names[index]) in LABEL_NAMES]
    if asked.label is None and len(labels) == 1:
        leave_out(labels[0], "is called a label")
    words = [index for index in rest if table.is_words(index)]
    if asked.label is None and not labels and len(words) == 1 and len(rest) > (length or 0):
        leave_out(words[0], "holds words")
    if length and len(rest) == length + 1 and rest[0] == 0 and counts_rows(table, 0):
        leave_out(0, "holds row numbers")
    if odd := strays(table, rest):
        error = stray(table, odd[0], labelled=False)
        names = [wordless(table, index) for index in odd]
        hint = "".join(f" --ignore-column {name}" for name in names[:4]) + (" ..." if len(names) > 4 else "")
        raise EcgEdgeError(error.message, f"{hint.strip()} leaves {'them' if len(names) > 1 else 'it'} out")
    if asked.label is None and not labels and not words and rest:
        if length == len(rest):
            odd = [index for index in (rest[0], rest[-1]) if stands_out(table, index, rest)]
            told += [f"{table.call(i)} holds few whole numbers, as labels do, and is read as a sample" for i in odd]
        elif length is None and (looks := find_label(table, rest)[0]) is not None:  # else their number says enough
            leave_out(looks, "looks like a label")
    if length and len(rest) != length:
        hint = LEAVE_OUT if len(rest) > length else "one beat a line"
        raise wrong_count(f"{table.where}, {table.unit} {table.lines[0][0]}", len(rest), length, hint)
    return rest, told


def wrong_count(where: str, found: int, length: int, hint: str, taken: str = "the model takes") -> EcgEdgeError:
    return EcgEdgeError(f"{where}: {found} numbers, {taken} {length}", hint)
