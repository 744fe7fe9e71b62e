"""The embedded synthetic beats, drawn from a small statistical model of ECG5000's classes.

Each class is a mean and a low-rank covariance (``data/fit_synthetic.py``); classes with fewer than 30
training beats share a pooled covariance and have a smoothed mean.
"""

from __future__ import annotations

from importlib import resources

import numpy as np

SEED = 0  # of the beats that stand in for real ones of any length
LATER = 7  # samples by which a lead lags behind the one before
LABELS = ("1", "2", "3", "4", "5")


def draw_beats(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Beats ``(count, 1, 140)`` float32, z-normalised one by one, and class indices ``(count,)``.

    Class shares are those of the test split of ECG5000, with two beats of each class at least.
    """
    with resources.files("ecgedge.data").joinpath("synthetic.npz").open("rb") as file:
        model = {key: values.astype(np.float64) for key, values in np.load(file).items()}
    rng = np.random.default_rng(seed)
    shares = model["share"] / model["share"].sum()
    sizes = np.maximum(np.floor(shares * count).astype(int), 2)
    sizes[0] += count - sizes.sum()
    y = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    mean, factors, noise = model["mean"][y], model["factors"][y], model["noise"][y]
    weights = rng.standard_normal((count, factors.shape[1]))
    x = mean + np.einsum("nr,nrl->nl", weights, factors) + noise * rng.standard_normal(mean.shape)
    x = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, ddof=1, keepdims=True)
    return x[:, None].astype(np.float32), y.astype(np.int64)


def synthetic_beats(count: int, length: int, leads: int = 1) -> np.ndarray:
    """Synthetic beats ``(count, leads, length)`` float32, z-normalised; of another length than 140 by interpolation."""
    if leads > 1:
        return in_leads(synthetic_beats(count, length), leads)
    beats, _ = draw_beats(count, SEED)
    if beats.shape[2] == length:
        return beats
    places = np.linspace(0, beats.shape[2] - 1, length)
    x = np.stack([np.interp(places, np.arange(beats.shape[2]), beat) for beat in beats[:, 0]])
    spread = x.std(axis=1, ddof=1, keepdims=True) if length > 1 else np.ones((count, 1))
    return ((x - x.mean(axis=1, keepdims=True)) / spread)[:, None].astype(np.float32)


def in_leads(beats: np.ndarray, leads: int) -> np.ndarray:
    """Beats ``(N, 1, L)`` seen in several leads, ``(N, leads, L)``: each a little later than the one before."""
    return np.concatenate([np.roll(beats, LATER * lead, axis=2) for lead in range(leads)], axis=1)
