"""Text files, a beat a line: ``.txt``, ``.tsv``, ``.csv``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgedge.data.readers.bits import called_by
from ecgedge.data.readers.columns import Columns, Layout, Part
from ecgedge.data.readers.dialect import check_one_separator, check_thousands, read_lines
from ecgedge.data.readers.fields import ONE_LENGTH, WAYS_TO_NAME_DATA, parse_group, parse_label, parse_numbers, stack
from ecgedge.data.readers.layout import bits_of, check_one_hot, lay_out
from ecgedge.data.readers.numbers import Numbers, read_numbers
from ecgedge.data.readers.table import Table, read_table
from ecgedge.errors import EcgEdgeError


def read_text(path: Path, asked: Columns, like: Layout | None = None) -> Part:
    """Read a text file.

    How its fields are parted, whether it has a header and which column holds the label is guessed from its
    lines (the rules are in ``data/README.md``), and told in the layout.

    Args:
        asked: what the user says of the columns.
        like: of the training part, which the test part is read alike.

    Raises:
        EcgEdgeError: with the line and the column of what is wrong, or what cannot be guessed.
    """
    numbers = read_numbers(path)
    if numbers is not None:
        return numbers_part(numbers, path, asked, like)
    return part_of(read_table(str(path), enumerate(read_lines(path), 1)), path, asked, like)


def part_of(table: Table, path: Path, asked: Columns, like: Layout | None) -> Part:
    """The beats of a table, as ``read_text`` has them."""
    for number, fields in table.lines:
        where = f"{path}, {table.unit} {number}"
        if len(fields) != table.width:
            raise EcgEdgeError(
                f"{where}, column {min(len(fields), table.width) + 1}: {len(fields)} columns "
                f"where the first line has {table.width}",
                ONE_LENGTH,
            )
        if len(fields) < 2:
            raise EcgEdgeError(f"{where}, column 2: a label without samples", WAYS_TO_NAME_DATA)
    if not table.lines:
        raise EcgEdgeError(f"{path} is empty", WAYS_TO_NAME_DATA)
    layout = laid_out(table, path, asked, like)
    if table.dialect.decimal == ",":
        check_thousands((fields[index] for _, fields in table.lines for index in layout.samples), str(path))
    bits, called = bits_of(table, layout) if layout.one_hot else (None, ())
    groups: list[str] = []
    labels, rows, columns = [], [], [index + 1 for index in layout.samples]
    for at, (number, fields) in enumerate(table.lines):
        where, field = f"{path}, {table.unit} {number}", fields[layout.label]
        if bits is not None:
            field = called_by(bits[at], called)
        elif math.isnan(table.dialect.number(field)):
            check_one_separator(field, f"{where}, column {layout.label + 1}", table.dialect.separator)
        elif table.dialect.decimal == ",":
            field = field.replace(",", ".")
        labels.append(parse_label(field, f"{where}, column {layout.label + 1}"))
        rows.append(parse_numbers([fields[i] for i in layout.samples], where, columns, table.dialect.numbers))
        if layout.group is not None:
            groups.append(parse_group(fields[layout.group], f"{where}, column {layout.group + 1}"))
    names = tuple(parse_label(name, f"{path}, the names of the labels") for name in called)
    known = groups if layout.group is not None else None
    return Part(labels, stack(rows, path), layout, groups=known, bits=bits, bit_names=names)


def laid_out(table: Table, path: Path, asked: Columns, like: Layout | None) -> Layout:
    layout = alike(table, like) if like else lay_out(table, asked)
    if not layout.samples:
        raise EcgEdgeError(f"{path}: no column is left for samples", "ignore fewer columns")
    return layout


def numbers_part(table: Numbers, path: Path, asked: Columns, like: Layout | None) -> Part:
    """The beats of a table of numbers alone, as ``part_of`` has them."""
    layout = laid_out(table, path, asked, like)
    x = table.values[:, list(layout.samples)].astype(np.float32)
    bits, called = bits_of(table, layout) if layout.one_hot else (None, ())
    names = tuple(parse_label(name, f"{path}, the names of the labels") for name in called)
    if bits is not None:
        labels = [parse_label(called_by(each, called), f"{path}, the labels") for each in bits]
    else:
        labels = words_of(table.values[:, layout.label], parse_label, f"{path}, column {layout.label + 1}")
    groups = None
    if layout.group is not None:
        groups = words_of(table.values[:, layout.group], parse_group, f"{path}, column {layout.group + 1}")
    return Part(labels, x[:, None], layout, groups=groups, bits=bits, bit_names=names)


def words_of(values: np.ndarray, parse: Callable[[str, str], str], where: str) -> list[str]:
    """Numbers ``(N,)`` as labels, or as names of patients."""
    found, index = np.unique(values, return_inverse=True)
    words = [parse(repr(value), where) for value in found.tolist()]
    return [words[at] for at in index.tolist()]


def alike(table: Table, like: Layout) -> Layout:
    """The layout of a test part: that of the training part.

    Raises:
        EcgEdgeError: it has other columns. Beats of another length are told by whoever compares the parts.
    """
    if like.one_hot and table.width == like.width:
        check_one_hot(table, like.one_hot)
    if table.width != like.width and len(like.samples) == like.width - 1:
        label = table.width - 1 if like.label == like.width - 1 else min(like.label, table.width - 1)
        return replace(like, label=label, samples=tuple(i for i in range(table.width) if i != label))
    if table.width != like.width:
        raise EcgEdgeError(
            f"{table.where} has {table.width} columns, its training part {like.width}", "both parts need the same ones"
        )
    other = [i for i, (a, b) in enumerate(zip(table.names, like.names)) if a.strip() != b.strip()]
    if other:
        raise EcgEdgeError(
            f"{table.where}: {table.call(other[0])} is called otherwise in its training part",
            "both parts need the same columns in the same order",
        )
    return like
