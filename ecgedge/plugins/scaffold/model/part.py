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
