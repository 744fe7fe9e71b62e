"""A plain three-layer 1-D CNN."""

from torch import Tensor, nn


def conv_block(inputs: int, outputs: int, kernel: int, dropout: float, pool: bool) -> list[nn.Module]:
    """Conv-BN-ReLU-Dropout, length kept; with ``pool`` the length is halved at the end."""
    layers = [
        nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2),
        nn.BatchNorm1d(outputs),
        nn.ReLU(),
        nn.Dropout(dropout),
    ]
    return [*layers, nn.MaxPool1d(2)] if pool else layers


class BaseCNN(nn.Module):
    """Three convolutions, global average pooling, two dense layers.

    Input ``(N, leads, L)`` float32, output logits ``(N, classes)``.
    """

    def __init__(self, classes: int, dropout: float, leads: int = 1):
        super().__init__()
        self.features = nn.Sequential(
            *conv_block(leads, 64, 7, dropout, pool=True),
            *conv_block(64, 128, 5, dropout, pool=True),
            *conv_block(128, 256, 3, dropout, pool=False),
        )
        self.head = nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Dropout(dropout), nn.Linear(128, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean(dim=2))
