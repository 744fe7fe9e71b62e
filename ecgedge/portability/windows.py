"""What each position of a convolution or a pooling sees of its input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def windows(x: np.ndarray, kernel: tuple[int, ...], told: Mapping[str, Any], fill: float) -> np.ndarray:
    """The values under a kernel at each of its places: ``(N, C, *places, *kernel)``.

    Args:
        x: ``(N, C, *positions)``.
        told: the attributes of the node: pads, strides, dilations.
        fill: what lies beyond the ends.
    """
    axes = tuple(range(2, x.ndim))
    pads, strides, dilations = places(told, x.shape[2:], kernel)
    wide = np.pad(x, ((0, 0), (0, 0), *pads), constant_values=fill)
    spans = [(size - 1) * step + 1 for size, step in zip(kernel, dilations)]
    view = np.lib.stride_tricks.sliding_window_view(wide, spans, axis=axes)
    steps = (slice(None, None, step) for step in (*strides, *dilations))
    return np.asarray(view[(slice(None), slice(None), *steps)])


def places(
    told: Mapping[str, Any], size: tuple[int, ...], kernel: tuple[int, ...]
) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Padding, strides and dilations of a convolution, an axis each."""
    axes = len(kernel)
    strides, dilations = told.get("strides", [1] * axes), told.get("dilations", [1] * axes)
    auto = told.get("auto_pad", b"NOTSET")
    if auto in (b"SAME_UPPER", b"SAME_LOWER"):
        pads = []
        for n, k, s, d in zip(size, kernel, strides, dilations):
            both = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            less, more = both // 2, both - both // 2
            pads.append((less, more) if auto == b"SAME_UPPER" else (more, less))
        return pads, strides, dilations
    flat = told.get("pads", [0] * 2 * axes)
    return list(zip(flat[:axes], flat[axes:])), strides, dilations
