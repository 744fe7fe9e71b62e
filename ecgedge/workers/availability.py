"""Which parts can work here, and why the others cannot; each is asked in the interpreter that it works in."""

from __future__ import annotations

import tempfile
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ecgedge import environments
from ecgedge.devices.host import Host
from ecgedge.environments import Environment
from ecgedge.errors import EcgEdgeError, MachineError
from ecgedge.plan.plan import takers
from ecgedge.plugins import Parts, elsewhere, missing, one_line
from ecgedge.workers import protocol
from ecgedge.workers.client import Child, ChildError
from ecgedge.workers.hosts import guests, hosts
from ecgedge.workers.standins import RuntimeElsewhere, Workers

if TYPE_CHECKING:
    from ecgedge.api.parts import Part
    from ecgedge.plan.plan import Cell

SECONDS = 120  # for one answer
KINDS = ("model", "exporter", "quantizer", "runtime")
Reasons = dict[tuple[str, str], str]


@dataclass(frozen=True)
class Trouble:
    """Why a part cannot work in its environment.

    Attributes:
        reason: one line.
        broken: the environment is at fault. Else the part says so itself: of this processor, say, which no other
            installation changes.
    """

    reason: str
    broken: bool


def is_installed(part: Part) -> bool:
    """Whether all that a part needs is there, as far as can be told without importing or starting anything."""
    return missing(part) is None


def require(part: Part) -> None:
    """Raise EcgEdgeError where a part's libraries are not installed, or its environment is not as it should be."""
    if reason := missing(part):
        hint = "" if elsewhere(part) else "install it; for all built-in parts: ecgedge[all]"
        raise EcgEdgeError(f"{part.kind} {part.name} cannot be used: {reason}", hint)


def pick_runtime(format: str, name: str | None, parts: Parts, workers: Workers) -> RuntimeElsewhere:
    """The named runtime, or the first that takes a format and works here.

    Raises:
        EcgEdgeError: there is none, or the one that is named does not take the format.
    """
    fitting = takers(format, parts.runtimes)
    if name:
        chosen = parts.find("runtime", name)
        if chosen not in fitting:
            names = ", ".join(part.name for part in fitting)
            raise EcgEdgeError(f"runtime {name} does not take {format}", f"choose from: {names}")
        fitting = [chosen]
    reasons = []
    for part in fitting:
        ready = workers.runtime(part)
        try:
            reason = missing(part) or ready.available()
        except Exception as error:  # of its library, or of its author
            reason = one_line(error)
        if not reason:
            return ready
        reasons.append(f"{part.name}: {reason}")
    raise EcgEdgeError(f"no runtime for {format} works here", "; ".join(reasons) or "install one")


def installed(parts: Parts) -> dict[str, dict[str, str]]:
    """Versions of the distributions in each environment that is not this one, by canonical name."""
    others = {name: one for name, one in parts.environments.items() if name not in environments.here()}
    return {name: environments.distributions(one.folder) for name, one in others.items()}


def used(cells: Iterable[Cell], parts: Parts) -> dict[str, dict[str, str]]:
    """As ``installed``, of the environments that the parts of some cells work in."""
    everywhere = installed(parts)
    wanted = set()
    for cell in cells:
        steps = [*(parts.exporters[name] for name in cell.route), parts.quantizers[cell.quantizer]]
        wanted |= {part.environment for part in (*steps, parts.runtimes[cell.runtime])}
    return {name: found for name, found in everywhere.items() if name in wanted}


def not_installed(parts: Parts) -> Reasons:
    """Parts that lack something, with the reason, as far as can be told without importing or starting anything."""
    everything = [part for kind in KINDS for part in parts.of(kind).values()]
    return {(part.kind, part.name): reason for part in everything if (reason := missing(part))}


def unavailable(parts: Parts, runtimes: Container[str] | None = None, must_work: bool = True) -> Reasons:
    """Parts that cannot work here, with the reason. Runtimes are asked in a child process.

    Args:
        runtimes: those that matter; others are not asked, and seen as working where their libraries are installed.
            None: all.

    Raises:
        EcgEdgeError: no runtime works and a child of this interpreter died, unless not ``must_work``.
    """
    everything = [part for kind in KINDS for part in parts.of(kind).values() if matters(part, runtimes)]
    reasons = not_installed(parts)
    for name in hosts(parts):
        there = [part for part in everything if elsewhere(part) == name and (part.kind, part.name) not in reasons]
        reasons |= unavailable_in(name, there, parts)
    asked = [part for part in everything if part.kind == "runtime"]
    ours = [part for part in asked if not elsewhere(part) and ("runtime", part.name) not in reasons]
    dead: list[str] = []
    network = any(part.needs_network for part in ours)
    with tempfile.TemporaryDirectory() as scratch, Child(Path(scratch) / "log", network=network) as child:
        for part in ours:
            try:
                reason = child.ask(protocol.Available(part.name), SECONDS)
            except MachineError:
                raise
            except EcgEdgeError as error:
                reason = error.message
            except ChildError as error:
                reason = str(error)
                dead.append(part.name)
            if reason:
                reasons["runtime", part.name] = reason
        if must_work and dead and all(("runtime", part.name) in reasons for part in asked):
            raise EcgEdgeError(f"no runtime works here; {dead[0]}: {reasons['runtime', dead[0]]}", child.last_words())
    return reasons


def matters(part: Part, runtimes: Container[str] | None) -> bool:
    return part.kind != "runtime" or runtimes is None or part.name in runtimes


def unavailable_in(name: str, asked: list[Part], parts: Parts) -> Reasons:
    """Which of some parts of one environment cannot work there, with the reason."""
    return {key: trouble.reason for key, trouble in troubles_in(name, asked, parts).items()}


def troubles_in(name: str, asked: list[Part], parts: Parts) -> dict[tuple[str, str], Trouble]:
    """Why some parts of one environment cannot work there: its worker is asked, and may turn out to be broken."""
    if not asked:
        return {}
    environment = parts.environments[name]
    host = Host(name, environment.python, guests(parts))
    network = any(part.needs_network for part in asked)
    with tempfile.TemporaryDirectory() as scratch, Child(Path(scratch) / "log", host=host, network=network) as child:
        troubles = {(part.kind, part.name): trouble_there(part, child, environment) for part in asked}
    return {key: trouble for key, trouble in troubles.items() if trouble}


def trouble_there(part: Part, child: Child, environment: Environment) -> Trouble | None:
    """Why a part cannot work in its environment, with the command that mends it where it is the environment's fault."""

    def broken(told: str) -> Trouble:
        return Trouble(environment.reason(f"is broken: {told}"), broken=True)

    try:
        try:
            if told := child.ask(protocol.Missing(part.kind, part.name), SECONDS):
                return broken(told)
        except MachineError:
            raise
        except EcgEdgeError as error:  # its plugin cannot be loaded there
            return broken(error.message)
        reason = child.ask(protocol.Available(part.name), SECONDS) if part.kind == "runtime" else None
        return Trouble(reason, broken=False) if reason else None
    except EcgEdgeError as error:
        return Trouble(error.message, broken=False)
    except ChildError as error:
        told, _, died = str(error).partition("; see ")
        return broken(f"{told}{f': {child.last_words()}' if died else ''}")
