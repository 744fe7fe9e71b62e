"""How to train: one set of defaults, what a model changes of them, and what the user changes of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ecgedge.api.parts import Model


@dataclass(frozen=True)
class Recipe:
    """How to train.

    AdamW with a one-cycle learning rate (Smith and Topin, arXiv 1708.07120); the weights are an
    exponential moving average over the steps (arXiv 1806.05594). There is no choice of an epoch: all
    training beats are fitted, and how long was chosen beforehand, by cross-validation. What a network is
    shown: see ``batches``.

    Attributes:
        epochs: passes; one is N / ``batch`` steps, N the number of beats that are fitted.
        lr: the peak of the learning rate.
        batch: beats a step.
        dropout: of a classifier.
        decay: weight decay (AdamW).
        teacher: a classifier learns the answers of a teacher (see ``teacher``) instead of the labels.
        temperature: by which the teacher's scores are divided before they become probabilities.
        mix: the share of beats shown that are a mix of two; with a teacher.
        smoothing: of the labels (arXiv 1512.00567); without a teacher.
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


def recipe_for(model: Model, changes: Mapping[str, Any] | None = None) -> Recipe:
    """The default recipe, with what the model changes, with what the user changes (None: nothing)."""
    asked = {key: value for key, value in (changes or {}).items() if value is not None}
    return replace(Recipe(), **{**model.recipe, **asked})
