"""Beats without need of labels, from files that are read as a whole; ``stream`` reads texts as they come."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgedge.data.readers.columns import Columns, refuse_columns
from ecgedge.data.readers.fields import check_file, parse_numbers, short
from ecgedge.data.readers.leads import in_leads, names_beside, pick_leads
from ecgedge.data.readers.npy import load_array
from ecgedge.data.readers.npz import lead_names, load
from ecgedge.data.readers.parquet import read_parquet_table
from ecgedge.data.readers.split import read_part
from ecgedge.data.readers.stream import sample_columns
from ecgedge.errors import EcgEdgeError, counted

WHOLE = (".parquet", ".npy", ".npz", ".ts", ".arff")  # suffixes of files that are read as a whole
ONE = ("x", "x_test")  # arrays of an .npz, of which the first that is there is taken


@dataclass(frozen=True)
class Unlabelled:
    """Beats ``(N, C, L)`` float32, what was guessed of their file, and the names of their leads, if they have any."""

    x: np.ndarray
    told: str
    leads: tuple[str, ...] = ()


def read_unlabelled(path: Path, asked: Columns, leads: int | None, length: int | None) -> Unlabelled:
    """The beats of a file, with the leads that the user wants.

    Args:
        asked: what the user says of its columns, of its leads, or of the axes of an array.
        leads, length: that a beat should have, by which the axes of an array are told where nothing else does; None:
            what nothing speaks against.

    Raises:
        EcgEdgeError: with the place of what is wrong.
    """
    found = read_whole(path, asked, leads, length)
    if not asked.leads:
        return found
    picked = pick_leads(asked.leads, found.leads, found.x.shape[1], path.name)
    names = tuple(found.leads[index] for index in picked) if found.leads else ()
    return Unlabelled(found.x[:, picked], found.told, names)


def read_whole(path: Path, asked: Columns, leads: int | None, length: int | None) -> Unlabelled:
    """As ``read_unlabelled``, with all leads."""
    check_file(path)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return of_table(path, asked, length and (leads or 1) * length, leads or 1)
    if suffix in (".ts", ".arff"):
        part = read_part(path, asked)
        return Unlabelled(part.x, "", part.leads)
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
    sizes, likely = tuple(size for size in x.shape[1:] if size != 1), (leads, length)
    by_model = {likely: "NCL", likely[::-1]: "NLC"}.get(sizes) if leads != length and not asked.leads else None
    x, told = in_leads(x, where, names, asked.layout or by_model)
    with np.errstate(over="ignore", invalid="ignore"):
        x = x.astype(np.float32)
    if len(wrong := np.argwhere(~np.isfinite(x))):
        beat, lead, sample = (int(value) for value in wrong[0])
        place = f"beat {beat + 1}, lead {lead + 1}, sample {sample + 1}"
        raise EcgEdgeError(
            f"{where}, {place}: {x[beat, lead, sample]:g} is not a finite number", "repair or remove the beat"
        )
    return Unlabelled(x, told, names)


def of_table(path: Path, asked: Columns, values: int | None, leads: int) -> Unlabelled:
    """As ``read_whole``, of a Parquet table: a row a beat of so many values, the samples of one lead after those of the
    other."""
    table = read_parquet_table(path)
    if not table.lines:
        return Unlabelled(np.zeros((0, leads, (values or leads) // leads), np.float32), "")
    samples, told = sample_columns(table, asked, values)
    numbers = [index + 1 for index in samples]
    rows = [parse_numbers([fields[i] for i in samples], f"{path}, row {n}", numbers) for n, fields in table.lines]
    if len(samples) % leads:
        raise EcgEdgeError(
            f"{path}: {counted(len(samples), 'value')} a beat cannot be those of {leads} leads", "as many of each lead"
        )
    return Unlabelled(np.stack(rows).reshape(len(rows), leads, -1), "; ".join(told))
