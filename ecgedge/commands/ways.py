"""The ways to have a file answered: kernels of this machine, other processors that are emulated, boards."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.errors import EcgEdgeError

if TYPE_CHECKING:  # the rest is imported when something is tried: ``import ecgedge`` is to stay quick
    from ecgedge.api.artifact import Artifact
    from ecgedge.api.parts import Family, Runtime
    from ecgedge.api.taps import Taps
    from ecgedge.devices.boards import Board
    from ecgedge.devices.link import Link
    from ecgedge.plugins import Parts
    from ecgedge.portability.certificate import NotTried
    from ecgedge.portability.record import Portability
    from ecgedge.portability.study import Session
    from ecgedge.workers.client import Limits, WorkerClient
    from ecgedge.workers.standins import RuntimeElsewhere, SessionElsewhere, Workers

SOME = 200  # beats for what is slow
SATURATING = "Haswell"  # whose products of 8-bit integers are added in 16 bits: what avoids that is tried, too


@dataclass(frozen=True)
class Asked:
    """A file and the beats that it is to answer in every way that there is.

    Attributes:
        runtime: whose first kernels the others are held against.
        beats: all test beats ``(N, C, L)`` float32.
        labels: a class a beat ``(N,)``, or which labels it has ``(N, K)``.
        data: the data, in one line.
        boards: on which it is tried, too.
        no_emulator: why other x86-64 cores are not emulated; empty: they are, where this machine can.
        some: how many beats emulators and the integer model are given.
        threads: of every session.
    """

    artifact: Artifact
    runtime: str
    beats: np.ndarray
    labels: np.ndarray
    data: str
    boards: Sequence[Board] = ()
    no_emulator: str = ""
    some: int = SOME
    threads: int = 1


def certify(asked: Asked, parts: Parts, workers: Workers, limits: Limits, tell: Callable[[str], object]) -> Portability:
    """Try every way, or find the certificate of when the same was tried before; boards are always tried anew.

    Raises:
        EcgEdgeError, ConversionError: the first way fails, or gives no answers.
    """
    from ecgedge.devices.link import Link
    from ecgedge.portability import kept, study
    from ecgedge.portability.record import Portability

    artifact = asked.artifact
    missed: list[NotTried] = []
    with contextlib.ExitStack() as closed:
        sessions = of_all_runtimes(asked, parts, workers, limits, missed)
        scratch = Path(closed.enter_context(tempfile.TemporaryDirectory()))
        for board in asked.boards:
            link = closed.enter_context(Link(board, scratch / f"{board.name}.log"))
            sessions.append(on_board(artifact, parts.runtimes[asked.runtime], board, link, limits, asked.threads))
        missed += unknown_places(asked.boards)
        posed = study.Study(artifact, asked.beats, study.some(asked.labels, asked.some), tell)
        key = kept.key_of(posed, [each.way for each in sessions], missed, libraries(parts), asked.threads)
        if not asked.boards and (found := kept.find(key, posed)):
            return dataclasses.replace(found, data=asked.data)
        certificate, answers = study.study(posed, sessions, missed)
    made = Portability(artifact, asked.runtime, asked.data, certificate, answers, asked.beats)
    if not asked.boards and len(certificate.not_tried) == len(missed):  # else something failed, perhaps just now
        kept.keep(key, made)
    return made


def formats(parts: Parts) -> list[str]:
    """Those of which something can be said: their runtimes tell of several kernels."""
    return list(dict.fromkeys(each for part in parts.runtimes.values() if part.families for each in part.accepts))


def unfit_format(format: str, parts: Parts) -> str:
    """Why nothing can be said of a format; empty where something can."""
    if format in (known := formats(parts)):
        return ""
    *others, last = known or ["no"]
    return f"{format}, portability is of {', '.join(others)}{' and ' if others else ''}{last} files"


def libraries(parts: Parts) -> dict[str, Any]:
    """What else decides the answers: versions in environments of their own, and which emulator there is."""
    from ecgedge.devices.emulated import X86_EMULATORS
    from ecgedge.workers.availability import installed

    found = filter(None, map(shutil.which, X86_EMULATORS))
    return {"environments": installed(parts), "emulators": {each: Path(each).stat().st_size for each in found}}


def of_all_runtimes(
    asked: Asked, parts: Parts, workers: Workers, limits: Limits, missed: list[NotTried]
) -> list[Session]:
    """The kernels of all runtimes here that take the file, and those of the first one on cores that are emulated.

    Args:
        missed: takes what cannot be tried.
    """
    from ecgedge.plan.plan import takers
    from ecgedge.plugins import missing
    from ecgedge.portability.certificate import NotTried

    artifact, first = asked.artifact, parts.runtimes[asked.runtime]
    sessions = [
        dataclasses.replace(each, taps=partial(tapped, workers, first, family, artifact))
        for each, family in zip(of_this_machine(asked, first, workers.runtime), families_of(first))
    ]
    for part in takers(artifact.format, parts.runtimes):
        if part.name == first.name:
            continue
        reason = missing(part) or part.refuses.get(artifact.precision) or unfit(workers.runtime(part))
        if reason:
            missed.append(NotTried(part.name, str(reason)))
        else:
            sessions += of_this_machine(asked, part, workers.runtime, of_other=True)
    if not asked.no_emulator and not first.environment:
        return sessions + emulated(asked, first, limits, missed)
    reason = asked.no_emulator or f"{first.name} runs in an environment of its own"
    missed.append(NotTried("x86-64 with fewer instructions, emulated", reason))
    return sessions


def of_this_machine(
    asked: Asked, part: Runtime, stand_in: Callable[[Runtime], RuntimeElsewhere], of_other: bool = False
) -> list[Session]:
    """A runtime's families here, those first that run where nothing is chosen; of another runtime these alone."""
    from ecgedge.portability.certificate import HOST, Way
    from ecgedge.portability.study import Session

    families = families_of(part)
    if of_other:
        families = (dataclasses.replace(families[0], name=part.name),)

    def opened(family: Family) -> contextlib.closing[SessionElsewhere]:
        return contextlib.closing(stand_in(part).load(asked.artifact, asked.threads, **family.options))

    return [Session(Way(each.name, each.about, HOST, "run"), partial(opened, each), False) for each in families]


def emulated(asked: Asked, part: Runtime, limits: Limits, missed: list[NotTried]) -> list[Session]:
    """Cores of this machine's family with fewer instructions, as an emulator plays them.

    Args:
        missed: takes why there are none.
    """
    from ecgedge.devices.emulated import X86_CORES, x86_command
    from ecgedge.portability.certificate import NotTried, Way
    from ecgedge.portability.study import Session
    from ecgedge.workers.client import Child

    sessions = []
    for core, about in X86_CORES.items():
        try:
            command = x86_command(core)
        except EcgEdgeError as error:
            missed.append(NotTried(f"{part.name} on {core} ({about})", f"{error.message} ({error.hint})"))
            continue
        worker = partial(Child, threads=asked.threads, memory=limits.memory, before=command)
        for family in part.families[: 2 if core == SATURATING else 1] or (default_family(part),):
            way = Way(family.name, f"{family.about}, on {about}", f"{core} (emulated)", "emulator")
            opened = partial(session_by, worker, part, family, asked.artifact, limits, asked.threads)
            sessions.append(Session(way, opened, True))
    return sessions


def on_board(artifact: Artifact, part: Runtime, board: Board, link: Link, limits: Limits, threads: int) -> Session:
    """A runtime's first kernels on a board."""
    from ecgedge.portability.certificate import Way
    from ecgedge.portability.study import Session
    from ecgedge.workers.boards import BoardChild

    family, core = (part.families or (default_family(part),))[0], board.emulated
    place = f"{board.name} ({core}, emulated)" if core else board.name
    way = Way(family.name, family.about, place, "emulator" if core else "run")
    worker = partial(BoardChild, link, threads=threads, memory=limits.memory)
    return Session(way, partial(session_by, worker, part, family, artifact, limits, threads), bool(core))


def unfit(part: RuntimeElsewhere) -> str:
    """Why a runtime cannot work here, one line; empty where it can."""
    try:
        return part.available() or ""
    except Exception as error:  # of its library, or of its author
        return str(error)[:200]


def families_of(part: Runtime) -> tuple[Family, ...]:
    return part.families or (default_family(part),)


def tapped(workers: Workers, part: Runtime, family: Family, artifact: Artifact) -> Taps | None:
    """The file open to be looked into, with the kernels of a family; None: its runtime cannot."""
    from ecgedge.workers.protocol import Tap, pack
    from ecgedge.workers.standins import TapsElsewhere

    errand = workers.errand(part)
    opened = errand.ask(Tap(part.name, pack(artifact), 1, dict(family.options)), artifact.path)
    return None if opened is None else TapsElsewhere(errand, opened, artifact.path)


def default_family(part: Runtime) -> Family:
    from ecgedge.api.parts import Family

    return Family(part.name, f"the kernels of {part.name}")


@contextlib.contextmanager
def session_by(
    worker: Callable[[Path], WorkerClient],
    part: Runtime,
    family: Family,
    artifact: Artifact,
    limits: Limits,
    threads: int,
) -> Iterator[SessionElsewhere]:
    """A session in a worker of its own, which ends with it."""
    from ecgedge.workers.standins import Errand, SessionElsewhere

    with Errand(None, threads, limits, worker=worker) as errand:
        yield SessionElsewhere(errand, part.name, artifact, threads, family.options)


def unknown_places(found: Sequence[Board]) -> list[NotTried]:
    """What nobody here can try."""
    from ecgedge.portability.certificate import NotTried

    kinds = [] if found else [NotTried("aarch64", "no board was named (--device NAME, see ecgedge board)")]
    return [
        *kinds,
        NotTried("x86-64 with AVX-512 and without VNNI", "no such processor, and no emulator of one, is here"),
    ]
