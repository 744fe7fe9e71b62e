"""What pruning costs: ``rocket`` of ever fewer features, cross-validated on the training beats and scored on the test
beats, as a table and a picture.

    pip install ./plugins/ecgedge-rocket
    ECGEDGE_DATA=data/ECG5000 python benchmarks/rocket_pruning.py --work checkpoints/anchors

Of each seed one set of kernels is drawn, and all sizes are pruned of it. The size was chosen by
cross-validation, before a test beat was scored.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from ecgedge_rocket.fitting import Candidates, Weights, draw
from ecgedge_rocket.model import BALANCE, Rocket

from ecgedge import TrainingSet
from ecgedge.data import finding
from ecgedge.training.crossval import deal

SIZES = (8, 16, 32, 64, 128, 256, 512, 1024, 2000)
FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--deals", type=int, default=0, help="Cross-validate as well, with as many deals of the folds.")
    parser.add_argument("--objective", choices=sorted(BALANCE), default="balanced")
    parser.add_argument("--work", type=Path, default=Path("checkpoints/anchors"))
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    data = finding.load("ecg5000")[0]
    train = TrainingSet(data.train.x, data.train.y, data.labels)
    options = Rocket().defaults | {"balance": BALANCE[asked.objective]}
    for seed in range(asked.seeds):
        candidates = draw(train, options, seed)
        for deal_seed in range(asked.deals):
            told(f"seed {seed} deal {deal_seed}", cross_validated(candidates, train, deal_seed), train.y)
        logits = {size: answers(weights, train, data.test.x) for size, weights in candidates.prune(SIZES).items()}
        for size, found in logits.items():
            np.save(asked.work / f"rocket {size}-{seed}.npy", found)
        told(f"seed {seed} test", logits, data.test.y)


def told(what: str, logits: dict[int, np.ndarray], y: np.ndarray) -> None:
    figures = {size: f"{(each.argmax(axis=1) == y).mean():.4f}" for size, each in logits.items()}
    print(what, figures, flush=True)


def answers(weights: Weights, train: TrainingSet, beats: np.ndarray) -> np.ndarray:
    """Logits ``(N, C)`` of a network of these weights."""
    network = Rocket().build(train.classes, train.length, features=len(weights.biases))
    weights.put_into(network)
    with torch.inference_mode():
        return torch.cat([network(part) for part in torch.from_numpy(beats).split(500)]).numpy()


def cross_validated(candidates: Candidates, train: TrainingSet, seed: int) -> dict[int, np.ndarray]:
    """Logits ``(N, C)`` of each training beat, by networks that were pruned and fitted without it. Thresholds and
    scales are of all training beats: they know no label."""
    folds = deal(train.y, FOLDS, seed)
    found = {size: np.zeros((len(train), train.classes), np.float32) for size in SIZES}
    for fold in range(FOLDS):
        kept = torch.from_numpy(np.tile(folds != fold, len(candidates.importance) // len(train)))
        part = replace(
            candidates,
            features=candidates.features[kept],
            targets=candidates.targets[kept],
            importance=candidates.importance[kept],
        )
        for size, weights in part.prune(SIZES).items():
            found[size][folds == fold] = answers(weights, train, train.x[folds == fold])
    return found


if __name__ == "__main__":
    main()
