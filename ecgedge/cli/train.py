"""``ecgedge train``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecgedge.cli import common
from ecgedge.cli.options import dataset_option, mlflow_option, part_option, recipe_options, seed_option
from ecgedge.errors import EcgEdgeError
from ecgedge.files import strict_json
from ecgedge.files.locks import usable_folder

if TYPE_CHECKING:
    from ecgedge.data.dataset import Dataset

SPOKEN = {"macro_f1": "macro-F1", "auroc": "AUROC", "auprc": "AUPRC", "f1": "F1", "nll": "NLL", "ece": "ECE",
          "macro_auroc": "macro AUROC", "macro_auprc": "macro AUPRC", "mean_f1": "mean F1",
          "label_ece": "ECE"}  # fmt: skip
NAMED = {
    "classification": ("accuracy", "macro_f1", "ece"), "anomaly": ("auroc", "auprc", "f1"),
    "multilabel": ("macro_auroc", "macro_auprc", "mean_f1", "label_ece"),
}  # fmt: skip


@click.command()
@click.argument("model")
@dataset_option
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the checkpoint into this folder. Default: checkpoints/MODEL."
)
@click.option("--force", is_flag=True, help="Replace the checkpoint that --out holds, once the new one is trained.")
@click.option("--cv", type=click.IntRange(2), metavar="K", help="First estimate the recipe by K-fold cross-validation.")
@click.option(
    "--task",
    type=click.Choice(["classification", "multilabel", "anomaly", "binary"]),
    help="Learn this task; binary: one output for two classes. Default: as the model and the data have it.",
)
@click.option(
    "--repeats",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Repeat the cross-validation so many times, with other folds.",
)
@mlflow_option("uri")
@recipe_options
@part_option
@seed_option
def train(model: str, dataset: str | None, out: Path | None, force: bool, cv: int | None, task: str | None,
          repeats: int, uri: str | None, chosen: dict[str, str], **changes: Any) -> None:  # fmt: skip
    """Train a model on all training beats, and score it once on the test beats.

    What is not said is as the recipe of the model has it (docs/training.md); a model may bring a training
    of its own. Writes weights.safetensors, model.json, metrics.json and pictures: the curves, the confusion
    matrix and the reliability of the probabilities (autoencoder: scores and ROC).

    \b
    ecgedge train tcn --cv 5 --out checkpoints/tcn
    ecgedge train base-cnn --dataset PATH --seed 1 --mlflow
    """
    from ecgedge.measure.machine import versions
    from ecgedge.plan.options import chosen as chosen_of
    from ecgedge.plan.options import options_of
    from ecgedge.tracking import connect
    from ecgedge.training import kind_of, recipe_for, told_for_many, tracking, unheeded
    from ecgedge.training import train as run
    from ecgedge.workers.availability import require

    parts = common.load_parts()
    part = parts.find("model", model)
    require(part)
    if part.produces != "torch" and not part.fits_itself:
        raise EcgEdgeError(f"{model} is no torch model ({part.produces})", "train it with its own tools")
    options = options_of(part, chosen_of(chosen, [part], [*parts.models.values(), *parts.steps]))
    data = common.load_data(dataset)
    folder = out or Path("checkpoints") / model
    kind = kind_of(part, data.multilabel, task)
    if kind in ("binary", "multilabel") and (senseless := unheeded(part, changes, kind)):
        told = f"{', '.join(senseless)} {'makes' if len(senseless) == 1 else 'make'} no sense for {kind}"
        raise EcgEdgeError(told, "leave it out" if len(senseless) == 1 else "leave them out")
    keep_earlier(folder, force, data)
    usable_folder(folder)
    if uri:
        connect(uri, tracking.EXPERIMENT)
    if idle := unheeded(part, changes, kind):
        common.warn(f"the training of {model} does not heed {', '.join(idle)}")
    recipe = recipe_for(part, changes, len(data.train))
    if kind == "binary" and data.classes == 2:
        common.note(told_positive(data.labels))
    if line := told_for_many(part, recipe, len(data.train)):
        common.note(line)
    trained = run(part, data, recipe, folder, versions(), cv or 0, repeats, options, kind=kind)
    for line in trained.left_out:
        common.note(line)
    common.say(f"{folder}: {model} trained on {data.describe()}")
    if record := trained.metrics["training"]["cross_validation"]:
        tell_cross_validation(record, len(data.train))
    names = NAMED["multilabel" if data.multilabel else part.task]
    figures = ", ".join(told_figure(name, trained.metrics["test"][name]) for name in names)
    common.say(f"test: {figures} ({len(data.test):,} beats)")
    if uri:
        common.say(f"mlflow: run {tracking.log(trained, part)} in {uri}")
    common.say(f"next: {shlex.join(['ecgedge', 'matrix', '--model', str(folder), *common.data_words(dataset)])}")


def keep_earlier(folder: Path, force: bool, data: Dataset) -> None:
    """Raise EcgEdgeError where the folder holds something, unless the user said that it may go."""
    from ecgedge.api.artifact import CHECKPOINT_FILE

    if force or not (folder.is_dir() and any(folder.iterdir())):
        return
    try:
        trained_on = dict(strict_json.read(folder / CHECKPOINT_FILE)["training"]["data"])
    except (OSError, ValueError, KeyError, TypeError):
        raise EcgEdgeError(f"{folder} is not empty", "name another folder with --out") from None
    other = "" if trained_on.get("digest") == data.digest else ", trained on other data"
    raise EcgEdgeError(
        f"{folder} is not empty: it holds a checkpoint{other}", "name another folder with --out, or --force replaces it"
    )


def told_positive(labels: tuple[str, ...]) -> str:
    """Which of two classes the one output speaks for, and how that is changed."""
    from ecgedge.api.artifact import Binary

    positive = Binary(labels).positive
    return (
        f"the one output is the probability of {positive}, the second class; --class-names FILE with {positive} in its "
        f"first line and {labels[0]} in its second makes it that of {labels[0]}"
    )


def told_figure(name: str, value: float | None) -> str:
    """A figure of the test beats; None where a kind of beats is missing among them."""
    return f"{SPOKEN.get(name, name)} {'not defined' if value is None else f'{value:.4f}'}"


def tell_cross_validation(record: dict[str, Any], beats: int) -> None:
    click.echo(f"cross-validated: {record['folds']} folds x {record['repeats']}, {beats:,} training beats")
    for name, figure in record["figures"].items():
        mean, folds, repeats = (
            "not defined" if value is None else f"{value:.4f}" for value in map(figure.get, ("mean", "fold_sd", "sd"))
        )
        between = f", {repeats} between repeats" if record["repeats"] > 1 else ""
        click.echo(f"  {SPOKEN.get(name, name):8} {mean}  sd {folds} between folds{between}")
