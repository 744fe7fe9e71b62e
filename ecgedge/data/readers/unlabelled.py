"""Beats without need of labels, from files that are read as a whole; ``stream`` reads texts as they come."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecgedge.data.readers.columns import Columns, refuse_columns
from ecgedge.data.readers.fields import check_file, parse_numbers, short
from ecgedge.data.readers.leads import in_leads, names_beside
from ecgedge.data.readers.npy import load_array
from ecgedge.data.readers.npz import lead_names, load
from ecgedge.data.readers.parquet import read_parquet_table
from ecgedge.data.readers.split import read_part
from ecgedge.data.readers.stream import sample_columns
from ecgedge.errors import EcgEdgeError

WHOLE = (".parquet", ".npy", ".npz", ".ts", ".arff")  # suffixes of files that are read as a whole
ONE = ("x", "x_test")  # arrays of an .npz, of which the first that is there is taken


def read_unlabelled(path: Path, asked: Columns, length: int | None) -> tuple[np.ndarray, str]:
    """The beats of a file ``(N, C, L)`` float32, and what was guessed of it.

    Args:
        asked: what the user says of its columns, or of the axes of an array.
        length: samples a beat; None: what nothing speaks against.

    Raises:
        EcgEdgeError: with the place of what is wrong.
    """
    check_file(path)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return of_table(path, asked, length)
    if suffix in (".ts", ".arff"):
        return read_part(path, asked).x, ""
    refuse_columns(path, asked, "it holds an array of beats")
    if suffix == ".npy":
        x, where, names = load_array(path), str(path), names_beside(path)
    else:
        arrays = load(path)
        name = next((each for each in ONE if each in arrays), None)
        if name is None:
            raise EcgEdgeError(
                f"{path} holds {', '.join(map(short, list(arrays)[:4])) or 'no array'}", "it needs the array x"
            )
        x, where, names = arrays[name], f"{path}: {name}", lead_names(path, arrays)
    if x.dtype.kind not in "fiu":
        raise EcgEdgeError(f"{where} is of type {short(x.dtype)}", "beats must be numbers")
    x, told = in_leads(x, where, names, asked.layout)
    with np.errstate(over="ignore", invalid="ignore"):
        x = x.astype(np.float32)
    if len(wrong := np.argwhere(~np.isfinite(x))):
        beat, lead, sample = (int(value) for value in wrong[0])
        place = f"beat {beat + 1}, lead {lead + 1}, sample {sample + 1}"
        raise EcgEdgeError(
            f"{where}, {place}: {x[beat, lead, sample]:g} is not a finite number", "repair or remove the beat"
        )
    return x, told


def of_table(path: Path, asked: Columns, length: int | None) -> tuple[np.ndarray, str]:
    """As ``read_unlabelled``, of a Parquet table: a row a beat."""
    table = read_parquet_table(path)
    if not table.lines:
        return np.zeros((0, 1, length or 1), np.float32), ""
    samples, told = sample_columns(table, asked, length)
    numbers = [index + 1 for index in samples]
    rows = [parse_numbers([fields[i] for i in samples], f"{path}, row {n}", numbers) for n, fields in table.lines]
    return np.stack(rows)[:, None], "; ".join(told)
