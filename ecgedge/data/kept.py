"""Data sets as they were read, kept in files by what is in them, so that other processes need not read them again.

``HASH.npz`` in a folder of the cache, HASH the file's own SHA-256: whoever has a file of that name has these beats.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from pathlib import Path
from typing import Any, get_type_hints
from zipfile import BadZipFile

import numpy as np

from ecgedge.data.dataset import Dataset, Split
from ecgedge.errors import EcgEdgeError
from ecgedge.files import strict_json, typed_json
from ecgedge.files.cache import cache_folder
from ecgedge.files.locks import whole_file

TOLD = "told"  # the array that holds all that is no array, as JSON


def folder() -> Path:
    """Where the files are kept."""
    return cache_folder() / "beats"


def file_of(digest: str) -> Path:
    """The file of a data set, whether it is there or not."""
    return folder() / f"{digest}.npz"


def keep(data: Dataset) -> str:
    """Write a data set into the cache; returns its digest.

    Raises:
        OSError: it cannot be written.
    """
    arrays, told = taken_apart(data)
    content = io.BytesIO()
    np.savez(content, **arrays, **{TOLD: np.frombuffer(json.dumps(told).encode(), np.uint8)})  # type: ignore[arg-type]
    return put(content.getvalue())


def put(content: bytes) -> str:
    """Write a file of a data set, as another machine sent it; returns its digest. Raises OSError where it cannot."""
    digest = hashlib.sha256(content).hexdigest()
    if not has(digest):
        folder().mkdir(parents=True, exist_ok=True)
        with whole_file(file_of(digest)) as file:
            file.write(content)
    return digest


def has(digest: str) -> bool:
    """Whether the file of a data set is there, and whole."""
    try:
        return hashlib.sha256(file_of(digest).read_bytes()).hexdigest() == digest
    except OSError:
        return False


def read(file: Path) -> Dataset:
    """Read back what ``keep`` wrote. Raises EcgEdgeError where it is damaged."""
    try:
        with np.load(file) as kept:
            arrays = {name: kept[name] for name in kept.files}
        told = strict_json.loads(arrays.pop(TOLD).tobytes(), str(file))
        return put_together(Dataset, arrays, told, "")
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise EcgEdgeError(f"{file} is damaged: {error}"[:300], "delete it: it is made again") from error


def taken_apart(value: Any, name: str = "") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a data set by the names of their fields, and all else of it."""
    arrays: dict[str, np.ndarray] = {}
    told: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        each, where = getattr(value, field.name), f"{name}{field.name}"
        if isinstance(each, Split):
            inner, others = taken_apart(each, f"{where}.")
            arrays |= inner
            told[field.name] = others
        elif isinstance(each, np.ndarray):
            arrays[where] = each
        else:
            told[field.name] = each
    return arrays, told


def put_together(kind: Any, arrays: dict[str, np.ndarray], told: dict[str, Any], name: str) -> Any:
    """What ``taken_apart`` took apart."""
    types, found = get_type_hints(kind), {}
    for field in dataclasses.fields(kind):
        where = f"{name}{field.name}"
        if types[field.name] is Split:
            found[field.name] = put_together(Split, arrays, told[field.name], f"{where}.")
        elif where in arrays:
            found[field.name] = arrays[where]
        else:
            found[field.name] = typed_json.read(types[field.name], told[field.name], where)
    return kind(**found)
