"""What plugin authors test with: a tiny model, exporter, quantizer and runtime that need numpy only.

The fake model is a linear classifier. Its checkpoint (format ``"numpy"``) holds ``weights.npy``
``(C, L)``; the exporter turns that into one ``.npz`` file (format ``"fake"``), the quantizer rounds
the weights to 8 bits, and the runtime runs either.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api.artifact import Artifact, Classification
from ecgedge.api.options import Option
from ecgedge.api.parts import Context, Exporter, Model, Quantizer, Runtime, Session
from ecgedge.api.training import Fitted, TrainingContext, TrainingSet
from ecgedge.convert.checkpoint import write_checkpoint
from ecgedge.data.dataset import Dataset
from ecgedge.evaluate.parity import check_parity

WEIGHTS = "weights.npy"


class FakeModel(Model):
    """A linear classifier with the checkpoint in ``folder``; it is fitted in one step."""

    produces = "numpy"
    options = (Option("scale", float, 1.0, "Length of the weights of a class.", least=1e-3, most=1e3),)

    def __init__(self, folder: Path, name: str = "fake"):
        self.folder, self.name = folder, name

    def build(self, classes: int, length: int, **options: Any) -> np.ndarray:
        return np.zeros((classes, length), dtype=np.float32)

    def fit(self, data: TrainingSet, context: TrainingContext) -> Fitted:
        """The mean training beats of the classes, each of the length ``scale``."""
        weights = self.build(data.classes, data.length)
        for label in np.unique(data.y):
            mean = data.x[data.y == label, 0].mean(axis=0)
            weights[label] = context.options["scale"] * mean / np.linalg.norm(mean)
        return Fitted(weights)

    def save(self, network: np.ndarray, folder: Path) -> list[str]:
        np.save(folder / WEIGHTS, network)
        return [WEIGHTS]

    def load(self, checkpoint: Artifact) -> np.ndarray:
        weights: np.ndarray = np.load(checkpoint.path / WEIGHTS)
        return weights

    def predict(self, network: np.ndarray, x: np.ndarray) -> np.ndarray:
        return (x[:, 0] @ network.T).astype(np.float32)

    def pretrained(self) -> Path | None:
        return self.folder if self.folder.is_dir() else None


class FakeExporter(Exporter):
    """``numpy`` -> ``fake``."""

    name = "fake-exporter"
    accepts = ("numpy",)
    produces = "fake"

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        weights = np.load(source.path / WEIGHTS)
        write_fake(out, weights)
        expected, found = (context.parity_beats[:, 0] @ w.T for w in (weights, read_fake(out)))
        check_parity(expected, found, "numpy -> fake")
        return source.derive(out, format="fake", precision="fp32")


class FakeInt8(Quantizer):
    """Weights rounded to 8 bits."""

    name = "fake-int8"
    precision = "full-int8"
    accepts = ("fake",)
    calibrates = True

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        weights = read_fake(source.path)
        scale = np.abs(weights).max() / 127
        write_fake(out, np.rint(weights / scale).astype(np.int8), scale)
        return source.derive(out, precision=self.precision)


class FakeRuntime(Runtime):
    """Runs both formats with a matrix product; ``reason`` makes it unavailable."""

    accepts = ("numpy", "fake")

    def __init__(self, name: str = "fake-runtime", reason: str | None = None):
        self.name, self.reason = name, reason

    def available(self) -> str | None:
        return self.reason

    def load(self, artifact: Artifact, threads: int) -> Session:
        path = artifact.path
        return FakeSession(np.load(path / WEIGHTS) if path.is_dir() else read_fake(path))


class FakeSession(Session):
    def __init__(self, weights: np.ndarray):
        self.weights = weights

    def bind(self, x: np.ndarray) -> None:
        self.x = x[:, 0]

    def invoke(self) -> None:
        self.y = self.x @ self.weights.T

    def fetch(self) -> np.ndarray:
        return self.y.astype(np.float32)


def write_fake(out: Path, weights: np.ndarray, scale: float = 1.0) -> None:
    with out.open("wb") as file:
        np.savez(file, weights=weights, scale=scale)


def read_fake(path: Path) -> np.ndarray:
    with np.load(path) as file:
        return (file["weights"] * file["scale"]).astype(np.float32)


def write_fake_checkpoint(folder: Path, data: Dataset, name: str = "fake") -> Path:
    """Write a checkpoint whose weights are the normalised mean training beats of the classes."""
    folder.mkdir(parents=True)
    means = np.stack([data.train.x[data.train.y == c, 0].mean(axis=0) for c in range(data.classes)])
    np.save(folder / WEIGHTS, means / np.linalg.norm(means, axis=1, keepdims=True))
    write_checkpoint(
        folder,
        model=name,
        files=[WEIGHTS],
        classes=data.classes,
        length=data.length,
        task=Classification(data.labels),
        training={"data": {"name": data.name, "digest": data.digest}},
    )
    return folder
