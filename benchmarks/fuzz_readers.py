"""Try many damaged and random files on every reader.

    python benchmarks/fuzz_readers.py --examples 20000 --seed 0

Each file must be read, or refused with an EcgEdgeError; anything else ends with the file that did it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the strategies are those of the tests

from tests.core.test_fuzz import ALL, fuzz


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the readers.")
    parser.add_argument("--examples", type=int, default=20_000, help="of all formats together")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing: the same files every time")
    asked = parser.parse_args()
    total = asked.examples
    start = time.monotonic()
    tried = 0
    with tempfile.TemporaryDirectory() as folder:
        for i, suffix in enumerate(ALL):
            share = total // len(ALL) + (i < total % len(ALL))
            read, refused = fuzz(Path(folder) / f"f{suffix}", share, asked.seed)
            tried += read + refused
            print(f"{suffix:6} {read + refused:6,} files: {read:6,} read, {refused:6,} refused", flush=True)
    print(f"{tried:,} files, no other outcome, seed {asked.seed}, {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
