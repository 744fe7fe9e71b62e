"""A network is fitted: kernels are drawn, most are left out, and a head learns what all of them knew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ecgedge_rocket.head import Regression, ridge, select
from ecgedge_rocket.kernels import draw_kernels
from ecgedge_rocket.network import RocketNetwork
from ecgedge_rocket.views import views_of
from torch import Tensor

from ecgedge import TrainingSet

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


def fit(data: TrainingSet, options: Mapping[str, Any], seed: int) -> Weights:
    """Draw ``candidates`` kernels, fit a regression to the classes, keep ``features`` of them, fit those to the answers
    of the first regression."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    beats = torch.from_numpy(data.x)
    views = views_of(beats, options["views"], generator)
    y = torch.from_numpy(data.y).repeat(options["views"])
    drawn = draw_kernels(beats, max(options["candidates"], options["features"]), RAMPS, rng)
    features = torch.cat([kernels.features(views) for kernels in drawn], dim=1)
    mean, deviation = features.mean(dim=0), features.std(dim=0).clamp(min=1e-3)
    normal = (features - mean) / deviation
    targets = torch.nn.functional.one_hot(y, data.classes).float()
    importance = torch.bincount(y)[y].float() ** -options["balance"]
    whole = ridge(normal, targets, importance, options["penalty"])
    kept = select(normal, targets, importance, options["penalty"], options["features"])
    small = ridge(normal[:, kept], whole(normal), importance, IMITATE)
    return Weights(
        kernels=torch.cat([kernels.spread(data.length) for kernels in drawn])[kept],
        biases=torch.cat([kernels.biases for kernels in drawn])[kept],
        head=unscaled(small, mean[kept], deviation[kept]),
    )


def unscaled(head: Regression, mean: Tensor, deviation: Tensor) -> Regression:
    """A head for features as they are, of one for standardised ones; its scores are logits."""
    weights = head.weights / deviation[:, None]
    return Regression(weights / TEMPERATURE, (head.bias - mean @ weights) / TEMPERATURE)
