"""Train a torch model on the training beats, choose its epoch on a part of them, score it once."""

from __future__ import annotations

import copy
import json
import math
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge import tasks
from ecgedge.artifacts import CHECKPOINT_FILE, Anomaly, Classification, Task
from ecgedge.checkpoint import WEIGHTS_FILE, save_weights, write_checkpoint
from ecgedge.dataset import Dataset, Split, stratified
from ecgedge.errors import EcgEdgeError
from ecgedge.kinds import Model

if TYPE_CHECKING:
    import torch
    from torch import nn

VALIDATION_SHARE = 0.2


@dataclass(frozen=True)
class Recipe:
    """How to train. Learning rate with a cosine schedule, Adam, cross entropy (autoencoder: MSE)."""

    epochs: int = 50
    lr: float = 1e-3
    batch: int = 64
    dropout: float = 0.3
    seed: int = 0
    compile: bool = False
    half: bool = False
    normal: str = "1"


@dataclass(frozen=True)
class Trained:
    """What a training left: the folder, the curves and the figures on the test beats."""

    folder: Path
    history: list[dict[str, float]]
    figures: dict[str, Any]


def train(model: Model, data: Dataset, recipe: Recipe, out: Path, versions: dict[str, str]) -> Trained:
    """Train ``model`` and write its checkpoint, pictures and figures to ``out``.

    The best epoch is chosen on a stratified fifth of the training beats; the test beats are scored
    once, at the end. The same seed on the same machine gives the same weights.

    Args:
        out: an empty folder.

    Raises:
        EcgEdgeError: the data does not fit the model, or no epoch had a finite loss.
    """
    import torch

    anomaly = model.task == "anomaly"
    if anomaly and recipe.normal not in data.labels:
        raise EcgEdgeError(f"no class {recipe.normal!r} in {data.name}", f"--normal takes {', '.join(data.labels)}")
    torch.manual_seed(recipe.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    options = {} if anomaly else {"dropout": recipe.dropout}
    network = model.build(data.classes, data.length, **options).to(device)

    fit, check = split(data.train, data.labels.index(recipe.normal) if anomaly else None, recipe.seed)
    history = run_epochs(network, fit, check, recipe, anomaly, device)

    if recipe.half:
        for parameter in network.parameters():  # so that the figures are those of the weights as shipped
            parameter.data = parameter.data.half().float()
    task = fit_task(network, data, recipe, anomaly, device)
    outputs = predict(network, data.test.x, device)
    figures = tasks.evaluate(outputs, data.test.x, data.test.y, task)
    training = {
        "recipe": asdict(recipe),
        "data": {"name": data.name, "digest": data.digest},
        "best_epoch": best(history),
        "validation": {key: history[best(history)][key] for key in ("loss", "score")},
        "versions": versions,
    }
    save(out, model, data, options, task, training, network, recipe.half)
    write_pictures(out, history, outputs, data.test, task)
    metrics = {"test": figures, "test_beats": len(data.test), "training": training, "history": history}
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    return Trained(out, history, figures)


def split(train: Split, only: int | None, seed: int) -> tuple[Split, Split]:
    """A part to fit and a stratified part to choose the epoch on; ``only``: of one class.

    A class with a single beat is fitted, not held out.
    """
    counts = np.bincount(train.y)
    spare = np.flatnonzero(counts[train.y] > 1)
    size = max(round(VALIDATION_SHARE * len(train)), int((counts > 1).sum()))
    held = spare[stratified(train.y[spare], size, seed)] if len(spare) else spare
    kept = np.setdiff1d(np.arange(len(train)), held)
    fit, check = train.take(kept), train.take(held)
    if only is not None:
        fit, check = fit.take(np.flatnonzero(fit.y == only)), check.take(np.flatnonzero(check.y == only))
    if len(fit) < 2 or len(check) < 1:
        raise EcgEdgeError(
            f"{len(fit)} beats to fit and {len(check)} to choose the epoch on are too few", "bring more training beats"
        )
    return fit, check


def run_epochs(
    network: nn.Module, fit: Split, check: Split, recipe: Recipe, anomaly: bool, device: torch.device
) -> list[dict[str, float]]:
    """Train in place, end with the weights of the best epoch, and return one record an epoch."""
    import torch
    from tqdm import tqdm

    x, y = torch.from_numpy(fit.x).to(device), torch.from_numpy(fit.y).to(device)
    steps = recipe.epochs * math.ceil(len(fit) / recipe.batch)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
    forward = torch.compile(network) if recipe.compile else network
    history: list[dict[str, float]] = []
    kept: dict[str, Any] = {}
    bar = tqdm(range(recipe.epochs), desc="training", unit="epoch", disable=None, file=sys.stderr)
    for _ in bar:
        network.train()
        total = 0.0
        order = torch.randperm(len(fit))
        for batch in order.split(recipe.batch):
            if len(batch) < 2:  # batch norm needs two
                continue
            with torch.autocast(device.type, enabled=device.type == "cuda"):
                loss = loss_of(forward(x[batch]), x[batch], y[batch], anomaly)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            schedule.step()
            total += loss.item() * len(batch)
        history.append({"train_loss": total / len(fit), **validate(network, check, anomaly, device)})
        bar.set_postfix(loss=f"{history[-1]['loss']:.4f}", score=f"{history[-1]['score']:.4f}")
        if not math.isfinite(history[-1]["loss"]):
            raise EcgEdgeError(f"the loss is not finite in epoch {len(history)}", "lower --lr")
        if best(history) == len(history) - 1:
            kept = copy.deepcopy(network.state_dict())
    network.load_state_dict(kept)
    return history


def loss_of(output: torch.Tensor, x: torch.Tensor, y: torch.Tensor, anomaly: bool) -> torch.Tensor:
    from torch.nn import functional

    return functional.mse_loss(output, x) if anomaly else functional.cross_entropy(output, y)


def validate(network: nn.Module, check: Split, anomaly: bool, device: torch.device) -> dict[str, float]:
    """Loss, and a score of which more is better: accuracy, or the negative reconstruction error."""
    import torch

    outputs = torch.from_numpy(predict(network, check.x, device))
    loss = float(loss_of(outputs, torch.from_numpy(check.x), torch.from_numpy(check.y), anomaly))
    return {"loss": loss, "score": -loss if anomaly else float((outputs.argmax(1).numpy() == check.y).mean())}


def best(history: list[dict[str, float]]) -> int:
    """The epoch with the best score; among equals the one with the least loss."""
    return max(range(len(history)), key=lambda i: (history[i]["score"], -history[i]["loss"]))


def predict(network: nn.Module, x: np.ndarray, device: torch.device) -> np.ndarray:
    """Outputs for beats ``(N, 1, L)``, in evaluation mode."""
    import torch

    network.eval()
    with torch.no_grad():
        return np.concatenate([network(part.to(device)).cpu().numpy() for part in torch.from_numpy(x).split(256)])


def fit_task(network: nn.Module, data: Dataset, recipe: Recipe, anomaly: bool, device: torch.device) -> Task:
    """For an autoencoder the threshold: that quantile of the normal training scores which gives the
    best F1 on all training beats."""
    if not anomaly:
        return Classification(data.labels)
    positive = data.train.y != data.labels.index(recipe.normal)
    scores = tasks.anomaly_scores(predict(network, data.train.x, device), data.train.x)
    threshold, quantile = tasks.choose_threshold(scores, positive)
    return Anomaly(threshold, quantile, recipe.normal, data.labels)


def save(
    out: Path, model: Model, data: Dataset, options: Any, task: Task, training: Any, network: nn.Module, half: bool
) -> None:
    """Write the checkpoint aside and move it into place, ``model.json`` last: without it there is none."""
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        folder = Path(scratch)
        write_checkpoint(
            folder,
            model=model.name,
            files=[WEIGHTS_FILE],
            classes=data.classes,
            length=data.length,
            options=options,
            task=task,
            training=training,
        )
        save_weights(network, folder, half)
        for name in (WEIGHTS_FILE, CHECKPOINT_FILE):
            (folder / name).rename(out / name)


def write_pictures(out: Path, history: list[dict[str, float]], outputs: np.ndarray, test: Split, task: Task) -> None:
    """curves.png, and confusion.png or, for an autoencoder, scores.png and roc.png."""
    from matplotlib.figure import Figure  # heavy

    def picture(name: str, draw: Any) -> None:
        figure = Figure(figsize=(6, 4.5), layout="constrained")
        draw(figure.subplots())
        figure.savefig(out / name, dpi=120)

    def curves(axes: Any) -> None:
        axes.plot([h["train_loss"] for h in history], label="training")
        axes.plot([h["loss"] for h in history], label="validation")
        axes.axvline(best(history), color="grey", linestyle=":", label="best epoch")
        axes.set(xlabel="epoch", ylabel="loss", yscale="log", title="Loss")
        axes.legend()

    picture("curves.png", curves)
    if isinstance(task, Anomaly):
        scores = tasks.anomaly_scores(outputs, test.x)
        positive = test.y != task.labels.index(task.normal)
        picture("scores.png", lambda axes: draw_scores(axes, scores, positive, task.threshold))
        picture("roc.png", lambda axes: draw_roc(axes, scores, positive))
    else:
        confusion = tasks.classification_figures(outputs.argmax(1), test.y, task)["confusion"]
        picture("confusion.png", lambda axes: draw_confusion(axes, np.array(confusion), task.labels))


def draw_confusion(axes: Any, confusion: np.ndarray, labels: tuple[str, ...]) -> None:
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*confusion.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{confusion[row, column]:,}", ha="center", va="center", color=colour)
    ticks, names = range(len(labels)), [label.replace("$", r"\$") for label in labels]  # $ would begin a formula
    axes.set(xticks=ticks, yticks=ticks, xticklabels=names, yticklabels=names)
    axes.set(xlabel="decided class", ylabel="true class", title="Test beats (shade: share of the true class)")


def draw_scores(axes: Any, scores: np.ndarray, positive: np.ndarray, threshold: float) -> None:
    bins = np.geomspace(max(scores.min(), 1e-9), scores.max(), 60)
    axes.hist(scores[~positive], bins, alpha=0.6, label="normal")
    axes.hist(scores[positive], bins, alpha=0.6, label="anomaly")
    axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.3g}")
    axes.set(xscale="log", xlabel="reconstruction error (MSE)", ylabel="test beats", title="Anomaly scores")
    axes.legend()


def draw_roc(axes: Any, scores: np.ndarray, positive: np.ndarray) -> None:
    order = np.argsort(-scores)
    hits, misses = np.cumsum(positive[order]), np.cumsum(~positive[order])
    axes.plot(np.append(0, misses / misses[-1]), np.append(0, hits / hits[-1]))
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    title = f"ROC, area {tasks.auroc(scores, positive):.4f}"
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title=title)
