"""``ecgedge train``."""

from __future__ import annotations

from pathlib import Path

import click

from ecgedge.cli import common
from ecgedge.errors import EcgEdgeError


@click.command()
@click.argument("model")
@common.dataset_option
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the checkpoint. Default: checkpoints/MODEL.")
@click.option("--epochs", type=click.IntRange(1), default=50, show_default=True)
@click.option("--lr", type=click.FloatRange(min=0, min_open=True), default=1e-3, show_default=True,
              help="At the start; falls along a cosine.")  # fmt: skip
@click.option("--batch", type=click.IntRange(2), default=64, show_default=True)
@click.option("--dropout", type=click.FloatRange(0, 1, max_open=True), default=0.3, show_default=True)
@click.option("--normal", default="1", show_default=True, help="The class that an autoencoder learns.")
@click.option("--half", is_flag=True, help="Store the weights in half precision.")
@click.option("--compile", is_flag=True, help="Train through torch.compile.")
@common.seed_option
def train(model: str, dataset: str | None, out: Path | None, epochs: int, lr: float, batch: int, dropout: float,
          normal: str, half: bool, compile: bool, seed: int) -> None:  # fmt: skip
    """Train a model; the epoch is chosen on a part of the training beats.

    Writes weights.safetensors, model.json, metrics.json and pictures of the loss curves and of the
    confusion matrix (autoencoder: scores and ROC).

    \b
    ecgedge train tcn --epochs 80 --seed 1 --out checkpoints/tcn-1
    """
    from ecgedge.machine import versions
    from ecgedge.training import Recipe
    from ecgedge.training import train as run

    parts = common.load_parts()
    part = parts.find("model", model)
    common.require(part)
    if part.produces != "torch":
        raise EcgEdgeError(f"{model} is no torch model ({part.produces})", "train it with its own tools")
    data = common.load_data(dataset)
    recipe = Recipe(epochs, lr, batch, dropout, seed, compile, half, normal)
    folder = out or Path("checkpoints") / model
    if folder.is_dir() and any(folder.iterdir()):
        raise EcgEdgeError(f"{folder} is not empty", "name another folder with --out")
    common.usable_folder(folder)
    trained = run(part, data, recipe, folder, versions())
    click.echo(f"{folder}: {model} trained on {data.describe()}")
    figures = ("accuracy", "macro_f1") if part.task == "classification" else ("auroc", "auprc", "f1")
    click.echo("test: " + ", ".join(f"{key} {trained.figures[key]:.4f}" for key in figures))
    click.echo(f"next: ecgedge matrix --model {folder}")
