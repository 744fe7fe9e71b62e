"""Small networks for beats (N, 1, 140) with what people put into theirs, in torch and, where it has the layer, Keras.

A torch network gives 5 class scores a beat, a Keras twin the same from beats (N, 140, 1); those of ``beats`` kind
give the beat back. ``ZOO`` lists them by name. Weights are random: ``teach`` and ``teach_keras`` give them a meaning,
so that outputs have a spread which a rounding can be held against.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

LENGTH, CLASSES, WIDTH = 140, 5, 16


@dataclass(frozen=True)
class Entry:
    """One network of the zoo.

    Attributes:
        name: by which it is listed.
        torch: makes the network.
        keras: makes its twin, given the ``keras`` module; None where Keras lacks the layer.
        gives: ``"scores"``, ``"probabilities"``, or ``"beats"`` (an autoencoder).
    """

    name: str
    torch: Callable[[], nn.Module]
    keras: Callable[[Any], Any] | None = None
    gives: str = "scores"


# -- parts of networks


def stem(channels: int = WIDTH, stride: int = 2) -> list[nn.Module]:
    return [nn.Conv1d(1, channels, 7, stride, 3), nn.BatchNorm1d(channels), nn.ReLU()]


def head(channels: int = WIDTH) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(channels, CLASSES)]


def between(*layers: nn.Module, channels: int = WIDTH) -> Callable[[], nn.Module]:
    """A classifier with copies of some layers between its stem and its head."""
    return lambda: nn.Sequential(*stem(), *copy.deepcopy(layers), *head(channels))


def activated(layer: nn.Module) -> Callable[[], nn.Module]:
    """A small CNN with one activation after each convolution."""
    return between(nn.Conv1d(WIDTH, WIDTH, 5, padding=2), layer, nn.MaxPool1d(2), nn.Conv1d(WIDTH, WIDTH, 3), layer)


def keras_stem(keras: Any, channels: int = WIDTH) -> tuple[Any, Any]:
    """The input and what a stem makes of it."""
    given = keras.Input((LENGTH, 1))
    x = keras.layers.Conv1D(channels, 7, strides=2, padding="same")(given)
    return given, keras.layers.ReLU()(keras.layers.BatchNormalization()(x))


def keras_head(keras: Any, given: Any, x: Any) -> Any:
    return keras.Model(given, keras.layers.Dense(CLASSES)(keras.layers.GlobalAveragePooling1D()(x)))


def keras_between(*layers: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A classifier with some layers, each made by a function of ``keras.layers``, between its stem and its head."""

    def build(keras: Any) -> Any:
        given, x = keras_stem(keras)
        for layer in layers:
            x = layer(keras.layers)(x)
        return keras_head(keras, given, x)

    return build


def keras_activated(layer: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return keras_between(
        lambda k: k.Conv1D(WIDTH, 5, padding="same"),
        layer,
        lambda k: k.MaxPooling1D(2),
        lambda k: k.Conv1D(WIDTH, 3),
        layer,
    )


def keras_activation(name: str) -> Callable[[Any], Any]:
    return keras_activated(lambda k: k.Activation(name))


# -- torch networks that are more than a sequence


class Residual(nn.Module):
    """Adds what its layers make to what they are given, or to a projection of it."""

    def __init__(self, *layers: nn.Module, skip: nn.Module | None = None):
        super().__init__()
        self.layers, self.skip = nn.Sequential(*layers), skip or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.layers(x) + self.skip(x))


class Branches(nn.Module):
    """Concatenates what several layers make of the same."""

    def __init__(self, *branches: nn.Module):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, gate: nn.Module):
        super().__init__()
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool1d(1), nn.Conv1d(channels, channels // 4, 1), nn.ReLU(),
            nn.Conv1d(channels // 4, channels, 1), gate,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weigh(x)


class SqueezeExciteDense(nn.Module):
    """The same with a mean over the axis and dense layers."""

    def __init__(self, channels: int):
        super().__init__()
        self.narrow, self.widen = nn.Linear(channels, channels // 4), nn.Linear(channels // 4, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.widen(F.relu(self.narrow(x.mean(dim=2))))).unsqueeze(2)


class Chomped(nn.Module):
    """A block of a TCN: padded on both sides, its end cut off, so that it is causal."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.pad = 2 * dilation
        self.conv = nn.Conv1d(channels, channels, 3, padding=self.pad, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + F.relu(self.conv(x)[:, :, : -self.pad].contiguous()))


class Recurrent(nn.Module):
    """A recurrent layer over a shortened beat; the last step decides."""

    def __init__(self, kind: type, **options: Any):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(1, WIDTH, 7, 4, 3), nn.ReLU())
        self.layer = kind(WIDTH, 12, batch_first=True, **options)
        self.head = nn.Linear(12 * (2 if options.get("bidirectional") else 1), CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        steps, _ = self.layer(self.stem(x).transpose(1, 2))
        return self.head(steps[:, -1])


class RawLstm(nn.Module):
    """An LSTM right on the samples, its last hidden state decides."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.LSTM(10, 12, batch_first=True), nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        _, (hidden, _) = self.layer(x.reshape(x.shape[0], 14, 10))
        return self.head(hidden[-1])


class ChannelsLast(nn.Module):
    """A layer that wants the channels last."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.transpose(1, 2)).transpose(1, 2)


class RmsNorm(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(dim=1, keepdim=True) + 1e-6) * self.scale


class Positions(nn.Module):
    """Adds a learned vector to each of the steps, looked up in an embedding."""

    def __init__(self, steps: int, channels: int):
        super().__init__()
        self.table = nn.Embedding(steps, channels)
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table(torch.arange(self.steps, device=x.device))


class Transformer(nn.Module):
    """Patches of ten samples, a position each, one encoder layer, the mean decides."""

    def __init__(self, activation: str = "relu", norm_first: bool = False):
        super().__init__()
        self.patches = nn.Conv1d(1, WIDTH, 10, 10)
        self.places = nn.Parameter(torch.randn(1, 14, WIDTH) * 0.1)
        self.layer = nn.TransformerEncoderLayer(
            WIDTH, 2, 32, dropout=0.0, activation=activation, batch_first=True, norm_first=norm_first
        )
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.patches(x).transpose(1, 2) + self.places).mean(dim=1))


class ClassToken(nn.Module):
    """Multi-head attention with a learned token before the steps, which decides."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv1d(1, WIDTH, 10, 10)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.places, self.norm = Positions(15, WIDTH), nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.patches(x).transpose(1, 2)
        steps = self.places(torch.cat([self.token.expand(x.shape[0], -1, -1), steps], dim=1))
        attended, _ = self.attention(steps, steps, steps, need_weights=False)
        return self.head(self.norm(steps + attended)[:, 0])


class EinsumAttention(nn.Module):
    """Attention written with einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv1d(1, WIDTH, 10, 10)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.patches(x).transpose(1, 2)
        weights = torch.einsum("bqc,bkc->bqk", self.query(steps), self.key(steps)) / WIDTH**0.5
        mixed = torch.einsum("bqk,bkc->bqc", weights.softmax(dim=-1), self.value(steps))
        return self.head((steps + mixed).mean(dim=1))


class AttentionPool(nn.Module):
    """A weighted mean over the steps, the weights from a softmax over them."""

    def __init__(self, channels: int):
        super().__init__()
        self.weigh = nn.Conv1d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weigh(x).softmax(dim=2)).sum(dim=2)


class Gated(nn.Module):
    """WaveNet's gate: tanh of one half of the channels times sigmoid of the other."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv1d(channels, 2 * channels, 3, padding=2, dilation=2)

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.conv(x).chunk(2, dim=1)
        return x + torch.tanh(one) * torch.sigmoid(other)


class Shuffle(nn.Module):
    """ShuffleNet's: the channels of the groups mixed."""

    def __init__(self, groups: int):
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, length = x.shape
        return x.view(batch, self.groups, channels // self.groups, length).transpose(1, 2).reshape(batch, -1, length)


class Dense(nn.Module):
    """DenseNet's block: each convolution sees all before it."""

    def __init__(self, channels: int, growth: int, layers: int):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm1d(channels + i * growth), nn.ReLU(), nn.Conv1d(channels + i * growth, growth, 3, padding=1)
            )
            for i in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return x


class Statistics(nn.Module):
    """Mean, standard deviation and maximum over the beat."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean(dim=-1), x.std(dim=-1), x.amax(dim=-1)], dim=1)


class Mixer(nn.Module):
    """Patches by a reshape, then dense layers over them and over their samples."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.over, self.within = nn.LayerNorm(10), nn.Linear(14, 14), nn.Linear(10, 10)
        self.head = nn.Linear(140, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        patches = x.reshape(-1, 14, 10)
        patches = patches + F.gelu(self.over(self.norm(patches).transpose(1, 2))).transpose(1, 2)
        patches = patches + F.gelu(self.within(patches))
        return self.head(patches.flatten(1))


class Planes(nn.Module):
    """Convolutions of two dimensions over a beat with one axis more."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, WIDTH, (1, 7), (1, 2), (0, 3)), nn.Conv2d(WIDTH, WIDTH, (1, 5))
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.first(x.unsqueeze(2))), (1, 2))
        return self.head(F.relu(self.second(x)).mean(dim=(2, 3)))


class Windows(nn.Module):
    """Takes the last, the middle and every second step apart."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :, -1], x[:, :, x.shape[2] // 2], x[:, :, ::2].mean(dim=2)], dim=1)


class Unet(nn.Module):
    """An autoencoder with a skip; ``up`` doubles the length of so many channels."""

    def __init__(self, up: nn.Module):
        super().__init__()
        self.down = nn.Sequential(nn.Conv1d(1, 8, 5, padding=2), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv1d(8, WIDTH, 5, 2, 2), nn.ReLU())
        self.up, self.out = up, nn.Conv1d(8 + WIDTH, 1, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.down(x)
        return self.out(torch.cat([skip, self.up(self.deep(skip))], dim=1))


class Shuffled(nn.Module):
    """Pixel shuffle in one dimension: channels become samples."""

    def __init__(self, factor: int):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, length = x.shape
        x = x.reshape(batch, channels // self.factor, self.factor, length)
        return x.transpose(2, 3).reshape(batch, channels // self.factor, length * self.factor)


def autoencoder(*up: nn.Module) -> Callable[[], nn.Module]:
    """Encoder to a quarter of the length, and some layers that lead back to it."""
    return lambda: nn.Sequential(
        nn.Conv1d(1, 8, 5, 2, 2), nn.ReLU(), nn.Conv1d(8, WIDTH, 5, 2, 2), nn.ReLU(), *copy.deepcopy(up)
    )


# -- Keras twins that are more than a sequence


def keras_residual(keras: Any) -> Any:
    k = keras.layers
    given, x = keras_stem(keras)
    y = k.BatchNormalization()(k.Conv1D(2 * WIDTH, 5, strides=2, padding="same")(x))
    y = k.ReLU()(k.Add()([y, k.Conv1D(2 * WIDTH, 1, strides=2)(x)]))
    return keras_head(keras, given, y)


def keras_inception(keras: Any) -> Any:
    k = keras.layers
    given, x = keras_stem(keras)
    branches = [k.Conv1D(8, size, padding="same")(x) for size in (3, 9, 19)]
    pooled = k.Conv1D(8, 1)(k.MaxPooling1D(3, strides=1, padding="same")(x))
    return keras_head(keras, given, k.ReLU()(k.BatchNormalization()(k.Concatenate()([*branches, pooled]))))


def keras_dense_block(keras: Any) -> Any:
    k = keras.layers
    given, x = keras_stem(keras)
    for _ in range(3):
        y = k.Conv1D(8, 3, padding="same")(k.ReLU()(k.BatchNormalization()(x)))
        x = k.Concatenate()([x, y])
    return keras_head(keras, given, x)


def keras_squeeze(gate: str) -> Callable[[Any], Any]:
    def build(keras: Any) -> Any:
        k = keras.layers
        given, x = keras_stem(keras)
        y = k.Dense(4, activation="relu")(k.GlobalAveragePooling1D(keepdims=True)(x))
        return keras_head(keras, given, k.Multiply()([x, k.Dense(WIDTH, activation=gate)(y)]))

    return build


def keras_tcn(keras: Any) -> Any:
    k = keras.layers
    given, x = keras_stem(keras)
    for dilation in (1, 2, 4):
        y = k.Conv1D(WIDTH, 3, padding="causal", dilation_rate=dilation, activation="relu")(x)
        x = k.ReLU()(k.Add()([x, y]))
    return keras_head(keras, given, x)


def keras_gated(keras: Any) -> Any:
    k = keras.layers
    given, x = keras_stem(keras)
    one = k.Conv1D(WIDTH, 3, padding="same", dilation_rate=2, activation="tanh")(x)
    other = k.Conv1D(WIDTH, 3, padding="same", dilation_rate=2, activation="sigmoid")(x)
    return keras_head(keras, given, k.Add()([x, k.Multiply()([one, other])]))


def keras_recurrent(layer: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def build(keras: Any) -> Any:
        k = keras.layers
        given = keras.Input((LENGTH, 1))
        x = k.Conv1D(WIDTH, 7, strides=4, padding="same", activation="relu")(given)
        return keras.Model(given, k.Dense(CLASSES)(layer(k)(x)))

    return build


def keras_raw_lstm(keras: Any) -> Any:
    k = keras.layers
    given = keras.Input((LENGTH, 1))
    return keras.Model(given, k.Dense(CLASSES)(k.LSTM(12)(k.Reshape((14, 10))(given))))


def keras_transformer(activation: str) -> Callable[[Any], Any]:
    def build(keras: Any) -> Any:
        k = keras.layers
        given = keras.Input((LENGTH, 1))
        x = k.Conv1D(WIDTH, 10, strides=10)(given)
        x = k.LayerNormalization(epsilon=1e-5)(k.Add()([x, k.MultiHeadAttention(2, WIDTH // 2)(x, x)]))
        y = k.Dense(WIDTH)(k.Dense(32, activation=activation)(x))
        return keras_head(keras, given, k.LayerNormalization(epsilon=1e-5)(k.Add()([x, y])))

    return build


def keras_attention_pool(keras: Any) -> Any:
    k = keras.layers
    given, x = keras_stem(keras)
    weights = k.Softmax(axis=1)(k.Conv1D(1, 1)(x))
    return keras.Model(given, k.Dense(CLASSES)(k.Flatten()(k.Dot(axes=1)([weights, x]))))


def keras_mean_max(keras: Any) -> Any:
    k = keras.layers
    given, x = keras_stem(keras)
    both = k.Concatenate()([k.GlobalAveragePooling1D()(x), k.GlobalMaxPooling1D()(x)])
    return keras.Model(given, k.Dense(CLASSES)(both))


def keras_flat(keras: Any) -> Any:
    k = keras.layers
    given = keras.Input((LENGTH, 1))
    hidden = k.Dense(32, activation="relu")(k.Dropout(0.2)(k.Flatten()(given)))
    return keras.Model(given, k.Dense(CLASSES)(hidden))


def keras_flat_convs(keras: Any) -> Any:
    k = keras.layers
    given, x = keras_stem(keras)
    return keras.Model(given, k.Dense(CLASSES)(k.Flatten()(k.MaxPooling1D(2)(x))))


def keras_softmax(keras: Any) -> Any:
    k = keras.layers
    given, x = keras_stem(keras)
    return keras.Model(given, k.Dense(CLASSES, activation="softmax")(k.GlobalAveragePooling1D()(x)))


def keras_log_softmax(keras: Any) -> Any:
    k = keras.layers
    given, x = keras_stem(keras)
    return keras.Model(given, k.Activation("log_softmax")(k.Dense(CLASSES)(k.GlobalAveragePooling1D()(x))))


def keras_unet(*up: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def build(keras: Any) -> Any:
        k = keras.layers
        given = keras.Input((LENGTH, 1))
        skip = k.Conv1D(8, 5, padding="same", activation="relu")(given)
        x = k.Conv1D(WIDTH, 5, strides=2, padding="same", activation="relu")(skip)
        for layer in up:
            x = layer(k)(x)
        return keras.Model(given, k.Conv1D(1, 5, padding="same")(k.Concatenate()([skip, x])))

    return build


def keras_autoencoder(*up: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def build(keras: Any) -> Any:
        k = keras.layers
        given = keras.Input((LENGTH, 1))
        x = k.Conv1D(8, 5, strides=2, padding="same", activation="relu")(given)
        x = k.Conv1D(WIDTH, 5, strides=2, padding="same", activation="relu")(x)
        for layer in up:
            x = layer(k)(x)
        return keras.Model(given, x)

    return build


def keras_flat_autoencoder(keras: Any) -> Any:
    k = keras.layers
    given = keras.Input((LENGTH, 1))
    hidden = k.Dense(12, activation="tanh")(k.Flatten()(given))
    return keras.Model(given, k.Reshape((LENGTH, 1))(k.Dense(LENGTH)(hidden)))


def keras_planes(keras: Any) -> Any:
    k = keras.layers
    given = keras.Input((LENGTH, 1))
    x = k.Conv2D(WIDTH, (1, 7), strides=(1, 2), padding="same", activation="relu")(k.Reshape((1, LENGTH, 1))(given))
    x = k.Conv2D(WIDTH, (1, 5), activation="relu")(k.MaxPooling2D((1, 2))(x))
    return keras.Model(given, k.Dense(CLASSES)(k.GlobalAveragePooling2D()(x)))


# -- the list


def conv(**options: Any) -> nn.Module:
    return nn.Conv1d(WIDTH, WIDTH, options.pop("size", 5), **options)


def weight_normed() -> nn.Module:
    from torch.nn.utils.parametrizations import weight_norm

    layers = weight_norm(conv(padding=2)), nn.ReLU(), weight_norm(conv(padding=2)), nn.ReLU()
    return nn.Sequential(*stem(), *layers, *head())


def pooled(*layers: nn.Module, values: int) -> Callable[[], nn.Module]:
    """A classifier whose layers end in so many values a beat."""
    return lambda: nn.Sequential(*stem(), *copy.deepcopy(layers), nn.Flatten(), nn.Linear(values, CLASSES))


NAMED = [
    # activations
    Entry("relu", activated(nn.ReLU()), keras_activation("relu")),
    Entry("relu6", activated(nn.ReLU6()), keras_activation("relu6")),
    Entry("gelu", activated(nn.GELU()), keras_activation("gelu")),
    Entry("gelu-tanh", activated(nn.GELU(approximate="tanh"))),
    Entry("silu", activated(nn.SiLU()), keras_activation("silu")),
    Entry("mish", activated(nn.Mish()), keras_activation("mish")),
    Entry("prelu-one", activated(nn.PReLU())),
    Entry("prelu", activated(nn.PReLU(WIDTH)), keras_activated(lambda k: k.PReLU(shared_axes=[1]))),
    Entry("leaky-relu", activated(nn.LeakyReLU(0.1)), keras_activated(lambda k: k.LeakyReLU(negative_slope=0.1))),
    Entry("elu", activated(nn.ELU()), keras_activation("elu")),
    Entry("selu", activated(nn.SELU()), keras_activation("selu")),
    Entry("softplus", activated(nn.Softplus()), keras_activation("softplus")),
    Entry("hard-swish", activated(nn.Hardswish()), keras_activation("hard_silu")),
    Entry("hard-sigmoid", activated(nn.Hardsigmoid()), keras_activation("hard_sigmoid")),
    Entry("glu", between(nn.Conv1d(WIDTH, 2 * WIDTH, 3), nn.GLU(dim=1))),
    Entry("gated", between(Gated(WIDTH), Gated(WIDTH)), keras_gated),
    # norms
    Entry("group-norm", between(conv(), nn.GroupNorm(4, WIDTH), nn.ReLU()), keras_between(
        lambda k: k.Conv1D(WIDTH, 5), lambda k: k.GroupNormalization(4), lambda k: k.ReLU())),
    Entry("layer-norm", between(conv(), ChannelsLast(nn.LayerNorm(WIDTH)), nn.ReLU()), keras_between(
        lambda k: k.Conv1D(WIDTH, 5), lambda k: k.LayerNormalization(), lambda k: k.ReLU())),
    Entry("layer-norm-beat", between(conv(padding=2), nn.LayerNorm([WIDTH, 70]), nn.ReLU()), keras_between(
        lambda k: k.Conv1D(WIDTH, 5), lambda k: k.LayerNormalization(axis=[1, 2]), lambda k: k.ReLU())),
    Entry("instance-norm", between(conv(), nn.InstanceNorm1d(WIDTH, affine=True), nn.ReLU()), keras_between(
        lambda k: k.Conv1D(WIDTH, 5), lambda k: k.GroupNormalization(WIDTH), lambda k: k.ReLU())),
    Entry("rms-norm", between(conv(), RmsNorm(WIDTH), nn.ReLU()), keras_between(
        lambda k: k.Conv1D(WIDTH, 5), lambda k: k.RMSNormalization(), lambda k: k.ReLU())),
    Entry("batch-norm-first", lambda: nn.Sequential(nn.BatchNorm1d(1, affine=False), *stem(), conv(bias=False),
          nn.ReLU(), nn.BatchNorm1d(WIDTH), *head())),
    Entry("weight-norm", weight_normed),
    # convolutions
    Entry("depthwise", between(conv(groups=WIDTH, padding=2), nn.ReLU(), nn.Conv1d(WIDTH, WIDTH, 1), nn.ReLU()),
          keras_between(lambda k: k.DepthwiseConv1D(5, padding="same", activation="relu"),
                        lambda k: k.SeparableConv1D(WIDTH, 5, activation="relu"))),
    Entry("grouped", between(conv(groups=4), nn.ReLU(), Shuffle(4), conv(groups=4), nn.ReLU()), keras_between(
        lambda k: k.Conv1D(WIDTH, 5, groups=4, activation="relu"),
        lambda k: k.Conv1D(WIDTH, 5, groups=4, activation="relu"))),
    Entry("dilated", between(conv(dilation=2), nn.ReLU(), conv(dilation=4, padding=8), nn.ReLU()), keras_between(
        lambda k: k.Conv1D(WIDTH, 5, dilation_rate=2, activation="relu"),
        lambda k: k.Conv1D(WIDTH, 5, dilation_rate=4, padding="same", activation="relu"))),
    Entry("chomp", between(Chomped(WIDTH, 1), Chomped(WIDTH, 2), Chomped(WIDTH, 4)), keras_tcn),
    Entry("planes", Planes, keras_planes),
    Entry("transposed-classifier", between(conv(stride=2), nn.ReLU(), nn.ConvTranspose1d(WIDTH, WIDTH, 4, 2, 1),
          nn.ReLU()), keras_between(lambda k: k.Conv1D(WIDTH, 5, strides=2, activation="relu"),
                                    lambda k: k.Conv1DTranspose(WIDTH, 4, strides=2, activation="relu"))),
    # padding
    Entry("reflect-pad", between(conv(padding=2, padding_mode="reflect"), nn.ReLU())),
    Entry("replicate-pad", between(conv(padding=2, padding_mode="replicate"), nn.ReLU())),
    Entry("circular-pad", between(conv(padding=2, padding_mode="circular"), nn.ReLU())),
    Entry("constant-pad", between(nn.ConstantPad1d((3, 1), 0.5), conv(), nn.ReLU()), keras_between(
        lambda k: k.ZeroPadding1D((3, 1)), lambda k: k.Conv1D(WIDTH, 5, activation="relu"),
        lambda k: k.Cropping1D((1, 2)))),
    # pools
    Entry("max-pool-ceil", between(conv(), nn.MaxPool1d(3, 2, ceil_mode=True), conv(), nn.ReLU()), keras_between(
        lambda k: k.Conv1D(WIDTH, 5), lambda k: k.MaxPooling1D(3, strides=2, padding="same"), lambda k: k.ReLU())),
    Entry("avg-pool-pad", between(conv(), nn.ReLU(), nn.AvgPool1d(3, 2, padding=1)), keras_between(
        lambda k: k.Conv1D(WIDTH, 5, activation="relu"),
        lambda k: k.AveragePooling1D(3, strides=2, padding="same"))),
    Entry("avg-pool-ceil", between(conv(), nn.ReLU(), nn.AvgPool1d(3, 2, 1, ceil_mode=True, count_include_pad=False))),
    Entry("adaptive-avg", pooled(nn.AdaptiveAvgPool1d(7), values=7 * WIDTH)),
    Entry("adaptive-avg-uneven", pooled(nn.AdaptiveAvgPool1d(4), values=4 * WIDTH)),
    Entry("adaptive-max", pooled(nn.AdaptiveMaxPool1d(5), values=5 * WIDTH)),
    Entry("mean-max", pooled(Branches(nn.AdaptiveAvgPool1d(1), nn.AdaptiveMaxPool1d(1)), values=2 * WIDTH),
          keras_mean_max),
    Entry("statistics", pooled(Statistics(), values=3 * WIDTH)),
    Entry("windows", pooled(Windows(), values=3 * WIDTH)),
    Entry("attention-pool", pooled(AttentionPool(WIDTH), values=WIDTH), keras_attention_pool),
    # blocks
    Entry("residual", between(Residual(conv(padding=2), nn.BatchNorm1d(WIDTH), nn.ReLU(), conv(padding=2))),
          keras_residual),
    Entry("residual-strided", between(
        Residual(nn.Conv1d(WIDTH, 32, 5, 2, 2), nn.BatchNorm1d(32), skip=nn.Conv1d(WIDTH, 32, 1, 2)), channels=32),
        keras_residual),
    Entry("inception", between(Branches(*(nn.Conv1d(WIDTH, 8, size, padding=size // 2) for size in (3, 9, 19)),
          nn.Sequential(nn.MaxPool1d(3, 1, 1), nn.Conv1d(WIDTH, 8, 1))), nn.BatchNorm1d(32), nn.ReLU(), channels=32),
          keras_inception),
    Entry("dense-block", between(Dense(WIDTH, 8, 3), channels=WIDTH + 24), keras_dense_block),
    Entry("squeeze", between(conv(), nn.ReLU(), SqueezeExcite(WIDTH, nn.Sigmoid())), keras_squeeze("sigmoid")),
    Entry("squeeze-hard", between(conv(), nn.Hardswish(), SqueezeExcite(WIDTH, nn.Hardsigmoid())),
          keras_squeeze("hard_sigmoid")),
    Entry("squeeze-dense", between(conv(), nn.ReLU(), SqueezeExciteDense(WIDTH))),
    # recurrent
    Entry("lstm", lambda: Recurrent(nn.LSTM), keras_recurrent(lambda k: k.LSTM(12))),
    Entry("lstm-raw", RawLstm, keras_raw_lstm),
    Entry("lstm-two-ways", lambda: Recurrent(nn.LSTM, bidirectional=True, num_layers=2),
          keras_recurrent(lambda k: k.Bidirectional(k.LSTM(12)))),
    Entry("gru", lambda: Recurrent(nn.GRU), keras_recurrent(lambda k: k.GRU(12))),
    Entry("gru-two-ways", lambda: Recurrent(nn.GRU, bidirectional=True),
          keras_recurrent(lambda k: k.Bidirectional(k.GRU(12)))),
    Entry("rnn", lambda: Recurrent(nn.RNN), keras_recurrent(lambda k: k.SimpleRNN(12))),
    # attention and dense layers
    Entry("transformer", Transformer, keras_transformer("relu")),
    Entry("transformer-gelu", lambda: Transformer("gelu", norm_first=True), keras_transformer("gelu")),
    Entry("class-token", ClassToken),
    Entry("einsum", EinsumAttention),
    Entry("mixer", Mixer),
    Entry("flat", lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(LENGTH, 32), nn.ReLU(),
          nn.Linear(32, CLASSES)), keras_flat),
    Entry("flat-convs", pooled(nn.MaxPool1d(2), values=35 * WIDTH), keras_flat_convs),
    # ends
    Entry("softmax", lambda: nn.Sequential(*stem(), *head(), nn.Softmax(dim=1)), keras_softmax, "probabilities"),
    Entry("log-softmax", lambda: nn.Sequential(*stem(), *head(), nn.LogSoftmax(dim=1)), keras_log_softmax),
    # autoencoders
    Entry("unet-nearest", lambda: Unet(nn.Upsample(scale_factor=2)), keras_unet(lambda k: k.UpSampling1D(2)), "beats"),
    Entry("unet-linear", lambda: Unet(nn.Upsample(scale_factor=2, mode="linear")), None, "beats"),
    Entry("unet-transposed", lambda: Unet(nn.ConvTranspose1d(WIDTH, WIDTH, 2, 2)),
          keras_unet(lambda k: k.Conv1DTranspose(WIDTH, 2, strides=2)), "beats"),
    Entry("upsample-aligned", autoencoder(nn.Upsample(size=LENGTH, mode="linear", align_corners=True),
          nn.Conv1d(WIDTH, 1, 5, padding=2)), None, "beats"),
    Entry("transposed", autoencoder(nn.ConvTranspose1d(WIDTH, 8, 3, 2, 1, output_padding=1), nn.ReLU(),
          nn.ConvTranspose1d(8, 1, 3, 2, 1, output_padding=1)), keras_autoencoder(
        lambda k: k.Conv1DTranspose(8, 3, strides=2, padding="same", activation="relu"),
        lambda k: k.Conv1DTranspose(1, 3, strides=2, padding="same")), "beats"),
    Entry("pixel-shuffle", autoencoder(nn.Conv1d(WIDTH, 4, 3, padding=1), Shuffled(4)), None, "beats"),
    Entry("flat-autoencoder", lambda: nn.Sequential(nn.Flatten(), nn.Linear(LENGTH, 12), nn.Tanh(),
          nn.Linear(12, LENGTH), nn.Unflatten(1, (1, LENGTH))), keras_flat_autoencoder, "beats"),
]  # fmt: skip

ZOO = {entry.name: entry for entry in NAMED}


# -- weights with a meaning


def teach(entry: Entry, x: np.ndarray, y: np.ndarray, steps: int = 60, seed: int = 0) -> nn.Module:
    """Make a torch network and train it for some steps.

    Args:
        x: beats, (N, 1, 140) float32.
        y: their classes, (N,).

    Returns:
        The network in evaluation mode.
    """
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    network = entry.torch().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(steps):
        chosen = draw.choice(len(x), 64)
        given, wanted = torch.from_numpy(x[chosen]), torch.from_numpy(y[chosen])
        found = network(given)
        if entry.gives == "beats":
            loss = F.mse_loss(found, given)
        elif entry.gives == "probabilities":
            loss = F.nll_loss(torch.log(found + 1e-7), wanted)
        else:
            loss = F.cross_entropy(found, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return plain_weights(network).eval()


def rebuild(entry: Entry, weights: Any) -> nn.Module:
    """The network that ``teach`` gave, from its ``state_dict``."""
    network = plain_weights(entry.torch())
    network.load_state_dict(weights)
    return network.eval()


def plain_weights(network: nn.Module) -> nn.Module:
    """Weight norm folded into weights, in place, as both exporters want it."""
    for module in network.modules():
        if nn.utils.parametrize.is_parametrized(module):
            nn.utils.parametrize.remove_parametrizations(module, "weight")
    return network


def export(network: nn.Module, file: Path, dynamo: bool, free: bool) -> None:
    """Write a network as ONNX, by one of torch's two exporters.

    Args:
        dynamo: by the newer one, with its own opset; else through TorchScript, with opset 17.
        free: leave the batch size open.
    """
    given = (torch.zeros(2 if free else 1, 1, LENGTH),)
    names: dict[str, Any] = {"input_names": ["input"], "output_names": ["output"]}
    if dynamo:
        shapes = ({0: torch.export.Dim("batch")},) if free else None
        names |= {"dynamic_shapes": shapes, "external_data": False, "verbose": False}
    else:
        names |= {
            "opset_version": 17,
            "dynamic_axes": {"input": {0: "batch"}, "output": {0: "batch"}} if free else None,
        }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, given, str(file), dynamo=dynamo, **names)


def teach_keras(entry: Entry, x: np.ndarray, y: np.ndarray, steps: int = 60, seed: int = 0) -> Any:
    """As ``teach``, for the Keras twin."""
    import keras

    assert entry.keras is not None
    keras.utils.set_random_seed(seed)
    network = entry.keras(keras)
    beats = x.transpose(0, 2, 1)
    losses = {
        "beats": "mse",
        "probabilities": keras.losses.SparseCategoricalCrossentropy(),
        "scores": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    }
    network.compile(keras.optimizers.Adam(5e-3), losses[entry.gives])
    chosen = np.random.default_rng(seed).choice(len(x), 64 * steps)
    network.fit(beats[chosen], beats[chosen] if entry.gives == "beats" else y[chosen], batch_size=64, verbose=0)
    return network
