"""What a board is, and which runtimes cannot work on it: asked of a worker there before anything is planned."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ecgedge.api.parts import Runtime
from ecgedge.devices.boards import Board
from ecgedge.devices.link import Link
from ecgedge.errors import EcgEdgeError
from ecgedge.plan.plan import takers
from ecgedge.plugins import Parts
from ecgedge.workers import protocol
from ecgedge.workers.availability import SECONDS, Reasons
from ecgedge.workers.boards import BoardChild
from ecgedge.workers.client import ChildError

STAYS = "it comes with a plugin, and plugins do not travel to boards"
OURS = "ecgedge"  # the distribution whose parts travel


@dataclass(frozen=True)
class Surveyed:
    """A board as it was found.

    Attributes:
        reasons: why runtimes cannot work there, by ``("runtime", name)``.
    """

    board: Board
    facts: protocol.BoardFacts
    reasons: Reasons


def survey(board: Board, parts: Parts, names: Iterable[str]) -> Surveyed:
    """Reach a board, and ask whether runtimes of these names work there.

    Raises:
        EcgEdgeError: it cannot be reached, is used by somebody, or runs no worker.
    """
    runtimes = {name: parts.runtimes[name] for name in names}
    reasons = {("runtime", name): STAYS for name, part in runtimes.items() if not travels(part, parts)}
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        with Link(board, log) as link, BoardChild(link, log) as child:
            try:
                facts = child.ask(protocol.Describe(), SECONDS)
                reasons |= refusals(child, {name: part for name, part in runtimes.items() if travels(part, parts)})
            except ChildError as error:
                raise EcgEdgeError(str(error), f"ecgedge board check {board.name}") from None
    return Surveyed(board, facts, reasons)


def pick_there(found: Surveyed, format: str, name: str | None, parts: Parts) -> str:
    """The named runtime, or the first that takes a format and works on a board.

    Raises:
        EcgEdgeError: there is none, or the one that is named does not take the format.
    """
    fitting = [part.name for part in takers(format, parts.runtimes)]
    if name and parts.find("runtime", name).name not in fitting:
        raise EcgEdgeError(f"runtime {name} does not take {format}", f"choose from: {', '.join(fitting)}")
    wanted = [name] if name else fitting
    for each in wanted:
        if ("runtime", each) not in found.reasons:
            return each
    reasons = "; ".join(f"{each}: {found.reasons['runtime', each]}" for each in wanted)
    raise EcgEdgeError(f"no runtime for {format} works on board {found.board.name}", reasons or "install one")


def travels(part: Runtime, parts: Parts) -> bool:
    """Whether a runtime is one of those that a worker brings along."""
    return parts.owners[part.kind, part.name].distribution == OURS and not part.environment


def refusals(child: BoardChild, runtimes: Mapping[str, Runtime]) -> Reasons:
    """Why runtimes cannot work where a worker is. One that kills it fails alone."""
    found: Reasons = {}
    for name in runtimes:
        try:
            reason = child.ask(protocol.Available(name), SECONDS)
        except EcgEdgeError as error:
            reason = error.message
        except ChildError as error:
            if error.why in ("lost", "rebooted", "disk"):
                raise
            reason = str(error)
        if reason:
            found["runtime", name] = reason
    return found
