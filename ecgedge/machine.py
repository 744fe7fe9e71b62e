"""What the figures were measured on: processor, system, library versions."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ecgedge.store import version_of

LIBRARIES = (
    "ecgedge", "torch", "onnx", "onnxruntime-gpu", "onnxruntime", "onnx2tf", "tensorflow", "ai-edge-litert", "numpy",
)  # fmt: skip
ISA_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm")


def versions() -> dict[str, str]:
    """Versions of the libraries that are installed, by distribution, without importing them."""
    return {"python": platform.python_version()} | {
        name: found for name in LIBRARIES if (found := version_of(name)) is not None
    }


def describe() -> dict[str, Any]:
    """The machine, as a run records it."""
    info = cpu_info()
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "isa": [flag for flag in ISA_FLAGS if flag in info.get("flags", info.get("Features", "")).split()],
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
    }


def gpu() -> str | None:
    """What the NVIDIA driver says of its first GPU, or None."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return None
    command = [tool, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else None


def cpu_info() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; empty where there is none."""
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
