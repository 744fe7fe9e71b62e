"""What is missing on a board, and how it is at the moment; and the venv that brings it what the runtimes need."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgedge.devices.boards import Board
from ecgedge.devices.channel import BoardError, Channel, Look, LostError, one_line
from ecgedge.devices.link import Link, RebootedError, lacks, mended_by, outdated, way_to
from ecgedge.environments.versions import version_of
from ecgedge.errors import EcgEdgeError, cut
from ecgedge.workers import protocol
from ecgedge.workers.boards import BoardChild
from ecgedge.workers.client import ChildError

RUNTIMES = {"ai-edge-litert": "tflite", "onnxruntime": "cpu"}  # the distribution, and the runtime that it brings
SAME_AS = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu")}  # where it has another name
LEAST_FREE = 200 << 20  # bytes of the disk, for files and for a venv
SECONDS = 120  # for one answer
INSTALLING = 3600  # seconds for one step of a setup, on a slow card


@dataclass(frozen=True)
class Finding:
    """What was found, in one line.

    Attributes:
        mend: the command, or the words, that mend it; empty where nothing is to be mended.
        is_fatal: the board cannot be used before.
    """

    told: str
    mend: str = ""
    is_fatal: bool = False


def examine(board: Board, wait: float = 3) -> Iterator[Finding]:
    """Reach a board, look what there is, start a worker and ask it; the first that is fatal is the last."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        try:
            yield from look_around(board, log)
            with Link(board, log, wait) as link, BoardChild(link, log) as child:
                link.open()
                yield from told_by_worker(board, child, link.look)
        except Fatal as fatal:
            yield fatal.finding
        except EcgEdgeError as error:
            yield Finding(error.message, error.hint, is_fatal=True)
        except (BoardError, LostError, RebootedError, ChildError) as error:
            yield Finding(f"board {board.name}: {error}", is_fatal=True)


class Fatal(Exception):
    """The board cannot be used."""

    def __init__(self, told: str, mend: str):
        super().__init__(told)
        self.finding = Finding(told, mend, is_fatal=True)


def look_around(board: Board, log: Path) -> Iterator[Finding]:
    """What can be seen without a worker, and while somebody else uses the board."""
    control = way_to(board)
    try:
        channel = Channel(control, log)
        try:
            machine = f", {one_line(channel.hello.machine)}" if board.ssh else ": its answers hold, its times do not"
            yield Finding(f"board {board.name} is reached: {board.place}{machine}")
            look = channel.look()
        finally:
            channel.close()
    finally:
        control.close()
    if lacking := lacks(board, look):
        raise Fatal(*lacking)
    if not any(names_of(distribution) & look.libraries.keys() for distribution in RUNTIMES):
        raise Fatal(f"no runtime is installed there: {' or '.join(RUNTIMES)}", mended_by(board))
    yield Finding(f"{one_line(look.interpreter)} there is Python {one_line(look.python)}")
    if look.free < LEAST_FREE:
        yield Finding(f"its disk has {look.free >> 20:,} MiB left", "make room on the board")


def told_by_worker(board: Board, child: BoardChild, look: Look | None) -> Iterator[Finding]:
    """What a worker says: its libraries, whether each runtime works there, and what slows the board down."""
    facts = child.ask(protocol.Describe(), SECONDS)
    memory = f", {facts.memory_kib // 1024:,} MiB of memory" if facts.memory_kib else ""
    yield Finding(shown(f"it is {facts.cpu}, {facts.cores or '?'} cores{memory}; {', '.join(facts.isa) or 'no flags'}"))
    works = 0
    for distribution, runtime in RUNTIMES.items():
        found = names_of(distribution) & look.libraries.keys() if look else None
        if look is None or not found:
            yield Finding(f"runtime {runtime} does not work there: {distribution} is not installed", mended_by(board))
            continue
        version, ours = one_line(look.libraries[min(found)]), host_version(distribution)
        reason = child.ask(protocol.Available(runtime), SECONDS)
        works += not reason
        if reason:
            yield Finding(shown(f"runtime {runtime} does not work there: {reason}"))
        elif ours and ours != version:
            told = f"runtime {runtime} works there, by {distribution} {version}; here it is {ours}"
            yield Finding(told, mended_by(board))
        else:
            yield Finding(f"runtime {runtime} works there, by {distribution} {version}")
    if not works:
        raise Fatal(f"no runtime works on board {board.name}", mended_by(board))
    if board.emulated:
        return  # what follows is of this machine
    if facts.governor and facts.governor != "performance":
        mend = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        told = f"its processor is governed by {facts.governor!r}, which makes times uneven"
        yield Finding(shown(told), f"there: {mend}")
    for state in facts.throttled or ():
        yield Finding(shown(f"it says: {state}"), "give it a better power supply, or cool it, and start it anew")
    if facts.celsius is not None:
        yield Finding(f"it is at {facts.celsius:.0f} degrees Celsius")


def setup(board: Board, requirements: Sequence[str], wait: float = 3) -> Iterator[tuple[str, str]]:
    """Make a venv there, anew, and install requirements: each step when it is done, and why it failed, else empty.

    Raises:
        EcgEdgeError: the board cannot be reached, is used by somebody, or is lost meanwhile.
    """
    if board.emulated:
        raise EcgEdgeError(f"board {board.name} is emulated", f"docker/arm64-rootfs.sh {board.rootfs} does that")
    with tempfile.TemporaryDirectory() as scratch:
        link = Link(board, Path(scratch) / "log", wait)
        try:
            channel = link.leased(link.log)
            try:
                if too_old := outdated(board, board.python or "python3", channel.hello.python):
                    raise EcgEdgeError(f"board {board.name}: {too_old[0]}", too_old[1])
                yield from channel.setup(requirements, INSTALLING)
            finally:
                channel.close()
        except (BoardError, LostError, RebootedError) as error:
            full = isinstance(error, BoardError) and error.kind == "disk"
            hint = "make room on the board" if full else "" if isinstance(error, BoardError) else "do it again"
            raise EcgEdgeError(f"board {board.name}: {error}", hint) from None
        finally:
            link.close()


def requirements() -> list[str]:
    """What a board gets: the libraries of the runtimes, in the versions that this machine has, so that they compare."""
    wanted = []
    for name in ("numpy", *RUNTIMES):
        ours = host_version(name)
        wanted.append(f"{name}=={ours}" if ours else name)
    return wanted


def host_version(distribution: str) -> str | None:
    """Of a library on this machine; None where it is not installed."""
    return next(filter(None, map(version_of, sorted(names_of(distribution)))), None)


def names_of(distribution: str) -> set[str]:
    """The distributions that bring the same library."""
    return {*SAME_AS.get(distribution, (distribution,))}


def shown(text: str) -> str:
    """What a board says, in one line that is not too long."""
    return cut(one_line(text), 300)
