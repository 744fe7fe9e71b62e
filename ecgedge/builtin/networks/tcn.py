"""A temporal convolutional network, non-causal (after arXiv 1803.01271)."""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

WIDTH = 64
DILATIONS = (1, 2, 4, 8)


class TemporalBlock(nn.Module):
    """Two dilated, weight-normed convolutions with a residual connection around them."""

    def __init__(self, inputs: int, dilation: int, dropout: float):
        super().__init__()

        def conv(channels: int) -> nn.Module:
            return weight_norm(nn.Conv1d(channels, WIDTH, 3, padding=dilation, dilation=dilation))

        self.body = nn.Sequential(
            conv(inputs), nn.ReLU(), nn.Dropout(dropout), conv(WIDTH), nn.ReLU(), nn.Dropout(dropout)
        )
        self.shortcut = nn.Conv1d(inputs, WIDTH, 1) if inputs != WIDTH else nn.Identity()
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.body(x) + self.shortcut(x))


class TCN(nn.Module):
    """Four temporal blocks, global average pooling, two dense layers.

    Input ``(N, leads, L)`` float32, output logits ``(N, classes)``. The weight norm has to be folded
    before export: see ``ecgedge.convert.checkpoint.load_network``.
    """

    def __init__(self, classes: int, dropout: float, leads: int = 1):
        super().__init__()
        channels = (leads, *[WIDTH] * (len(DILATIONS) - 1))
        self.features = nn.Sequential(*(TemporalBlock(c, d, dropout) for c, d in zip(channels, DILATIONS, strict=True)))
        self.head = nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean(dim=2))
