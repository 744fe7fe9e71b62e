"""Random kernels, their thresholds and slopes: what the network's convolutions are made of."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from ecgedge_rocket.network import REACH, SIZE, STRIDE, TOP, dilations_for, offsets_for

GRID = 127  # weights are whole numbers of this size at most: int8 holds them as they are
SHAPES = ("mini", "random")
AT_ONCE = 256  # beats whose outputs lie in memory together


@dataclass(frozen=True)
class Kernels:
    """The kernels of one dilation.

    Attributes:
        dilation: samples from one weight to the next.
        weights: whole numbers ``(count, leads, SIZE)``, the largest of each kernel 127, zero in sum as nearly as whole
            numbers allow.
        slopes, biases: what the outputs are multiplied by, and what is added, before they are clipped to 0 and 6,
            ``(count,)``.
    """

    dilation: int
    weights: Tensor
    slopes: Tensor
    biases: Tensor

    @property
    def folded(self) -> Tensor:
        """The weights of the convolution, ``(count, leads, SIZE)``: slopes and all."""
        return self.weights * self.slopes[:, None, None]

    def outputs(self, beats: Tensor) -> Tensor:
        """Of beats ``(N, leads, L)`` what is clipped, ``(N, count, L / STRIDE)``."""
        padding = REACH * self.dilation
        return torch.nn.functional.conv1d(beats, self.folded, self.biases, STRIDE, padding, self.dilation)

    def features(self, beats: Tensor) -> Tensor:
        """The mean of each ramp, ``(N, count)``."""
        parts = [self.outputs(part).clamp_(0, TOP).mean(dim=2) for part in beats.split(AT_ONCE)]
        return torch.cat(parts)

    def spread(self, length: int) -> Tensor:
        """The folded weights at the offsets that a network for beats of that length has, ``(count, T * leads, 1)``:
        each offset's leads side by side."""
        count, leads, _ = self.weights.shape
        found = torch.zeros(count, len(offsets_for(length)), leads)
        for channel, offset in enumerate(offsets_for(length)):
            place, between = divmod(offset, self.dilation)
            if not between and abs(place) <= REACH:
                found[:, channel] = self.folded[:, :, place + REACH]
        return found.reshape(count, -1, 1)


def draw_kernels(
    beats: Tensor, count: int, ramps: tuple[float, float], rng: np.random.Generator, shape: str = "random"
) -> list[Kernels]:
    """About ``count`` kernels, as many of each dilation, for beats ``(N, leads, L)`` such as these.

    A threshold is a quantile, drawn at random, of the kernel's outputs, as in MiniROCKET. So no scale of the beats is
    assumed.

    Args:
        ramps: the least and the most width of a ramp, in standard deviations of the kernel's outputs; drawn by its
            logarithm.
        shape: ``"mini"``, the kernels of MiniROCKET, each as often as the others; ``"random"``, normal weights without
            their mean, as in ROCKET.
    """
    dilations = dilations_for(beats.shape[2])
    return [draw_group(beats, dilation, max(count // len(dilations), 1), ramps, rng, shape) for dilation in dilations]


def draw_group(
    beats: Tensor, dilation: int, count: int, ramps: tuple[float, float], rng: np.random.Generator, shape: str
) -> Kernels:
    """The kernels of one dilation, see ``draw_kernels``."""
    leads = heard(rng, count, beats.shape[1])
    weights = torch.tensor((mini if shape == "mini" else normal)(rng, leads), dtype=torch.float32)
    plain = Kernels(dilation, weights, torch.ones(count), torch.zeros(count)).outputs(beats)
    values = plain.transpose(0, 1).reshape(count, -1).sort(dim=1).values
    at = torch.tensor((rng.random(count) * (values.shape[1] - 1)).astype(np.int64))
    thresholds = values.gather(1, at[:, None])[:, 0]
    widths = torch.tensor(np.exp(rng.uniform(*np.log(ramps), count)), dtype=torch.float32)
    slopes = TOP / (widths * values.std(dim=1).clamp(min=1e-6))
    return Kernels(dilation, weights, slopes, TOP / 2 - slopes * thresholds)


def normal(rng: np.random.Generator, leads: np.ndarray) -> np.ndarray:
    """Whole weights ``(count, leads, SIZE)``, normal before their mean is taken off and they are rounded."""
    drawn = rng.standard_normal((*leads.shape[:2], SIZE)) * leads
    drawn -= drawn.mean(axis=2, keepdims=True)
    return np.round(drawn / np.abs(drawn).max(axis=(1, 2), keepdims=True) * GRID)


def mini(rng: np.random.Generator, leads: np.ndarray) -> np.ndarray:
    """Whole weights ``(count, leads, SIZE)`` of MiniROCKET's 84 kernels: 2 at three places and -1 at the other six.

    On a grid of 127 that is 127, and -63 and -64 by turns, so that the sum is zero.
    """
    every = np.empty((84, SIZE))
    for kernel, places in zip(every, combinations(range(SIZE), 3), strict=True):
        kernel[[place for place in range(SIZE) if place not in places]] = [-63, -64] * 3
        kernel[list(places)] = GRID
    return every[(np.arange(len(leads)) + rng.integers(84)) % 84][:, None] * leads


def heard(rng: np.random.Generator, count: int, leads: int) -> np.ndarray:
    """Which leads each kernel has weights for, ``(count, leads, 1)`` of 0 and 1: one as often as two or three."""
    each = np.minimum(2 ** rng.uniform(0, np.log2(leads + 1), count), leads).astype(int)
    ranks = rng.random((count, leads)).argsort(axis=1).argsort(axis=1)
    return (ranks < each[:, None])[:, :, None].astype(float)
