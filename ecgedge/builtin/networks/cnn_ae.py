"""A convolutional autoencoder; its reconstruction error is the anomaly score."""

from torch import Tensor, nn

ENCODER = (32, 16, 8)  # channels after each convolution
DECODER = (8, 16, 32)
KERNEL = 7


class ConvAutoencoder(nn.Module):
    """Encoder 32-16-8 with a pooling after each, decoder 8-16-32 with an upsampling after each.

    Input ``(N, leads, L)`` float32, output the reconstruction, the same shape.
    """

    def __init__(self, length: int, leads: int = 1):
        super().__init__()
        self.leads, self.length = leads, length
        layers: list[nn.Module] = []
        channels = leads
        for width in ENCODER:
            layers += [nn.Conv1d(channels, width, KERNEL, padding=KERNEL // 2), nn.ReLU()]
            layers += [nn.MaxPool1d(2, ceil_mode=True)]
            channels, length = width, (length + 1) // 2
        for width in DECODER:
            layers += [nn.Conv1d(channels, width, KERNEL, padding=KERNEL // 2), nn.ReLU(), nn.Upsample(scale_factor=2)]
            channels, length = width, 2 * length
        self.layers = nn.Sequential(*layers, nn.Conv1d(channels, leads, KERNEL, padding=KERNEL // 2))
        self.decoded = length  # L rounded up to a multiple of 8

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        if self.leads > 1:
            return y[:, :, : self.length]
        # The crop on two axes: a crop of (N, 1, L) is silently dropped by onnx2tf 1.28.
        return y.reshape(-1, self.decoded)[:, : self.length].unsqueeze(1)
