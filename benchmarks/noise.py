"""Does the matrix call a tie a tie, a slowdown of 5% a slowdown, and find the same p50 beside a neighbour?

    python benchmarks/noise.py --model base-cnn --runs 10 --profile full
    python benchmarks/noise.py --runs 3 --neighbour sibling --neighbour same-core --neighbour interrupting

Each run times the int8 TFLite file of a model on LiteRT, on LiteRT made 5% slower (``planted/``), and, as
every run does, one of the two a second time: the A/A pair. With neighbours each run is done without one, then
beside each kind. A neighbour works half of the time, for 0.3 to 0.7 seconds, then sleeps as long:

- ``sibling``: a busy loop on the other thread of the core that the matrix measures on, where cores have two; else it
  is not run;
- ``other-core``: a busy loop on the first processor that this process may use;
- ``same-core``: a busy loop on the processor that the matrix measures on. The two take turns of milliseconds, so that
  most calls are as quick as ever;
- ``interrupting``: the same, as a real-time process that works for 20 us, then sleeps for 60 us: no call goes without
  it, as with a sibling, where the machine has none. It needs the right to set SCHED_FIFO.

A p50 is held against the runs without a neighbour that found the machine as quick, by its reference kernel: a shared
machine may change its speed by a half for minutes, whoever else is at work. Three runs of three kinds take about four
minutes; on a machine that changes its speed, up to three times as long.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgedge.measure.steadiness.states import WIDTH_LEAST
from ecgedge.run import journal
from ecgedge.run.measurement import TimeRatio
from ecgedge.run.rows import Timing, noise_of

HERE = Path(__file__).parent
IDLE = "none"
KINDS = ("sibling", "other-core", "same-core", "interrupting")
SHORTEST, LONGEST = 0.3, 0.7  # seconds that a neighbour works, or sleeps
PULSE, PAUSE = 20e-6, 60e-6  # seconds of an interruption, and between two
PRIORITY = 2  # of the one that interrupts, among real-time processes


@dataclass(frozen=True)
class Found:
    """What one run says.

    Attributes:
        p50: of the plain runtime in microseconds, as its row has it.
        mixed: the median of all of its blocks, whatever state the machine was in.
        kernel: the reference kernel's microseconds in the machine's usual quick state.
        null, planted: the A/A pair and the slowdown, as lines.
        ratio: of the slowdown.
    """

    p50: float
    mixed: float
    kernel: float
    quick: int
    blocks: int
    unsteady: bool
    null: str
    tie: bool
    planted: str
    called: bool
    ratio: float
    floor: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="base-cnn")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--profile", choices=["quick", "full"], default="full")
    parser.add_argument("--neighbour", choices=KINDS, action="append", default=[])
    parser.add_argument("--be", nargs=2, metavar=("KIND", "PROCESSOR"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.be:
        be_neighbour(asked.be[0], int(asked.be[1]))
    kinds = [IDLE, *(kind for kind in asked.neighbour if possible(kind))]
    found: dict[str, list[Found]] = {kind: [] for kind in kinds}
    print("run  neighbour        p50  all blocks  kernel  quick  A/A ratio [95% interval]      result   floor  "
          "planted ratio")  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(asked.runs):
            for kind in kinds:
                with neighbour(kind):
                    run = measure(Path(scratch) / f"{seed}-{kind}", asked.model, asked.profile, seed)
                found[kind].append(run)
                state = "unsteady" if run.unsteady else f"{run.quick}/{run.blocks}"
                print(f"{seed:3}  {kind:<12} {run.p50:7.2f}  {run.mixed:10.2f}  {run.kernel:6.1f}  {state:>5}  "
                      f"{run.null}  {run.floor:6.2%}  {run.planted}", flush=True)  # fmt: skip
    for kind in kinds:
        summarize(kind, found[kind], found[IDLE])


def summarize(kind: str, runs: list[Found], idle: list[Found]) -> None:
    steady = [run for run in runs if not run.unsteady]
    print(f"{kind}: A/A a tie in {sum(run.tie for run in runs)} of {len(runs)}; "
          f"5% slower called slower in {sum(run.called for run in runs)} of {len(runs)}; "
          f"{len(runs) - len(steady)} unsteady")  # fmt: skip
    for what, shown, taken in (("p50", steady, "p50"), ("of all blocks", runs, "mixed")):
        off = [getattr(run, taken) / alike - 1 for run in shown if (alike := without_neighbour(run, idle))]
        if off:
            print(f"  {what}: {np.median(off):+.1%} from the median without a neighbour, {max(off, key=abs):+.1%} at "
                  f"most, of {len(off)} of {len(shown)} runs, which found the machine as quick")  # fmt: skip


def without_neighbour(run: Found, idle: list[Found]) -> float | None:
    """The median p50 of the steady runs without a neighbour that found the machine as quick; None: none did."""
    alike = [each.p50 for each in idle if not each.unsteady and abs(math.log(each.kernel / run.kernel)) <= WIDTH_LEAST]
    return float(np.median(alike)) if alike else None


def possible(kind: str) -> bool:
    """Whether there can be such a neighbour; says why not."""
    if kind == "sibling" and sibling() is None:
        print("sibling: not run, the cores of this machine have one thread each, as far as it tells")
        return False
    if kind == "interrupting":
        before = os.sched_getscheduler(0), os.sched_getparam(0)
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
            os.sched_setscheduler(0, *before)
        except OSError as error:
            print(f"interrupting: not run, {error.strerror}")
            return False
    return True


def measured_on() -> int:
    """The processor that a matrix of one thread measures on."""
    return max(os.sched_getaffinity(0))


def sibling() -> int | None:
    """The other thread of that processor's core."""
    file = Path(f"/sys/devices/system/cpu/cpu{measured_on()}/topology/thread_siblings_list")
    with contextlib.suppress(OSError, ValueError):
        words = file.read_text(encoding="ascii").strip().replace("-", ",").split(",")
        return next((int(word) for word in words if int(word) != measured_on()), None)
    return None


@contextlib.contextmanager
def neighbour(kind: str) -> Iterator[None]:
    """With a neighbour at work, in a process of its own."""
    if kind == IDLE:
        yield
        return
    at = {"sibling": sibling(), "other-core": min(os.sched_getaffinity(0))}.get(kind, measured_on())
    process = subprocess.Popen([sys.executable, __file__, "--be", kind, str(at)])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def be_neighbour(kind: str, processor: int) -> None:
    """Work half of the time, until killed."""
    os.sched_setaffinity(0, {processor})
    if kind == "interrupting":
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    drawn, now = random.Random(0), time.perf_counter
    while True:
        end = now() + drawn.uniform(SHORTEST, LONGEST)
        while now() < end:
            pulse = now() + PULSE
            while now() < pulse:
                pass
            if kind == "interrupting":
                time.sleep(PAUSE)
        time.sleep(drawn.uniform(SHORTEST, LONGEST))


def measure(folder: Path, model: str, profile: str, seed: int) -> Found:
    """One run: its A/A pair, and the planted slowdown."""
    command = [sys.executable, "-m", "ecgedge", "--plugins-dir", HERE / "planted", "matrix", "--model", model]
    command += ["--dataset", "synthetic", "--quantizer", "full-int8", "--runtime", "tflite"]
    command += ["--runtime", "tflite-slower", "--profile", profile, "--seed", seed, "--out", folder]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    records = journal.read(folder)
    rounds = json.loads((folder / "run.json").read_text(encoding="utf-8"))["rounds"]
    null, timing = noise_of(records, rounds, folder)[model], Timing(records, rounds, folder)
    slower, plain = (
        next(name for name in timing.blocks if name.endswith(f".{runtime}")) for runtime in ("tflite-slower", "tflite")
    )
    planted = timing.compare(slower, plain, null.floor)
    return Found(
        p50=float(np.median(timing.used_medians(plain))) / 1e3,
        mixed=float(np.median([timing.median(plain, block["round"]) for block in timing.blocks[plain]])) / 1e3,
        kernel=min(timing.kernels.values()) / 1e3,
        quick=len(timing.quick_blocks(plain)),
        blocks=len(timing.blocks[plain]),
        unsteady=timing.unsteady(plain),
        null=told(null.ratio),
        tie=null.result == "tie",
        planted=told(planted),
        called=planted.result == "slower",
        ratio=planted.ratio,
        floor=null.floor,
    )


def told(found: TimeRatio) -> str:
    return f"{found.ratio:.4f} [{found.low:.4f}, {found.high:.4f}]  {found.result:>6}"


if __name__ == "__main__":
    main()
