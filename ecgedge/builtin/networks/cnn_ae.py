"""A convolutional autoencoder; its reconstruction error is the anomaly score."""

import torch
from torch import Tensor, nn

ENCODER = (32, 16, 8)  # channels after each convolution
DECODER = (8, 16, 32)
KERNEL = 7


class HalveCeil(nn.Module):
    """Max pooling by two, rounding up: ``(N, C, L) -> (N, C, ceil(L / 2))``.

    An odd length is made even by repeating the last sample, which changes no maximum.
    ``MaxPool1d(ceil_mode=True)`` says the same, but is converted to a padding with minus infinity,
    which no int8 range can hold; a padding with zeros is dropped by onnx2tf 1.28.
    """

    def __init__(self, length: int):
        super().__init__()
        self.odd = length % 2 == 1
        self.pool = nn.MaxPool1d(2)

    def forward(self, x: Tensor) -> Tensor:
        if self.odd:
            rows = x.transpose(1, 2)
            x = torch.cat([rows, rows[:, -1:]], dim=1).transpose(1, 2)
        return self.pool(x)


class Double(nn.Module):
    """Nearest-neighbour upsampling by two: ``(N, C, L) -> (N, C, 2 L)``.

    Channels last, it is a concatenation with itself and a reshape, which every runtime knows and
    quantizes. ``nn.Upsample`` becomes a Resize, which TFLite turns into a gather; the same trick
    channels first is converted wrongly by onnx2tf 1.28.
    """

    def __init__(self, channels: int, length: int):
        super().__init__()
        self.channels, self.length = channels, length

    def forward(self, x: Tensor) -> Tensor:
        rows = x.transpose(1, 2)
        pairs = torch.cat([rows, rows], dim=2)
        return pairs.reshape(-1, 2 * self.length, self.channels).transpose(1, 2)


class ConvAutoencoder(nn.Module):
    """Encoder 32-16-8 with a pooling after each, decoder 8-16-32 with an upsampling after each.

    Input ``(N, 1, L)`` float32, output the reconstruction, the same shape.
    """

    def __init__(self, length: int):
        super().__init__()
        self.length = length
        layers: list[nn.Module] = []
        channels = 1
        for width in ENCODER:
            layers += [nn.Conv1d(channels, width, KERNEL, padding=KERNEL // 2), nn.ReLU(), HalveCeil(length)]
            channels, length = width, (length + 1) // 2
        for width in DECODER:
            layers += [nn.Conv1d(channels, width, KERNEL, padding=KERNEL // 2), nn.ReLU(), Double(width, length)]
            channels, length = width, 2 * length
        self.layers = nn.Sequential(*layers, nn.Conv1d(channels, 1, KERNEL, padding=KERNEL // 2))
        self.decoded = length  # L rounded up to a multiple of 8

    def forward(self, x: Tensor) -> Tensor:
        # The crop on two axes: a crop of (N, 1, L) is silently dropped by onnx2tf 1.28.
        return self.layers(x).reshape(-1, self.decoded)[:, : self.length].unsqueeze(1)
