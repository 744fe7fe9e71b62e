"""What the NVIDIA driver tells of its first GPU, through ``nvidia-smi``: name, clock, memory. Without it, nothing."""

from __future__ import annotations

import os
import shutil
import subprocess

MIB = 1024  # in units of 1,024 bytes


def ask(*query: str) -> list[str]:
    """The lines that ``nvidia-smi`` answers for the GPU that CUDA sees first; none where it is not there or fails."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return []
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip() or "0"
    command = [tool, "-i", first, *query, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def number(text: str) -> int | None:
    """A count; None for ``[N/A]`` and its like."""
    return int(text) if text.isdigit() else None


def describe() -> str | None:
    """Name, driver and memory of the GPU; None where there is none, or it does not tell."""
    for line in ask("--query-gpu=name,driver_version,memory.total"):
        return f"{line} MiB"
    return None


def sm_clock() -> int | None:
    """MHz of the streaming multiprocessors, now."""
    return next(map(number, ask("--query-gpu=clocks.sm")), None)


def memory_used() -> int | None:
    """What all processes together hold of the GPU's memory, in units of 1,024 bytes."""
    used = next(map(number, ask("--query-gpu=memory.used")), None)
    return None if used is None else used * MIB


def memory_of(process: int) -> int | None:
    """What one process holds of it, in units of 1,024 bytes; None where that is not told, as in many containers."""
    for line in ask("--query-compute-apps=pid,used_gpu_memory"):
        pid, _, used = line.partition(",")
        if number(pid.strip()) == process and (found := number(used.strip())) is not None:
            return found * MIB
    return None
