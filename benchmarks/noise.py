"""Does the matrix call a tie a tie, and a slowdown of 5% a slowdown? Many runs, each of which has both.

    python benchmarks/noise.py --model base-cnn --runs 10 --profile full

Each run times the int8 TFLite file of a model on LiteRT, on LiteRT made 5% slower (``planted/``), and, as
every run does, one of the two a second time: the A/A pair.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ecgedge import journal, results

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="base-cnn")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--profile", choices=["quick", "full"], default="full")
    asked = parser.parse_args()
    ties = called = 0
    print("run  A/A ratio [95% interval]      result   floor  planted ratio [95% interval]  result")
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(asked.runs):
            null, planted = measure(Path(scratch) / str(seed), asked.model, asked.profile, seed)
            print(f"{seed:3}  {told(null)}  {null['floor']:6.2%}  {told(planted)}", flush=True)
            ties += null["result"] == "tie"
            called += planted["result"] == "slower"
    print(f"A/A a tie in {ties} of {asked.runs}; 5% slower called slower in {called} of {asked.runs}")


def measure(folder: Path, model: str, profile: str, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """One run: its A/A pair, and the planted slowdown."""
    command = [sys.executable, "-m", "ecgedge", "--plugins-dir", HERE / "planted", "matrix", "--model", model]
    command += ["--dataset", "synthetic", "--quantizer", "full-int8", "--runtime", "tflite"]
    command += ["--runtime", "tflite-slower", "--profile", profile, "--seed", seed, "--out", folder]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    records = journal.read(folder)
    rounds = json.loads((folder / "run.json").read_text(encoding="utf-8"))["rounds"]
    null = results.noise_of(records, rounds, folder)[model]
    blocks = results.blocks_of(records)
    slower, plain = (
        next(results.block_medians(blocks[name], folder) for name in blocks if name.endswith(f".{runtime}"))
        for runtime in ("tflite-slower", "tflite")
    )
    return null, results.compare(slower, plain, null["floor"])


def told(found: dict[str, Any]) -> str:
    return f"{found['ratio']:.4f} [{found['low']:.4f}, {found['high']:.4f}]  {found['result']:>6}"


if __name__ == "__main__":
    main()
