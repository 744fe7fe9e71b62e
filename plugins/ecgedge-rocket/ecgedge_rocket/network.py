"""The network: a convolution for each dilation, a ramp between 0 and 6, a mean over the beat, a linear head.

ROCKET's share of positive outputs is the mean of a step. Here the step is a ramp, ``clip(slope * (z - threshold) + 3,
0, 6)``: slope and threshold are weights and bias of the convolution, and the clip is ReLU6, which ONNX and TFLite fuse
into it. A flat slope makes of the same form the mean of the positive outputs, as in MultiROCKET.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

SIZE = 9  # samples in a kernel, as in MiniROCKET
TOP = 6.0  # where a ramp ends


def dilations_for(length: int) -> list[int]:
    """The powers of two by which a kernel can be stretched and is no longer than the beat."""
    found = [1]
    while (SIZE - 1) * found[-1] * 2 < length:
        found.append(found[-1] * 2)
    return found


class RocketNetwork(nn.Module):
    """Logits ``(N, classes)`` of beats ``(N, leads, L)`` float32.

    Args:
        counts: kernels of each dilation, which is 1, 2, 4 and so on; none where a dilation is not used.
        leads: of a beat.
    """

    def __init__(self, classes: int, counts: Sequence[int], leads: int = 1):
        super().__init__()
        self.groups = nn.ModuleList(
            nn.Conv1d(leads, count, SIZE, dilation=2**power, padding=(SIZE // 2) * 2**power)
            for power, count in enumerate(counts)
            if count
        )
        self.head = nn.Linear(sum(counts), classes)

    def features(self, beats: Tensor) -> Tensor:
        """The mean of each kernel's ramp over the beat, ``(N, sum(counts))``, each within 0 and 6."""
        means = [nn.functional.relu6(conv(beats)).mean(dim=2) for conv in self.groups]
        return torch.cat(means, dim=1)

    def forward(self, beats: Tensor) -> Tensor:
        return self.head(self.features(beats))
