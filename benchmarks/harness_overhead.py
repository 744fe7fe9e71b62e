"""What the harness adds to a model's time: its median against that of a bare loop over the same session.

    python benchmarks/harness_overhead.py --microseconds 50

Both time the same session in turns, block by block, in one process; the ratio is of paired blocks.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter_ns

import numpy as np

from ecgedge.api.artifact import Artifact, Classification
from ecgedge.api.parts import Runtime, Session
from ecgedge.api.tensors import TensorSpec
from ecgedge.evaluate.intervals import paired_ratio
from ecgedge.measure.bench import Bench

CALLS = 1000


class Work(Session):
    """Products of two small matrices, as many as fill the time."""

    def __init__(self, repeats: int):
        self.repeats = repeats
        self.a = np.random.default_rng(0).standard_normal((16, 140)).astype(np.float32)

    def bind(self, x: np.ndarray) -> None:
        self.x = x

    def invoke(self) -> None:
        for _ in range(self.repeats):
            self.y = self.a @ self.a.T

    def fetch(self) -> np.ndarray:
        return self.y[: len(self.x), :5]


class Worker(Runtime):
    name = "work"
    accepts = ("none",)

    def __init__(self, repeats: int):
        self.repeats = repeats

    def load(self, artifact: Artifact, threads: int) -> Session:
        return Work(self.repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--microseconds", type=float, default=50)
    parser.add_argument("--blocks", type=int, default=40)
    asked = parser.parse_args()
    repeats = max(1, round(asked.microseconds * 1e3 / (bare(Work(100), CALLS) / 100)))
    spec = TensorSpec("x", (None, 1, 140), "float32", "NCL")
    artifact = Artifact(Path(), "none", "fp32", Classification(("a",)), spec, spec, "work")
    beats = np.zeros((64, 1, 140), dtype=np.float32)
    bench = Bench(Worker(repeats), artifact, 1, beats, seed=0)
    bench.warm_up()
    session = bench.session
    with_harness, without = [], []
    for _ in range(asked.blocks):
        with_harness.append(float(np.median(bench.timed(CALLS, 0.0)[0][0])))
        without.append(bare(session, CALLS))
    ratio, low, high = paired_ratio(np.array(with_harness), np.array(without))
    print(f"bare loop      {np.median(without) / 1e3:8.2f} us, median of {asked.blocks} blocks of {CALLS} calls")
    print(f"harness        {np.median(with_harness) / 1e3:8.2f} us")
    print(f"harness adds   {ratio - 1:+8.2%}  [{low - 1:+.2%}, {high - 1:+.2%}]")


def bare(session: Session, calls: int) -> float:
    """Median nanoseconds of ``invoke`` in a loop that does nothing else."""
    taken = np.empty(calls)
    for i in range(calls):
        start = perf_counter_ns()
        session.invoke()
        taken[i] = perf_counter_ns() - start
    return float(np.median(taken))


if __name__ == "__main__":
    main()
