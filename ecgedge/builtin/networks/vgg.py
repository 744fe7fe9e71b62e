"""VGG for one dimension: five blocks of 3-sample convolutions, each ending in a pooling."""

from torch import Tensor, nn

BLOCKS = ((64,), (128,), (256, 256), (512, 512), (512, 512))  # channels of each convolution


class VGG(nn.Module):
    """Five convolution blocks, global average pooling, three dense layers (after arXiv 1409.1556).

    Input ``(N, leads, L)`` float32 with L >= 32, output logits ``(N, classes)``.
    """

    def __init__(self, classes: int, dropout: float, leads: int = 1):
        super().__init__()
        layers: list[nn.Module] = []
        channels = leads
        for block in BLOCKS:
            for width in block:
                layers += [nn.Conv1d(channels, width, 3, padding=1), nn.BatchNorm1d(width), nn.ReLU()]
                channels = width
            layers += [nn.Dropout(dropout), nn.MaxPool1d(2)]
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(channels, 512),
            nn.ReLU(),
            nn.Linear(512, 512),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(512, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean(dim=2))
