"""What ecgedge expects of the parts, run by pytest and by ``ecgedge plugins check openvino``."""

from __future__ import annotations

from pathlib import Path

from ecgedge import Artifact
from ecgedge.testing import QuantizerContract, RuntimeContract, make_artifact
from ecgedge_openvino.quantizer import OpenVinoInt8
from ecgedge_openvino.runtime import OpenVinoRuntime

F32, BF16 = OpenVinoRuntime("openvino", "f32"), OpenVinoRuntime("openvino-bf16", "bf16")


class TestF32(RuntimeContract):
    part = F32

    def artifact(self, folder: Path) -> Artifact:
        return make_artifact("base-cnn", "onnx", folder)


class TestF32OfAnAutoencoder(RuntimeContract):
    part = F32

    def artifact(self, folder: Path) -> Artifact:
        return make_artifact("cnn-ae", "onnx", folder)


class TestF32OfItsOwnFormat(RuntimeContract):
    part = F32

    def artifact(self, folder: Path) -> Artifact:
        return make_artifact("cnn-ae", "openvino_ir", folder, "openvino-full-int8")


class TestBf16(RuntimeContract):
    """Batches of other sizes take other kernels, which round at other places."""

    part = BF16
    tolerance = 0.02

    def artifact(self, folder: Path) -> Artifact:
        return make_artifact("base-cnn", "onnx", folder)


class TestInt8(QuantizerContract):
    part = OpenVinoInt8()
    runtimes = (F32,)

    def source(self, folder: Path) -> Artifact:
        return make_artifact("cnn-ae", "onnx", folder)


class TestInt8OfAClassifier(QuantizerContract):
    part = OpenVinoInt8()
    runtimes = (F32,)

    def source(self, folder: Path) -> Artifact:
        return make_artifact("base-cnn", "onnx", folder)
