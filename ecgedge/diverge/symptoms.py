"""In which way an operation is wrong, by what it makes of the reference's own values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ecgedge.api.taps import Tensor
from ecgedge.diverge import noise

SAME = 20.0  # dB, from which a channel is what another one is, or what a factor makes of it
MOST_CHANNELS = 4096  # above, no order of them is looked for


@dataclass(frozen=True)
class Symptoms:
    """What is wrong with the values of one operation, given the reference's.

    Attributes:
        right_within: they are right wherever its tensor can hold the reference's values.
        by_channel: they are right but for a positive factor and an offset in each channel.
        shifted: they are right but for an offset in each channel.
        dead: numbers of channels of one value, which vary in the reference.
        swapped: numbers of channels that hold what the reference has in others.
    """

    right_within: bool = False
    by_channel: bool = False
    shifted: bool = False
    dead: tuple[int, ...] = ()
    swapped: tuple[int, ...] = ()


def symptoms(made: np.ndarray, expected: np.ndarray, tensor: Tensor, allowed: float) -> Symptoms:
    """How values ``(N, ...)`` differ from those of the reference.

    Args:
        allowed: rms that a correct operation may be off by.
    """
    low, high = noise.limits(tensor)
    held = np.clip(expected, low, high)
    right_within = noise.rms(made, held) <= allowed
    found = [of_channels(*each, allowed) for each in by_axis(made, held)]
    swapped = next((each.swapped for each in found if each.swapped), ())
    dead = next((each.dead for each in found if each.dead), ())
    by_channel, shifted = any(each.by_channel for each in found), any(each.shifted for each in found)
    return Symptoms(right_within, by_channel, shifted, dead, () if dead else swapped)


def by_axis(made: np.ndarray, expected: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Both with one axis after the other as that of the channels: ``(channels, values)``."""
    for axis in range(1, made.ndim):
        count = made.shape[axis]
        if 1 < count <= MOST_CHANNELS and made.size > 2 * count:
            yield tuple(np.moveaxis(each, axis, 0).reshape(count, -1).astype(np.float64) for each in (made, expected))  # type: ignore[misc]


def of_channels(made: np.ndarray, expected: np.ndarray, allowed: float) -> Symptoms:
    """The symptoms of channels ``(channels, values)``."""
    if not np.isfinite(made).all():
        return Symptoms()
    here, there = made - made.mean(1, keepdims=True), expected - expected.mean(1, keepdims=True)
    varies = there.std(1) > 1e-3 * there.std()
    is_dead = varies & (here.std(1) <= 1e-6 * max(float(there.std()), 1e-30))
    others_right = is_same(made, expected, allowed) | is_dead
    dead = tuple(int(each) for each in np.flatnonzero(is_dead)) if others_right.mean() > 0.5 else ()
    factors = (here * there).sum(1) / np.maximum((there**2).sum(1), 1e-30)
    scaled = is_same(here, factors[:, None] * there, allowed) | ~varies
    by_channel = bool(scaled.all() and (factors[varies] > 0.05).all() and varies.any())
    shifted = bool((is_same(here, there, allowed) | ~varies).all() and varies.any())
    return Symptoms(
        by_channel=by_channel, shifted=shifted, dead=dead, swapped=() if dead else order_of(made, expected, allowed)
    )


def order_of(made: np.ndarray, expected: np.ndarray, allowed: float) -> tuple[int, ...]:
    """Channels that hold another one's values, where all do that are not right; else none."""
    wrong = np.flatnonzero(~is_same(made, expected, allowed))
    if len(wrong) < 2:
        return ()
    left = [int(each) for each in wrong]
    for channel in wrong:
        fits = [other for other in left if other != channel and is_same(made[[channel]], expected[[other]], allowed)[0]]
        if not fits:
            return ()
        left.remove(fits[0])
    return tuple(int(each) for each in wrong)


def is_same(made: np.ndarray, expected: np.ndarray, allowed: float) -> np.ndarray:
    """Whether each channel is within ``SAME`` of the expected one, or within what a correct operation may be off by."""
    off = ((made - expected) ** 2).mean(1)
    size = np.maximum(expected.var(1), 1e-30)
    return np.asarray(off <= np.maximum(size * 10 ** (-SAME / 10), allowed**2))
