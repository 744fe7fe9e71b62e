"""What a training is given and what it gives back: a recipe, beats, a context, and the network that was fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Recipe:
    """How to train, as the options of ``ecgedge train`` say it.

    ecgedge's own loop: AdamW with a one-cycle learning rate (Smith and Topin, arXiv 1708.07120); the weights are an
    exponential moving average over the steps (arXiv 1806.05594). There is no choice of an epoch: all
    training beats are fitted, and how long was chosen beforehand, by cross-validation. What a network is
    shown: see ``batches``. A model with a training of its own heeds what its ``heeds`` names.

    Attributes:
        epochs: passes; one is N / ``batch`` steps, N the number of beats that are fitted.
        lr: the peak of the learning rate.
        batch: beats a step.
        dropout: of a network whose ``build_options`` name it.
        decay: weight decay (AdamW).
        teacher: a classifier learns the answers of a teacher (see ``teacher``) instead of the labels.
        temperature: by which the teacher's scores are divided before they become probabilities.
        mix: the share of beats shown that are a mix of two; with a teacher.
        smoothing: of the labels (arXiv 1512.00567); without a teacher.
        objective: of a classifier, what it is to be good at: ``"accuracy"``, all beats counting alike, or
            ``"balanced"``, the rare classes counting more than they occur.
        balance: how classes are drawn: 0 as often as they occur, 1 all alike, 0.5 by the square root.
        average: of the moving average, a step; 0: none.
        augment: strength of the augmentation, see ``augment``; 0: none.
        denoise: standard deviation of the noise on an autoencoder's input, in those of a beat.
        window: samples over which an autoencoder's residual is averaged before it is squared, see ``Anomaly``.
        amp: mixed precision: float16 on a GPU, bfloat16 on a CPU that has instructions for it, else none.
        seed: of everything drawn at random.
        compile: through ``torch.compile``.
        half: store the weights in half precision.
        normal: the class that an autoencoder learns.
    """

    epochs: int = 75
    lr: float = 3e-3
    batch: int = 64
    dropout: float = 0.1
    decay: float = 1e-2
    teacher: bool = True
    temperature: float = 0.17
    mix: float = 0.3
    smoothing: float = 0.1
    objective: str = "balanced"
    balance: float = 0.5
    average: float = 0.99
    augment: float = 1.0
    denoise: float = 0.0
    window: int = 1
    amp: bool = True
    seed: int = 0
    compile: bool = False
    half: bool = False
    normal: str = "1"


@dataclass(frozen=True)
class TrainingSet:
    """The beats that a model is fitted to. Those that judge it, of the test part or of a left-out fold, are not in it.

    Attributes:
        x: beats ``(N, C, L)`` float32 of C leads; for an anomaly model those of the normal class alone.
        y: their class indices ``(N,)`` int64.
        labels: ``labels[i]`` names class ``i``. A class may have no beat here, where those that it has were left out.
    """

    x: np.ndarray
    y: np.ndarray
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.y)

    @property
    def classes(self) -> int:
        """How many classes there are, with or without beats."""
        return len(self.labels)

    @property
    def leads(self) -> int:
        """Leads a beat."""
        leads: int = self.x.shape[1]
        return leads

    @property
    def length(self) -> int:
        """Samples a beat and lead."""
        length: int = self.x.shape[2]
        return length


class Loop(Protocol):
    """ecgedge's own training of a torch network."""

    def __call__(self, network: Any, data: TrainingSet, recipe: Recipe) -> None:
        """Train a network in place. Raises EcgEdgeError where its loss or its weights stop being finite."""


class Report(Protocol):
    """Where a training tells how far it is."""

    def __call__(self, figures: Mapping[str, float], network: Any = None) -> None:
        """Note the figures of an epoch, or of whatever the training repeats.

        Args:
            figures: by name. ``train_loss`` is drawn; all of them go to ``metrics.json`` and MLflow.
            network: as it is now; its loss on the beats that are left out is noted beside the figures, and drawn.

        Raises:
            EcgEdgeError: one of them is not finite.
        """


@dataclass(frozen=True)
class TrainingContext:
    """What a training may need beside the beats.

    The generators of Python, numpy and, for a model of the format ``torch``, torch have been seeded with
    ``recipe.seed`` when ``Model.fit`` is called.

    Attributes:
        recipe: how to train: the defaults, with what the model and then the user changed of them.
        options: the model's own, by name: their defaults, with what the user chose. One without a default is there only
            where the user chose it.
        title: what a progress line says of this training, such as ``"fold 2 of 5"``.
        scratch: an empty folder for files that the training needs; it is gone afterwards.
        loop: trains a torch network in place, ``loop(network, data, recipe)``, as ecgedge does where a model has no
            training of its own.
        report: takes the figures of an epoch, ``report({"train_loss": 0.3}, network)``; a training in one step has
            none.
    """

    recipe: Recipe
    options: Mapping[str, Any]
    title: str
    scratch: Path
    loop: Loop
    report: Report


@dataclass(frozen=True)
class Fitted:
    """What a training gives.

    Attributes:
        network: as ``Model.build`` makes it with ``options``, with trained weights.
        options: what ``build`` was given beside the number of classes and the length, fit for JSON. The checkpoint
            keeps them as they are, and the network is built from them again.
    """

    network: Any
    options: Mapping[str, Any] = field(default_factory=dict)
