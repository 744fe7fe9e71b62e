"""Weka's ``.arff`` format, through SciPy."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.errors import EcgEdgeError
from ecgedge.readers.fields import LABEL_NAMES, WAYS_TO_NAME_DATA, parse_label, short, unreadable


def read_arff(path: Path) -> tuple[list[str], np.ndarray]:
    """Labels, and beats ``(N, L)`` float32, of an ``.arff`` file.

    The label is the one nominal attribute; where none is nominal, the one called label, class or target.

    Raises:
        EcgEdgeError: SciPy is missing or cannot read the file, or a beat (counted from 1) is not complete.
    """
    records, kinds = load(path)
    nominal = [name for name, kind in kinds.items() if kind == "nominal"]
    called = nominal or [name for name in kinds if name.strip().lower() in LABEL_NAMES]
    if len(called) != 1:
        raise EcgEdgeError(
            f"{path} has {len(called)} attributes that could be the label",
            "the label is one nominal attribute, or one called label, class or target",
        )
    samples = [name for name in kinds if name != called[0]]
    if wrong := [name for name in samples if kinds[name] != "numeric"]:
        raise EcgEdgeError(f"{path}: attribute {short(wrong[0])} is not numeric", "every sample must be a number")
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
    return [parse_label(as_text(v), f"{path}, beat {i}") for i, v in enumerate(records[called[0]], 1)], x


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
