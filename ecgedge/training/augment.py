"""Light changes to beats under which their class stays what it is (after Um et al., arXiv 1706.00527).

Fresh ones are drawn for every batch, from torch's generator, so that a seed fixes them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SCALE = 0.1  # standard deviation of the gain, about 1
OFFSET = 0.05  # of the shift of the baseline, in standard deviations of a beat
NOISE = 0.05  # white noise, at most, likewise
SHIFT = 0.03  # in time, at most, as a share of the beat
WARP = 0.02  # standard deviation of a smooth stretching in time, likewise


def augment(beats: Tensor, strength: float) -> Tensor:
    """Beats ``(N, C, L)`` float32 shifted, stretched, scaled and with noise; the same shape.

    The leads of a beat are of one heart at one time: they are shifted, stretched and scaled alike. Each has a baseline
    and noise of its own.
    """
    import torch

    if not strength:
        return beats
    each = (len(beats), 1, 1)
    beats = resample(beats, strength)
    gain = 1 + SCALE * strength * torch.randn(each, device=beats.device)
    offset = OFFSET * strength * torch.randn((*beats.shape[:2], 1), device=beats.device)
    noise = NOISE * strength * torch.rand(each, device=beats.device) * torch.randn_like(beats)
    return beats * gain + offset + noise


def resample(beats: Tensor, strength: float) -> Tensor:
    """Beats ``(N, C, L)`` read at shifted and smoothly warped times, linearly between samples; the ends are held."""
    import torch

    count, leads, length = beats.shape
    times = torch.arange(length, device=beats.device)
    moved = (2 * torch.rand(count, 1, device=beats.device) - 1) * SHIFT * strength * length
    for order in (1, 2, 3):  # half waves over the beat: the ends stay
        size = torch.randn(count, 1, device=beats.device) * WARP * strength * length / order
        moved = moved + size * torch.sin(math.pi * order * times / max(length - 1, 1))
    at = (times + moved).clamp(0, length - 1)
    before = at.floor().long().clamp(max=max(length - 2, 0))
    after = (before + 1).clamp(max=length - 1)
    before_all, after_all = (index[:, None].expand(count, leads, length) for index in (before, after))
    share = (at - before)[:, None]
    return beats.gather(2, before_all) * (1 - share) + beats.gather(2, after_all) * share
