"""The network: samples side by side, one convolution for all kernels, a ramp between 0 and 6, a mean, a linear head.

ROCKET's share of positive outputs is the mean of a step. Here the step is a ramp, ``clip(slope * (z - threshold) + 3,
0, 6)``: slope and threshold are weights and bias of the convolution, and the clip is ReLU6, which ONNX and TFLite fuse
into it. A flat slope makes of the same form the mean of the positive outputs, as in MultiROCKET.

A kernel of nine weights on one lead is a poor fit for int8 kernels, which multiply by fours and eights along the
channels. So the samples that a kernel of any dilation looks at are put into channels first, by small convolutions whose
weights are 0 and 1: powers of two share most of them, 25 for beats of 140 samples. All kernels are then one
convolution of size 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIZE = 9  # samples in a kernel, as in MiniROCKET
REACH = SIZE // 2
TOP = 6.0  # where a ramp ends
STRIDE = 2  # samples from one place where a kernel is looked at to the next


def dilations_for(length: int) -> list[int]:
    """The powers of two by which a kernel can be stretched and is no longer than the beat."""
    found = [1]
    while (SIZE - 1) * found[-1] * 2 < length:
        found.append(found[-1] * 2)
    return found


def taps_for(length: int) -> dict[int, list[int]]:
    """For each dilation the offsets in samples that its kernels need and no smaller dilation's has, ascending."""
    known: set[int] = set()
    found = {}
    for dilation in dilations_for(length):
        reached = [place * dilation for place in range(-REACH, REACH + 1)]
        found[dilation] = [offset for offset in reached if offset not in known]
        known.update(reached)
    return found


def offsets_for(length: int) -> list[int]:
    """The offset of each channel that the taps give, in their order."""
    return [offset for offsets in taps_for(length).values() for offset in offsets]


class RocketNetwork(nn.Module):
    """Logits ``(N, classes)`` of beats ``(N, leads, L)`` float32.

    Args:
        length: of a beat, which decides how far kernels are stretched.
        features: kernels.
        leads: of a beat.
    """

    def __init__(self, classes: int, length: int, features: int, leads: int = 1):
        super().__init__()
        near, *far = taps_for(length).items()
        self.every_second = tap_conv(1, STRIDE, 1, [0], leads)
        self.near = tap_conv(SIZE, STRIDE, 1, near[1], leads)
        self.far = nn.ModuleList(
            tap_conv(SIZE, 1, dilation // STRIDE, [offset // dilation for offset in offsets], leads)
            for dilation, offsets in far
        )
        self.kernels = nn.Conv1d(leads * len(offsets_for(length)), features, 1)
        self.head = nn.Linear(features, classes)

    def features(self, beats: Tensor) -> Tensor:
        """The mean of each kernel's ramp over the beat, ``(N, features)``, each within 0 and 6."""
        half = self.every_second(beats)  # TFLite has no convolution with both a stride and a dilation
        around = torch.cat([self.near(beats), *(tap(half) for tap in self.far)], dim=1)
        return nn.functional.relu6(self.kernels(around)).mean(dim=2)

    def forward(self, beats: Tensor) -> Tensor:
        return self.head(self.features(beats))


def tap_conv(size: int, stride: int, dilation: int, places: list[int], leads: int) -> nn.Conv1d:
    """A convolution that gives each lead's samples at ``places``, in steps of ``dilation``, zero beyond the beat:
    ``len(places) * leads`` channels, each place's leads side by side."""
    padding = size // 2 * dilation
    conv = nn.Conv1d(
        leads, len(places) * leads, size, stride=stride, dilation=dilation, padding=padding, bias=False
    ).requires_grad_(False)
    with torch.no_grad():
        conv.weight.zero_()
        for channel, (place, lead) in enumerate((place, lead) for place in places for lead in range(leads)):
            conv.weight[channel, lead, place + size // 2] = 1
    return conv
