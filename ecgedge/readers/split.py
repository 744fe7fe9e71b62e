"""From a path to labels and beats, by the path's suffix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ecgedge.errors import EcgEdgeError
from ecgedge.readers.arff import read_arff
from ecgedge.readers.npz import read_npz, read_npz_pair
from ecgedge.readers.text import read_text
from ecgedge.readers.ts import read_ts

Beats: TypeAlias = tuple[list[str], np.ndarray]
READERS: dict[str, Callable[[Path], Beats]] = {  # the first is taken where a folder has several
    ".txt": read_text,
    ".tsv": read_text,
    ".ts": read_ts,
    ".arff": read_arff,
    ".csv": read_text,
    ".npz": read_npz,
}
SUFFIXES = tuple(READERS)


def read_split(path: Path) -> Beats:
    """Read one file of beats.

    Returns:
        Labels, N words, and beats ``(N, L)`` float32; N and L are 1 at least.

    Raises:
        EcgEdgeError: no reader knows the suffix, or the file is missing, damaged or incomplete.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise EcgEdgeError(
            f"{path}: no reader for {path.suffix or 'such'} files", f"known: {', '.join(SUFFIXES)}, .zip"
        )
    return reader(path)


def read_pair(path: Path) -> list[Beats]:
    """Training and test beats where one file holds both (an ``.npz`` can), else an empty list."""
    return read_npz_pair(path) if path.suffix.lower() == ".npz" else []
