"""What pruning costs: ``rocket`` of ever fewer features, cross-validated on the training beats and scored on the test
beats, as a table and a picture.

    pip install ./plugins/ecgedge-rocket
    ECGEDGE_DATA=data/ECG5000 python benchmarks/rocket_pruning.py --work checkpoints/anchors

Of each seed one set of kernels is drawn, and all sizes are pruned of it. The size was chosen by
cross-validation, before a test beat was scored.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from ecgedge_rocket.fitting import draw
from ecgedge_rocket.model import Rocket

from ecgedge import TrainingSet
from ecgedge.data import dataset

SIZES = (8, 16, 32, 64, 128, 256, 512, 1024, 2000)
FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("checkpoints/anchors"))
    parser.add_argument("--balance", type=float, help="Of the classes. Default: the model's.")
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    data = dataset.load("ecg5000")[0]
    train = TrainingSet(data.train.x, data.train.y, data.labels)
    options = Rocket().defaults | ({} if asked.balance is None else {"balance": asked.balance})
    for seed in range(asked.seeds):
        logits = answers(train, options, seed, data.test.x)
        for size, found in logits.items():
            np.save(asked.work / f"rocket {size}-{seed}.npy", found)
        print(
            seed, {size: round(float((x.argmax(1) == data.test.y).mean()), 4) for size, x in logits.items()}, flush=True
        )


def answers(train: TrainingSet, options: dict, seed: int, beats: np.ndarray) -> dict[int, np.ndarray]:
    """Logits ``(N, C)`` of networks of each size that were fitted to ``train``."""
    found = {}
    for size, weights in draw(train, options, seed).prune(SIZES).items():
        network = Rocket().build(train.classes, train.length, features=size)
        weights.put_into(network)
        with torch.inference_mode():
            parts = torch.from_numpy(beats).split(500)
            found[size] = torch.cat([network(part) for part in parts]).numpy()
    return found


if __name__ == "__main__":
    main()
