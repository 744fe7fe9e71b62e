"""From a path to labels and beats, by the path's suffix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ecgedge.data.readers.arff import read_arff
from ecgedge.data.readers.columns import Columns, Layout, Part
from ecgedge.data.readers.fields import check_file
from ecgedge.data.readers.npy import read_npy
from ecgedge.data.readers.npz import read_npz, read_npz_pair
from ecgedge.data.readers.parquet import read_parquet
from ecgedge.data.readers.text import read_text
from ecgedge.data.readers.ts import read_ts
from ecgedge.errors import EcgEdgeError

READERS: dict[str, Callable[[Path, Columns, Layout | None], Part]] = {  # the first is taken where a folder has several
    ".txt": read_text,
    ".tsv": read_text,
    ".ts": read_ts,
    ".arff": read_arff,
    ".csv": read_text,
    ".parquet": read_parquet,
    ".npz": read_npz,
    ".npy": read_npy,
}
SUFFIXES = tuple(READERS)
ANY_COLUMNS = Columns()  # nothing is said of them


def read_split(path: Path, asked: Columns = ANY_COLUMNS) -> tuple[list[str], np.ndarray]:
    """Read one file of beats.

    Returns:
        Labels, N words, and beats ``(N, C, L)`` float32 of C leads; N, C and L are 1 at least.

    Raises:
        EcgEdgeError: as ``read_part``.
    """
    part = read_part(path, asked)
    return part.labels, part.x


def read_part(path: Path, asked: Columns, like: Layout | None = None) -> Part:
    """Read one file of beats.

    Args:
        asked: what the user says of its columns.
        like: of the training part, where this is the test part.

    Raises:
        EcgEdgeError: no reader knows the suffix; the file is missing, damaged, incomplete or too big; or it cannot
            be told which column is what.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise EcgEdgeError(
            f"{path}: no reader for {path.suffix or 'such'} files", f"known: {', '.join(SUFFIXES)}, .zip"
        )
    check_file(path)
    if asked.layout and reader not in (read_npy, read_npz):
        raise EcgEdgeError(f"{path} holds no array: --layout has no place", "leave --layout out")
    return reader(path, asked, like)


def read_pair(path: Path, asked: Columns) -> list[Part]:
    """Training and test beats where one file holds both (an ``.npz`` can), else an empty list."""
    if path.suffix.lower() != ".npz":
        return []
    check_file(path)
    return read_npz_pair(path, asked)
