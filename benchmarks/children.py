"""What it costs that files are opened and run in child processes: commands of this tree beside those of another one.

    git worktree add ../before e69ce44
    python benchmarks/children.py --against ../before

``predict`` with few beats is a matter of starting, with many of their way to the child and back; ``evaluate`` is both.
In each round every command runs three times, in random order: from the other tree, and from this one twice, to show
what a ratio is worth here. A ratio is of wall time, paired by round, with its 95% interval; the time of processors is
that of all processes of a command. The answers of both trees must be the same, byte by byte.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from ecgedge.evaluate.intervals import paired_ratio

HERE = Path(__file__).resolve().parents[1]
FEW = 3  # beats
SIDES = ("before", "now", "now again")


@dataclass(frozen=True)
class Taken:
    """What a command took: seconds on the wall, seconds of processors, and its answers."""

    wall: float
    processors: float
    answers: bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--against", type=Path, required=True, help="a checkout of ecgedge")
    parser.add_argument("--model", default="tcn")
    parser.add_argument("--beats", type=int, default=20_000, help="that are many")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--format", action="append", choices=["torch", "onnx", "tflite"], help="default: all three")
    asked = parser.parse_args()
    trees = dict(zip(SIDES, (asked.against.resolve(), HERE, HERE), strict=True))
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors; {asked.rounds} rounds")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, command in commands(folder, asked.model, asked.format, asked.beats).items():
            taken: dict[str, list[Taken]] = {side: [] for side in SIDES}
            for side in SIDES[:2]:  # what is read from the disk, and compiled, for the first time
                run(trees[side], command, folder)
            for number in range(asked.rounds):
                for side in random.Random(f"{name} {number}").sample(SIDES, len(SIDES)):
                    taken[side].append(run(trees[side], command, folder))
            if len({each.answers for runs in taken.values() for each in runs}) != 1:
                sys.exit(f"{name}: the answers differ")
            tell(name, taken)
    print(f"load after: {os.getloadavg()[0]:.1f}")


def commands(folder: Path, model: str, formats: list[str] | None, many: int) -> dict[str, list[str]]:
    """The commands that are timed, by name; makes the files that they read."""
    beats = np.random.default_rng(0).standard_normal((many, 140))
    np.savetxt(folder / "many.csv", beats, fmt="%.6f", delimiter=",")
    np.savetxt(folder / "few.csv", beats[:FEW], fmt="%.6f", delimiter=",")
    found = {}
    for format in formats or ("torch", "onnx", "tflite"):
        target = model if format == "torch" else f"made.{format}"
        if target != model:
            run(HERE, ["convert", model, "--to", format, "-o", target, "--dataset", "synthetic"], folder)
        found[f"predict {target}, {FEW} beats"] = ["predict", target, "few.csv"]
        found[f"predict {target}, {many:,} beats"] = ["predict", target, "many.csv"]
        found[f"evaluate {target}"] = ["evaluate", target, "--dataset", "synthetic"]
    return found


def run(tree: Path, command: list[str], folder: Path) -> Taken:
    """One command of a tree, in a process of its own."""
    began, start = os.times(), perf_counter()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ecgedge", *command],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        | {"PYTHONPATH": str(tree)},
        capture_output=True,
    )
    wall, ended = perf_counter() - start, os.times()
    if done.returncode:
        sys.exit(f"{tree}: {' '.join(command)}: {done.stderr.decode(errors='replace')}")
    spent = ended.children_user + ended.children_system - began.children_user - began.children_system
    return Taken(wall, spent, done.stdout)


def tell(name: str, taken: dict[str, list[Taken]]) -> None:
    """A line: medians of both trees, how they compare, and how this one compares with itself."""
    wall = {side: np.array([each.wall for each in runs]) for side, runs in taken.items()}
    processors = {side: np.median([each.processors for each in runs]) for side, runs in taken.items()}
    ratios = [paired_ratio(wall["now"], wall[other]) for other in ("before", "now again")]
    told = [f"x {ratio:.3f} [{low:.3f}, {high:.3f}]" for ratio, low, high in ratios]
    print(
        f"{name:<36} {np.median(wall['before']):7.2f} -> {np.median(wall['now']):7.2f} s  {told[0]}  "
        f"itself {told[1]}  processors {processors['before']:6.2f} -> {processors['now']:6.2f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
