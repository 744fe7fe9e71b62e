"""What others have on the same test beats, beside ours, with paired tests: "better" is said only where it is so.

    /tmp/aeon/bin/python benchmarks/published_rocket.py data/ECG5000 --out checkpoints/anchors   # may be left out
    ecgedge train rocket --dataset ecg5000 --seed 0 --out "checkpoints/anchors/rocket balanced-0"  # more seeds likewise
    ECGEDGE_DATA=data/ECG5000 python benchmarks/anchors.py --work checkpoints/anchors --out benchmarks/anchors.md

1-NN and PCA have nothing to draw; ecgedge's own teacher is fitted here; the shipped weights answer once. What lies in
``--work`` is read: ``NAME-SEED.npy``, logits ``(N, C)`` or labels ``(N,)``, and the checkpoints ``NAME-SEED`` that
``ecgedge train`` made.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate

from ecgedge import load_network, plugins, tasks
from ecgedge.convert.checkpoint import read_checkpoint
from ecgedge.data import finding
from ecgedge.data.dataset import Dataset
from ecgedge.evaluate.intervals import delong, holm, mcnemar
from ecgedge.training.recipe import OBJECTIVES
from ecgedge.training.teacher import Teacher

CLASSIFIERS = ("base-cnn", "vgg", "inception", "tcn")
WINDOW = 5  # samples over which a residual is averaged, as in the recipe of cnn-ae


@dataclass(frozen=True)
class Entry:
    """Decisions on the test beats, ``(S, N)`` class indices of S seeds; of a network of ours, or of an anchor."""

    name: str
    decided: np.ndarray
    is_ours: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("checkpoints/anchors"))
    parser.add_argument("--seeds", type=int, default=3, help="Fit the teacher with so many seeds.")
    parser.add_argument("--out", type=Path, help="Write the tables into this file, too, as Markdown.")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data = finding.load("ecg5000")[0]
    teachers = [teacher(data, objective, asked.seeds) for objective in OBJECTIVES]
    entries = [nearest(data), *teachers, *shipped(data), *read(asked.work, data)]
    text = "\n".join([*classifiers(entries, data, asked.seeds), "", *detectors(data)])
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n", encoding="utf-8")


def nearest(data: Dataset) -> Entry:
    """The class of the nearest training beat, by Euclidean distance."""
    train, test = data.train.x[:, 0].astype(np.float64), data.test.x[:, 0].astype(np.float64)
    apart = (train**2).sum(axis=1) - 2 * test @ train.T
    return Entry("1-NN, Euclidean", data.train.y[apart.argmin(axis=1)][None])


def teacher(data: Dataset, objective: str, seeds: int) -> Entry:
    """What ecgedge's classifiers learn from: 2,000 ROCKET kernels, augmented beats, a ridge regression, whose classes
    are weighted by the objective."""
    decided = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        fitted = Teacher(data.train, data.classes, 1.0, seed, objective=objective)
        decided.append(fitted(torch.from_numpy(data.test.x)).argmax(dim=1).numpy())
    return Entry(f"our teacher, {objective}", np.stack(decided))


def shipped(data: Dataset) -> Iterator[Entry]:
    """The weights that come with ecgedge, one seed each."""
    for name in CLASSIFIERS:
        yield Entry(f"{name}, as shipped", answers(weights_of(name), data.test.x).argmax(axis=1)[None], True)


def weights_of(name: str) -> Path:
    """The folder of a built-in model's shipped weights."""
    folder = plugins.load().find("model", name).pretrained()
    assert folder is not None
    return folder


def answers(folder: Path, beats: np.ndarray) -> np.ndarray:
    """What a checkpoint answers."""
    network = load_network(read_checkpoint(folder, plugins.load().models))
    with torch.inference_mode():
        return torch.cat([network(part) for part in torch.from_numpy(beats).split(500)]).numpy()


def read(work: Path, data: Dataset) -> Iterator[Entry]:
    """What the other scripts and trainings left, all seeds of a name together."""
    found: dict[str, list[np.ndarray]] = {}
    for place in sorted(work.iterdir()):
        if (named := re.fullmatch(r"(.+)-(\d+)(\.npy)?", place.name)) and (named[3] or place.is_dir()):
            kept = np.load(place) if named[3] else answers(place, data.test.x)
            found.setdefault(named[1], []).append(decisions(kept, data.labels))
    for name, each in found.items():
        yield Entry(name, np.stack(each), is_ours=name.startswith("rocket "))


def decisions(kept: np.ndarray, labels: tuple[str, ...]) -> np.ndarray:
    """Class indices ``(N,)`` of logits ``(N, C)``, or of labels ``(N,)``."""
    return kept.argmax(axis=1) if kept.ndim == 2 else np.array([labels.index(str(label)) for label in kept])


def classifiers(entries: list[Entry], data: Dataset, seeds: int) -> Iterator[str]:
    """The table of classifiers, and that of ours against each anchor, a line at a time."""
    ours, anchors = ([each for each in entries if each.is_ours == whose] for whose in (True, False))
    figures = []
    for entry in entries:
        accuracy = (entry.decided == data.test.y).mean(axis=1)
        f1 = [macro_f1(each, data.test.y, data.classes) for each in entry.decided]
        figures.append([entry.name, len(f1), spread(accuracy), spread(f1)])
    pairs = [(each, anchor) for each in ours for anchor in anchors]
    corrected = iter(holm([paired(*pair, data.test.y) for pair in pairs]))
    yield "# Anchors"
    yield ""
    yield f"`python benchmarks/anchors.py --seeds {seeds}`, {date.today()}: ECG5000, {len(data.test):,} test beats."
    yield "Mean and standard deviation over the seeds:"
    yield ""
    yield tabulate(figures, ["", "seeds", "accuracy", "macro-F1"], tablefmt="github")
    yield ""
    yield "Ours against each anchor: exact McNemar test of the decisions of the majority of the seeds, p corrected by"
    yield f"Holm for all {len(pairs)}; a tie where p is above .05."
    yield ""
    told = [[each.name, *(verdict(each, anchor, next(corrected), data.test.y) for anchor in anchors)] for each in ours]
    yield tabulate(told, ["", *(anchor.name for anchor in anchors)], tablefmt="github")


def paired(first: Entry, second: Entry, y: np.ndarray) -> float:
    """The exact p of McNemar's test of the two, by the majority of their seeds."""
    a, b = (majority(entry.decided) == y for entry in (first, second))
    return mcnemar(int((a & ~b).sum()), int((b & ~a).sum()))


def majority(decided: np.ndarray) -> np.ndarray:
    """The class that most seeds decide for, ``(N,)``; of several the first."""
    return np.apply_along_axis(lambda column: np.bincount(column).argmax(), 0, decided)


def verdict(ours: Entry, entry: Entry, p: float, y: np.ndarray) -> str:
    """What ours is against another."""
    by = float((majority(ours.decided) == y).mean() - (majority(entry.decided) == y).mean())
    word = "a tie" if p > 0.05 else "better" if by > 0 else "worse"
    return f"{word} ({by:+.4f}, p {p:.3f})"


def macro_f1(decided: np.ndarray, y: np.ndarray, classes: int) -> float:
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (y, decided), 1)
    return float(np.mean(2 * np.diag(counts) / np.maximum(counts.sum(axis=0) + counts.sum(axis=1), 1)))


def spread(values: np.ndarray | list[float]) -> str:
    return f"{np.mean(values):.4f} +- {np.std(values, ddof=1):.4f}" if len(values) > 1 else f"{values[0]:.4f}"


def detectors(data: Dataset) -> Iterator[str]:
    """cnn-ae beside linear autoencoders, fitted to the same normal beats; DeLong's test of the two AUROC."""
    positive = data.test.y != 0
    network = scores_of(answers(weights_of("cnn-ae"), data.test.x), data.test.x)
    normal = data.train.x[data.train.y == 0][:, 0].astype(np.float64)
    rows = [["cnn-ae, as shipped", f"{tasks.auroc(network, positive):.4f}", ""]]
    for components in (4, 8, 16, 32):
        scores = pca(normal, data.test.x, components)
        change = delong(network, scores, positive)
        rows.append(
            [
                f"PCA, {components} components",
                f"{tasks.auroc(scores, positive):.4f}",
                f"{change.difference:+.4f} [{change.low:+.4f}, {change.high:+.4f}], p {change.p:.3f}",
            ]
        )
    yield "Detectors: AUROC of the mean square of the residual's moving average over 5 samples."
    yield ""
    yield tabulate(rows, ["", "AUROC", "against cnn-ae (DeLong)"], tablefmt="github")


def scores_of(rebuilt: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """Anomaly scores ``(N,)`` as cnn-ae's recipe has them."""
    return tasks.anomaly_scores(rebuilt, beats, WINDOW)


def pca(normal: np.ndarray, beats: np.ndarray, components: int) -> np.ndarray:
    """Anomaly scores ``(N,)`` of the best linear autoencoder of that many values, fitted to normal beats ``(M, L)``."""
    mean = normal.mean(axis=0)
    axes = np.linalg.svd(normal - mean, full_matrices=False)[2][:components]
    rebuilt = mean + (beats[:, 0] - mean) @ axes.T @ axes
    return scores_of(rebuilt[:, None].astype(np.float32), beats)


if __name__ == "__main__":
    main()
