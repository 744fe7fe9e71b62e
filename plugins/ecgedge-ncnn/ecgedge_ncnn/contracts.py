"""What ecgedge expects of the parts, run by pytest and by ``ecgedge plugins check ncnn``."""

from __future__ import annotations

from pathlib import Path

from ecgedge import Artifact
from ecgedge.testing import ExporterContract, QuantizerContract, RuntimeContract, make_artifact
from ecgedge_ncnn.converters import NcnnExporter, NcnnFp16
from ecgedge_ncnn.runtime import NcnnRuntime

FP32, BF16 = NcnnRuntime("ncnn", "fp32"), NcnnRuntime("ncnn-bf16", "bf16")


class TestFp32(RuntimeContract):
    part = FP32

    def artifact(self, folder: Path) -> Artifact:
        return make_artifact("base-cnn", "ncnn", folder)


class TestFp32OfAnAutoencoder(RuntimeContract):
    part = FP32

    def artifact(self, folder: Path) -> Artifact:
        return make_artifact("cnn-ae", "ncnn", folder)


class TestBf16(RuntimeContract):
    part = BF16

    def artifact(self, folder: Path) -> Artifact:
        return make_artifact("base-cnn", "ncnn", folder)


class TestExporter(ExporterContract):
    part = NcnnExporter()
    runtimes = (FP32,)

    def source(self, folder: Path) -> Artifact:
        return make_artifact("cnn-ae", "onnx", folder)


class TestExporterOfAClassifier(ExporterContract):
    part = NcnnExporter()
    runtimes = (FP32,)

    def source(self, folder: Path) -> Artifact:
        return make_artifact("base-cnn", "onnx", folder)


class TestFp16(QuantizerContract):
    part = NcnnFp16()
    runtimes = (FP32,)
    tolerance = 0.02

    def source(self, folder: Path) -> Artifact:
        return make_artifact("base-cnn", "onnx", folder)
