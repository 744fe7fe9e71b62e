"""What is measured of a loaded model, inside the process that loaded it: answers, latency, throughput, memory."""

from __future__ import annotations

import contextlib
import gc
import importlib
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter, perf_counter_ns, process_time
from typing import Any

import numpy as np

from ecgedge.api.artifact import Artifact
from ecgedge.api.measured import Measured
from ecgedge.api.parts import Runtime, Session
from ecgedge.errors import EcgEdgeError
from ecgedge.measure import memory, meters, nvidia

BULK = 64  # beats a call, for scoring where the file allows it
MOST_BYTES = 1 << 31  # that the beats of one call, or their answers, may take
BATCHES = (1, 16, 64)  # beats a call, for throughput, where nothing else is asked for
GROWTH = 4  # times as many in the next batch on another device than the CPU, while that
WORTH = 1.1  # times the throughput comes of it,
LARGEST = 16384  # up to so many
BLOCK_CALLS = 100  # at least: shorter blocks would time cold caches
BLOCK_SECONDS_MOST = 10.0  # a model so slow that 100 calls take longer gets fewer of them
WARM_UP_SECONDS = 0.1  # at least
WARM_UP_SECONDS_MOST = 2.0
CLOCK_SECONDS = 0.3  # between two looks at a GPU's clock, which has come up when three of them agree
CLOCK_SECONDS_MOST = 10.0
STEADY = 0.02  # these are within that share
LONGER = 4  # times as long lasts a block on another device, whose calls vary more
WARM_UP_CALLS = 20  # between two looks whether it has become stable
STABLE = 0.05  # medians of the last three looks are within that share
MEMORY_CALLS = 20
RELOAD_MS = 250  # a file that loads faster is loaded anew for each block
SOURCES = ("clock", "energy_source", "memory_source")  # of what a session measures itself, as figures name them
BALLAST = 1 << 16  # bytes at most, by which what a new load finds in memory is moved


@dataclass(frozen=True)
class Profile:
    """How much is measured.

    Attributes:
        beats: test beats to score, drawn stratified; None: all.
        rounds: blocks of timed calls; from six up the median has a 95% interval.
        block_seconds: a block lasts at least that long, and at least ``BLOCK_CALLS`` calls.
        bulk_calls, bulk_seconds: the same for each batch of the throughput.
    """

    name: str
    beats: int | None
    rounds: int
    block_seconds: float
    bulk_calls: int
    bulk_seconds: float

    @property
    def calls(self) -> int:
        """Timed calls at least."""
        return self.rounds * BLOCK_CALLS

    @property
    def seconds(self) -> float:
        """Timed at least that long."""
        return self.rounds * self.block_seconds


PROFILES = {
    "quick": Profile("quick", 500, rounds=6, block_seconds=0.035, bulk_calls=5, bulk_seconds=0.05),
    "full": Profile("full", None, rounds=20, block_seconds=0.05, bulk_calls=15, bulk_seconds=0.25),
}


class Bench:
    """One artifact, loaded by a runtime and ready to be timed.

    Args:
        beats: ``(N, C, L)`` float32, from which the inputs of timed calls are drawn.
        seed: of that drawing.
        options: of the runtime.

    Attributes:
        figures: ``load_ms``; ``first_call_us``; ``memory_kib``, the most that loading and the first calls
            took above the process with the same libraries imported, and ``memory_base_kib``, that process
            (both None where the system does not tell); on a GPU also ``device_memory_kib``, what they took of its
            memory (None likewise). Of a session that measures itself also ``clock``, ``energy_source`` and
            ``memory_source``, as far as it does; ``memory_kib`` is then what it tells, and there is no base.
        sources: by what the session measures itself.
        look: calls of warming up that are looked at together.
    """

    def __init__(
        self,
        runtime: Runtime,
        artifact: Artifact,
        threads: int,
        beats: np.ndarray,
        seed: int,
        options: Mapping[str, Any] | None = None,
    ):
        self.runtime, self.artifact, self.threads, self.options = runtime, artifact, threads, dict(options or {})
        self.on_gpu = runtime.device == "cuda"
        for name in runtime.needs:
            with contextlib.suppress(ImportError):  # loading says what is missing, and better
                importlib.import_module(name)
        taken = nvidia.memory_used() if self.on_gpu else None
        gc.collect()
        gc.freeze()  # the libraries stay: looking through them before each block would take longer than the block
        base = memory.reset_peak()
        start = perf_counter()
        self.session = self.load(artifact)
        loaded = perf_counter()
        infer(self.session, beats[:1])
        first = perf_counter()
        for _ in range(MEMORY_CALLS):
            infer(self.session, beats[:1])
        peak = memory.peak()
        self.figures: dict[str, Any] = {
            "load_ms": round((loaded - start) * 1e3, 3),
            "first_call_us": round((first - loaded) * 1e6, 1),
            "memory_kib": max(peak - base, 0) if base is not None and peak is not None else None,
            "memory_base_kib": base,
        }
        if self.on_gpu:
            self.figures["device_memory_kib"] = device_memory(taken)
        self.figures |= self.told_by_session(meters.ask(self.session, 1 + MEMORY_CALLS))
        self.rng = np.random.default_rng(seed)
        order = self.rng.integers(0, len(beats), 512)
        self.inputs = [np.repeat(beats[i : i + 1], self.session.batch or 1, axis=0) for i in order]
        self.next = 0
        asked = runtime.blocks.calls if runtime.blocks else None
        self.look = min(WARM_UP_CALLS, asked or WARM_UP_CALLS)

    def told_by_session(self, found: Measured | None) -> dict[str, Any]:
        """The figures that a session measures itself of loading and the first calls, and by what it does."""
        self.sources = meters.sources_of(found)
        told: dict[str, Any] = {key: name for key, name in zip(SOURCES, self.sources, strict=True) if name}
        if found is not None and found.memory_bytes is not None:
            told |= {"memory_kib": kib(int(found.memory_bytes)), "memory_base_kib": None}
        return told

    def load(self, artifact: Artifact) -> Session:
        return self.runtime.load(artifact, self.threads, **self.options)

    def raise_clock(self) -> dict[str, Any]:
        """Keep a GPU busy until its clock no longer rises; tells its MHz, or nothing where that is not told."""
        seen: list[int] = []
        end = perf_counter() + CLOCK_SECONDS_MOST
        while perf_counter() < end:
            self.timed(1, CLOCK_SECONDS)
            clock = nvidia.sm_clock()
            if clock is None:
                return {}
            seen.append(clock)
            last = seen[-3:]
            if len(last) == 3 and max(last) <= (1 + STEADY) * min(last):
                break
        return {"sm_clock_mhz": seen[-1]}

    def warm_up(self) -> dict[str, Any]:
        """Call until the medians of three looks agree; says after how many calls, and whether they did.

        Before that the clock of a GPU is brought up. A look is no longer than a block that the runtime asks for.
        """
        clock = self.raise_clock() if self.on_gpu else {}
        medians: list[float] = []
        calls, start, stable = 0, perf_counter(), False
        while (spent := perf_counter() - start) < WARM_UP_SECONDS_MOST and not (stable and spent > WARM_UP_SECONDS):
            medians.append(float(np.median(self.timed(self.look, 0.0)[0][0])))
            calls += self.look
            last = medians[-3:]
            stable = len(last) == 3 and max(last) <= (1 + STABLE) * min(last)
        return {"warm_up_calls": calls, "stable": stable} | clock

    def block(self, seconds: float, calls: int | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """One block of timed calls, on another device than the CPU ``LONGER`` times as long.

        Args:
            calls: as many as the runtime asks for, however long they take; None: for so many ``seconds``.

        Returns:
            Nanoseconds of the model (``invoke``) and of the host (``bind`` and ``fetch``), ``(2, calls)``
            int64; and ``cpu_share``, the share of the time in which this process was on a processor: below
            1 where others took its turn, above where it has several threads. Of a block that time cut short also
            ``seconds``, which its calls need not fill: others may have had their turn between them. ``energy_uj`` is
            what the session's own meter counted, where it has one.
        """
        cpu, wall = process_time(), perf_counter()
        if calls is None:
            samples, own = self.timed(BLOCK_CALLS, seconds if self.runtime.device == "cpu" else seconds * LONGER)
        else:
            samples, own = self.timed(calls, 0.0, math.inf)
        lasted = perf_counter() - wall
        figures = {"cpu_share": round((process_time() - cpu) / lasted, 4)}
        if own is not None and own.energy_uj is not None:
            figures["energy_uj"] = float(own.energy_uj)
        if calls is None and samples.shape[1] < BLOCK_CALLS:
            figures["seconds"] = round(lasted, 4)
        return samples, figures

    def load_anew(self) -> None:
        """Load the file once more, elsewhere in memory, unless that takes long.

        How weights and buffers lie to cache lines and pages moves a median by percents, and is drawn anew by
        each load. What is reported must not hang on one draw. See Mytkowicz et al., Producing wrong data
        without doing anything obviously wrong, ASPLOS 2009.
        """
        if self.figures["load_ms"] >= RELOAD_MS:
            return
        self.session.close()
        ballast = [np.ones(int(size), dtype=np.uint8) for size in self.rng.integers(1, BALLAST, 8)]
        self.session = self.load(self.artifact)
        del ballast
        self.timed(self.look, 0.0)

    def timed(self, calls: int, seconds: float, most: float = BLOCK_SECONDS_MOST) -> tuple[np.ndarray, Measured | None]:
        """Time at least so many calls of one beat, for at least so long; a larger fixed batch is filled up.

        Args:
            most: seconds after which it ends, however few the calls are.

        Returns:
            Nanoseconds ``(2, calls)`` of the model, by the session's own clock where it has one, and of the host; and
            what the session measured itself of these calls.
        """
        self.session.measured()  # what was before is not of these calls
        bind, invoke, fetch, inputs, now = (
            self.session.bind, self.session.invoke, self.session.fetch, self.inputs, perf_counter_ns,
        )  # fmt: skip
        model: list[int] = []
        host: list[int] = []
        with no_collection():
            begun = now()
            earliest, latest = begun + int(seconds * 1e9), begun + most * 1e9
            end = begun
            while (len(model) < calls or end < earliest) and end < latest:
                x = inputs[self.next % len(inputs)]
                self.next += 1
                start = now()
                bind(x)
                bound = now()
                invoke()
                done = now()
                fetch()
                end = now()
                model.append(done - bound)
                host.append(bound - start + end - done)
        own = meters.ask(self.session, len(model), self.sources)
        return np.array([by_its_clock(own, model), host], dtype=np.int64), own

    def throughput(
        self, sized: dict[int, Artifact], beats: np.ndarray, profile: Profile, sizes: Sequence[int] | None = None
    ) -> dict[str, np.ndarray]:
        """Nanoseconds of the model a call, for each batch size, or for the one that a user's file fixes.

        The host's time is not in them. They are by the session's own clock, where it has one.

        Args:
            sized: the same model in files for that batch, where the format fixes it; else the file itself is used.
            sizes: beats a call; None: ``BATCHES``, and on another device than the CPU, where the batch is free, as
                many more as pay.
        """
        taken: dict[str, np.ndarray] = {}
        for wanted in sizes or BATCHES:
            self.take(taken, sized.get(wanted, self.artifact), wanted, beats, profile)
        if sizes is None and self.runtime.device != "cpu" and self.session.batch is None:
            self.grow(taken, beats, profile)
        return taken

    def take(
        self, taken: dict[str, np.ndarray], artifact: Artifact, wanted: int, beats: np.ndarray, profile: Profile
    ) -> None:
        """Time calls of an artifact with so many beats, or with as many as it fixes where these are not timed yet."""
        session = self.load(artifact)
        size = session.batch or wanted
        if str(size) not in taken:
            session.bind(np.resize(beats, (size, *beats.shape[1:])))
            taken[str(size)], _ = repeated(session, profile.bulk_calls, profile.bulk_seconds, self.sources)
        session.close()

    def grow(self, taken: dict[str, np.ndarray], beats: np.ndarray, profile: Profile) -> None:
        """Larger and larger batches, until one no longer pays or the device has no room for it."""
        size = max(map(int, taken))
        while (more := size * GROWTH) <= LARGEST:
            try:
                self.take(taken, self.artifact, more, beats, profile)
            except Exception as error:  # out of the device's memory: each library has an error of its own
                print(f"no throughput at {more} beats a call: {error}", file=sys.stderr)
                return
            before, now = (each / float(np.median(taken[str(each)])) for each in (size, more))
            if now < WORTH * before:
                return
            size = more


def device_memory(before: int | None) -> int | None:
    """What this process holds of a GPU's memory, or by how much more is held there than before; None: not told.

    Args:
        before: what all processes held.
    """
    own, now = nvidia.memory_of(os.getpid()), nvidia.memory_used()
    if own is not None or before is None or now is None:
        return own
    return max(now - before, 0)


def check_size(artifact: Artifact, batch: int) -> None:
    """Raise EcgEdgeError where so many beats a call, or their answers, take more memory than a call is given."""
    for spec in (artifact.input, artifact.output):
        size = 4 * batch * math.prod(axis or 1 for axis in spec.shape[1:])
        if size > MOST_BYTES:
            raise EcgEdgeError(
                f"{artifact.path}: a call of {batch:,} beat{'' if batch == 1 else 's'} needs {size / 1e9:,.0f} GB of "
                f"memory for {spec.name}",
                "a smaller batch needs less",
            )


def infer(session: Session, beats: np.ndarray) -> np.ndarray:
    """Outputs for all beats, in batches of the session's size; the last one is filled up and cut."""
    size = session.batch or BULK
    parts = []
    for start in range(0, len(beats), size):
        part = beats[start : start + size]
        short = 0 if session.batch is None else size - len(part)
        session.bind(np.concatenate([part, np.repeat(part[-1:], short, axis=0)]) if short else part)
        session.invoke()
        parts.append(session.fetch()[: len(part)])
    return np.concatenate(parts)


def repeated(
    session: Session,
    calls: int,
    seconds: float,
    sources: meters.Sources | None = None,
    most: float = BLOCK_SECONDS_MOST,
) -> tuple[np.ndarray, Measured | None]:
    """Invoke what was bound: at least so many times, for at least so long, after a fifth of that to warm up.

    Args:
        sources: by what the session measures itself; None: that is not known yet.
        most: seconds after which it ends, however few the calls are.

    Returns:
        Nanoseconds of each call ``(calls,)``, by the session's own clock where it has one; and what it measured itself.
    """
    taken: list[int] = []
    call = session.invoke
    with no_collection():
        warm = perf_counter() + seconds / 5
        call()
        while perf_counter() < warm:
            call()
        session.measured()  # what was before is not of the calls that count
        begun = perf_counter()
        while (len(taken) < calls or perf_counter() < begun + seconds) and perf_counter() < begun + most:
            start = perf_counter_ns()
            call()
            taken.append(perf_counter_ns() - start)
    own = meters.ask(session, len(taken), sources)
    return np.array(by_its_clock(own, taken), dtype=np.int64), own


def by_its_clock(own: Measured | None, ours: Sequence[int]) -> Sequence[int]:
    """Nanoseconds of the same calls: those of the session's own clock, or for want of one ours."""
    return ours if own is None or own.latencies_ns is None else own.latencies_ns


def kib(size: int) -> int | float:
    """Bytes in units of 1,024, exactly."""
    return size // 1024 if size % 1024 == 0 else size / 1024


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Without Python's garbage collector, whose pauses are not the model's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def processors() -> set[int] | None:
    """Those that this process may use; None where the system does not tell."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


@contextlib.contextmanager
def on(others: set[int] | None) -> Iterator[None]:
    """Let this thread use other processors for a while; None: those that it has."""
    own = processors()
    if own is None or others is None:
        yield
        return
    os.sched_setaffinity(0, others)
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def pin(threads: int) -> list[int] | None:
    """Keep this process on the last ``threads`` processors that it may use; which, or None where that cannot be done.

    The last, since the first handles most interrupts.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))[-threads:]
    os.sched_setaffinity(0, cores)
    return cores
