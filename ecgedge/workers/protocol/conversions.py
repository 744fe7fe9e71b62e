"""Questions that make artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ecgedge.workers.protocol.packed import Packed
from ecgedge.workers.protocol.question import Question

ConverterKind = Literal["exporter", "quantizer"]


@dataclass(frozen=True)
class Terms:
    """A conversion's ``Context``, its beats in files.

    Attributes:
        beats: a file of beats ``(N, C, L)``.
        labelled: a file of beats ``x`` and class indices ``y``; None: there are none.
    """

    beats: Path
    seed: int = 0
    batch: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    labelled: Path | None = None


@dataclass(frozen=True)
class Convert(Question[Packed]):
    """Run one exporter or quantizer, which writes ``out``."""

    kind: ConverterKind
    part: str
    source: Packed
    out: Path
    terms: Terms


@dataclass(frozen=True)
class Optimize(Question[Packed]):
    """Apply graph passes; the notes of what comes out name those that were left out.

    Attributes:
        left_out: passes that are not to be applied, with the reason.
    """

    passes: tuple[str, ...]
    source: Packed
    out: Path
    terms: Terms
    left_out: Mapping[str, str]
