"""Made-up beats of twelve leads whose classes no lead alone tells apart. No data of anybody's.

python tests/leads.py twelve.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

NAMES = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
LABELS = ("alike", "left", "right")
LENGTH = 64  # samples


def draw(count: int, seed: int, length: int = LENGTH) -> tuple[np.ndarray, np.ndarray]:
    """Beats ``(count, 12, length)`` float32, z-normalised lead by lead, and class indices ``(count,)``.

    The peak points up or down in lead II, and up or down in lead V1: alike (up in both, or down in both), down in V1
    alone, or down in II alone. Each direction in one lead occurs in two classes. The other leads have the same peak
    always.
    """
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(count) % len(LABELS))
    both = np.where(rng.random(count) < 0.5, 1, -1)
    signs = np.ones((count, len(NAMES)))
    signs[:, NAMES.index("II")] = np.choose(y, [both, np.ones(count), -np.ones(count)])
    signs[:, NAMES.index("V1")] = np.choose(y, [both, -np.ones(count), np.ones(count)])
    time = np.linspace(0, 1, length)
    shift = rng.normal(0, 0.02, (count, 1, 1))
    peak, wave = (
        size * np.exp(-(((time - at - shift) / width) ** 2))
        for size, at, width in ((1, 0.45, 0.04), (0.25, 0.75, 0.08))
    )
    x = signs[..., None] * peak + wave + rng.normal(0, 0.05, (count, len(NAMES), length))
    x = (x - x.mean(axis=2, keepdims=True)) / x.std(axis=2, ddof=1, keepdims=True)
    return x.astype(np.float32), y


def write(path: Path, train: int = 240, test: int = 120) -> Path:
    """Both parts in one ``.npz``, with the names of the leads."""
    (x_train, y_train), (x_test, y_test) = draw(train, 0), draw(test, 1)
    labels = np.array(LABELS)
    np.savez(path, x_train=x_train, y_train=labels[y_train], x_test=x_test, y_test=labels[y_test], leads=NAMES)
    return path


if __name__ == "__main__":
    write(Path(sys.argv[1]))
