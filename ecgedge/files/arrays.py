"""Arrays of numbers out of ``.npy`` and ``.npz`` files: what their header claims is held to what is there, first."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from ecgedge.errors import EcgEdgeError
from ecgedge.files.opening import open_file

MOST_BYTES = 2 * 10**9  # of all arrays in a file
MOST_AXES = 4
NUMBERS = "fiu"  # kinds of dtype: floats and integers
CHECK = "ecgedge check says what else is wrong with the folder"


def read_array(root: Path, name: str) -> np.ndarray:
    """The array of an ``.npy`` file below ``root``: floats or integers, finite or not.

    Raises:
        FileNotFoundError: there is no such file.
        EcgEdgeError: it is damaged, holds something else, or its header claims what is not there.
    """
    with open_file(root, name, MOST_BYTES) as file:
        try:
            size = file.seek(0, 2)
            file.seek(0)
            return read_from(file, size)
        except Exception as error:  # numpy and zipfile: a damaged file raises whatever they stumble over
            raise damaged(root / name, error) from error


def read_arrays(root: Path, name: str, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file below ``root``, those called ``names`` or all; raises as ``read_array``."""
    with open_file(root, name, MOST_BYTES) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
                if len(entries) < len(archive.infolist()):
                    raise ValueError("it holds two arrays of one name")
                wanted = list(entries) if names is None else list(names)
                if lacking := [each for each in wanted if each not in entries]:
                    raise ValueError(f"it has no array {lacking[0]!r}")
                if (total := sum(entries[each].file_size for each in wanted)) > MOST_BYTES:
                    raise ValueError(f"it unpacks to {total:,} bytes, up to {MOST_BYTES:,} are read")
                found = {}
                for each in wanted:
                    with archive.open(entries[each]) as member:
                        found[each] = read_from(member, entries[each].file_size)
                return found
        except Exception as error:  # numpy and zipfile: a damaged file raises whatever they stumble over
            raise damaged(root / name, error) from error


def read_from(file: IO[bytes], size: int) -> np.ndarray:
    """An array from a file of ``size`` bytes. Raises ValueError where that is not what its header claims."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format is not known")
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(file)
    if dtype.kind not in NUMBERS or dtype.subdtype or dtype.names:
        raise ValueError(f"it holds {str(dtype)[:40]}, and no numbers")
    if len(shape) > MOST_AXES or any(isinstance(axis, bool) or axis < 0 for axis in shape):
        raise ValueError(f"its shape is {str(shape)[:40]}")
    claimed, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if claimed != there:
        raise ValueError(f"its header claims {claimed:,} bytes of values, {there:,} are there")
    content = file.read(claimed)
    if len(content) != claimed:
        raise ValueError("it is cut off")
    values = np.frombuffer(content, dtype.newbyteorder("=") if dtype.isnative else dtype)
    return values.reshape(shape, order="F" if fortran else "C")


def damaged(path: Path, error: BaseException) -> EcgEdgeError:
    told = " ".join(str(error).split()) or type(error).__name__
    return EcgEdgeError(f"{path} cannot be read: {told}"[:300], CHECK)
