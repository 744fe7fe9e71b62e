"""Unpack a zip that may come from anywhere."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ecgedge.data.readers.fields import BIGGEST, WAYS_TO_NAME_DATA, check_file, short, unreadable
from ecgedge.errors import EcgEdgeError

LONGEST_NAME = 150
REFUSED = "get it from a place that you trust"


def unpack(path: Path, folder: Path, wanted: Callable[[str], bool]) -> None:
    """Unpack the entries whose names are ``wanted`` into ``folder``; nothing is written outside of it.

    Raises:
        EcgEdgeError: it is no zip, is damaged or encrypted, unpacks to more than ``BIGGEST`` bytes, or any
            entry is a link, is oddly named or would leave the folder.
    """
    check_file(path)
    try:
        with zipfile.ZipFile(path) as file:
            entries = file.infolist()
            for entry in entries:
                check(path, entry)
            if (total := sum(entry.file_size for entry in entries)) > BIGGEST:
                raise EcgEdgeError(f"{path} unpacks to {total:,} bytes", f"up to {BIGGEST:,} are read")
            for entry in entries:
                if entry.is_dir() or entry.filename.startswith("__MACOSX/") or not wanted(entry.filename):
                    continue
                target = folder / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with file.open(entry) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out)
    except EcgEdgeError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # zipfile, zlib, lzma: a damaged zip raises whatever they stumble over
        reason = short(" ".join(str(error).split()), 90) if str(error) else type(error).__name__
        raise EcgEdgeError(f"{path} is not a zip that can be read: {reason}", WAYS_TO_NAME_DATA) from error


def check(path: Path, entry: zipfile.ZipInfo) -> None:
    """Raise EcgEdgeError for an entry that a zip of data has no need of."""
    name = entry.filename
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not name or "\\" in name or ":" in name or name.startswith("/") or ".." in parts:
        raise EcgEdgeError(f"{path} has the entry {short(name)}, which would leave the folder", REFUSED)
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise EcgEdgeError(f"{path} has an entry whose name cannot be used: {short(name)}", "rename it")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise EcgEdgeError(f"{path} has the entry {short(name)}, which is a link", REFUSED)
    if entry.flag_bits & 1:
        raise EcgEdgeError(f"{path} has the entry {short(name)}, which is encrypted", "unpack it first")
