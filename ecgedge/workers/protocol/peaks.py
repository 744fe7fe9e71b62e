"""What is the limit of a machine, or of a device?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecgedge.files.typed_json import known
from ecgedge.workers.protocol.question import Question


@dataclass(frozen=True)
class Peak:
    """One of ``measure_peaks``."""

    gmacs: float
    low: float
    median: float
    calls: int
    by: str


@dataclass(frozen=True)
class Peaks:
    """What ``measure_peaks`` or ``measure_gpu_peaks`` found."""

    missing: Mapping[str, str]
    device: str | None = None
    holds_for: Mapping[str, str] | None = None
    size: int | None = None
    threads: int | None = None
    fp32: Peak | None = None
    tf32: Peak | None = None
    fp16: Peak | None = None
    int8: Peak | None = None

    def figures(self) -> dict[str, Any]:
        """As these functions return it."""
        return known(self)


@dataclass(frozen=True)
class MeasurePeaks(Question[Peaks]):
    """What is the limit in matrix products of the device that a runtime computes on?"""

    threads: int
    runtime: str
