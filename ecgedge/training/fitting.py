"""A model is fitted to beats, by ecgedge's own loop or by the training that it brings, and answers others."""

from __future__ import annotations

import functools
import math
import random
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api import multilabel, tasks
from ecgedge.api.artifact import Anomaly, Artifact, Binary, Classification, Multilabel, Task
from ecgedge.api.options import Value
from ecgedge.api.parts import Model
from ecgedge.api.training import Fitted, Recipe, TrainingContext, TrainingSet
from ecgedge.convert.checkpoint import load_network, save_weights
from ecgedge.data.dataset import Split
from ecgedge.errors import EcgEdgeError
from ecgedge.training import loop
from ecgedge.training.recipe import heeded

OF_CLASSES = {"classification": Classification, "binary": Binary}
ASKED = 4096  # beats that a trained network is asked, at most, before it is taken for one


@dataclass(frozen=True)
class Trainee:
    """A model with how it is to be trained: what is the same for each network of a cross-validation, and for the last.

    Attributes:
        labels: of the data, see ``Dataset``.
        options: the model's own, see ``options_for``.
        kind: of the task: that of the model, or what a classifier becomes with one output, or with several labels.
    """

    model: Model
    labels: tuple[str, ...]
    recipe: Recipe
    options: Mapping[str, Value]
    kind: str

    @property
    def outputs(self) -> int:
        """How many classes a network of the model is built for."""
        return 1 if self.kind == "binary" else len(self.labels)


def fit(trainee: Trainee, beats: Split, title: str, held: Split | None = None) -> tuple[Fitted, list[dict[str, Any]]]:
    """What the model makes of ``beats``, and a record of each epoch that its training reports.

    The same seed on the same machine gives the same weights, where the model's own training keeps to it.

    Args:
        beats: what is fitted, of an anomaly model the normal ones.
        title: what the progress line says.
        held: beats that are not fitted, whose loss is in the records; they decide nothing.

    Raises:
        EcgEdgeError: the outputs are no answers, what is reported is not finite, or there is too little to fit.
    """
    model, recipe = trainee.model, trainee.recipe
    if trainee.kind == "anomaly":
        normal = trainee.labels.index(recipe.normal)
        beats, held = of_class(beats, normal), held and of_class(held, normal)
    if len(beats) < 2:  # batch norm needs two
        raise EcgEdgeError(f"too few beats to train on: {len(beats)}", "bring more training beats")
    seed(recipe.seed, model)
    curve = Curve(trainee, held)
    train = functools.partial(loop.train_network, task=trainee.kind, title=title, report=curve.report)
    labels = trainee.labels[: trainee.outputs]  # as many as the network has outputs
    data = TrainingSet(beats.x.copy(), beats.y.copy(), labels)  # a copy: theirs to change
    with tempfile.TemporaryDirectory(prefix="ecgedge-fit-") as scratch:
        context = TrainingContext(recipe, trainee.options, title, Path(scratch), train, curve.report)
        fitted = model.fit(data, context)
    if not isinstance(fitted, Fitted):
        raise TypeError(f"{type(model).__name__}.fit gave {type(fitted).__name__}, not ecgedge.Fitted")
    some = beats.x[:: math.ceil(len(beats) / ASKED)]
    if reason := tasks.wrong(predict(model, fitted.network, some), some, task_for(trainee)):
        raise EcgEdgeError(f"the trained network gives no answers: {reason}", remedy(model))
    return fitted, curve.records


def remedy(model: Model) -> str:
    """What may help where a training ends in nothing."""
    return "lower --lr" if "lr" in heeded(model) else f"{model.name} has a training of its own: try other data"


def of_class(beats: Split, label: int) -> Split:
    return beats.take(np.flatnonzero(beats.y == label))


def task_for(trainee: Trainee) -> Task:
    """What the outputs mean before a threshold is known."""
    if trainee.kind == "anomaly":
        return Anomaly(math.nan, math.nan, trainee.recipe.normal, trainee.labels, trainee.recipe.window)
    if trainee.kind == "multilabel":
        return Multilabel(trainee.labels)
    return OF_CLASSES[trainee.kind](trainee.labels)


def seed(number: int, model: Model) -> None:
    """Seed all that a training may draw from without asking: Python's, numpy's and, where it is used, torch's."""
    random.seed(number)
    np.random.seed(number % 2**32)
    if model.produces == "torch":
        import torch  # heavy, and not every model's

        torch.manual_seed(number)
        torch.backends.cudnn.deterministic = True


class Curve:
    """The records of a training, an epoch each; of a network that is reported also the loss on left-out beats.

    Args:
        held: left-out beats; None: there are none.
    """

    def __init__(self, trainee: Trainee, held: Split | None):
        self.model, self.task, self.held = trainee.model, task_for(trainee), held
        self.records: list[dict[str, Any]] = []

    def report(self, figures: Mapping[str, float], network: Any = None) -> None:
        """Note the figures of an epoch. Raises EcgEdgeError where one is not finite."""
        epoch = len(self.records) + 1
        record: dict[str, Any] = {"epoch": epoch} | {name: float(value) for name, value in figures.items()}
        if network is not None and self.held:
            record["held_out_loss"] = loss(predict(self.model, network, self.held.x), self.held, self.task)
        if wrong := [name for name, value in record.items() if not math.isfinite(value)]:
            raise EcgEdgeError(f"{wrong[0]} is not finite in epoch {epoch}", remedy(self.model))
        self.records.append(record)


def loss(outputs: np.ndarray, beats: Split, task: Task) -> float:
    """Mean squared error of reconstructions; negative log-likelihood of the classes, in nats a beat, or of the labels,
    in nats a label, of logits."""
    if isinstance(task, Multilabel):
        return multilabel.log_loss(outputs, beats.y)
    if isinstance(task, Anomaly):
        residual = outputs.reshape(beats.x.shape).astype(np.float64) - beats.x
        return float((residual**2).mean())
    return float(tasks.calibration_figures(tasks.of_classes(outputs, task), beats.y, "logits")["nll"])


def predict(model: Model, network: Any, x: np.ndarray) -> np.ndarray:
    """What a network of the model answers to beats ``(N, C, L)``: ``(N, classes)``, or as many values as a beat has."""
    return loop.predict(network, x) if model.produces == "torch" else np.asarray(model.predict(network, x))


def save(model: Model, network: Any, folder: Path, half: bool) -> list[str]:
    """Write a network's weights into the folder of its checkpoint, torch's as float16 if ``half``; names of files."""
    return save_weights(network, folder, half) if model.produces == "torch" else [*model.save(network, folder)]


def load(model: Model, checkpoint: Artifact) -> Any:
    """The network that a checkpoint holds."""
    return load_network(checkpoint) if model.produces == "torch" else model.load(checkpoint)
