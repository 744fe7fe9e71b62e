"""What processes that share files need: locks that their owner's death frees, and files that appear whole."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ecgedge.errors import EcgEdgeError, cut
from ecgedge.files.cache import cache_folder

try:
    import fcntl
except ImportError:  # Windows: without them two runs at once disturb each other's timings
    fcntl = None  # type: ignore[assignment]

PART = ".part"  # ends the name of what is being written
PROBE = 2**16  # bytes: a disk with less left is full
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def lock(file: IO[Any], wait: bool, shared: bool = False) -> bool:
    """Lock an open file until it is closed; False where another process has it and ``wait`` is off.

    Args:
        shared: others that want no more may have it, too.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # a file system that knows no locks
        return True
    return True


def open_lock(path: Path) -> IO[bytes]:
    """A file to lock, made where it is missing; what it holds stays. Raises OSError where it is a link."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o666), "r+b", buffering=0)


def open_to_append(path: Path) -> IO[bytes]:
    """A file to append to, unbuffered. Raises OSError where it is a link."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | NO_FOLLOW, 0o666), "ab", buffering=0)


def gate() -> Path | None:
    """The file by which whatever measures on this machine takes turns; None where that is not wanted."""
    return cache_folder() / "turn.lock" if os.environ.get("ECGEDGE_TURNS") != "0" else None


def usable_folder(folder: Path) -> Path:
    """Make a folder for results. Raises EcgEdgeError where that, or writing into it, fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise EcgEdgeError(f"{cut(folder)} cannot be written: {error.strerror}", "name another folder") from error
    return folder


@contextlib.contextmanager
def turn(path: Path, shared: bool = False) -> Iterator[None]:
    """Wait until no other process of the user's converts or measures; asleep, and first come is not first served.

    Args:
        shared: nothing is timed, so that others of that kind may work beside it. Whoever waits stands at a door that
            all come by: while one waits for its turn alone, no more that share theirs begin.
    """
    with contextlib.ExitStack() as held:
        try:
            file = held.enter_context(open_lock(path))
            door = open_lock(path.with_suffix(".door"))
        except OSError:  # a folder that cannot be written
            yield
            return
        with door:
            lock(door, wait=True)
            lock(file, wait=True, shared=shared)
        yield


@contextlib.contextmanager
def whole_file(path: Path, mode: str = "wb", **how: Any) -> Iterator[IO[Any]]:
    """A file to write that takes its place, synced, when all is written; where anything fails it leaves nothing.

    It is written beside its place under a name that nobody else has. A device is written as it is.

    Args:
        how: as of ``open``.

    Raises:
        OSError: it cannot be written.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode) and not path.is_file() and not path.is_dir():
            with path.open(mode, **how) as file:
                yield file
            return
    number, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=PART)
    try:
        with os.fdopen(number, mode, **how) as file:
            yield file
            file.flush()
            if hasattr(os, "fchmod"):
                os.fchmod(number, 0o666 & ~current_umask())  # mkstemp keeps it to its owner
            os.fsync(number)
        Path(scratch).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(scratch).unlink()
        raise


def swap_in(fresh: Path, target: Path, aside: Path) -> None:
    """Give a file or folder that is whole its place; what was there goes aside, and comes back where that fails.

    All three lie on one disk.

    Raises:
        OSError: it fails.
    """
    if not target.exists() or (target.is_file() and fresh.is_file()):
        fresh.replace(target)
        return
    target.rename(aside)
    try:
        fresh.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            aside.rename(target)
        raise


def current_umask() -> int:
    """What the user keeps new files from."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def check_room(folder: Path) -> None:
    """Raise OSError where a folder is gone, or a little file cannot be written there."""
    with tempfile.TemporaryFile(dir=folder, prefix=".", suffix=PART) as file:
        file.write(bytes(PROBE))
        file.flush()
        os.fsync(file.fileno())
