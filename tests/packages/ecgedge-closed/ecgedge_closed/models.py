"""Closed forms in numpy, whose results become the weights of torch networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecgedge import EcgEdgeError, Fitted, Model, Option, TrainingContext, TrainingSet


class Ridge(Model):
    """A ridge regression on the classes, 1 for a beat's own and -1 for the others, of means over a few samples."""

    name = "ridge"
    needs = ("torch", "safetensors")
    options = (
        Option("penalty", float, 1.0, "On the squares of the weights.", least=0),
        Option("pool", int, 1, "Samples that are averaged before anything else.", least=1),
    )

    def build(self, classes: int, length: int, pool: int = 1, **options: Any) -> Any:
        if pool > length:
            raise EcgEdgeError(f"{length} samples cannot be averaged by {pool}", "lower ridge.pool")
        from torch import nn  # heavy

        first = [nn.AvgPool1d(pool)] if pool > 1 else []
        return nn.Sequential(*first, nn.Flatten(), nn.Linear(length // pool, classes))

    def fit(self, data: TrainingSet, context: TrainingContext) -> Fitted:
        import torch  # heavy

        pool, penalty = context.options["pool"], context.options["penalty"]
        network = self.build(data.classes, data.length, pool=pool)
        samples = data.length // pool
        x = data.x[:, 0, : samples * pool].reshape(len(data), samples, pool).mean(axis=2, dtype=np.float64)
        y = 2.0 * np.eye(data.classes)[data.y] - 1
        centred = x - x.mean(axis=0)
        weights = np.linalg.solve(centred.T @ centred + penalty * np.eye(samples), centred.T @ (y - y.mean(axis=0)))
        with torch.no_grad():
            network[-1].weight.copy_(torch.from_numpy(weights.T))
            network[-1].bias.copy_(torch.from_numpy(y.mean(axis=0) - x.mean(axis=0) @ weights))
        return Fitted(network, {"pool": pool})


class Components(Model):
    """Normal beats as their principal components have them; answers are ``(N, length)``, without an axis of leads."""

    name = "components"
    needs = ("torch", "safetensors")
    task = "anomaly"

    def build(self, classes: int, length: int, count: int = 8, **options: Any) -> Any:
        from torch import nn  # heavy

        return nn.Sequential(nn.Flatten(), nn.Linear(length, count), nn.Linear(count, length))

    def fit(self, data: TrainingSet, context: TrainingContext) -> Fitted:
        import torch  # heavy

        network = self.build(data.classes, data.length)
        mean = data.x[:, 0].mean(axis=0, dtype=np.float64)
        axes = np.linalg.svd(data.x[:, 0] - mean, full_matrices=False)[2][: network[1].out_features]
        with torch.no_grad():
            for layer, weight, bias in ((network[1], axes, -axes @ mean), (network[2], axes.T, mean)):
                layer.weight.copy_(torch.from_numpy(weight))
                layer.bias.copy_(torch.from_numpy(bias))
        return Fitted(network, {"count": network[1].out_features})
