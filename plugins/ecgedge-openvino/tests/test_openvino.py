"""The parts keep ecgedge's contracts, and what is special to OpenVINO holds."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from ecgedge_openvino.contracts import *  # noqa: F403  (classes that pytest collects)
from ecgedge_openvino.contracts import BF16, F32
from ecgedge_openvino.quantizer import OpenVinoInt8
from ecgedge_openvino.runtime import OpenVinoRuntime

from ecgedge import Artifact, ConversionError, EcgEdgeError, Graph
from ecgedge.evaluate.precision_check import judge
from ecgedge.testing import draw, make_artifact


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return make_artifact("base-cnn", "onnx", tmp_path_factory.mktemp("onnx"))


def test_the_entry_point_leads_here() -> None:
    [point] = [point for point in metadata.entry_points(group="ecgedge") if point.name == "openvino"]
    module = point.load()
    assert [part.name for part in module.ecgedge_runtimes()] == ["openvino", "openvino-bf16"]
    assert [part.name for part in module.ecgedge_quantizers()] == ["openvino-full-int8"]


def answers(runtime: OpenVinoRuntime, artifact: Artifact) -> tuple[np.ndarray, Graph]:
    session = runtime.load(artifact, 1)
    session.bind(draw(50))
    session.invoke()
    graph = session.graph()
    assert graph is not None
    return session.fetch(), graph


def multiplied(graph: Graph) -> list[tuple[str, ...]]:
    """Types of input and weights of each layer that multiplies with weights."""
    return [node.takes[:2] for node in graph.nodes if node.op in ("Convolution", "FullyConnected")]


def test_the_precision_is_the_one_that_was_asked_for(onnx: Artifact) -> None:
    full, graph = answers(F32, onnx)
    assert multiplied(graph) == [("float32", "float32")] * 5
    assert graph.placement() == f"{len(graph.nodes)}/{len(graph.nodes)} OpenVINO"
    assert sum(weight.size_bytes for weight in graph.weights or ()) > 0.9 * onnx.size_bytes
    if reason := BF16.available():
        pytest.skip(reason)
    half, graph = answers(BF16, onnx)
    assert [beats for beats, _ in multiplied(graph)] == ["bfloat16"] * 5
    assert 0 < np.abs(full - half).max() < 0.2


def test_another_precision_than_that_asked_for_is_an_error(onnx: Artifact) -> None:
    """f16 is a hint that OpenVINO takes on a CPU, and then uses another precision."""
    with pytest.raises(RuntimeError, match="was asked for f16 and took"):
        OpenVinoRuntime("openvino-f16", "f16").load(onnx, 1)


def test_a_processor_without_bf16_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    class OldCore:
        def get_property(self, device: str, name: str) -> list[str]:
            return ["FP32", "INT8"]

    monkeypatch.setattr(openvino, "Core", OldCore)
    assert BF16.available() == "OpenVINO sees no bf16 in this processor, it has FP32, INT8"
    assert F32.available() is None


def test_int8_computes_in_int8(onnx: Artifact, tmp_path: Path) -> None:
    made = make_artifact("base-cnn", "openvino_ir", tmp_path, "openvino-full-int8")
    _, graph = answers(F32, made)
    assert [set(types) <= {"int8", "uint8"} for types in multiplied(graph)] == [True] * 5
    assert made.size_bytes < 0.5 * onnx.size_bytes
    assert {file.name for file in made.path.iterdir()} == {"model.xml", "model.bin", "ecgedge.json"}
    assert json.loads((made.path / "ecgedge.json").read_text())["precision"] == "full-int8"


@pytest.mark.parametrize("model", ["base-cnn", "tcn", "cnn-ae"])
def test_int8_is_what_it_claims_and_answers_as_the_source(model: str, tmp_path: Path) -> None:
    """The autoencoder too: its upsampling, left as a Resize, computes in float."""
    source = make_artifact(model, "onnx", tmp_path)
    made = make_artifact(model, "openvino_ir", tmp_path, "openvino-full-int8")
    asked, _ = answers(F32, source)
    given, graph = answers(F32, made)
    verdict = judge(graph, "full-int8", "cpu").flat
    assert (verdict["status"], verdict["float_ops"]) == ("ok", []), verdict["reason"]
    assert np.square(given - asked).mean() < 0.05**2 * np.square(asked).mean()


def test_files_of_onnxruntime_are_told_as_they_run_here(tmp_path: Path) -> None:
    """Full int8 stays int8; OpenVINO multiplies the weights of a dynamic file in float."""
    for precision, status in (("full-int8", "ok"), ("dynamic", "rejected")):
        made = make_artifact("cnn-ae", "onnx", tmp_path, f"onnx-{precision}")
        verdict = judge(answers(F32, made)[1], precision, "cpu").flat
        assert verdict["status"] == status, verdict["reason"]
    assert "float weights are multiplied by" in verdict["reason"]


@pytest.mark.parametrize("content", [b"", b"no model at all", None])
def test_a_damaged_file_is_the_users_error(onnx: Artifact, tmp_path: Path, content: bytes | None) -> None:
    from dataclasses import replace

    if content is not None:
        (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(EcgEdgeError, match=r"bad\.onnx"):
        F32.load(replace(onnx, path=tmp_path / "bad.onnx"), 1)


def test_a_model_without_anything_to_quantize_is_refused(onnx: Artifact, tmp_path: Path) -> None:
    from dataclasses import replace

    import onnx as library
    from onnx import TensorProto, helper

    from ecgedge import Context

    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, 140]) for name in ("input", "output")]
    graph = helper.make_graph([helper.make_node("Identity", ["input"], ["output"])], "same", info[:1], info[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    library.save(model, tmp_path / "same.onnx")
    with pytest.raises(ConversionError, match="quantized nothing"):
        OpenVinoInt8().quantize(replace(onnx, path=tmp_path / "same.onnx"), tmp_path / "out", Context(draw(10)))
