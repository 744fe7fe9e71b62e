"""Questions to a session that was opened to be timed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgedge.files.typed_json import known
from ecgedge.workers.protocol.packed import Packed
from ecgedge.workers.protocol.question import Question


@dataclass(frozen=True)
class Loaded:
    """What loading took: see ``Bench.figures``.

    Attributes:
        processors: on which alone the worker now runs; None: on any.
        clock, energy_source, memory_source: by what the session measures itself; None: it does not.
    """

    load_ms: float
    first_call_us: float
    memory_kib: int | float | None
    memory_base_kib: int | None
    processors: tuple[int, ...] | None
    device_memory_kib: int | None = None
    clock: str | None = None
    energy_source: str | None = None
    memory_source: str | None = None


@dataclass(frozen=True)
class Throughput(Question[Mapping[int, float]]):
    """How many beats a second are there at each batch size? Save the nanoseconds of the calls to ``out``.

    Attributes:
        sized: the files for each batch size, where the format fixes it.
        beats: a file of those that it is called with.
        profile: the name of one of ``bench.PROFILES``.
        sizes: batch sizes; None: see ``Bench.throughput``.
    """

    session: int
    sized: Mapping[int, Packed]
    beats: Path
    profile: str
    out: Path
    sizes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class WarmedUp:
    """After how many calls it was as fast as it gets, whether it stayed so, and a GPU's clock, where that is told."""

    warm_up_calls: int
    stable: bool
    sm_clock_mhz: int | None = None

    def figures(self) -> dict[str, Any]:
        """What the journal keeps of it."""
        return known(self)


@dataclass(frozen=True)
class WarmUp(Question[WarmedUp]):
    """Call a session until it is as fast as it gets."""

    session: int


@dataclass(frozen=True)
class LoadAnew(Question[None]):
    """Load the artifact once more before a block, apart from it: what loading takes is not the block's."""

    session: int


@dataclass(frozen=True)
class State:
    """How quick the machine is at the moment: see ``steadiness.reference``."""

    ns: int
    kernel: str
    at: int
    stolen: float | None = None
    waited: int | None = None
    clock_mhz: float | None = None
    celsius: float | None = None

    def facts(self) -> dict[str, Any]:
        """As ``steadiness.about_block`` takes it."""
        return known(self)


@dataclass(frozen=True)
class Reference(Question[State]):
    """How quick is the machine at the moment?"""


@dataclass(frozen=True)
class Timed:
    """A block of timed calls: see ``Bench.block``.

    Attributes:
        samples: little-endian int64 pairs in base64.
        energy_uj: what the session's own meter counted; None: it has none, or that did not tell.
    """

    samples: str
    cpu_share: float
    seconds: float | None = None
    energy_uj: float | None = None

    def figures(self) -> dict[str, Any]:
        """What the journal keeps of it beside the samples."""
        return {key: value for key, value in known(self).items() if key != "samples"}


@dataclass(frozen=True)
class Block(Question[Timed]):
    """Time calls for so many seconds; or, where that is told, so many ``calls``."""

    session: int
    seconds: float
    calls: int | None = None
