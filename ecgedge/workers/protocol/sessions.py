"""Questions to sessions that answer, and are not timed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecgedge.api.graph import Graph
from ecgedge.api.profile import Profile
from ecgedge.workers.protocol.packed import Packed
from ecgedge.workers.protocol.question import Question


@dataclass(frozen=True)
class Opened:
    """A session that is open.

    Attributes:
        session: its number, for the next questions.
        batch, copies: as ``Session`` says.
        bulk: the beats that it is called with where it is asked for any number.
    """

    session: int
    batch: int | None
    bulk: int
    copies: str | None


@dataclass(frozen=True)
class Open(Question[Opened]):
    """Load an artifact, for the next questions about this session."""

    runtime: str
    artifact: Packed
    threads: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Invoke(Question[None]):
    """Call a session once, for all beats; save the answers to ``out``."""

    session: int
    beats: Path
    out: Path


@dataclass(frozen=True)
class Infer(Question[None]):
    """Have a session answer any number of beats; save the answers to ``out``."""

    session: int
    beats: Path
    out: Path


@dataclass(frozen=True)
class GraphOf(Question[Graph | None]):
    """What does a session tell of its operations?"""

    session: int


@dataclass(frozen=True)
class FiguresOf(Question[Mapping[str, int | float | str]]):
    """What does a session tell besides?"""

    session: int


@dataclass(frozen=True)
class ProfileOf(Question[Profile | None]):
    """What do the operations of a session take on the beats of the last call?"""

    session: int
    calls: int


@dataclass(frozen=True)
class Close(Question[None]):
    """Give back what a session holds."""

    session: int
