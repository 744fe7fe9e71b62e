"""The five built-in networks as parts."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from ecgedge import EcgEdgeError, Model, hookimpl


class BuiltinModel(Model):
    """A torch network for beats of any number of leads; trained weights for one lead are shipped with ecgedge."""

    needs = ("torch", "safetensors")
    leads = None

    def pretrained(self) -> Path | None:
        folder = Path(str(resources.files("ecgedge"))) / "weights" / self.name
        return folder if folder.is_dir() else None

    def require(self, classes: int, length: int) -> None:
        if length < self.min_length:
            raise EcgEdgeError(
                f"{self.name} needs beats of at least {self.min_length} samples, these have {length}",
                "choose another model, or longer beats",
            )
        if classes < 1:
            raise EcgEdgeError(f"{self.name} needs at least 1 output, {classes} are asked for", "check the labels")


# Networks are imported where they are built: they bring torch, and a part must be cheap to make.


class BaseCnn(BuiltinModel):
    name = "base-cnn"
    build_options = ("dropout",)
    min_length = 4

    def build(self, classes: int, length: int, dropout: float = 0.3, leads: int = 1, **_: Any) -> Any:
        from ecgedge.builtin.networks.base_cnn import BaseCNN

        self.require(classes, length)
        return BaseCNN(classes, dropout, leads)


class Vgg(BuiltinModel):
    name = "vgg"
    build_options = ("dropout",)
    recipe = {"objective": "accuracy", "half": True}  # 7 MB shipped instead of 14
    min_length = 32

    def build(self, classes: int, length: int, dropout: float = 0.3, leads: int = 1, **_: Any) -> Any:
        from ecgedge.builtin.networks.vgg import VGG

        self.require(classes, length)
        return VGG(classes, dropout, leads)


class Inception(BuiltinModel):
    name = "inception"
    build_options = ("dropout",)
    recipe = {"objective": "accuracy"}

    def build(self, classes: int, length: int, dropout: float = 0.3, leads: int = 1, **_: Any) -> Any:
        from ecgedge.builtin.networks.inception import InceptionTime

        self.require(classes, length)
        return InceptionTime(classes, dropout, leads)


class Tcn(BuiltinModel):
    name = "tcn"
    build_options = ("dropout",)
    # without batch norm it learns slower, and bears larger steps
    recipe = {"objective": "accuracy", "epochs": 125, "lr": 8e-3}

    def build(self, classes: int, length: int, dropout: float = 0.3, leads: int = 1, **_: Any) -> Any:
        from ecgedge.builtin.networks.tcn import TCN

        self.require(classes, length)
        return TCN(classes, dropout, leads)


class CnnAutoencoder(BuiltinModel):
    name = "cnn-ae"
    task = "anomaly"
    recipe = {"epochs": 600, "augment": 0.0, "denoise": 0.3, "average": 0.995, "window": 5, "amp": False}
    min_length = 8

    def build(self, classes: int, length: int, leads: int = 1, **_: Any) -> Any:
        from ecgedge.builtin.networks.cnn_ae import ConvAutoencoder

        self.require(classes, length)
        return ConvAutoencoder(length, leads)


@hookimpl
def ecgedge_models() -> Iterable[Model]:
    return BaseCnn(), Vgg(), Inception(), Tcn(), CnnAutoencoder()
