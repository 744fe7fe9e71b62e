"""A model. Here two convolutions; put your network in their place."""

from __future__ import annotations

from typing import Any

from ecgedge import EcgEdgeError, Model


class Acme(Model):
    """Two convolutions and a mean over time."""

    name = "acme"
    needs = ("torch",)
    task = "classification"  # or "anomaly": a reconstruction (N, 1, length)
    min_length = 16
    # recipe = {"epochs": 40}  # what `ecgedge train acme` does otherwise than for other models
    # build_options = ("dropout",)  # options of `ecgedge train` that build takes

    def build(self, classes: int, length: int, **options: Any) -> Any:
        if length < self.min_length:
            raise EcgEdgeError(f"{self.name} takes beats of {self.min_length} samples and more, not {length}")
        from torch import nn  # heavy

        return nn.Sequential(
            nn.Conv1d(1, 16, 7, padding=3),
            nn.ReLU(),
            nn.Conv1d(16, 32, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
            nn.Linear(32, classes),
        )

    # ecgedge trains it in its own loop. A model with another training brings it, and keeps cross-validation and
    # checkpoints; `from ecgedge import Fitted, TrainingContext, TrainingSet`:
    #
    # heeds = ("epochs",)  # options of `ecgedge train` that it follows
    #
    # def fit(self, data: TrainingSet, context: TrainingContext) -> Fitted:
    #     network = self.build(data.classes, data.length)
    #     ...  # set its weights by data.x (N, 1, length) and data.y (N,)
    #     return Fitted(network)
