"""A network is fitted: kernels are drawn, most are left out, and a head learns what all of them knew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from ecgedge_rocket.head import Regression, ridge, select
from ecgedge_rocket.kernels import Kernels, draw_kernels
from ecgedge_rocket.network import RocketNetwork
from ecgedge_rocket.views import views_of
from torch import Tensor

from ecgedge import TrainingSet

RAMPS = (0.1, 3.0)  # widths, in standard deviations of a kernel's outputs
TEMPERATURE = 0.17  # scores are divided by it: their softmax is a probability
IMITATE = 0.02  # penalty of the head that imitates


def fit(
    data: TrainingSet, options: Mapping[str, Any], seed: int
) -> tuple[list[int], Callable[[RocketNetwork], None]]:
    """How many kernels of each dilation are kept, and what puts all weights into a network of these."""
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
    return assemble(drawn, kept, unscaled(small, mean[kept], deviation[kept]))


def unscaled(head: Regression, mean: Tensor, deviation: Tensor) -> Regression:
    """A head for features as they are, of one for standardised ones; its scores are logits."""
    weights = head.weights / deviation[:, None]
    return Regression(weights / TEMPERATURE, (head.bias - mean @ weights) / TEMPERATURE)


def assemble(
    drawn: list[Kernels], kept: Tensor, head: Regression
) -> tuple[list[int], Callable[[RocketNetwork], None]]:
    """See ``fit``.

    Args:
        kept: indices, ascending, into all kernels in the order of the groups.
    """
    starts = np.cumsum([0] + [len(group.biases) for group in drawn])
    groups = [
        group.take(kept[(kept >= start) & (kept < end)] - start)
        for group, start, end in zip(drawn, starts[:-1], starts[1:], strict=True)
    ]

    def put_in(network: RocketNetwork) -> None:
        used = [group for group in groups if len(group.biases)]
        with torch.no_grad():
            for conv, group in zip(network.groups, used, strict=True):
                conv.weight.copy_(group.folded)
                conv.bias.copy_(group.biases)
            network.head.weight.copy_(head.weights.T)
            network.head.bias.copy_(head.bias)

    return [len(group.biases) for group in groups], put_in
