"""Fit the embedded synthetic beats: ``python data/fit_synthetic.py ECG5000_FOLDER [OUT]``.

Reads the 500 training beats only (and the known class shares of the test split) and writes
``ecgedge/data/synthetic.npz``: for each class a mean beat, a low-rank covariance and a noise level.
No single beat can be read back: what classes of fewer than 30 beats keep is a smoothed mean, drawn
towards that of their neighbours, and a covariance pooled over all classes.
"""

import sys
from pathlib import Path

import numpy as np

from ecgedge.data.finding import read_folder

RANK = 10  # directions of variation kept
FEW = 30  # classes smaller than this share a covariance
TEST_SHARE = np.array([2627, 1590, 86, 175, 22]) / 4500
SMOOTHING = np.hanning(9) / np.hanning(9).sum()  # over 9 samples
PULL = 4  # a small class of n beats keeps n / (n + PULL) of its own mean


def directions(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rank-``RANK`` factors ``(RANK, L)`` of the covariance of rows, and what they leave, ``(L,)``."""
    _, scale, basis = np.linalg.svd(centred, full_matrices=False)
    factors = scale[:RANK, None] * basis[:RANK] / np.sqrt(len(centred))
    rest = centred.var(axis=0) - (factors**2).sum(axis=0)
    return factors, np.sqrt(np.maximum(rest, 1e-4))


def fit(beats: np.ndarray, classes: np.ndarray) -> dict[str, np.ndarray]:
    count = int(classes.max()) + 1
    groups = [beats[classes == c] for c in range(count)]
    small = [c for c in range(count) if len(groups[c]) < FEW]
    means = [group.mean(axis=0) for group in groups]
    pooled = directions(np.concatenate([g - m for g, m in zip(groups, means, strict=True)]))
    others = np.concatenate([groups[c] for c in small] + [means[c][None] for c in range(1, count) if c not in small])
    for c in small:
        size = len(groups[c])
        pulled = (size * means[c] + PULL * others.mean(axis=0)) / (size + PULL)
        means[c] = np.convolve(np.pad(pulled, 4, mode="edge"), SMOOTHING, mode="valid")
    spread = [pooled if c in small else directions(groups[c] - means[c]) for c in range(count)]
    return {
        "share": TEST_SHARE,
        "mean": np.stack(means),
        "factors": np.stack([factors for factors, _ in spread]),
        "noise": np.stack([noise for _, noise in spread]),
    }


def main() -> None:
    data = read_folder(Path(sys.argv[1]))
    out = Path(sys.argv[2] if len(sys.argv) > 2 else Path(__file__).parents[1] / "ecgedge" / "data" / "synthetic.npz")
    model = fit(data.train.x[:, 0].astype(np.float64), data.train.y)
    np.savez_compressed(out, **{key: values.astype(np.float16) for key, values in model.items()})
    print(f"{out}: {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
