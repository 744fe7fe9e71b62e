"""The built-in parts keep the contracts. Quantizers on the smallest network; one of them on a classifier too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import numpy as np
import pytest

from ecgedge import Artifact, Context, plugins
from ecgedge.builtin import tflite_quantizers
from ecgedge.convert.checkpoint import load_network, read_checkpoint
from ecgedge.testing import (
    ExporterContract,
    ModelContract,
    QuantizerContract,
    RuntimeContract,
    draw,
    make_artifact,
)

for framework in ("torch", "onnxruntime", "tensorflow", "onnx2tf", "ai_edge_litert"):
    pytest.importorskip(framework)

PARTS = plugins.load()
SEEN = None  # what a base class imports is tried on one of its parts: it costs torch's or TensorFlow's start


def checkpoint(model: str) -> Artifact:
    folder = PARTS.models[model].pretrained()
    assert folder is not None
    return read_checkpoint(folder, PARTS.models)


class TestBaseCnn(ModelContract):
    part = PARTS.models["base-cnn"]


class TestVgg(ModelContract):
    part = PARTS.models["vgg"]
    test_it_works_with_only_what_it_needs = SEEN


class TestInception(ModelContract):
    part = PARTS.models["inception"]
    test_it_works_with_only_what_it_needs = SEEN


class TestTcn(ModelContract):
    part = PARTS.models["tcn"]
    test_it_works_with_only_what_it_needs = SEEN


class TestCnnAe(ModelContract):
    part = PARTS.models["cnn-ae"]
    test_it_works_with_only_what_it_needs = SEEN


class TestTorchRuntime(RuntimeContract):
    part = PARTS.runtimes["torch"]

    def artifact(self, folder: Path) -> Artifact:
        return checkpoint("base-cnn")


class TestOnnxRuntime(RuntimeContract):
    part = PARTS.runtimes["cpu"]

    def artifact(self, folder: Path) -> Artifact:
        return make_artifact("base-cnn", "onnx", folder)


class TestTorchProgram(RuntimeContract):
    part = PARTS.runtimes["torch-program"]
    test_it_works_with_only_what_it_needs = SEEN

    def artifact(self, folder: Path) -> Artifact:
        import torch

        beats = torch.zeros(2, 1, 140)
        program = torch.export.export(
            load_network(checkpoint("base-cnn")), (beats,), dynamic_shapes=({0: torch.export.Dim("n")},)
        )
        torch.export.save(program, folder / "net.pt2")
        return self.part.inspect(folder / "net.pt2")


class TestSavedModel(RuntimeContract):
    """On a large network: of a small one the thread that asks TensorFlow's single one is as busy as that."""

    part = PARTS.runtimes["saved_model"]
    test_it_works_with_only_what_it_needs = SEEN

    def artifact(self, folder: Path) -> Artifact:
        return make_artifact("inception", "saved_model", folder)


class OfTflite(RuntimeContract):
    part = PARTS.runtimes["tflite"]
    beats_a_call: ClassVar[int]

    def artifact(self, folder: Path) -> Artifact:
        return make_artifact("cnn-ae", "tflite", folder, "tflite-fp32", batch=self.beats_a_call)


class TestTfliteRuntime(OfTflite):
    beats_a_call = 1


class TestTfliteRuntimeInBatches(OfTflite):
    test_it_works_with_only_what_it_needs = SEEN
    beats_a_call = 64


class TestOnnxExporter(ExporterContract):
    part = PARTS.exporters["onnx"]

    def source(self, folder: Path) -> Artifact:
        return checkpoint("cnn-ae")


class TestOnnx2tfExporter(ExporterContract):
    part = PARTS.exporters["onnx2tf"]

    def source(self, folder: Path) -> Artifact:
        return make_artifact("cnn-ae", "onnx", folder)

    def answers(self, artifact: Artifact, beats: np.ndarray) -> np.ndarray:
        """A SavedModel's by way of TFLite: no runtime takes it."""
        if artifact.format == "saved_model":
            out = artifact.path.with_suffix(".tflite")
            artifact = PARTS.quantizers["tflite-fp32"].quantize(artifact, out, Context(draw(10), batch=len(beats)))
        return super().answers(artifact, beats)


class OfOnnx(QuantizerContract):
    model = "cnn-ae"

    def source(self, folder: Path) -> Artifact:
        return make_artifact(self.model, "onnx", folder)


class TestNone(OfOnnx):
    part = PARTS.quantizers["none"]
    tolerance = 0.0


class TestOnnxFp16(OfOnnx):
    part = PARTS.quantizers["onnx-fp16"]
    tolerance = 0.01


class TestOnnxDynamic(OfOnnx):
    part = PARTS.quantizers["onnx-dynamic"]


class TestOnnxFullInt8(OfOnnx):
    part = PARTS.quantizers["onnx-full-int8"]


class TestOnnxFullInt8OfAClassifier(OfOnnx):
    part = PARTS.quantizers["onnx-full-int8"]
    model = "base-cnn"


class TestOnnxMixed(OfOnnx):
    part = PARTS.quantizers["onnx-mixed"]
    test_it_works_with_only_what_it_needs = SEEN


def begun_in_vain(model: object, folder: str, **_: object) -> None:
    """In the place of what writes a SavedModel."""
    Path(folder, "begun").write_bytes(b"")
    raise ValueError("it cannot be written")


class OfSavedModel(QuantizerContract):
    """Against the ONNX file that the SavedModel was made of, since no runtime takes a SavedModel."""

    def source(self, folder: Path) -> Artifact:
        return OfSavedModel.once("saved_model", lambda folder: make_artifact("cnn-ae", "saved_model", folder))

    def answers(self, artifact: Artifact, beats: np.ndarray) -> np.ndarray:
        if artifact.format == "saved_model":
            artifact = OfSavedModel.once("onnx", lambda folder: make_artifact("cnn-ae", "onnx", folder))
        return super().answers(artifact, beats)

    def test_a_form_is_the_same_whatever_was_made_of_the_model_before(self, tmp_path: Path) -> None:
        """TensorFlow's first step is done once for all of them."""
        source, context = self.source(tmp_path), Context(draw(20), batch=4)

        def content(part: tflite_quantizers.TfliteQuantizer, digest: str) -> bytes:
            told = replace(source, digest=digest)
            converter = tflite_quantizers.converter_of(told, context)
            part.configure(converter, tflite_quantizers.calibration_of(told, context))
            return tflite_quantizers.convert(converter)

        alone, others = content(self.part, ""), (tflite_quantizers.TfliteFp16(), tflite_quantizers.TfliteFullInt8())
        assert len({content(part, "shared") for part in others}) == 2
        assert content(self.part, "shared") == alone
        with mock.patch.object(tflite_quantizers, "WRITE", "a step of another TensorFlow"):
            assert content(self.part, "not shared") == alone
        with mock.patch("tensorflow.lite.python.lite._save.save", begun_in_vain):
            assert len(content(self.part, "not written")) == len(content(self.part, ""))  # names in it are counted


class TestTfliteFp32(OfSavedModel):
    part = PARTS.quantizers["tflite-fp32"]
    tolerance = 1e-4


class TestTfliteFp16(OfSavedModel):
    part = PARTS.quantizers["tflite-fp16"]
    test_it_works_with_only_what_it_needs = SEEN
    tolerance = 0.01


class TestTfliteDynamic(OfSavedModel):
    part = PARTS.quantizers["tflite-dynamic"]
    test_it_works_with_only_what_it_needs = SEEN


class TestTfliteFullInt8(OfSavedModel):
    part = PARTS.quantizers["tflite-full-int8"]
    test_it_works_with_only_what_it_needs = SEEN

    def test_all_batches_have_the_ranges_that_were_found_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        beats, fed = draw(20), []

        def noted(source: Artifact, context: Context) -> Any:
            def feed() -> Iterator[list[np.ndarray]]:
                for batch in calibration_of(source, context)():
                    fed.append(len(batch[0]))
                    yield batch

            return feed

        def made(name: str, batch: int, source: Artifact) -> Artifact:
            return self.part.quantize(source, tmp_path / name, Context(beats, batch=batch))

        calibration_of = tflite_quantizers.calibration_of
        monkeypatch.setattr(tflite_quantizers, "calibration_of", noted)
        source = self.source(tmp_path)
        first, again = (replace(source, digest=digest) for digest in ("first", "again"))
        single, eight, alone = made("1", 1, first), made("8", 8, first), made("alone", 8, again)
        assert fed == [*[1] * 20, 8, *[1] * 20, 8]  # once for a model, and one call that finds no range of its own
        assert single.input.scale == eight.input.scale == alone.input.scale
        expected = self.answers(single, beats[:8])
        assert np.array_equal(self.answers(eight, beats[:8]), expected)
        assert np.array_equal(self.answers(alone, beats[:8]), expected)


class TestTfliteMixed(OfSavedModel):
    part = PARTS.quantizers["tflite-mixed"]
    test_it_works_with_only_what_it_needs = SEEN
