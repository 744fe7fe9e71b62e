"""Tensors of integers, and what they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Quantized:
    """A tensor of integers: what they stand for is ``(values - zero) * scale``.

    Attributes:
        axis: along which scales and zero points lie, where there are several.
    """

    values: np.ndarray
    scale: np.ndarray
    zero: np.ndarray
    axis: int

    def real(self) -> np.ndarray:
        """As float32."""
        shifted = self.values.astype(np.int32) - along(self.zero.astype(np.int32), self.axis, self.values.ndim)
        return np.asarray(shifted.astype(np.float32) * along(self.scale, self.axis, self.values.ndim))


@dataclass(frozen=True)
class Rounded:
    """An output that was quantized where it was made: its integers, and what they stand for."""

    values: np.ndarray
    means: Quantized


def real(value: Any) -> Any:
    if isinstance(value, Rounded):
        return value.means.real()
    return value.real() if isinstance(value, Quantized) else value


def bias_of(bias: Any, scale: np.ndarray) -> np.ndarray:
    """A bias in the steps of the sums."""
    if isinstance(bias, Quantized):
        return np.asarray(bias.values.astype(np.float64))
    return np.asarray(np.rint(np.asarray(bias, np.float64) / scale))


def rounded(values: np.ndarray, zero: np.ndarray) -> np.ndarray:
    """Float32 to the nearest integers, to even ones half-way, moved by a zero point whose type they get."""
    limits = np.iinfo(zero.dtype)
    moved = np.rint(values) + np.asarray(zero, np.float32)
    return np.asarray(np.clip(moved, limits.min, limits.max).astype(zero.dtype))


def along(values: np.ndarray, axis: int, axes: int) -> np.ndarray:
    """One value an index of an axis, in the shape in which it is broadcast over all others."""
    if values.size == 1:
        return values.reshape(())
    return values.reshape([-1 if each == axis % axes else 1 for each in range(axes)])
