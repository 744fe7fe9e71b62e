"""What ecgedge expects of the parts, run by pytest and by ``ecgedge plugins check litert_torch``."""

from __future__ import annotations

from pathlib import Path

from ecgedge import Artifact
from ecgedge.testing import ExporterContract, QuantizerContract, make_artifact
from ecgedge_litert_torch.exporter import LitertTorchExporter
from ecgedge_litert_torch.quantizer import LitertFullInt8


class TestExporter(ExporterContract):
    part = LitertTorchExporter()

    def source(self, folder: Path) -> Artifact:
        return make_artifact("base-cnn", "torch", folder)


class TestExporterOfAnAutoencoder(ExporterContract):
    part = LitertTorchExporter()

    def source(self, folder: Path) -> Artifact:
        return make_artifact("cnn-ae", "torch", folder)


class TestInt8(QuantizerContract):
    part = LitertFullInt8()

    def source(self, folder: Path) -> Artifact:
        return make_artifact("cnn-ae", "tflite", folder)


class TestInt8OfAClassifier(QuantizerContract):
    part = LitertFullInt8()

    def source(self, folder: Path) -> Artifact:
        return make_artifact("base-cnn", "tflite", folder)
