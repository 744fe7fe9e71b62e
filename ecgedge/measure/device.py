"""What a device tells of itself: what it is, and what may slow it down at the moment."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from ecgedge.measure import machine, memory
from ecgedge.measure.processor import cpu_info, instruction_flags
from ecgedge.measure.steadiness import kernel

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
MODEL = Path("/proc/device-tree/model")  # of a board
THROTTLED = ("vcgencmd", "get_throttled")  # of a Raspberry Pi
STATES = {  # the bits of its answer
    0: "under-voltage", 1: "its frequency is capped", 2: "throttled", 3: "too warm",
    16: "under-voltage since it was started", 17: "its frequency was capped since it was started",
    18: "throttled since it was started", 19: "too warm since it was started",
}  # fmt: skip


def facts() -> dict[str, Any]:
    """This device, as ``protocol.BoardFacts`` has it; what the system does not tell is left out."""
    info = cpu_info()
    told = {
        "libraries": machine.versions(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": model() or info.get("model name") or platform.processor() or platform.machine(),
        "isa": [flag for flag in machine.ISA_FLAGS if flag in instruction_flags()],
        "cores": os.cpu_count(),
        "memory_kib": memory.field("MemTotal", memory.MACHINE),
        "free_kib": memory.field("MemAvailable", memory.MACHINE),
        "governor": machine.governor(),
        "celsius": kernel.celsius(),
        "clock_mhz": kernel.clock(),
        "throttled": throttled(),
        "boot_id": boot_id(),
    }
    return {name: value for name, value in told.items() if value is not None or name == "cores"}


def model() -> str:
    """The name of the board; empty where it is none."""
    try:
        return MODEL.read_text(encoding="utf-8", errors="replace").strip("\0\n ")[:100]
    except OSError:
        return ""


def boot_id() -> str | None:
    with contextlib.suppress(OSError):
        return BOOT_ID.read_text(encoding="ascii", errors="replace").strip()[:100]
    return None


def throttled() -> list[str] | None:
    """What slows a Raspberry Pi down, or has since it was started; None where this is none."""
    try:
        done = subprocess.run(THROTTLED, capture_output=True, text=True, errors="replace", timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.fullmatch(r"throttled=0x([0-9a-f]{1,8})", done.stdout.strip())
    return [words for bit, words in STATES.items() if int(found[1], 16) >> bit & 1] if found else None
