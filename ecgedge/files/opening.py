"""Open what lies in a run's folder: no link is followed, only regular files are opened, nothing leads outside."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ecgedge.errors import EcgEdgeError

LONGEST_NAME = 255  # bytes of a file's name
SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
BINARY = getattr(os, "O_BINARY", 0)  # Windows
TRUST = "only a folder that ecgedge matrix wrote can be used"
KINDS = (
    (stat.S_ISLNK, "a symbolic link"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"), (stat.S_ISDIR, "a folder"),
)  # fmt: skip


def is_name(text: object) -> bool:
    """Whether it can be the name of one file, and be printed."""
    if not isinstance(text, str) or text in ("", ".", "..") or not text.isprintable():
        return False
    return not {"/", "\\", "\0"} & set(text) and len(text.encode("utf-8", "surrogatepass")) <= LONGEST_NAME


def ending_of(path: Path) -> str:
    """What a file's name says of its form, in small letters: ``.json`` of ``a.JSON`` and of ``.json``; may be empty."""
    return (path.suffix or (path.name if path.name.startswith(".") else "")).lower()


def is_path(text: object) -> bool:
    """Whether it is a relative path that leads down, of names as ``is_name`` has them."""
    return isinstance(text, str) and all(map(is_name, text.split("/")))


def kind_of(mode: int) -> str:
    """What lies there that is no regular file, in words."""
    return next((words for is_kind, words in KINDS if is_kind(mode)), "a file" if stat.S_ISREG(mode) else "odd")


def open_inside(root: Path, name: str, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file below ``root``, by its relative path.

    Links are followed nowhere below ``root``, and a pipe that nobody writes to does not make us wait.

    Raises:
        FileNotFoundError: there is no such file, and the flags do not make one.
        EcgEdgeError: the path leads outside, something on the way is no folder, or the file is no regular one.
        OSError: the system does not let us.
    """
    if not is_path(name):
        raise EcgEdgeError(f"{root}: {name!r}"[:200] + " names no file inside", TRUST)
    path = root
    for part in PurePosixPath(name).parts[:-1]:
        path /= part
        if not stat.S_ISDIR(mode := os.lstat(path).st_mode):
            raise EcgEdgeError(f"{path} is {kind_of(mode)}, and no folder", TRUST)
    path = root / name
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
        mode = stat.S_IFREG
    if not stat.S_ISREG(mode):  # before it is opened: opening a device may do something
        raise EcgEdgeError(f"{path} is {kind_of(mode)}, and no file", TRUST)
    descriptor = os.open(path, flags | SAFE | BINARY, 0o666)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise EcgEdgeError(f"{path} is {kind_of(found.st_mode)}, and no file", TRUST)
    if flags & (os.O_WRONLY | os.O_RDWR) and found.st_nlink > 1:
        os.close(descriptor)
        told = f"{path} is also the file of another name (a hard link), which would be changed with it"
        raise EcgEdgeError(told, "copy the folder, and use the copy")
    return descriptor


def open_file(root: Path, name: str, most: int) -> BinaryIO:
    """A file below ``root`` for reading, as ``open_inside`` opens it, of ``most`` bytes at most."""
    try:
        file = os.fdopen(open_inside(root, name), "rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise EcgEdgeError(f"{root / name} cannot be read: {error.strerror}", TRUST) from error
    if (size := os.fstat(file.fileno()).st_size) > most:
        file.close()
        raise EcgEdgeError(f"{root / name} has {size:,} bytes", f"up to {most:,} are read")
    return file


def read_bytes(root: Path, name: str, most: int) -> bytes:
    """The content of a file below ``root``, as ``open_file`` opens it."""
    with open_file(root, name, most) as file:
        try:
            return file.read(os.fstat(file.fileno()).st_size)  # memory is taken for what is asked for
        except (OSError, MemoryError) as error:
            raise EcgEdgeError(f"{root / name} cannot be read: {error}", TRUST) from error


def size_of(root: Path, name: str) -> int | None:
    """Bytes of a file below ``root``; None where there is none."""
    try:
        descriptor = open_inside(root, name)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EcgEdgeError(f"{root / name} cannot be read: {error.strerror}", TRUST) from error
    try:
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
