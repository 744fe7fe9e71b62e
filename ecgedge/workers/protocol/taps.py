"""Questions about what lies inside a file: it is opened to be tapped, read tensor by tensor, run in pieces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecgedge.api.taps import Wiring
from ecgedge.workers.protocol.packed import Packed
from ecgedge.workers.protocol.question import Question


@dataclass(frozen=True)
class Tapped:
    """A file that is open to be tapped: its number, for the next questions, and what it is made of."""

    taps: int
    wiring: Wiring


@dataclass(frozen=True)
class Tap(Question[Tapped | None]):
    """Open a file to be tapped; None: its runtime cannot."""

    runtime: str
    artifact: Packed
    threads: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ReadTensor(Question[None]):
    """Read one tensor for all beats of a file; save its values, and the answers of that run, to the two of ``out``."""

    taps: int
    tensor: str
    beats: Path
    out: tuple[Path, Path]


@dataclass(frozen=True)
class RunBetween(Question[None]):
    """Run the operations between some tensors and another one; save what they make of given values to ``out``.

    Attributes:
        inputs: names of tensors; ``values`` has a file for each.
    """

    taps: int
    inputs: tuple[str, ...]
    values: tuple[Path, ...]
    output: str
    out: Path


@dataclass(frozen=True)
class CloseTaps(Question[None]):
    """Give back what an opened file holds."""

    taps: int
