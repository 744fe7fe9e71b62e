"""LiteRT, made 5% slower on purpose; for benchmarks/noise.py."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter_ns

import numpy as np

from ecgedge import Artifact, Runtime, Session, hookimpl
from ecgedge.plugins import load

SLOWDOWN = 0.05


class Slower(Runtime):
    """The built-in ``tflite`` runtime with a pause after each call, in proportion to what the call takes."""

    name = "tflite-slower"
    accepts = ("tflite",)
    needs = ("ai_edge_litert",)

    def load(self, artifact: Artifact, threads: int) -> Session:
        session = load().find("runtime", "tflite").load(artifact, threads)
        session.bind(np.zeros((session.batch or 1, 1, 140), dtype=np.float32))
        invoke, taken = session.invoke, []
        for _ in range(500):
            start = perf_counter_ns()
            invoke()
            taken.append(perf_counter_ns() - start)
        pause = int(SLOWDOWN * np.median(taken))

        def slower() -> None:
            invoke()
            end = perf_counter_ns() + pause
            while perf_counter_ns() < end:
                pass

        session.invoke = slower
        return session


@hookimpl
def ecgedge_runtimes() -> Iterable[Runtime]:
    return [Slower()]
