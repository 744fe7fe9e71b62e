"""A teacher for classifiers of few beats: ROCKET features and a ridge regression, fitted in seconds.

Networks learn its answers (see ``batches.taught``); it is not part of what is deployed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecgedge.api.training import Recipe
from ecgedge.data.dataset import Split
from ecgedge.training.augment import augment
from ecgedge.training.rocket import Rocket

if TYPE_CHECKING:
    import torch
    from torch import Tensor

KERNELS = 2000
VIEWS = 3000  # changed beats that a teacher is fitted to, at most
RIDGE = 1200.0  # penalty on the weights of standardised features
BALANCE = {"accuracy": 0.0, "balanced": 0.75}  # of the classes in the regression, by the objective; see Recipe.balance


class Teacher:
    """ROCKET and a ridge regression on the classes, one-hot, each beat changed several times.

    Args:
        beats: what it learns from.
        classes: how many there are.
        strength: of the changes, see ``augment``.
        objective: see ``Recipe.objective``.
        seed: of its kernels. Changes are drawn from torch's generator.
        device: of torch, on which it computes and answers.
    """

    def __init__(
        self,
        beats: Split,
        classes: int,
        strength: float,
        seed: int,
        device: str | torch.device = "cpu",
        objective: str = Recipe.objective,
    ):
        import torch

        x, y = torch.from_numpy(beats.x), torch.from_numpy(beats.y)
        if len(x) > VIEWS:
            some = torch.randperm(len(x))[:VIEWS]
            x, y = x[some], y[some]
        views = max(VIEWS // len(x), 1)
        x = x.to(device)
        self.rocket = Rocket(KERNELS, x.shape[2], seed, device, x.shape[1])
        features = self.rocket(torch.cat([x, *(augment(x, strength) for _ in range(views - 1))]))
        y = y.repeat(views)
        self.mean, self.deviation = features.mean(dim=0), features.std(dim=0) + 1e-8
        targets = torch.nn.functional.one_hot(y, classes).float()
        importance = torch.bincount(y)[y].float() ** -BALANCE[objective]
        normal = (features - self.mean) / self.deviation
        self.weights, self.bias = ridge(normal, targets.to(device), importance.to(device), RIDGE)

    def __call__(self, beats: Tensor) -> Tensor:
        """Scores ``(N, classes)`` of beats ``(N, C, L)``: near 1 for a class that is sure, near 0 for others."""
        return ((self.rocket(beats) - self.mean) / self.deviation) @ self.weights + self.bias


def ridge(x: Tensor, y: Tensor, importance: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weights ``(F, C)`` and bias ``(C,)`` of the regression of ``y`` ``(N, C)`` on ``x`` ``(N, F)``, each row
    of its importance ``(N,)``. Solved in the space of the rows: there are more features than these."""
    import torch

    share = (importance / importance.sum())[:, None]
    x_mean, y_mean = (share * x).sum(dim=0), (share * y).sum(dim=0)
    root = (share * len(x)).sqrt()
    rows = root * (x - x_mean)
    gram = rows @ rows.T
    gram.diagonal().add_(penalty)
    weights = rows.T @ torch.linalg.solve(gram, root * (y - y_mean))
    return weights, y_mean - x_mean @ weights
