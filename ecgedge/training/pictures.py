"""The pictures beside a checkpoint."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api import tasks
from ecgedge.api.artifact import Anomaly, Classification, Task
from ecgedge.api.scores import auroc
from ecgedge.data.dataset import Split

PICTURES = ("curves.png", "confusion.png", "reliability.png", "scores.png", "roc.png")
NUMBERED = 20  # classes whose counts fit into the confusion matrix; of more, as many have their name beside it
CURVE = 2000  # points of a curve at most


def write_pictures(out: Path, metrics: dict[str, Any], outputs: np.ndarray, test: Split, task: Task) -> tuple[str, ...]:
    """curves.png, of a training that reports its loss; confusion.png and reliability.png or, for an autoencoder,
    scores.png and roc.png.

    Returns:
        What is not there of these, and why, each in one line.
    """
    if not find_spec("matplotlib"):
        return ("no pictures: matplotlib is not installed (ecgedge[torch] brings it)",)
    from matplotlib.figure import Figure  # heavy

    def picture(name: str, draw: Any) -> None:
        figure = Figure(figsize=(6, 4.5), layout="constrained")
        draw(figure.subplots())
        figure.savefig(out / name, dpi=120)

    curves = curves_of(metrics)
    if curves:
        picture("curves.png", lambda axes: draw_curves(axes, curves))
    if isinstance(task, Anomaly):
        scores = tasks.anomaly_scores(outputs, test.x, task.window)
        positive = test.y != task.labels.index(task.normal)
        picture("scores.png", lambda axes: draw_scores(axes, scores, positive, task))
        picture("roc.png", lambda axes: draw_roc(axes, scores, positive))
    elif isinstance(task, Classification):
        picture("confusion.png", lambda axes: draw_confusion(axes, np.array(metrics["test"]["confusion"]), task.labels))
        picture("reliability.png", lambda axes: draw_reliability(axes, metrics["test"]))
    return () if curves else ("no curves.png: the model's own training reports no loss",)


def curves_of(metrics: dict[str, Any]) -> dict[str, np.ndarray]:
    """The losses that there are to draw, ``(K, E)`` of K networks in the E epochs that all of them have, by what they
    are called: that in training, and that of each fold on its held-out beats as they are."""
    folds = metrics["fold_histories"]
    on = " (changed beats)" if metrics["training"]["recipe"].get("augment") else ""
    found = {
        f"training{on}": losses([metrics["history"]], "train_loss"),
        f"held out, mean of {len(folds)} folds": losses(folds, "held_out_loss"),
    }
    return {name: values for name, values in found.items() if values.size}


def losses(histories: list[list[dict[str, Any]]], name: str) -> np.ndarray:
    """One of the figures of an epoch, ``(K, E)``; empty where a network has not reported it in each epoch."""
    epochs = min(map(len, histories), default=0)
    values = [[record.get(name) for record in records[:epochs]] for records in histories]
    return np.array([]) if any(None in row for row in values) else np.array(values)


def draw_curves(axes: Any, curves: dict[str, np.ndarray]) -> None:
    """The loss of each epoch: its mean over the networks and, of several, all between the least and the largest."""
    for name, values in curves.items():
        epochs = np.arange(1, values.shape[1] + 1)
        [line] = axes.plot(epochs, values.mean(axis=0), label=name)
        if len(values) > 1:
            low, high = values.min(axis=0), values.max(axis=0)
            axes.fill_between(epochs, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set(xlabel="epoch", ylabel="loss", yscale="log", title="Loss")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()


def draw_reliability(axes: Any, figures: dict[str, Any]) -> None:
    bins = [row for row in figures["reliability"] if row["beats"]]
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="perfect")
    axes.plot([row["confidence"] for row in bins], [row["accuracy"] for row in bins], marker="o", label="test beats")
    for row in bins:
        axes.annotate(
            f"{row['beats']:,}", (row["confidence"], row["accuracy"]), (0, -12), textcoords="offset points",
            ha="center", fontsize=7,
        )  # fmt: skip
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy")
    axes.set_title(f"Reliability, ECE {figures['ece']:.4f} (numbers: beats in the bin)")
    axes.legend(loc="upper left")


def draw_confusion(axes: Any, confusion: np.ndarray, labels: tuple[str, ...]) -> None:
    """Shades, and the counts where there is room for them: a text a cell takes minutes for hundreds of classes."""
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    title = "Test beats (shade: share of the true class)"
    if len(labels) > NUMBERED:
        title += f"\n{len(labels):,} classes: too many for their counts, which are in metrics.json"
    else:
        for row, column in np.ndindex(*confusion.shape):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{confusion[row, column]:,}", ha="center", va="center", color=colour)
    ticks = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), NUMBERED)).round().astype(int))
    names = [short(labels[tick]).replace("$", r"\$") for tick in ticks]  # $ would begin a formula
    axes.set(xticks=ticks, yticks=ticks, yticklabels=names, xlabel="decided class", ylabel="true class", title=title)
    axes.set_xticklabels(names, rotation=90 if max(map(len, names)) > 3 else 0)


def short(label: str, most: int = 16) -> str:
    return label if len(label) <= most else f"{label[: most - 1]}…"


def draw_scores(axes: Any, scores: np.ndarray, positive: np.ndarray, task: Anomaly) -> None:
    low = max(float(scores.min()), 1e-9)
    bins = np.geomspace(low, max(float(scores.max()), 2 * low), 60)
    axes.hist(scores[~positive], bins, alpha=0.6, label="normal")
    axes.hist(scores[positive], bins, alpha=0.6, label="anomaly")
    axes.axvline(task.threshold, color="black", linestyle="--", label=f"threshold {task.threshold:.3g}")
    axes.set(xscale="log", xlabel=tasks.score_name(task.window), ylabel="test beats")
    axes.set_title("Anomaly scores", pad=28)
    axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False)  # not over the threshold


def draw_roc(axes: Any, scores: np.ndarray, positive: np.ndarray) -> None:
    order = np.argsort(-scores)
    hits, misses = np.cumsum(positive[order]), np.cumsum(~positive[order])
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    title = "ROC: none, since all test beats are of one kind"
    if positive.any() and not positive.all():
        shown = np.unique(np.linspace(0, len(order) - 1, min(len(order), CURVE)).astype(int))
        axes.plot(np.append(0, misses[shown] / misses[-1]), np.append(0, hits[shown] / hits[-1]))
        title = f"ROC, area {auroc(scores, positive):.4f}"
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title=title)
