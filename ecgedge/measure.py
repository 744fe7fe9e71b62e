"""What is measured of a loaded model: its answers, its latency, its throughput."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, perf_counter_ns
from typing import Any

import numpy as np

from ecgedge.artifacts import Artifact
from ecgedge.graph import Graph
from ecgedge.kinds import Runtime, Session

BULK = 64  # beats a call, for throughput and for scoring where the file allows it
WARM_UP_SECONDS = 0.1


@dataclass(frozen=True)
class Profile:
    """How much is measured.

    Attributes:
        beats: test beats to score, drawn stratified; None: all.
        calls: timed calls at least.
        seconds: time them at least that long.
    """

    name: str
    beats: int | None
    calls: int
    seconds: float


PROFILES = {"quick": Profile("quick", 500, 200, 0.2), "full": Profile("full", None, 1000, 1.0)}


def measure(
    runtime: Runtime,
    artifact: Artifact,
    bulk: Artifact | None,
    beats: np.ndarray,
    profile: Profile,
    threads: int,
    seed: int,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Load an artifact, score the beats with it and time it.

    Args:
        bulk: the same model with a batch of ``BULK``, where ``artifact`` has a fixed batch.
        beats: ``(N, 1, L)`` float32.

    Returns:
        Figures, and arrays: ``outputs`` for each beat, ``latency_ns`` for each timed call.
    """
    start = perf_counter()
    session = runtime.load(artifact, threads)
    load_ms = (perf_counter() - start) * 1e3
    first = timed(lambda: infer(session, beats[:1])) / 1e3
    outputs = infer(session, beats)
    model, host = latency(session, beats, profile, seed)
    session.close()
    wide = runtime.load(bulk, threads) if bulk else runtime.load(artifact, threads)
    size = wide.batch or BULK
    per_call = throughput(wide, beats, size, profile)
    wide.close()
    graph = graph_of(runtime, artifact, beats, threads)
    figures = {
        "load_ms": round(load_ms, 3),
        "first_call_us": round(first, 1),
        "latency_p50_us": round(float(np.percentile(model, 50)) / 1e3, 2),
        "latency_p95_us": round(float(np.percentile(model, 95)) / 1e3, 2),
        "host_p50_us": round(float(np.percentile(host, 50)) / 1e3, 2),
        "timed_calls": len(model),
        "throughput_batch": size,
        "throughput_per_s": round(size * 1e9 / float(np.median(per_call)), 1),
        "placement": graph.placement() if graph else "",
        "graph": graph.record() if graph else None,
    }
    return figures, {"outputs": outputs, "latency_ns": model, "host_ns": host, "bulk_ns": per_call}


def graph_of(runtime: Runtime, artifact: Artifact, beats: np.ndarray, threads: int) -> Graph | None:
    """What a runtime tells of an artifact, once it has run one beat. In a session of its own, since it may be slow."""
    session = runtime.load(artifact, threads)
    infer(session, beats[:1])
    graph = session.graph()
    session.close()
    return graph


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


def latency(session: Session, beats: np.ndarray, profile: Profile, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Nanoseconds of the model (``invoke``) and of the host (``bind`` and ``fetch``), a call each.

    One beat a call, drawn at random; a file with a larger fixed batch gets that many.
    """
    order = np.random.default_rng(seed).integers(0, len(beats), 512)
    inputs = [np.repeat(beats[i : i + 1], session.batch or 1, axis=0) for i in order]
    model, host = [], []

    def call(i: int) -> None:
        x = inputs[i % len(inputs)]
        start = perf_counter_ns()
        session.bind(x)
        bound = perf_counter_ns()
        session.invoke()
        done = perf_counter_ns()
        session.fetch()
        end = perf_counter_ns()
        model.append(done - bound)
        host.append(bound - start + end - done)

    repeat(call, 1, WARM_UP_SECONDS)
    model.clear()
    host.clear()
    repeat(call, profile.calls, profile.seconds)
    return np.array(model), np.array(host)


def throughput(session: Session, beats: np.ndarray, size: int, profile: Profile) -> np.ndarray:
    """Nanoseconds of the model a call of ``size`` beats."""
    session.bind(np.resize(beats, (size, *beats.shape[1:])))
    taken: list[int] = []
    repeat(lambda _: session.invoke(), 1, WARM_UP_SECONDS)
    repeat(lambda _: taken.append(timed(session.invoke)), max(profile.calls // BULK, 5), profile.seconds / 2)
    return np.array(taken)


def repeat(call: Callable[[int], object], calls: int, seconds: float) -> None:
    """Call at least that often and that long, without garbage collection."""
    gc.collect()
    gc.disable()
    try:
        end = perf_counter() + seconds
        i = 0
        while i < calls or perf_counter() < end:
            call(i)
            i += 1
    finally:
        gc.enable()


def timed(call: Callable[[], object]) -> int:
    """Nanoseconds of one call."""
    start = perf_counter_ns()
    call()
    return perf_counter_ns() - start
