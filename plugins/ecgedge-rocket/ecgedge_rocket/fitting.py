"""A network is fitted: kernels are drawn, most are left out, and a head learns what all of them knew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecgedge import TrainingSet
from ecgedge_rocket.head import Regression, ridge, select
from ecgedge_rocket.kernels import GRID, draw_kernels
from ecgedge_rocket.network import RocketNetwork
from ecgedge_rocket.views import views_of

RAMPS = (0.1, 3.0)  # widths, in standard deviations of a kernel's outputs
TEMPERATURE = 0.17  # scores are divided by it: their softmax is a probability
IMITATE = 0.02  # penalty of the head that imitates


@dataclass(frozen=True)
class Weights:
    """What is put into a network.

    Attributes:
        kernels: of the convolution, ``(F, T * leads, 1)``.
        biases: its, ``(F,)``.
        head: for features as they are; its scores are logits.
    """

    kernels: Tensor
    biases: Tensor
    head: Regression

    def put_into(self, network: RocketNetwork) -> None:
        """Set the weights of a network for as many features."""
        with torch.no_grad():
            network.kernels.weight.copy_(self.kernels)
            network.kernels.bias.copy_(self.biases)
            network.head.weight.copy_(self.head.weights.T)
            network.head.bias.copy_(self.head.bias)


@dataclass(frozen=True)
class Candidates:
    """All kernels that were drawn, and a regression on the features of all: what is pruned.

    Attributes:
        kernels: of the convolution, ``(K, T * leads, 1)`` of K kernels.
        biases: its, ``(K,)``.
        features: of the views of all beats, standardised, ``(V, K)``.
        mean, deviation: of the features as they were, ``(K,)``.
        targets: the classes of the views, one-hot, ``(V, C)``.
        importance: of each view, ``(V,)``.
        penalty: of the regressions on the classes.
    """

    kernels: Tensor
    biases: Tensor
    features: Tensor
    mean: Tensor
    deviation: Tensor
    targets: Tensor
    importance: Tensor
    penalty: float

    def prune(self, counts: Sequence[int]) -> dict[int, Weights]:
        """The weights of a network of each of these numbers of features, the smaller ones chosen among the larger.

        The head of each imitates the regression on all features (distillation in closed form).
        """
        answers = ridge(self.features, self.targets, self.importance, self.penalty)(self.features)
        kept, found = torch.arange(len(self.biases)), {}
        for count in sorted(counts, reverse=True):
            kept = kept[select(self.features[:, kept], self.targets, self.importance, self.penalty, count)]
            head = ridge(self.features[:, kept], answers, self.importance, IMITATE)
            head = on_grid(unscaled(head, self.mean[kept], self.deviation[kept]), self.mean[kept])
            found[count] = Weights(self.kernels[kept], self.biases[kept], head)
        return found


def draw(data: TrainingSet, options: Mapping[str, Any], seed: int) -> Candidates:
    """Draw kernels, and compute their features of the beats and of changed copies of them."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    beats = torch.from_numpy(data.x)
    views = views_of(beats, options["views"], generator)
    y = torch.from_numpy(data.y).repeat(options["views"])
    count = max(options["candidates"], options["features"])
    groups = draw_kernels(beats, count, RAMPS, rng, options["kernels"])
    features = torch.cat([kernels.features(views) for kernels in groups], dim=1)
    mean, deviation = features.mean(dim=0), features.std(dim=0).clamp(min=1e-3)
    return Candidates(
        kernels=torch.cat([kernels.spread(data.length) for kernels in groups]),
        biases=torch.cat([kernels.biases for kernels in groups]),
        features=(features - mean) / deviation,
        mean=mean,
        deviation=deviation,
        targets=torch.nn.functional.one_hot(y, data.classes).float(),
        importance=torch.bincount(y)[y].float() ** -options["balance"],
        penalty=options["penalty"],
    )


def unscaled(head: Regression, mean: Tensor, deviation: Tensor) -> Regression:
    """A head for features as they are, of one for standardised ones; its scores are logits."""
    weights = head.weights / deviation[:, None]
    return Regression(weights / TEMPERATURE, (head.bias - mean @ weights) / TEMPERATURE)


def on_grid(head: Regression, mean: Tensor) -> Regression:
    """A head that int8 with a scale for each class holds as it is, with the same scores of the mean features ``(F,)``.

    Features that hardly vary have large weights, so the others' are few steps; and no feature is negative, so that what
    rounding takes from the weights would add up to a shift of the scores.
    """
    steps = head.weights.abs().amax(dim=0).clamp(min=1e-12) / GRID
    weights = (head.weights / steps).round() * steps
    return Regression(weights, head.bias + mean @ (head.weights - weights))
