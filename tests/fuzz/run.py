"""Coverage-guided fuzzing of the doors in ``targets.py``, with Atheris (libFuzzer).

    python -m tests.fuzz.run --seconds 120                     all doors share two minutes of a core, as in CI
    python -m tests.fuzz.run onnx --seconds 3600 --keep DIR    one door, an hour; what covers more is kept in DIR

Each door has a process of its own, as many at a time as there are cores. What goes wrong is kept as a file, whose name
is printed: feed it again with ``python -m tests.fuzz.run DOOR --again FILE``, mend what it shows, and add it to
``tests/fuzz/corpus/DOOR``.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
DOORS = ("record", "checkpoint", "folder", "onnx", "tflite")
OF_LIBRARIES = ("onnx", "tflite")  # what kills these but an exception is the library's: ecgedge runs it in a child
OF_PYTHON = "Uncaught Python exception"
LONGEST = 20  # seconds for one input
MEMORY = 4096  # MiB, of the process


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the doors that files of strangers come in by.")
    parser.add_argument("doors", nargs="*", metavar="DOOR", help="which; default: all")
    parser.add_argument("--seconds", type=int, default=120, help="for all doors together")
    parser.add_argument("--seed", type=int, default=1, help="of the fuzzer")
    parser.add_argument("--keep", type=Path, help="folder for inputs that cover more, and for those that go wrong")
    parser.add_argument("--again", type=Path, help="feed one file to one door")
    asked = parser.parse_args()
    doors = asked.doors or list(DOORS)
    if unknown := set(doors) - {*DOORS}:
        parser.error(f"no door {', '.join(unknown)}: {', '.join(DOORS)}")
    if asked.again:
        from tests.fuzz.targets import TARGETS

        TARGETS[doors[0]](asked.again.read_bytes())
        return
    with tempfile.TemporaryDirectory() as folder:
        kept = asked.keep or Path(folder)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            held = pool.map(lambda door: tried(door, asked.seconds // len(doors), asked.seed, kept), doors)
            wrong = [door for door, is_well in zip(doors, held, strict=True) if not is_well]
        if wrong and not asked.keep:
            sys.exit(f"went wrong: {', '.join(wrong)} (--keep DIR keeps the inputs)")
    if wrong:
        sys.exit(f"went wrong: {', '.join(wrong)}; see {asked.keep}")


def tried(door: str, seconds: int, seed: int, kept: Path) -> bool:
    """Fuzz one door for so long; whether it held. Prints how far it came."""
    found = kept / door
    found.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", "tests.fuzz.inside", door, str(found), str(CORPUS / door),
        f"-max_total_time={seconds}", f"-seed={seed}", f"-timeout={LONGEST}", f"-rss_limit_mb={MEMORY}",
        f"-artifact_prefix={found}/wrong-", "-max_len=65536", "-print_final_stats=1", "-verbosity=1",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    told = dict(re.findall(r"^(stat::\w+): +(\d+)$", done.stderr, re.MULTILINE))
    count = int(told.get("stat::number_of_executed_units", 0))
    reached = [line for line in done.stderr.splitlines() if " cov: " in line]
    covered = reached[-1].split(" cov: ")[1].split()[0] if reached else "?"
    is_ours = door not in OF_LIBRARIES or OF_PYTHON in done.stderr
    ends = (
        "held" if not done.returncode else "went wrong" if is_ours else "its library died, timed out or took all memory"
    )
    print(f"{door:10} {count:9,} inputs, {covered} edges: {ends}", flush=True)
    if done.returncode:
        print(done.stderr[-6000:], flush=True)
    return not done.returncode or not is_ours


if __name__ == "__main__":
    main()
