"""Apache Parquet, through PyArrow: a column a sample, or one column of lists of samples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ecgedge.data.readers.columns import Columns, Layout, Part
from ecgedge.data.readers.dialect import Dialect
from ecgedge.data.readers.fields import BIGGEST, short, unreadable
from ecgedge.data.readers.table import Table
from ecgedge.data.readers.text import part_of
from ecgedge.errors import EcgEdgeError

FEWEST_BYTES = 8  # that a value takes, as it is counted before anything is read
INDEX = re.compile("__index_level_[0-9]+__")  # what pandas calls the row numbers that it keeps
SAMPLES = "a row is a beat: a column of numbers a sample, or one column of lists of numbers, all of one length"


def read_parquet(path: Path, asked: Columns, like: Layout | None = None) -> Part:
    """Read a ``.parquet`` file; its columns are found as those of a text are.

    Raises:
        EcgEdgeError: PyArrow is missing or cannot read the file, it is too big, or a row (counted from 1) is no beat.
    """
    return part_of(read_parquet_table(path), path, asked, like)


def read_parquet_table(path: Path) -> Table:
    """The table, each value as text; a column of lists is as many columns as the lists have values."""
    columns = load(path)
    names: list[str] = []
    values: list[list[str]] = []
    for name, column in columns:
        if any(isinstance(value, list) for value in column):
            spread = unnested(path, name, column)
            names += [f"{name}{index}" for index in range(len(spread))]
            values += spread
        else:
            names.append(name)
            values.append([as_text(value) for value in column])
    lines = [(number, list(fields)) for number, fields in enumerate(zip(*values, strict=True), 1)]
    return Table(str(path), Dialect(","), names, lines, len(names), "row", "a Parquet table")


def unnested(path: Path, name: str, column: list[Any]) -> list[list[str]]:
    """The columns of a column of lists. Raises EcgEdgeError where they differ in length, or hold lists."""
    length = len(column[0]) if isinstance(column[0], list) else 0
    for number, value in enumerate(column, 1):
        where = f"{path}, row {number}, column {short(name)}"
        if not isinstance(value, list) or len(value) != length:
            found = f"{len(value)} values" if isinstance(value, list) else "no list"
            raise EcgEdgeError(f"{where}: {found} where the first row has {length}", SAMPLES)
        if any(isinstance(each, list | dict) for each in value):
            raise EcgEdgeError(f"{where}: lists within a list", f"{SAMPLES}; several leads go into an .npz")
    return [[as_text(value[index]) for value in column] for index in range(length)]


def as_text(value: Any) -> str:
    """A value as a field of a table; a missing one is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def load(path: Path) -> list[tuple[str, list[Any]]]:
    """The columns by their names, but for those in which pandas keeps row numbers."""
    try:
        from pyarrow import parquet  # here, since it is an extra, and takes a while
    except ImportError as error:
        raise EcgEdgeError(f"{path} cannot be read: PyArrow is not installed", "install ecgedge[readers]") from error
    try:
        with parquet.ParquetFile(path) as file:
            facts = file.metadata
            unpacked = sum(facts.row_group(index).total_byte_size for index in range(facts.num_row_groups))
            if (size := max(unpacked, facts.num_rows * facts.num_columns * FEWEST_BYTES)) > BIGGEST:
                raise EcgEdgeError(f"{path} unpacks to {size:,} bytes", f"up to {BIGGEST:,} are read")
            return [*columns_of(file.read(use_threads=False))]
    except OSError as error:
        if error.errno is None:  # how Arrow tells a damaged file
            raise damaged(path, error) from error
        raise unreadable(path, error) from error
    except EcgEdgeError:
        raise
    except Exception as error:  # damaged files raise whatever Arrow stumbles over
        raise damaged(path, error) from error


def columns_of(table: Any) -> Iterator[tuple[str, list[Any]]]:
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not INDEX.fullmatch(name):
            yield name, column.to_pylist()


def damaged(path: Path, error: Exception) -> EcgEdgeError:
    reason = short(" ".join(str(error).split()), 90) if str(error) else type(error).__name__
    return EcgEdgeError(f"{path} is not a Parquet file that can be read: {reason}", SAMPLES)
