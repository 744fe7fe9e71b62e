"""Where the time of a matrix goes: planning, conversions, scoring, timing, and telling of it.

    python benchmarks/matrix_time.py                       # quick, all built-in models; some minutes
    python benchmarks/matrix_time.py --model tcn --preset full

The same matrix is run twice with a store of its own: with nothing converted yet, and again. Seconds are of the wall
clock, CPU seconds those of all its processes. It ends with the share of the second run that is neither scoring nor
timing.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate

from ecgedge import MatrixRequest, run_matrix

PHASES = ("plan", "convert", "score", "time", "tell")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="only this one; may be repeated")
    parser.add_argument("--preset", default="quick", choices=("quick", "full"))
    asked = parser.parse_args()
    request = MatrixRequest(models=tuple(asked.model or ()), preset=asked.preset)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["ECGEDGE_CACHE"] = str(Path(scratch) / "cache")
        runs = [measured(request, Path(scratch) / name) for name in ("cold", "again")]
    rows = [[phase, *(cell for phases, _ in runs for cell in told(phases, phase))] for phase in PHASES]
    sums = [cell for phases, _ in runs for cell in (f"{sum(phases.values()):.1f}", "")]
    cpu = [cell for _, seconds in runs for cell in (f"{seconds:.1f}", "")]
    print(tabulate([*rows, ["sum", *sums], ["CPU", *cpu]], ["", "cold s", "", "again s", ""], disable_numparse=True,
                   colalign=("left", "right", "right", "right", "right")))  # fmt: skip
    again = runs[1][0]
    rest = 1 - (again["score"] + again["time"]) / sum(again.values())
    print(f"\nneither scoring nor timing, when nothing had to be converted: {rest:.1%}")


def measured(request: MatrixRequest, folder: Path) -> tuple[dict[str, float], float]:
    """Seconds of each phase of a run, and the CPU seconds of all of it."""
    moments: list[tuple[float, str]] = [(time.perf_counter(), "plan")]
    before = sum(cpu_seconds())

    def progress(done: float, total: int, text: str) -> None:
        moments.append((time.perf_counter(), phase_of(text)))

    run_matrix(request, folder, progress)
    moments.append((time.perf_counter(), ""))
    phases = dict.fromkeys(PHASES, 0.0)
    for (begun, phase), (ended, _) in itertools.pairwise(moments):
        phases[phase] += ended - begun
    return phases, sum(cpu_seconds()) - before


def phase_of(text: str) -> str:
    """What a run does, by what it tells of its progress; it tells nothing when all is measured."""
    words = text.split()
    if not words:
        return "tell"
    if words[-1] == "conversions":
        return "convert"
    return "time" if words[-2] == "round" else "score"


def cpu_seconds() -> Iterator[float]:
    """Of this process, and of its children that have ended."""
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        yield used.ru_utime + used.ru_stime


def told(phases: dict[str, float], phase: str) -> tuple[str, str]:
    return f"{phases[phase]:.1f}", f"{phases[phase] / sum(phases.values()):.0%}"


if __name__ == "__main__":
    main()
