"""Train a model, score it once on the test beats, and write its checkpoint, figures and pictures."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api import tasks
from ecgedge.api.artifact import CHECKPOINT_FILE, Task, files_of
from ecgedge.api.options import Value
from ecgedge.api.parts import Model
from ecgedge.api.tensors import counted
from ecgedge.api.training import Recipe
from ecgedge.convert.checkpoint import read_checkpoint, write_checkpoint
from ecgedge.data.dataset import Dataset
from ecgedge.data.normalizing import not_normalized, was_normalized
from ecgedge.errors import EcgEdgeError
from ecgedge.files.notices import note
from ecgedge.training.crossval import Estimate, cross_validate, evaluate, most_folds, task_of
from ecgedge.training.fitting import Trainee, fit, load, predict, remedy, save
from ecgedge.training.pictures import PICTURES, write_pictures
from ecgedge.training.recipe import heeded, kind_of, options_for, told

METRICS_FILE = "metrics.json"
NEAR_TIE = 1e-4  # a margin between two decisions that rounding may turn
THRESHOLD_FOLDS = 5  # for thresholds, where no other number is asked for


@dataclass(frozen=True)
class Trained:
    """What a training left.

    Attributes:
        folder: the checkpoint.
        metrics: the content of its ``metrics.json``: figures on the test beats, of the
            cross-validation, the training with its recipe, the curves.
        summary: the architecture, a line a layer; empty for a network that is not torch's.
        left_out: what is not there that might be expected, each in one line.
    """

    folder: Path
    metrics: dict[str, Any]
    summary: str
    left_out: tuple[str, ...]


def train(
    model: Model,
    data: Dataset,
    recipe: Recipe,
    out: Path,
    versions: dict[str, str],
    cv: int = 0,
    repeats: int = 1,
    options: Mapping[str, Value] | None = None,
    pictures: bool = True,
    kind: str | None = None,
) -> Trained:
    """Train ``model`` on all training beats and write its checkpoint, pictures and figures to ``out``.

    Nothing is chosen here but the threshold of an autoencoder, or of each label where several may hold, by
    cross-validation. The test beats are
    scored once, at the end, by the network as the checkpoint stores it, on the CPU. The same seed on
    the same machine gives the same weights. What ``out`` holds of an earlier training is replaced at
    the end, when nothing can fail any more.

    Args:
        cv: folds of the cross-validation; 0: none, where the model needs none.
        options: those of the model's own options that the user chose.
        pictures: whether the pictures are drawn, and the architecture is told.
        kind: of the task, see ``kind_of``; None: that of the data.

    Raises:
        EcgEdgeError: the data does not fit the model, or the loss or what the stored network answers is not finite.
    """
    kind = kind_of(model, data.multilabel, kind)
    check(model, data, recipe, kind)
    if kind in ("anomaly", "multilabel") and not cv:
        cv = min(THRESHOLD_FOLDS, most_folds(data.train))
        chosen = "the threshold is" if kind == "anomaly" else "the threshold of each label is"
        note(f"{chosen} chosen on left-out beats: {cv * repeats} trainings for that, and the model's own at the end")
    trainee = Trainee(model, data.labels, recipe, options_for(model, options), kind)
    estimate = cross_validate(trainee, data, cv, repeats) if cv else None
    if estimate:
        note(f"now {model.name} is trained on all {len(data.train):,} training beats")
    fitted, history = fit(trainee, data.train, "training")
    task = task_of(trainee, data, estimate)
    training = {
        "recipe": told(recipe, heeded(model, kind)),
        "options": dict(trainee.options),
        "data": {"name": data.name, "digest": data.digest}
        | ({"leads": list(data.lead_names)} if data.lead_names else {})
        | ({"recipe": data.recipe} if data.recipe else {})
        | normalizing(data),
        "cross_validation": cross_validation_record(estimate, data, task),
        "versions": versions,
    }
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        folder = Path(scratch)
        beat = data.train.x[:1]
        write_checkpoint(
            folder,
            model=model.name,
            files=save(model, fitted.network, folder, recipe.half),
            classes=data.classes,
            length=data.length,
            options=fitted.options,
            input_shape=(None, *beat.shape[1:]),
            output_shape=(None, *predict(model, fitted.network, beat).shape[1:]),
            task=task,
            training=training,
        )
        # the figures are those of what is stored: its weights and its buffers, rounded where they are
        stored = load(model, read_checkpoint(folder, {model.name: model}))
        outputs = predict(model, stored, data.test.x)
        if reason := tasks.wrong(outputs, data.test.x, task):
            hint = "leave out --half" if recipe.half else remedy(model)
            raise EcgEdgeError(f"the checkpoint gives no answers: {reason}", hint)
        metrics = {
            "test": evaluate(outputs, data.test, task),
            "test_beats": len(data.test),
            "near_ties": near_ties(outputs, data.test.x, task),
            "training": training,
            "history": history,
            "fold_histories": estimate.histories if estimate else [],
        }
        (folder / METRICS_FILE).write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
        left_out = write_pictures(folder, metrics, outputs, data.test, task) if pictures else ()
        move_into(folder, out)
    summary = summary_of(stored, beat.shape) if pictures and model.produces == "torch" else ""
    return Trained(out, metrics, summary, left_out)


def normalizing(data: Dataset) -> dict[str, bool]:
    """What the record says of how its beats were scaled: that they were z-normalised by ecgedge, or that most of them
    were not at all; nothing where they came so."""
    if was_normalized(data):
        return {"normalized": True}
    return {"normalized": False} if not_normalized(data.train.x).mean() > 0.5 else {}


def near_ties(outputs: np.ndarray, x: np.ndarray, task: Task) -> list[int]:
    """The beats of which rounding may turn a decision."""
    close = tasks.margins(outputs, x, task).reshape(len(x), -1) < NEAR_TIE
    return [int(beat) for beat in np.flatnonzero(close.any(axis=1))]


def check(model: Model, data: Dataset, recipe: Recipe, kind: str) -> None:
    """Raise EcgEdgeError, before any work, where no training can come of the data."""
    if model.leads not in (None, data.leads):
        told = f"{model.name} is for beats of {counted(model.leads)}, those of {data.name} have {data.leads}"
        raise EcgEdgeError(told, "--leads picks those that it takes, or train another model")
    if model.task == "anomaly" and recipe.normal not in data.labels:
        raise EcgEdgeError(f"no class {recipe.normal!r} in {data.name}", f"--normal takes {', '.join(data.labels)}")
    if model.task == "anomaly" and recipe.window > data.length:
        told = f"a beat has {data.length} samples, fewer than a window of {recipe.window}"
        raise EcgEdgeError(told, "lower --window")
    if not np.ptp(data.train.x, axis=2).any():
        raise EcgEdgeError(f"every training beat of {data.name} is constant", "check the files")
    if kind == "classification" and data.classes < 2:
        told = f"{model.name} needs at least 2 classes, the data has {data.classes}"
        raise EcgEdgeError(told, "check the labels")
    if kind == "binary" and data.classes != 2:
        told = f"one output decides between two classes, {data.name} has {data.classes}"
        raise EcgEdgeError(told, "leave --task out")
    model.build(1 if kind == "binary" else data.classes, data.length, **model.for_leads(data.leads))


def cross_validation_record(estimate: Estimate | None, data: Dataset, task: Task) -> dict[str, Any] | None:
    if estimate is None:
        return None
    folds = int(estimate.folds[0].max()) + 1
    return {"folds": folds, "repeats": len(estimate.outputs), "figures": estimate.figures(data.train, task)}


def move_into(folder: Path, out: Path) -> None:
    """Move all files to ``out``, the checkpoint's record last: without it there is no checkpoint.

    What an earlier training left there goes: what the new one replaces, and what that has not. It is put back where
    the move fails, its record last as well.

    Raises:
        OSError: it fails.
    """
    files = sorted(folder.iterdir(), key=lambda file: file.name == CHECKPOINT_FILE)
    before = folder / "before"
    before.mkdir()
    old = {*PICTURES, METRICS_FILE, *weights_in(out), *(file.name for file in files)} - {CHECKPOINT_FILE}
    there = [name for name in (CHECKPOINT_FILE, *sorted(old)) if (out / name).exists()]
    try:
        for name in there:  # the record first
            (out / name).replace(before / name)
        for file in files:
            file.replace(out / file.name)
    except OSError:
        with contextlib.suppress(OSError):
            for name in reversed(there):
                if (before / name).exists():
                    (before / name).replace(out / name)
        raise


def weights_in(folder: Path) -> list[str]:
    """The files that the checkpoint in a folder names, where there is one that can be read."""
    try:
        return [file.name for file in files_of(folder)] if (folder / CHECKPOINT_FILE).is_file() else []
    except (OSError, ValueError):  # damaged, or no checkpoint of ours
        return []


def summary_of(network: Any, shape: tuple[int, ...]) -> str:
    """The layers of a torch network with their shapes, for an input of that shape, and parameters."""
    from torchinfo import summary

    return str(summary(network, input_size=shape, verbose=0))
