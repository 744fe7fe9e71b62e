"""Changed copies of beats, under which their class stays what it is: the head is fitted to them as well.

What ecgedge's own loop does to beats is none of its public names, so it is said here once more, shorter.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SCALE = 0.1  # standard deviation of the gain, about 1
OFFSET = 0.05  # of the baseline's shift, in standard deviations of a beat
NOISE = 0.05  # white noise, at most, likewise
SHIFT = 0.03  # in time, at most, as a share of the beat
WARP = 0.02  # standard deviation of a smooth stretching in time, likewise


def views_of(beats: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """The beats ``(N, leads, L)`` themselves and ``count - 1`` changed copies of each, ``(count * N, leads, L)``."""
    return torch.cat([beats, *(changed(beats, generator) for _ in range(count - 1))])


def changed(beats: Tensor, generator: torch.Generator) -> Tensor:
    """Each beat shifted, stretched, scaled, offset and with noise; the leads of a beat alike in all but the noise."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    count, leads, length = beats.shape
    times = torch.arange(length)
    moved = (2 * uniform(count, 1) - 1) * SHIFT * length
    for order in (1, 2, 3):  # half waves over the beat: the ends stay
        moved = moved + normal(count, 1) * WARP * length / order * torch.sin(math.pi * order * times / (length - 1))
    at = (times + moved).clamp(0, length - 1)
    before = at.floor().long().clamp(max=length - 2)
    share = (at - before)[:, None]
    first, second = (index[:, None].expand(count, leads, length) for index in (before, before + 1))
    found = beats.gather(2, first) * (1 - share) + beats.gather(2, second) * share
    scale = beats.std(dim=2, keepdim=True)
    gain = 1 + SCALE * normal(count, 1, 1)
    noise = OFFSET * normal(count, leads, 1) + NOISE * uniform(count, 1, 1) * normal(count, leads, length)
    return found * gain + scale * noise
