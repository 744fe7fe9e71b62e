"""What a ROCKET for few beats should be made of, by cross-validation on the 500 training beats of ECG5000 alone.

    pip install ./plugins/ecgedge-rocket
    ECGEDGE_DATA=data/ECG5000 python benchmarks/rocket_choice.py --deals 3

The test beats are not read. Sets of features (ramps of random kernels, their maxima, MiniROCKET's kernels, first
differences, Hydra's counts, unions of these), beats as they are or with changed copies, classes weighted by N^-0.5 or
not: each with a ridge regression at the best of some penalties, and where there are no copies at the one that
leave-one-out prefers. Then pruning to fewer features and other heads on these: linear discriminants and multinomial
logistic regression. Accuracy, macro-F1 and NLL, the latter at the best of some temperatures, and the difference of the
NLL to the first row, paired by beats, with its bootstrap interval.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import torch
from ecgedge_rocket.fitting import IMITATE, RAMPS
from ecgedge_rocket.head import ridge, select
from ecgedge_rocket.kernels import SHAPES, Kernels, draw_kernels
from ecgedge_rocket.network import REACH, SIZE, STRIDE, TOP, dilations_for
from ecgedge_rocket.views import views_of
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from ecgedge.data import finding
from ecgedge.training.crossval import deal

PARTS = ("features", "kernels", "sizes", "heads")
FOLDS, CLASSES, VIEWS = 5, 5, 3
PENALTIES = (0.05, 0.2, 0.8)  # for each feature and as many views of each beat
PRUNED = 3  # of the first sets fewer features are kept
SIZES = (2040, 1024, 512, 256)
TEMPERATURES = (0.08, 0.1, 0.12, 0.14, 0.17, 0.2, 0.24, 0.3, 0.5, 1.0)
Head = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], np.ndarray]
Scores = np.ndarray  # (D, N, C): of D deals, each beat by a head that was fitted without it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deals", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="Of the kernels and the copies.")
    parser.add_argument("--part", choices=PARTS, action="append")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data = finding.load("ecg5000")[0]
    x, y = torch.from_numpy(data.train.x), data.train.y
    table = Table(y)
    views = views_of(x, VIEWS, torch.Generator().manual_seed(asked.seed))
    parts = asked.part or PARTS
    if "features" in parts:
        for name, features in sets(x, views, asked.seed):
            for copies in (VIEWS, 1):
                rows = standard(features[: copies * len(x)])
                for balance in (0.5, 0.0):
                    scores = cross_validated(rows, y, balance, asked.deals)
                    for penalty, found in scores.items():
                        table.row(f"{name} ({features.shape[1]}), {copies} views, N^-{balance}, {penalty}", found)
    if "kernels" in parts:  # as the beats are, several sets of kernels: the scores of a beat are those of all sets
        for shape in SHAPES:
            for balance in (0.5, 0.0):
                each = [
                    cross_validated(standard(random_features(x, x, 2100, seed, shape)[0]), y, balance, 1, False)
                    for seed in range(5)
                ]
                for penalty in each[0]:
                    scores = np.concatenate([found[penalty] for found in each])
                    table.row(f"{shape} kernels, five sets, N^-{balance}, {penalty}", scores)
    if "sizes" in parts:  # MiniROCKET's kernels, pruned; another deal with each set
        for copies in (VIEWS, 1):
            for balance in (0.5, 0.0):
                each = [
                    dict(pruned(standard(rows), y, balance, [seed], {"imitating ridge": imitating}))
                    for seed in range(3)
                    for rows, _ in [random_features(x, views[: copies * len(x)], 2100, seed, "mini")]
                ]
                for name in each[0]:
                    scores = np.concatenate([found[name] for found in each])
                    table.row(f"MiniROCKET's, three sets, {name}, {copies} views, N^-{balance}", scores)
    if "heads" in parts:
        for name, features in islice(sets(x, views, asked.seed), PRUNED):
            for copies in (VIEWS, 1):
                for balance in (0.5, 0.0):
                    rows = standard(features[: copies * len(x)])
                    for head, found in pruned(rows, y, balance, range(asked.deals), HEADS):
                        table.row(f"{name}, {head}, {copies} views, N^-{balance}", found)


class Table:
    """Rows as they come, each against the first."""

    def __init__(self, y: np.ndarray):
        self.y = y
        self.first: np.ndarray | None = None

    def row(self, name: str, scores: Scores) -> None:
        """Print one; ``scores`` are divided by the best temperature before they are probabilities."""
        accuracy = np.mean([(each.argmax(axis=1) == self.y).mean() for each in scores])
        f1 = np.mean([macro_f1(each.argmax(axis=1), self.y) for each in scores])
        losses = min((nll(scores, self.y, each) for each in TEMPERATURES), key=np.mean)
        self.first = losses if self.first is None else self.first
        change = losses - self.first
        draws = np.random.default_rng(0).integers(len(change), size=(1000, len(change)))
        low, high = np.percentile(change[draws].mean(axis=1), [2.5, 97.5])
        print(
            f"{name}: {accuracy:.4f} {f1:.3f} {losses.mean():.4f} {change.mean():+.4f} [{low:+.4f}, {high:+.4f}]",
            flush=True,
        )


def nll(scores: Scores, y: np.ndarray, temperature: float) -> np.ndarray:
    """The negative logarithm of each beat's probability, mean over deals, ``(N,)``."""
    logits = scores / temperature
    logits = logits - logits.max(axis=2, keepdims=True)
    return (np.log(np.exp(logits).sum(axis=2)) - logits[:, np.arange(len(y)), y]).mean(axis=0)


def macro_f1(decided: np.ndarray, y: np.ndarray) -> float:
    counts = np.zeros((CLASSES, CLASSES))
    np.add.at(counts, (y, decided), 1)
    return float(np.mean(2 * np.diag(counts) / np.maximum(counts.sum(axis=0) + counts.sum(axis=1), 1)))


def standard(features: Tensor) -> Tensor:
    return (features - features.mean(dim=0)) / features.std(dim=0).clamp(min=1e-3)


def sets(x: Tensor, views: Tensor, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Sets of features ``(V, F)`` of all views, by their names."""
    ramps, maxima = random_features(x, views, 2048, seed)
    yield "ramps", ramps
    mini, _ = random_features(x, views, 2100, seed, "mini")
    yield "MiniROCKET's ramps", mini
    yield "ramps, MiniROCKET's", torch.cat([ramps, mini], dim=1)
    yield "ramps, maxima", torch.cat([ramps, maxima], dim=1)
    changes, _ = random_features(x.diff(dim=2), views.diff(dim=2), 2048, seed + 100)
    yield "ramps, of differences too", torch.cat([ramps, changes], dim=1)
    more, more_maxima = random_features(x, views, 4096, seed + 200)
    yield "three times the ramps", torch.cat([ramps, more], dim=1)
    yield "three times the ramps, maxima", torch.cat([ramps, more, maxima, more_maxima], dim=1)
    counts = hydra_features(views, seed)
    yield "Hydra", counts
    yield "ramps, Hydra", torch.cat([standard(ramps), standard(counts)], dim=1)


def random_features(x: Tensor, views: Tensor, count: int, seed: int, shape: str = "random") -> tuple[Tensor, Tensor]:
    """Of the package's kernels the mean of each ramp and the maximum before it is clipped, ``(V, F)`` each."""
    groups = draw_kernels(x, count, RAMPS, np.random.default_rng(seed), shape)
    return pooled(groups, views)


def pooled(groups: list[Kernels], views: Tensor) -> tuple[Tensor, Tensor]:
    means, maxima = [], []
    for part in views.split(256):
        outputs = [group.outputs(part) for group in groups]
        maxima.append(torch.cat([each.amax(dim=2) / group.slopes for each, group in zip(outputs, groups)], dim=1))
        means.append(torch.cat([each.clamp_(0, TOP).mean(dim=2) for each in outputs], dim=1))
    return torch.cat(means), torch.cat(maxima)


def hydra_features(views: Tensor, seed: int) -> Tensor:
    """Which of 8 kernels in each of 32 groups wins how often, and by how much (Dempster et al., arXiv 2203.13652)."""
    rng, found = np.random.default_rng(seed), []
    for dilation in dilations_for(views.shape[2]):
        drawn = rng.standard_normal((256, 1, SIZE))
        drawn -= drawn.mean(axis=2, keepdims=True)
        weights = torch.tensor(drawn / np.abs(drawn).sum(axis=2, keepdims=True), dtype=torch.float32)
        each = []
        for part in views.split(256):
            outputs = torch.nn.functional.conv1d(part, weights, None, STRIDE, REACH * dilation, dilation)
            outputs = outputs.view(len(part), 32, 8, -1)
            (most, first), last = outputs.max(dim=2), outputs.argmin(dim=2)
            won = torch.zeros(len(part), 32, 8).scatter_add_(2, first, most).clamp(min=0).sqrt().flatten(1)
            lost = torch.zeros(len(part), 32, 8).scatter_add_(2, last, torch.ones_like(most)).sqrt().flatten(1)
            each.append(torch.cat([won, lost], dim=1))
        found.append(torch.cat(each))
    return torch.cat(found, dim=1)


def cross_validated(
    features: Tensor, y: np.ndarray, balance: float, deals: int, leave_one_out: bool = True
) -> dict[str, Scores]:
    """Scores by the penalty, of a ridge regression in its dual form; copies of a beat are in the beat's fold."""
    count, copies = len(y), len(features) // len(y)
    gram = (features @ features.T).double()
    scale = features.shape[1] * copies / VIEWS
    found = {f"penalty {each:g}": np.zeros((deals, count, CLASSES)) for each in PENALTIES}
    leave_one_out = leave_one_out and copies == 1  # a copy of a beat would tell of it
    if leave_one_out:
        found["by leave-one-out"] = np.zeros((deals, count, CLASSES))
    for seed in range(deals):
        folds = deal(y, FOLDS, seed)
        for fold in range(FOLDS):
            rows = torch.from_numpy(np.flatnonzero(np.tile(folds != fold, copies)))
            left = torch.from_numpy(np.flatnonzero(folds == fold))
            labels = torch.from_numpy(np.tile(y, copies))[rows]
            weight = torch.bincount(labels, minlength=CLASSES)[labels].double() ** -balance
            weight /= weight.sum()
            targets = torch.nn.functional.one_hot(labels, CLASSES).double()
            within = gram[rows][:, rows]
            mean = within @ weight
            centred = within - mean[:, None] - mean[None] + weight @ mean
            across = gram[left][:, rows]
            across = across - (across @ weight)[:, None] - mean[None] + weight @ mean
            root = (weight * len(rows)).sqrt()[:, None]
            system, middle = root * centred * root.T, weight @ targets
            for penalty in PENALTIES:
                ridged = system + torch.eye(len(rows), dtype=torch.float64) * penalty * scale
                dual = torch.cholesky_solve(root * (targets - middle), torch.linalg.cholesky(ridged))
                scores = across @ (root * dual) + middle
                found[f"penalty {penalty:g}"][seed][left] = scores.numpy()
            if leave_one_out:
                found["by leave-one-out"][seed][left] = (
                    across @ (root * left_out(system, root * (targets - middle))) + middle
                ).numpy()
    return found


def left_out(system: Tensor, targets: Tensor) -> Tensor:
    """The dual of the penalty with the least squared error of each row by a regression on the others."""
    values, vectors = torch.linalg.eigh(system)
    best: tuple[float, Tensor] | None = None
    for penalty in values.max() * torch.logspace(-6, 0, 13, dtype=torch.float64):
        inverse = vectors / (values + penalty) @ vectors.T
        dual = inverse @ targets
        error = float((dual / inverse.diagonal()[:, None]).square().mean())
        best = min(best, (error, dual), key=lambda each: each[0]) if best else (error, dual)
    assert best
    return best[1]


def pruned(
    features: Tensor, y: np.ndarray, balance: float, deals: Sequence[int], heads: Mapping[str, Head]
) -> Iterator[tuple[str, Scores]]:
    """Scores of heads on fewer features, chosen in each fold without the beats that are left out."""
    count, copies = len(y), len(features) // len(y)
    found: dict[str, Scores] = {}
    for index, seed in enumerate(deals):
        folds = deal(y, FOLDS, seed)
        for fold in range(FOLDS):
            rows = torch.from_numpy(np.flatnonzero(np.tile(folds != fold, copies)))
            labels = torch.from_numpy(np.tile(y, copies))[rows]
            weight = torch.bincount(labels, minlength=CLASSES)[labels].float() ** -balance
            targets = torch.nn.functional.one_hot(labels, CLASSES).float()
            x, left = features[rows], features[:count][folds == fold]
            penalty = 0.4 * copies / VIEWS
            answers = ridge(x, targets, weight, penalty)(x)
            kept = torch.arange(x.shape[1])
            for size in SIZES:
                kept = kept[select(x[:, kept], targets, weight, penalty, size)]
                for name, head in heads.items():
                    if size == 512 or head in (imitating, plain_ridge):
                        scores = head(x[:, kept], labels, answers, weight, left[:, kept])
                        place = found.setdefault(f"{name} {size}", np.zeros((len(deals), count, CLASSES)))
                        place[index][folds == fold] = scores
    yield from found.items()


def imitating(x: Tensor, labels: Tensor, answers: Tensor, weight: Tensor, left: Tensor) -> np.ndarray:
    return ridge(x, answers, weight, IMITATE)(left).numpy()


def plain_ridge(x: Tensor, labels: Tensor, answers: Tensor, weight: Tensor, left: Tensor) -> np.ndarray:
    targets = torch.nn.functional.one_hot(labels, CLASSES).float()
    return ridge(x, targets, weight, 0.4 * len(x) / 1200)(left).numpy()


def discriminants(x: Tensor, labels: Tensor, answers: Tensor, weight: Tensor, left: Tensor) -> np.ndarray:
    fitted = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(x.numpy(), labels.numpy())
    return 0.17 * spread(fitted.decision_function(left.numpy()), fitted.classes_)


def logistic(x: Tensor, labels: Tensor, answers: Tensor, weight: Tensor, left: Tensor) -> np.ndarray:
    share = weight.numpy() / weight.mean().item()
    fitted = LogisticRegression(C=1e-2 * 400 / len(x), max_iter=200).fit(x.numpy(), labels.numpy(), share)
    return 0.17 * spread(fitted.decision_function(left.numpy()), fitted.classes_)


def spread(scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Scores of all classes, where a fold may lack one."""
    found = np.tile(scores.min(axis=1, keepdims=True), CLASSES)
    found[:, classes] = scores
    return found


HEADS: dict[str, Head] = {
    "imitating ridge": imitating,
    "ridge": plain_ridge,
    "discriminants": discriminants,
    "logistic": logistic,
}

if __name__ == "__main__":
    main()
