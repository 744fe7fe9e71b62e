"""NumPy's ``.npy``: an array of beats, with the labels in a file beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ecgedge.data.readers.columns import Columns, Layout, Part, refuse_columns
from ecgedge.data.readers.fields import check_file, lines_of, short, unreadable
from ecgedge.data.readers.leads import NAMES_FILE, names_beside
from ecgedge.data.readers.npz import beats_of
from ecgedge.errors import EcgEdgeError

LABELS = ("{stem}_labels.npy", "{stem}_labels.txt", "{stem}_labels.csv")
TAKEN = ("x", "x_train", "x_test")  # in small letters: their labels are called as they are, with a y


def read_npy(path: Path, asked: Columns, _: Layout | None = None) -> Part:
    """Read the beats ``(N, L)``, ``(N, C, L)`` or ``(N, L, C)``, and their labels from the file beside it.

    Raises:
        EcgEdgeError: it holds no such array, or there are no labels beside it; or the user names columns.
    """
    refuse_columns(path, asked, "its labels are in a file of their own")
    names = [each.name for each in labels_of(path)]
    found = next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)
    if asked.labels is not None:
        found = Path(asked.labels)
        if found.suffix.lower() not in (".npy", ".txt", ".csv", ".tsv"):
            raise EcgEdgeError(
                f"--label-file {found}: no labels are read from it", "name an .npy, or a text with one a line"
            )
    if found is None:
        told = f"{path} has no labels beside it"
        raise EcgEdgeError(told, f"name them with --label-file, or put them into {names[0]} or {names[1]}")
    arrays = {"x": load_array(path), "y": load_labels(found)}
    return beats_of(path, arrays, "x", "y", names_beside(path), asked.layout)


def labels_of(path: Path) -> Iterator[Path]:
    """Where the labels of a ``.npy`` file may be: of ``x_train.npy`` in ``y_train.npy``, of A in ``A_labels.npy``."""
    if path.stem.lower() in TAKEN:
        y = ("y" if path.stem[0] == "x" else "Y") + path.stem[1:]
        yield path.with_name(f"{y}.npy")
        yield path.with_name(f"{y}.txt")
    for name in LABELS:
        yield path.with_name(name.format(stem=path.stem))


def is_beside(path: Path) -> bool:
    """Whether a file only belongs to one of beats: it holds labels of one, or the names of its leads."""
    stem = path.stem
    if path.name.lower() == NAMES_FILE:
        return True
    if stem.endswith("_labels"):
        return path.with_name(f"{stem.removesuffix('_labels')}.npy").is_file()
    x = {"y": "x", "Y": "X"}.get(stem[:1], "") + stem[1:]
    return x != stem and x.lower() in TAKEN and path.with_name(f"{x}.npy").is_file()


def load_array(path: Path) -> np.ndarray:
    """The array in a file. Raises EcgEdgeError where it holds none, or objects."""
    check_file(path)
    try:
        with path.open("rb") as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # headers may be damaged in any way
        reason = short(" ".join(str(error).split()), 90) if str(error) else type(error).__name__
        told = f"{path} is not an npy file that can be read: {reason}"
        raise EcgEdgeError(told, "save it with numpy.save, as numbers or words") from error


def load_labels(path: Path) -> np.ndarray:
    """Labels ``(N,)``, of an array or of a text with one a line."""
    if path.suffix.lower() == ".npy":
        return load_array(path)
    check_file(path)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            return np.array([line.strip() for line in lines_of(file, path) if line.strip()], dtype=np.str_)
    except OSError as error:
        raise unreadable(path, error) from error
