"""Questions to a session: it is opened, asked, timed where it was opened for that, and closed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecgedge.api.graph import Graph
from ecgedge.api.measured import Measured
from ecgedge.api.profile import Profile
from ecgedge.workers.protocol.packed import Packed
from ecgedge.workers.protocol.question import Question
from ecgedge.workers.protocol.timing import Loaded


@dataclass(frozen=True)
class Draw:
    """Beats of a file, from which those of timed calls are drawn."""

    beats: Path
    seed: int


@dataclass(frozen=True)
class Opened:
    """A session that is open.

    Attributes:
        session: its number, for the next questions.
        batch, copies: as ``Session`` says.
        bulk: the beats that it is called with where it is asked for any number.
        device: of the runtime.
        loaded: what loading took, of a session that is opened to be timed.
    """

    session: int
    batch: int | None
    bulk: int
    copies: str | None
    device: str
    loaded: Loaded | None


@dataclass(frozen=True)
class Open(Question[Opened]):
    """Load an artifact, for the next questions about this session.

    Attributes:
        pinned: on processors of its own, as is one that is timed; the worker stays there.
        timed: the session is to be timed, and loading it is, too; only such a one answers the questions of
            ``timing``.
    """

    runtime: str
    artifact: Packed
    threads: int
    options: Mapping[str, Any] = field(default_factory=dict)
    pinned: bool = False
    timed: Draw | None = None


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
class Weighed:
    """Nanoseconds of whole calls, and the share of that time in which the worker had a processor.

    Attributes:
        clock: of the session, that they are by; None: the worker's.
    """

    taken: tuple[int, ...]
    cpu_share: float
    clock: str | None = None


@dataclass(frozen=True)
class Weigh(Question[Weighed]):
    """Time whole calls on the beats of the last one, for so many seconds; or so many ``calls``."""

    session: int
    seconds: float
    calls: int | None = None


@dataclass(frozen=True)
class MeasuredOf(Question[Measured | None]):
    """What did a session measure itself since it was last asked?"""

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
