"""Beats at mean 0 and standard deviation 1: made so, and told whether they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ecgedge.data.dataset import Dataset

NEAR = 0.05  # how far mean and standard deviation of a z-normalised beat may be off


def normalized(data: Dataset) -> Dataset:
    """The data with each lead of a beat at mean 0 and standard deviation 1 (N - 1 in the divisor); a constant one is
    zeros."""

    def z(x: np.ndarray) -> np.ndarray:
        flat = x.max(axis=2, keepdims=True) == x.min(axis=2, keepdims=True)
        centred = x - x.mean(axis=2, keepdims=True, dtype=np.float64)
        spread = np.sqrt((centred**2).sum(axis=2, keepdims=True) / max(x.shape[2] - 1, 1))
        return np.where(flat, 0, centred / np.where(flat, 1, spread)).astype(np.float32)

    train, test = (replace(part, x=z(part.x)) for part in (data.train, data.test))
    recipe = data.recipe
    if recipe:  # a record is then cut, and normalised, as these beats were
        from ecgedge.data.records.recipe import Recipe  # which imports readers of this folder

        recipe = replace(Recipe.from_json(recipe, data.name), normalize=True).as_json()
    source = f"{data.source}, z-normalised here"
    return replace(data, train=train, test=test, source=source, recipe=recipe, normalized=True)


def was_normalized(data: Dataset) -> bool:
    """Whether ecgedge z-normalised the beats: after it read them, or when they were cut from records."""
    if data.normalized or not data.recipe:
        return data.normalized
    from ecgedge.data.records.recipe import Recipe

    return Recipe.from_json(data.recipe, data.name).normalize


def is_normalized(data: Dataset) -> bool:
    """Whether all beats are z-normalised, by ecgedge or in their files."""
    return was_normalized(data) or not any(not_normalized(part.x).any() for part in (data.train, data.test))


def not_normalized(x: np.ndarray) -> np.ndarray:
    """Which beats of ``(N, C, L)`` have a lead that is not z-normalised: ``(N,)`` bool. N or N - 1 may be the
    divisor."""
    length = x.shape[2]
    std = x.std(axis=2, dtype=np.float64)
    of_sample = std * np.sqrt(length / max(length - 1, 1))
    off = np.minimum(abs(std - 1), abs(of_sample - 1))
    return ((abs(x.mean(axis=2, dtype=np.float64)) > NEAR) | (off > NEAR)).any(axis=1)
