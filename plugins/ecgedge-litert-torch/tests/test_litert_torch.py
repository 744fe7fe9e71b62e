"""The parts keep ecgedge's contracts, and what is special to LiteRT Torch holds."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ecgedge_litert_torch import tflite
from ecgedge_litert_torch.contracts import *  # noqa: F403  (classes that pytest collects)
from ecgedge_litert_torch.exporter import LitertTorchExporter
from ecgedge_litert_torch.quantizer import LitertFullInt8

from ecgedge import Artifact, Context, ConversionError, EcgEdgeError, write_record
from ecgedge.builtin.tflite_runtime import TfliteRuntime
from ecgedge.testing import draw, judge_graph, make_artifact


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return make_artifact("cnn-ae", "torch", tmp_path_factory.mktemp("torch"))


@pytest.fixture(scope="module")
def whole(checkpoint: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("fp32")
    return LitertTorchExporter().convert(checkpoint, folder / "cnn-ae.tflite", Context(draw(100)))


def quantized(source: Artifact, out: Path, context: Context) -> Artifact:
    return LitertFullInt8().quantize(source, out, context)


def verdict_on(artifact: Artifact) -> dict[str, Any]:
    session = TfliteRuntime().load(artifact, 1)
    session.bind(draw(1))
    session.invoke()
    return judge_graph(session.graph(), artifact.precision)


def test_the_entry_point_leads_here() -> None:
    [point] = [point for point in metadata.entry_points(group="ecgedge") if point.name == "litert_torch"]
    module = point.load()
    assert [part.name for part in module.ecgedge_exporters()] == ["litert-torch"]
    assert [part.name for part in module.ecgedge_quantizers()] == ["litert-full-int8"]


def test_both_files_are_what_they_claim_and_carry_their_record(whole: Artifact, tmp_path: Path) -> None:
    made = quantized(whole, tmp_path / "int8.tflite", Context(draw(100)))
    for artifact in (whole, made):
        verdict = verdict_on(artifact)
        assert (verdict["status"], verdict["precision_check"]) == ("ok", "checked"), verdict["reason"]
        told = TfliteRuntime().inspect(artifact.path)
        assert told.record() | {"digest": ""} == artifact.record() | {"digest": ""}
    assert (made.input.dtype, made.output.dtype) == ("int8", "int8")
    assert made.size_bytes < 0.6 * whole.size_bytes
    assert made.path.read_bytes().count(b'"precision": "fp32"') == 0  # the record of its source is gone


def test_the_axis_order_is_kept(whole: Artifact) -> None:
    assert (whole.input.shape, whole.input.layout) == ((1, 1, 140), "NCL")


def test_the_order_of_the_beats_does_not_matter(whole: Artifact, tmp_path: Path) -> None:
    """Sorted by class, say; and the limits are those of all beats, not of an average."""
    beats = draw(100)
    one, other = (
        quantized(whole, tmp_path / name, Context(given)) for name, given in (("one", beats), ("other", beats[::-1]))
    )
    assert one.input == other.input
    assert np.array_equal(tflite.answers(one, beats), tflite.answers(other, beats))
    least, most = ((limit - one.input.zero_point) * one.input.scale for limit in (-128, 127))
    assert least <= beats.min() + one.input.scale and most >= beats.max() - one.input.scale


def test_a_network_that_it_cannot_lower_fails_in_one_line(
    checkpoint: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from ecgedge_litert_torch import exporter

    class Odd(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x  # what flows through decides the way

    monkeypatch.setattr(exporter, "load_network", lambda source: Odd().eval())
    with pytest.raises(ConversionError, match=r"^LiteRT Torch gave up: [^\n]+$"):
        LitertTorchExporter().convert(checkpoint, tmp_path / "out.tflite", Context(draw(10)))


def test_a_wrong_result_is_not_kept(checkpoint: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = tflite.answers
    monkeypatch.setattr(tflite, "answers", lambda artifact, beats: right(artifact, beats) + np.float32(0.01))
    with pytest.raises(ConversionError, match="torch -> tflite: outputs differ by"):
        LitertTorchExporter().convert(checkpoint, tmp_path / "out.tflite", Context(draw(10)))


def test_weights_that_lie_behind_the_model_are_kept(whole: Artifact, tmp_path: Path) -> None:
    """As AI Edge Quantizer writes larger models."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    content = whole.path.read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    largest = max((each for each in model.buffers if each.data is not None), key=lambda each: len(each.data))
    weights, largest.data = bytes(largest.data), None
    largest.size, largest.offset = len(weights), 1 << 20
    for _ in range(2):  # first with any offset, to know the right one
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        packed = bytes(builder.Output())
        packed += bytes(-len(packed) % 16)
        largest.offset = len(packed)
    (tmp_path / "behind.tflite").write_bytes(packed + weights)
    behind = replace(whole, path=tmp_path / "behind.tflite")
    expected = tflite.answers(whole, draw(5))
    assert np.array_equal(tflite.answers(behind, draw(5)), expected)
    write_record(behind)
    assert np.array_equal(tflite.answers(behind, draw(5)), expected)


def test_a_file_without_a_signature_is_refused(whole: Artifact, tmp_path: Path) -> None:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(whole.path.read_bytes(), 0))
    model.signatureDefs = []
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "plain.tflite").write_bytes(bytes(builder.Output()))
    with pytest.raises(ConversionError, match="no signature"):
        quantized(replace(whole, path=tmp_path / "plain.tflite"), tmp_path / "out.tflite", Context(draw(10)))


def test_a_damaged_file_is_the_users_error(whole: Artifact, tmp_path: Path) -> None:
    (tmp_path / "bad.tflite").write_bytes(b"no model at all")
    with pytest.raises(EcgEdgeError, match=r"bad\.tflite is not a readable TFLite model"):
        quantized(replace(whole, path=tmp_path / "bad.tflite"), tmp_path / "out.tflite", Context(draw(10)))


def test_the_lock_pins_every_library_of_the_parts() -> None:
    lock = Path(tflite.__file__).with_name(f"{LitertTorchExporter.environment}.lock").read_text()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lock.splitlines() if "==" in line}
    wanted = {*LitertTorchExporter.libraries, *LitertFullInt8.libraries, "numpy", "pluggy", "safetensors"}
    assert wanted <= pinned
    assert json.dumps(sorted(pinned)).count("tensorflow") == 0
