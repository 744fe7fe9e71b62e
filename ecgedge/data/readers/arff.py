"""Weka's ``.arff`` format, through SciPy."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.data.readers.columns import SAY, Columns, Layout, Part, find_column
from ecgedge.data.readers.fields import (
    LABEL_NAMES,
    WAYS_TO_NAME_DATA,
    parse_group,
    parse_label,
    plain,
    short,
    unreadable,
)
from ecgedge.errors import EcgEdgeError


def read_arff(path: Path, asked: Columns, like: Layout | None = None) -> Part:
    """Read an ``.arff`` file, whose attributes are columns.

    The label is the one nominal attribute; where none is nominal, the one called label, class, target and the like.

    Raises:
        EcgEdgeError: SciPy is missing or cannot read the file, or a beat (counted from 1) is not complete.
    """
    records, kinds = load(path)
    names = list(kinds)
    groups = asked.group and names[find_column(asked.group, "--group", names, len(names), str(path))]
    ignored = {names[find_column(one, "--ignore-column", names, len(names), str(path))] for one in asked.ignore}
    ignored |= {groups} if groups else set()
    if asked.label is not None:
        called = [names[find_column(asked.label, "--label-column", names, len(names), str(path))]]
    else:
        nominal = [name for name, kind in kinds.items() if kind == "nominal" and name not in ignored]
        called = nominal or [name for name in kinds if plain(name) in LABEL_NAMES and name not in ignored]
    if len(called) != 1:
        raise EcgEdgeError(f"{path} has {len(called)} attributes that could be the label", SAY)
    samples = [name for name in kinds if name != called[0] and name not in ignored]
    if wrong := [name for name in samples if kinds[name] != "numeric"]:
        hint = "every sample must be a number; --ignore-column leaves an attribute out"
        raise EcgEdgeError(f"{path}: attribute {short(wrong[0])} is not numeric", hint)
    if not samples:
        raise EcgEdgeError(f"{path} has labels without samples", WAYS_TO_NAME_DATA)
    if not len(records):
        raise EcgEdgeError(f"{path} is empty", WAYS_TO_NAME_DATA)
    with np.errstate(over="ignore"):  # too large for float32 becomes inf, which is told below
        x = np.stack([records[name] for name in samples], axis=1).astype(np.float32)
    wrong_at = np.argwhere(~np.isfinite(x))
    if len(wrong_at):
        beat, sample = (int(value) for value in wrong_at[0])
        raise EcgEdgeError(
            f"{path}, beat {beat + 1}, attribute {short(samples[sample])}: not a finite number",
            "every sample must be a number; remove or repair the beat",
        )
    labels = [parse_label(as_text(v), f"{path}, beat {i}") for i, v in enumerate(records[called[0]], 1)]
    index = {name: i for i, name in enumerate(names)}
    layout = Layout(
        len(names), tuple(names), index[called[0]], tuple(index[name] for name in samples),
        f"attribute {short(called[0])}", asked.label is not None, f"label in attribute {short(called[0])}",
    )  # fmt: skip
    theirs = [like.names[i] for i in like.samples] if like else samples
    if theirs != samples and len(theirs) == len(samples):
        raise EcgEdgeError(f"{path} has other attributes than its training part", "both parts need the same ones")
    if not groups:
        return Part(labels, x[:, None], layout)
    patients = [parse_group(as_text(v), f"{path}, beat {i}") for i, v in enumerate(records[groups], 1)]
    return Part(labels, x[:, None], layout, groups=patients)


def as_text(value: Any) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def load(path: Path) -> tuple[np.ndarray, dict[str, str]]:
    """The records of the file, and the kind of each attribute by its name."""
    try:
        from scipy.io import arff  # here, since it is an extra, and takes a while
    except ImportError as error:
        raise EcgEdgeError(f"{path} cannot be read: SciPy is not installed", "install ecgedge[readers]") from error
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            records, meta = arff.loadarff(file)
            return records, {name: meta[name][0] for name in meta.names()}
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # SciPy's parser raises whatever it stumbles over
        reason = short(" ".join(str(error).split()), 90) if str(error) else type(error).__name__
        raise EcgEdgeError(
            f"{path} is not an ARFF file that can be read: {reason}",
            "attributes must be numeric, but for one nominal label; nothing may be missing",
        ) from error
