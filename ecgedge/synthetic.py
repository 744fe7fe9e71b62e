"""The embedded synthetic beats, drawn from a small statistical model of ECG5000's classes."""

from __future__ import annotations

from importlib import resources

import numpy as np

from ecgedge.dataset import Dataset, Split


def synthetic(seed: int = 0) -> Dataset:
    """Beats drawn from a small statistical model fitted on ECG5000: 500 for training, 4,500 for test.

    Each class is a mean and a low-rank covariance (``data/fit_synthetic.py``); classes with fewer
    than 30 training beats share a pooled covariance and have a smoothed mean. For trying things out
    and for tests: no figure on them says anything about hearts.
    """
    with resources.files("ecgedge").joinpath("synthetic.npz").open("rb") as file:
        model = {key: values.astype(np.float64) for key, values in np.load(file).items()}
    rng = np.random.default_rng(seed)
    train, test = (draw(model, size, rng) for size in (500, 4500))
    labels = tuple(str(c + 1) for c in range(len(model["mean"])))
    return Dataset("synthetic", train, test, labels, "embedded, drawn from a fitted model")


def draw(model: dict[str, np.ndarray], count: int, rng: np.random.Generator) -> Split:
    """``count`` beats: class shares as fitted, at least two of each class, z-normalised per beat."""
    shares = model["share"] / model["share"].sum()
    sizes = np.maximum(np.floor(shares * count).astype(int), 2)
    sizes[0] += count - sizes.sum()
    y = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    mean, factors, noise = model["mean"][y], model["factors"][y], model["noise"][y]
    weights = rng.standard_normal((count, factors.shape[1]))
    x = mean + np.einsum("nr,nrl->nl", weights, factors) + noise * rng.standard_normal(mean.shape)
    x = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, ddof=1, keepdims=True)
    return Split(x[:, None].astype(np.float32), y.astype(np.int64))
