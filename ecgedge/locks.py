"""Locks between processes, by files that the system unlocks when their owner dies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows: without them two runs at once disturb each other's timings
    fcntl = None  # type: ignore[assignment]


def lock(file: IO[Any], wait: bool) -> bool:
    """Lock an open file until it is closed; False where another process has it and ``wait`` is off."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # a file system that knows no locks
        return True
    return True


@contextlib.contextmanager
def turn(path: Path) -> Iterator[None]:
    """Wait until no other process of the user's converts or measures; asleep, and first come is not first served."""
    try:
        file = path.open("w")
    except OSError:  # a folder that cannot be written
        yield
        return
    with file:
        lock(file, wait=True)
        yield
