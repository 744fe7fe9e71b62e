"""Real multipliers as TFLite's integer kernels have them: 31 bits and a shift."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

LEAST_SHIFT, MOST_SHIFT = -31, 30


@dataclass(frozen=True)
class Multiplier:
    """A positive factor, ``value * 2 ** (shift - 31)``; ``value`` has 31 bits."""

    value: int
    shift: int


def multiplier_of(real: float) -> Multiplier:
    """A real factor as TFLite rounds it: to 31 bits, halves away from zero; what is tiny is 0."""
    if real == 0:
        return Multiplier(0, 0)
    fraction, shift = math.frexp(real)
    value = math.floor(fraction * 2**31 + 0.5)
    if value == 2**31:
        value, shift = value // 2, shift + 1
    if shift < LEAST_SHIFT:
        return Multiplier(0, 0)
    if shift > MOST_SHIFT:
        return Multiplier(2**31 - 1, MOST_SHIFT)
    return Multiplier(value, shift)


def mean_multiplier(scale: float, out_scale: float, count: int) -> Multiplier:
    """The factor from the sum of ``count`` values to their mean, of an input's scale and an output's.

    TFLite divides the multiplier by the count beforehand, with as many bits more as there is room for.
    """
    whole = multiplier_of(scale / out_scale)
    room = max(0, min(count.bit_length() - 1, 32, 31 + whole.shift))
    return Multiplier((whole.value << room) // count, whole.shift - room)


def float32(value: float) -> float:
    """Rounded to single precision, where TFLite computes in it."""
    return float(np.float32(value))
