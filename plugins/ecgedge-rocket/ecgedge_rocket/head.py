"""Regressions in closed form, and which features they can do without."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SHRINK = 0.75  # of the features are kept in a round


@dataclass(frozen=True)
class Regression:
    """Scores ``(N, C)`` of features ``(N, F)``.

    Attributes:
        weights: ``(F, C)``.
        bias: ``(C,)``.
    """

    weights: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        return features @ self.weights + self.bias


def ridge(x: Tensor, y: Tensor, importance: Tensor, penalty: float) -> Regression:
    """The ridge regression of ``y`` ``(N, C)`` on ``x`` ``(N, F)``, each row of its importance ``(N,)``.

    Args:
        penalty: on the squares of the weights, for each feature; the rows' importance has a mean of 1.
    """
    share = (importance / importance.sum())[:, None]
    x_mean, y_mean = (share * x).sum(dim=0), (share * y).sum(dim=0)
    root = (share * len(x)).sqrt()
    rows = root * (x - x_mean)
    answers = root * (y - y_mean)
    if len(x) < x.shape[1]:  # the dual form: the same solution, of a system as large as there are rows
        found = rows.T @ solved(rows @ rows.T, answers, penalty * x.shape[1])
    else:
        found = solved(rows.T @ rows, rows.T @ answers, penalty * x.shape[1])
    return Regression(found, y_mean - x_mean @ found)


def solved(gram: Tensor, right: Tensor, penalty: float) -> Tensor:
    """The solution of ``(gram + penalty) found = right``, in double precision on the way."""
    ridged = gram.double()
    ridged.diagonal().add_(penalty)
    return torch.cholesky_solve(right.double(), torch.linalg.cholesky(ridged)).to(right.dtype)


def select(x: Tensor, y: Tensor, importance: Tensor, penalty: float, count: int) -> Tensor:
    """The indices, ascending, of ``count`` standardised features: those of the least weights go, a quarter a round.

    Sequential feature detachment (Uribarri et al., arXiv 2309.14518).
    """
    kept = torch.arange(x.shape[1])
    while len(kept) > count:
        weights = ridge(x[:, kept], y, importance, penalty).weights
        best = weights.norm(dim=1).topk(max(count, int(len(kept) * SHRINK))).indices
        kept = kept[best.sort().values]
    return kept
