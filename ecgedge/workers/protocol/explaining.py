"""Questions about where an artifact's time goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgedge.api.graph import Graph
from ecgedge.api.profile import Profile
from ecgedge.files.typed_json import known
from ecgedge.workers.protocol.packed import Packed
from ecgedge.workers.protocol.question import Question


@dataclass(frozen=True)
class Weighed:
    """The graph of an artifact, None where it is not told, and nanoseconds of whole calls."""

    taken: tuple[int, ...]
    cpu_share: float
    device: str
    graph: Graph | None


@dataclass(frozen=True)
class Weigh(Question[Weighed]):
    """Time whole calls of an artifact on a batch of beats, for so many seconds."""

    runtime: str
    artifact: Packed
    beats: Path
    threads: int
    seconds: float


@dataclass(frozen=True)
class TakeProfile(Question[Profile | None]):
    """What do the operations of an artifact take on a batch of beats? None: the runtime does not tell."""

    runtime: str
    artifact: Packed
    beats: Path
    threads: int
    calls: int


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
