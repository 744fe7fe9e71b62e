"""What is the device that a worker runs on, and how is it at the moment?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ecgedge.workers.protocol.question import Question


@dataclass(frozen=True)
class BoardFacts:
    """A device, as its worker tells: see ``measure.device.facts``.

    Attributes:
        libraries: versions by distribution, those of Python and ecgedge among them.
        isa: the instruction sets that matter, by Linux's names.
        memory_kib, free_kib: units of 1,024 bytes, in all and as yet available.
        governor: how the first processor's frequency is governed.
        throttled: what slows it down now, or has since it was started, in words; None: it does not tell.
        boot_id: another one than before means that it was started anew.
    """

    libraries: Mapping[str, str]
    system: str
    cpu: str
    isa: tuple[str, ...]
    cores: int | None
    memory_kib: int | None = None
    free_kib: int | None = None
    governor: str | None = None
    celsius: float | None = None
    clock_mhz: float | None = None
    throttled: tuple[str, ...] | None = None
    boot_id: str | None = None


@dataclass(frozen=True)
class Describe(Question[BoardFacts]):
    """What is the device, and how is it?"""
