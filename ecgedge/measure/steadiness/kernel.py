"""The reference kernel: a fixed piece of work whose time tells how quick the machine is at the moment.

It is integer arithmetic of the interpreter, and products of long integers: code that keeps several execution units
busy, as a model does, so that a neighbour on the same core slows it down. It has no wide vector instructions, whose
frequency is another on some processors, no threads, and no data beyond the innermost cache.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Any

PIECES, SETTLING = 12, 6  # pieces whose median counts; those before them, that do not, bring the caches, and on some
# processors the frequency, back from what ran before
STEPS, PRODUCTS = 800, 12  # of a piece, about 130 us: as long as the calls of a model, so that what interrupts each of
# these is in each piece as well, and a turn of milliseconds that another process gets is in one or two
LONG = 3**2500  # some 4,000 bits
STAT = Path("/proc/stat")
SCHEDULER = Path("/proc/thread-self/schedstat")
CLOCK = "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq"  # of a processor, in kHz
ZONES = Path("/sys/class/thermal")
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100  # a second, in STAT
STEAL = 8  # the word of a processor's line in STAT

Facts = dict[str, Any]


def reference() -> Facts:
    """Run the kernel once, on the processors of this process, and read what the system tells of them.

    Returns:
        ``ns``, the median nanoseconds of a piece; ``kernel``, whose times alone these may be compared with; ``at``, the
        clock in nanoseconds; and, each only where the system tells it, ``stolen``, the ticks that a hypervisor gave to
        others, ``waited``, the nanoseconds that this thread could have run and did not, ``clock_mhz``, ``celsius``.
    """
    taken = [piece() for _ in range(SETTLING + PIECES)][SETTLING:]
    told = {"stolen": stolen(), "waited": waited(), "clock_mhz": clock(), "celsius": celsius()}
    known = {name: value for name, value in told.items() if value is not None}
    return {"ns": round(median(taken)), "kernel": kernel(), "at": perf_counter_ns(), **known}


def piece() -> int:
    """Do the work once; returns nanoseconds."""
    start, x = perf_counter_ns(), 12345
    for _ in range(STEPS):
        x = (x * 1103515245 + 12345) & 0x3FFFFFFF
    for _ in range(PRODUCTS):
        LONG * LONG  # only its time is wanted
    return perf_counter_ns() - start


def kernel() -> str:
    """What the time of a piece depends on besides the machine: the interpreter. The number is that of the work."""
    return f"1 {platform.python_implementation()} {platform.python_version()}"


def about_block(before: Mapping[str, Any], after: Mapping[str, Any]) -> Facts:
    """What the kernel and the system say of what ran between two references, as the journal keeps it.

    Returns:
        ``reference_ns``, of before and after; ``kernel``; and, as far as known, ``steal`` and ``waited``, shares of the
        time in which a hypervisor or the system let others run, ``clock_mhz`` and ``celsius`` afterwards.
    """
    found: Facts = {"reference_ns": [before["ns"], after["ns"]], "kernel": after["kernel"]}
    passed = after["at"] - before["at"]
    for name, counter, nanoseconds in (("steal", "stolen", 1e9 / TICKS), ("waited", "waited", 1.0)):
        if counter in before and counter in after and passed > 0:
            found[name] = round((after[counter] - before[counter]) * nanoseconds / passed, 4)
    return found | {name: after[name] for name in ("clock_mhz", "celsius") if name in after}


def processors() -> list[int]:
    """Those that this process may use; empty where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def stolen() -> float | None:
    """Ticks that a hypervisor gave to others, a processor of this process on average."""
    ours = {f"cpu{number}" for number in processors()}
    try:
        lines = [line.split() for line in STAT.read_text(encoding="ascii").splitlines()]
        found = [int(words[STEAL]) for words in lines if words and words[0] in ours]
    except (OSError, ValueError, IndexError):
        return None
    return sum(found) / len(found) if found else None


def waited() -> int | None:
    """Nanoseconds that this thread was ready to run and another had its processor."""
    try:
        return int(SCHEDULER.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None


def clock() -> float | None:
    """Megahertz of the processors of this process, on average."""
    found = [value for number in processors() if (value := number_in(Path(CLOCK.format(number)))) is not None]
    return round(sum(found) / len(found) / 1e3, 1) if found else None


def celsius() -> float | None:
    """The warmest of the system's thermal zones."""
    found = [value for zone in sorted(ZONES.glob("thermal_zone*/temp")) if (value := number_in(zone)) is not None]
    return max(found) / 1e3 if found else None


def number_in(file: Path) -> float | None:
    try:
        return float(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
