"""ROCKET and its kin as an independent implementation has them, aeon's, on the official split: their answers to the
test beats, for ``anchors.py``.

    python -m venv /tmp/aeon && /tmp/aeon/bin/pip install aeon
    /tmp/aeon/bin/python benchmarks/published_rocket.py data/ECG5000 --out checkpoints/anchors --seeds 5

It imports nothing of ecgedge, and aeon lives in a venv of its own: it holds numpy and numba at versions of its choice.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="With ECG5000_TRAIN.txt and ECG5000_TEST.txt.")
    parser.add_argument("--out", type=Path, required=True, help="NAME-SEED.npy, the class of each test beat, go there.")
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    (x, y), (beats, _) = (read(asked.folder / f"ECG5000_{part}.txt") for part in ("TRAIN", "TEST"))
    for seed in range(asked.seeds):
        for name, classifier in classifiers(seed).items():
            file = asked.out / f"{name}-{seed}.npy"
            if not file.exists():
                classifier.fit(x, y)
                np.save(file, np.asarray(classifier.predict(beats)).astype(int))
                print(file, flush=True)


def read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Beats ``(N, 1, 140)`` and labels ``(N,)`` of a file of the archive."""
    table = np.loadtxt(file)
    return table[:, None, 1:].astype(np.float32), table[:, 0].astype(int)


def classifiers(seed: int) -> dict[str, Any]:
    """As aeon has them by default: ROCKET of 10,000 kernels, the others likewise, a ridge classifier on each."""
    from aeon.classification.convolution_based import MiniRocketClassifier, RocketClassifier  # numba compiles on import

    return {
        "ROCKET (aeon)": RocketClassifier(random_state=seed),
        "MiniROCKET (aeon)": MiniRocketClassifier(random_state=seed),
    }


if __name__ == "__main__":
    main()
