"""InceptionTime (arXiv 1909.04939)."""

import torch
from torch import Tensor, nn

KERNELS = (9, 19, 39)
WIDTH = 32  # channels of the bottleneck and of each branch


class InceptionModule(nn.Module):
    """Bottleneck, three convolutions of different reach and a pooling branch, side by side."""

    def __init__(self, inputs: int):
        super().__init__()
        self.bottleneck = nn.Conv1d(inputs, WIDTH, 1, bias=False)
        self.branches = nn.ModuleList(
            nn.Conv1d(WIDTH, WIDTH, kernel, padding=kernel // 2, bias=False) for kernel in KERNELS
        )
        self.pool = nn.Sequential(nn.MaxPool1d(3, stride=1, padding=1), nn.Conv1d(inputs, WIDTH, 1, bias=False))
        self.norm = nn.BatchNorm1d(WIDTH * (len(KERNELS) + 1))
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.bottleneck(x)
        joined = torch.cat([*(branch(narrow) for branch in self.branches), self.pool(x)], dim=1)
        return self.act(self.norm(joined))


class InceptionGroup(nn.Module):
    """Three modules with a residual connection around them."""

    def __init__(self, inputs: int):
        super().__init__()
        width = WIDTH * (len(KERNELS) + 1)
        self.body = nn.Sequential(InceptionModule(inputs), InceptionModule(width), InceptionModule(width))
        project = [nn.Conv1d(inputs, width, 1, bias=False)] if inputs != width else []
        self.shortcut = nn.Sequential(*project, nn.BatchNorm1d(width))
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.body(x) + self.shortcut(x))


class InceptionTime(nn.Module):
    """Six inception modules in two residual groups, global average pooling, two dense layers.

    Input ``(N, leads, L)`` float32, output logits ``(N, classes)``.
    """

    def __init__(self, classes: int, dropout: float, leads: int = 1):
        super().__init__()
        width = WIDTH * (len(KERNELS) + 1)
        self.features = nn.Sequential(InceptionGroup(leads), InceptionGroup(width))
        self.head = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Dropout(dropout), nn.Linear(64, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean(dim=2))
