"""Try many mutated run folders on every command that opens one, and count what comes of them.

    python benchmarks/fuzz_runs.py --folders 20000 --seed 0

The first run is made here, on the fakes of the tests. Each folder is a copy of it, changed by its schema in one to
three places (``tests/core/run_mutations.py``), and goes through report, compare, check, choose and a resume that
measures nothing. What is neither right nor one clear line is printed once a kind, with the seed that makes it again.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the mutations are those of the tests

from ecgedge.data.finding import synthetic
from ecgedge.testing import write_fake_checkpoint
from tests.conftest import FAKES
from tests.core.run_mutations import COMMANDS, try_all

ROOT = Path(__file__).parents[1]
TELL = 120  # seconds after which the counts so far are told
OUTCOMES = ("right", "one line", "many lines", "traceback", "hang", "victim")


def make_run(folder: Path) -> Path:
    """A whole run on the fakes, and the folder of plugins that resumes it."""
    (folder / "plugins").mkdir()
    checkpoint = write_fake_checkpoint(folder / "checkpoint", synthetic())
    (folder / "plugins" / "fakes.py").write_text(FAKES.format(folder=str(checkpoint)))
    os.environ |= {
        "ECGEDGE_PLUGINS_DIR": str(folder / "plugins"),
        "ECGEDGE_PLUGINS": "",
        "ECGEDGE_TURNS": "0",
        "ECGEDGE_CACHE": str(folder / "cache"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-P", "-m", "ecgedge", "matrix", "--model", "fake", "--format", "numpy"]
    command += ["--format", "fake", "--dataset", "synthetic", "--profile", "quick", "--out", str(folder / "whole")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return folder / "whole"


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz run folders.")
    parser.add_argument("--folders", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first; the next has the next")
    parser.add_argument("--scratch", type=Path, help="where folders are made. Default: the system's")
    parser.add_argument("--commands", type=int, default=len(COMMANDS), help="of each folder, drawn anew. Default: all")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    counts: dict[str, Counter[str]] = {command: Counter() for command in COMMANDS}
    seen: set[tuple[str, str]] = set()
    start = told = time.monotonic()
    with tempfile.TemporaryDirectory(dir=asked.scratch) as folder:
        whole = make_run(Path(folder))
        for seed in range(asked.seed, asked.seed + asked.folders):

            def tell(command: str, outcome: str, words: str, mutation: str, seed: int = seed) -> None:
                counts[command][outcome] += 1
                if outcome not in ("right", "one line") and (key := (command, words[:40])) not in seen:
                    seen.add(key)
                    print(f"seed {seed}: {command}: {outcome}: {words} ({mutation[:200]!r})", flush=True)

            try_all(whole, Path(folder) / "scratch", random.Random(seed), tell, asked.commands)
            if time.monotonic() - told > TELL:
                told = time.monotonic()
                report(counts, seed + 1 - asked.seed, start)
    report(counts, asked.folders, start)


def report(counts: dict[str, Counter[str]], done: int, start: float) -> None:
    print(f"{done:,} folders, {time.monotonic() - start:.0f} s: {' | '.join(('command', *OUTCOMES))}")
    for command, found in counts.items():
        print(f"  {command:8} {' | '.join(f'{found[outcome]:6,}' for outcome in OUTCOMES)}", flush=True)


if __name__ == "__main__":
    main()
