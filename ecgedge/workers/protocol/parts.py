"""Questions about parts: what do they need, can they work there?"""

from __future__ import annotations

from dataclasses import dataclass

from ecgedge.workers.protocol.question import Question


@dataclass(frozen=True)
class Missing(Question[str | None]):
    """What does a part need that is not installed there?"""

    kind: str
    part: str


@dataclass(frozen=True)
class Available(Question[str | None]):
    """Why can a runtime not run there? None: it can."""

    runtime: str


@dataclass(frozen=True)
class Network(Question[str]):
    """What became of the network of the worker's process? See ``launch.leave_network``."""
