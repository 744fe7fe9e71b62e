"""Read what lies in a run's folder, which may be a stranger's: regular files only, no links, nothing larger than told.

The limits are those of ``docs/run-folder.md``; like everything here they are written a second time.
"""

from __future__ import annotations

import io
import math
import os
import stat
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from ecgedge.files import strict_json

JSON_BYTES, LINES_BYTES, ARRAY_BYTES, FILE_BYTES = 2**26, 2**32, 2 * 10**9, 2**36
OTHERS = "a link, a device or the like"
FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_file(folder: Path, name: str, most: int = FILE_BYTES) -> IO[bytes]:
    """A file below a folder. Raises ValueError where it is none or too large, OSError where it cannot be opened."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
        raise ValueError(f"{name[:80]!r} leads out of the folder")
    for i in range(1, len(parts) + 1):
        mode = folder.joinpath(*parts[:i]).lstat().st_mode
        if not (stat.S_ISREG(mode) if i == len(parts) else stat.S_ISDIR(mode)):
            is_plain = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
            what = ("a folder, no file" if i == len(parts) else "a file, no folder") if is_plain else OTHERS
            raise ValueError(f"{'/'.join(parts[:i])} is {what}")
    file = os.fdopen(os.open(folder / name, FLAGS), "rb")
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode) or status.st_size > most:
        file.close()
        raise ValueError(f"{name} is no file, or has more than {most:,} bytes")
    return file


def read_bytes(folder: Path, name: str, most: int = FILE_BYTES) -> bytes:
    with open_file(folder, name, most) as file:
        return file.read(os.fstat(file.fileno()).st_size)  # as much as there is: memory is taken for what is asked for


def is_file(folder: Path, name: str) -> bool:
    """Whether there is anything by that name; what it is shows when it is read."""
    return (folder / name).exists() or (folder / name).is_symlink()


def as_json(text: bytes) -> Any:
    """What it says. Raises ValueError where it is not JSON, or more than is believed."""
    return strict_json.loads(text, "it", most=2**30)


def read_array(folder: Path, name: str) -> np.ndarray:
    """The numbers of an ``.npy`` file. Raises ValueError where it holds something else."""
    with open_file(folder, name, ARRAY_BYTES) as file:
        return numbers(file.read())


def read_arrays(folder: Path, name: str, wanted: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file, all or those wanted, as ``read_array`` reads each."""
    with open_file(folder, name, ARRAY_BYTES) as file, zipfile.ZipFile(file) as archive:
        names = [f"{each}.npy" for each in wanted] or archive.namelist()
        if sum(archive.getinfo(each).file_size for each in names) > ARRAY_BYTES:
            raise ValueError(f"{name} unpacks to more than {ARRAY_BYTES:,} bytes")
        return {each.removesuffix(".npy"): numbers(archive.read(each)) for each in names}


def numbers(content: bytes) -> np.ndarray:
    """An array by its header, once that agrees with how much follows it."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    reader = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}[version[0]]
    shape, columns_first, dtype = reader(file)
    if dtype.kind not in "fiu" or dtype.shape or len(shape) > 4 or min(shape, default=0) < 0:
        raise ValueError(f"an array of {str(dtype)[:40]}, {str(shape)[:40]}")
    if math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"a header of {str(shape)[:60]} before {len(content) - file.tell():,} bytes")
    return np.frombuffer(content, dtype, offset=file.tell()).reshape(shape, order="F" if columns_first else "C")
