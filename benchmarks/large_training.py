"""How long does a training on very many segments take, and how much memory?

    python benchmarks/large_training.py --segments 90000 --model base-cnn

Makes a table of synthetic segments in the layout of a well-known data set of heartbeats (187 samples between 0 and 1,
zeros behind the beat, the label last, no header; a fifth as many for the test), and trains on it as ``ecgedge train``
does where nothing is said. For each model: seconds of wall time and of all processors, and the most memory taken.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ecgedge.data.synthetic import draw_beats

SAMPLES, BEAT, AT_ONCE = 187, 150, 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=90_000)
    parser.add_argument("--model", action="append", help="May be repeated. Default: base-cnn.")
    parser.add_argument("--epochs", type=int, help="Of a shorter training, to tell a whole one from it.")
    parser.add_argument("--data", type=Path, help="Where the tables are, or are made. Default: for this call alone.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.data or Path(scratch) / "data"
        folder.mkdir(parents=True, exist_ok=True)
        for part, count, seed in (("train", asked.segments, 0), ("test", asked.segments // 5, 1)):
            if not (table := folder / f"hearts_{part}.csv").exists():
                make(table, count, seed)
        for model in asked.model or ["base-cnn"]:
            train(model, folder, Path(scratch) / model, asked.epochs)


def make(table: Path, count: int, seed: int) -> None:
    """Write ``count`` segments, a line each."""
    with table.open("wb") as file:
        for start in range(0, count, AT_ONCE):
            beats, y = draw_beats(min(AT_ONCE, count - start), 1000 * seed + start // AT_ONCE)
            x = np.zeros((len(y), SAMPLES))
            places = np.linspace(0, beats.shape[2] - 1, BEAT)
            x[:, :BEAT] = [np.interp(places, np.arange(beats.shape[2]), beat) for beat in beats[:, 0]]
            x[:, :BEAT] -= x[:, :BEAT].min(axis=1, keepdims=True)
            np.savetxt(file, np.column_stack([x / x.max(axis=1, keepdims=True), y]), fmt="%.18e", delimiter=",")


def train(model: str, folder: Path, out: Path, epochs: int | None) -> None:
    command = [sys.executable, "-m", "ecgedge", "train", model, "--dataset", str(folder), "--out", str(out)]
    command += ["--epochs", str(epochs)] if epochs else []
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    notes = [line for line in re.split("[\r\n]", done.stderr) if line.startswith("Note")]
    print(
        f"{model}: {seconds:.0f} s, of all processors {busy:.0f} s, {after.ru_maxrss / 1024:.0f} MiB at most (so far)"
    )
    print("\n".join([*notes, *(line for line in done.stdout.splitlines() if line.startswith("test"))]), flush=True)


if __name__ == "__main__":
    main()
