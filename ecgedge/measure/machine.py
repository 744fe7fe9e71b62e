"""What the figures were measured on: processor, system, library versions."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

from ecgedge.environments.versions import VERSION, version_of
from ecgedge.measure import nvidia
from ecgedge.measure.processor import cpu_info, instruction_flags

LIBRARIES = (
    "torch", "onnx", "onnxruntime-gpu", "onnxruntime", "onnx2tf", "tensorflow", "ai-edge-litert", "numpy",
)  # fmt: skip
ISA_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm")


def versions() -> dict[str, str]:
    """Versions of the libraries that are installed, by distribution, without importing them.

    That of ecgedge is told by its code, which may run from a source tree that was never installed.
    """
    told = {"python": platform.python_version(), "ecgedge": VERSION}
    return told | {name: found for name in LIBRARIES if (found := version_of(name)) is not None}


def describe(energy: EnergyCounter | None = None) -> dict[str, Any]:
    """The machine, as a run records it."""
    info = cpu_info()
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "isa": [flag for flag in ISA_FLAGS if flag in instruction_flags()],
        "cores": os.cpu_count(),
        "gpu": nvidia.describe(),
        "governor": governor(),
        "load": load(),
        "energy": energy.describe() if energy else "not measured",
        "system": f"{platform.system()} {platform.machine()}",
    }


def usable_cores() -> int | None:
    """Cores that this process may use, which a container may limit; None: the system does not tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def governor() -> str | None:
    """How the first processor's frequency is governed, or None where the system does not tell."""
    try:
        return Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text(encoding="utf-8").strip()
    except OSError:
        return None


def load() -> float | None:
    """Processes that wanted to run, on average over the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


class EnergyCounter:
    """The energy counter of the processor package (RAPL, by Linux's powercap), where there is one to read.

    Args:
        folder: of the counter, such as /sys/class/powercap/intel-rapl:0; None: there is none.
    """

    ROOT = Path("/sys/class/powercap")
    IDLE_SECONDS = 1.0

    def __init__(self, folder: Path | None):
        self.folder, self.idle = folder, 0.0
        if folder:
            before = self.read()
            time.sleep(self.IDLE_SECONDS)
            self.idle = self.since(before)["package_uj"] / self.IDLE_SECONDS

    @classmethod
    def find(cls) -> EnergyCounter:
        for folder in sorted(cls.ROOT.glob("intel-rapl:?")):
            if os.access(folder / "energy_uj", os.R_OK):
                return cls(folder)
        return cls(None)

    def describe(self) -> dict[str, Any] | str:
        """Its name, and the watts of the idle machine; or that there is none."""
        if not self.folder:
            return "not measured: this machine has no energy counter that may be read"
        name = (self.folder / "name").read_text(encoding="utf-8").strip()
        return {"counter": f"{self.folder.name} {name}", "idle_w": round(self.idle / 1e6, 3)}

    def read(self) -> tuple[int, float]:
        """Microjoules so far, and when they were read in seconds."""
        return self.number("energy_uj") if self.folder else 0, time.perf_counter()

    def since(self, before: tuple[int, float]) -> dict[str, float]:
        """Microjoules since an earlier reading, whole and less what the idle machine takes; empty without a counter."""
        if not self.folder:
            return {}
        now, at = self.read()
        spent = now - before[0]
        if spent < 0:  # it counts round
            spent += self.number("max_energy_range_uj")
        return {"package_uj": spent, "active_uj": round(spent - self.idle * (at - before[1]), 1)}

    def number(self, name: str) -> int:
        assert self.folder
        return int((self.folder / name).read_text(encoding="utf-8"))
