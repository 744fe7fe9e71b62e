"""Memory of this process, and what the machine has left, by the operating system's own accounting."""

from __future__ import annotations

import sys
from pathlib import Path

STATUS, CLEAR, MACHINE = Path("/proc/self/status"), Path("/proc/self/clear_refs"), Path("/proc/meminfo")
SHORT = 0.5  # of the machine's memory: with less left, others have taken it


def reset_peak() -> int | None:
    """Start counting the peak anew, where the system can; returns what is resident now, in units of 1,024 bytes.

    Elsewhere the peak so far is returned, since what lies below it cannot be seen. None: it does not tell.
    """
    try:
        CLEAR.write_text("5")  # see proc(5): resets VmHWM to the current size
        return field("VmRSS")
    except OSError:
        return peak()


def peak() -> int | None:
    """The most that was resident since ``reset_peak``, or since the start, in units of 1,024 bytes."""
    if (found := field("VmHWM")) is not None:
        return found
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most // 1024 if sys.platform == "darwin" else most


def is_short() -> bool:
    """Whether others have taken most of the machine's memory; False where that is not told."""
    total, left = field("MemTotal", MACHINE), field("MemAvailable", MACHINE)
    return bool(total and left is not None and left < SHORT * total)


def field(name: str, file: Path | None = None) -> int | None:
    """A line of /proc/self/status, or of another such file, in its kB; None where there is none."""
    file = file or STATUS
    if not file.is_file():
        return None
    lines = file.read_text(encoding="utf-8").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)
