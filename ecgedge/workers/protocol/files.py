"""Questions about files that the user brought."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ecgedge.workers.protocol.packed import Packed
from ecgedge.workers.protocol.question import Question


@dataclass(frozen=True)
class MakeWhole(Question[Path]):
    """Where does a file lie in one piece and with one output? See ``Runtime.make_whole``."""

    runtime: str
    path: Path
    output: str | None
    out: Path


@dataclass(frozen=True)
class CodeIn(Question[str | None]):
    """What code would a file run? See ``Runtime.code_in``."""

    runtime: str
    path: Path


@dataclass(frozen=True)
class Inspect(Question[Packed]):
    """What does a runtime read in a file?"""

    runtime: str
    path: Path


@dataclass(frozen=True)
class Prove(Question[str]):
    """Run the check that a bundle brings: why does it fail? Empty: it does not."""

    folder: Path
