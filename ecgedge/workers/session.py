"""A session in a worker, from when it is opened until it is closed: to have beats answered, or to be timed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ecgedge.api.graph import Graph
from ecgedge.api.profile import Profile
from ecgedge.errors import EcgEdgeError
from ecgedge.workers import protocol
from ecgedge.workers.client import ChildError, WorkerClient
from ecgedge.workers.protocol import A, Opened, Packed, Question


@dataclass(frozen=True)
class OpenSession:
    """A session by its number in a worker; each method raises what ``WorkerClient.ask`` does.

    Attributes:
        opened: what the worker said of it.
        limit: seconds of each question.
    """

    child: WorkerClient
    opened: Opened
    limit: float

    def ask(self, question: Question[A]) -> A:
        return self.child.ask(question, self.limit)

    @property
    def clock(self) -> str | None:
        """By which the times of its calls are, where it has one of its own and was opened to be timed."""
        return self.opened.loaded.clock if self.opened.loaded else None

    @property
    def energy_source(self) -> str | None:
        """What counts its energy, likewise."""
        return self.opened.loaded.energy_source if self.opened.loaded else None

    def infer(self, beats: Path, out: Path) -> None:
        """Have it answer all beats of a file; the answers are saved to ``out``."""
        self.ask(protocol.Infer(self.opened.session, beats, out))

    def invoke(self, beats: Path, out: Path) -> None:
        """Have it answer the beats of a file in one call."""
        self.ask(protocol.Invoke(self.opened.session, beats, out))

    def graph(self) -> Graph | None:
        """What it tells of its operations; None: nothing."""
        return self.ask(protocol.GraphOf(self.opened.session))

    def figures(self) -> Mapping[str, int | float | str]:
        """What it tells besides."""
        return self.ask(protocol.FiguresOf(self.opened.session))

    def profile(self, calls: int) -> Profile | None:
        """What its operations take on the beats of the last call; None: the runtime does not tell."""
        return self.ask(protocol.ProfileOf(self.opened.session, calls))

    def weigh(self, seconds: float, calls: int | None = None) -> protocol.Weighed:
        """Time whole calls on the beats of the last one: for so many seconds, or so many calls."""
        return self.ask(protocol.Weigh(self.opened.session, seconds, calls))

    def warm_up(self) -> protocol.WarmedUp:
        """Call it until it is as fast as it gets."""
        return self.ask(protocol.WarmUp(self.opened.session))

    def load_anew(self) -> None:
        """Load its file once more, elsewhere in memory."""
        self.ask(protocol.LoadAnew(self.opened.session))

    def block(self, seconds: float, calls: int | None = None) -> protocol.Timed:
        """Time calls: for so many seconds, or so many."""
        return self.ask(protocol.Block(self.opened.session, seconds, calls))

    def throughput(
        self, sized: Mapping[int, Packed], beats: Path, profile: str, out: Path, sizes: tuple[int, ...] | None
    ) -> Mapping[int, float]:
        """Beats a second by batch size: see ``protocol.Throughput``."""
        return self.ask(protocol.Throughput(self.opened.session, sized, beats, profile, out, sizes))

    def close(self) -> None:
        """Give back what it holds, where its process still lives."""
        if self.child.is_running:
            self.ask(protocol.Close(self.opened.session))

    def __enter__(self) -> OpenSession:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with contextlib.suppress(*((ChildError, EcgEdgeError) if kind else ())):  # what went wrong first is told
            self.close()


def open_session(child: WorkerClient, question: protocol.Open, limit: float) -> OpenSession:
    """Have a worker load an artifact.

    Raises:
        ChildError, EcgEdgeError, MachineError: as ``WorkerClient.ask``.
    """
    return OpenSession(child, child.ask(question, limit), limit)
