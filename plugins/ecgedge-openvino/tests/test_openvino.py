"""The parts keep ecgedge's contracts, and what is special to OpenVINO holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import metadata
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ecgedge_openvino.contracts import *  # noqa: F403  (classes that pytest collects)
from ecgedge_openvino.contracts import BF16, F32
from ecgedge_openvino.graph import KINDS, layers_of, node_of
from ecgedge_openvino.quantizer import OpenVinoInt8
from ecgedge_openvino.runtime import OpenVinoRuntime

from ecgedge import Artifact, ConversionError, EcgEdgeError, Graph, load_network
from ecgedge.testing import draw, judge_graph, make_artifact


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
    """f16 is a hint that OpenVINO takes on a CPU, and then uses another precision where the processor has none."""
    import openvino

    if "FP16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor computes in f16, so that OpenVINO takes what it was asked for")
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
    verdict = judge_graph(graph, "full-int8")
    assert (verdict["status"], verdict["float_ops"], verdict["kinds"]) == ("ok", [], "told"), verdict["reason"]
    assert np.square(given - asked).mean() < 0.05**2 * np.square(asked).mean()


def test_files_of_onnxruntime_are_told_as_they_run_here(tmp_path: Path) -> None:
    """Full int8 stays int8; OpenVINO multiplies the weights of a dynamic file in float."""
    for precision, status in (("full-int8", "ok"), ("dynamic", "rejected")):
        made = make_artifact("cnn-ae", "onnx", tmp_path, f"onnx-{precision}")
        verdict = judge_graph(answers(F32, made)[1], precision)
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


def flops_of(network: Any, *given: Any) -> int:
    """By torch's own counter, which counts a multiply-accumulate as two."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(*given)
    return counter.get_total_flops()


@pytest.mark.parametrize("model", ["base-cnn", "vgg", "tcn"])
def test_as_much_is_multiplied_as_torch_counts(model: str, tmp_path: Path) -> None:
    """No pass changes the number in these."""
    import torch

    network = load_network(make_artifact(model, "torch", tmp_path)).eval()
    _, graph = answers(F32, make_artifact(model, "onnx", tmp_path))
    assert 2 * sum(node.macs or 0 for node in graph.nodes) == flops_of(network, torch.from_numpy(draw(50)))


def test_products_of_every_kind_are_counted(tmp_path: Path) -> None:
    """In groups, transposed, with strides, of matrices: told as torch counts them."""
    import openvino
    import torch
    from torch import nn

    class Products(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.Sequential(
                nn.Conv1d(4, 8, 5, stride=2, padding=2), nn.Conv1d(8, 8, 3, groups=4), nn.Conv1d(8, 8, 3, groups=8),
                nn.ConvTranspose1d(8, 6, 4, stride=2), nn.ConvTranspose1d(6, 6, 3, groups=3),
            )  # fmt: skip
            self.head = nn.Linear(6, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.convs(x).transpose(1, 2)
            return self.head((x @ x.transpose(1, 2)).softmax(-1) @ x)

    network, x = Products().eval(), torch.randn(3, 4, 40)
    torch.onnx.export(network, (x,), tmp_path / "net.onnx", dynamo=False, opset_version=17)
    compiled = openvino.Core().compile_model(tmp_path / "net.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    compiled([x.numpy()])
    nodes = [*map(node_of, layers_of(compiled))]
    products = [node for node in nodes if node.kind == "multiplies"]
    assert {node.op for node in products} == {"Convolution", "Deconvolution", "MatMul", "FullyConnected"}
    assert len(products) == 8 and None not in [node.macs for node in products]
    assert 2 * sum(node.macs or 0 for node in nodes) == flops_of(network, x)
    assert all(len(node.input_shapes) == len(node.takes) for node in nodes)


def plane(ops: Any, x: Any) -> Any:
    return ops.reshape(x, [2, 4, 2, 3], False)


Build = Callable[[Any, Any], Any]
MOVES: dict[str, Build] = {  # of (2, 4, 6) values in float32
    "BatchToSpace": lambda ops, x: ops.batch_to_space(plane(ops, x), [1, 2, 1, 1], [0] * 4, [0] * 4),
    "Broadcast": lambda ops, x: ops.broadcast(ops.reshape(x, [2, 4, 6, 1], False), [2, 4, 6, 3]),
    "Concatenation": lambda ops, x: ops.concat([x, ops.roll(x, [1], [2])], 1),
    "DepthToSpace": lambda ops, x: ops.depth_to_space(plane(ops, x), "blocks_first", 2),
    "Gather": lambda ops, x: ops.gather(x, ops.constant([2, 0]), ops.constant(1)),
    "GatherElements": lambda ops, x: ops.gather_elements(x, np.ones((2, 4, 6), np.int32), 1),
    "GatherND": lambda ops, x: ops.gather_nd(x, np.array([[1, 2], [0, 3]])),
    "Pad": lambda ops, x: ops.pad(x, [0, 0, 1], [0, 0, 2], "constant"),
    "Reshape": lambda ops, x: ops.reshape(x, [8, 6], False),
    "ReverseSequence": lambda ops, x: ops.reverse_sequence(x, np.array([3, 6]), 0, 2),
    "Roll": lambda ops, x: ops.roll(x, [2], [2]),
    "ShuffleChannels": lambda ops, x: ops.shuffle_channels(x, 1, 2),
    "SpaceToBatch": lambda ops, x: ops.space_to_batch(plane(ops, x), [1, 2, 1, 1], [0] * 4, [0] * 4),
    "SpaceToDepth": lambda ops, x: ops.space_to_depth(x, "blocks_first", 2),
    "Split": lambda ops, x: ops.split(x, 1, 2).output(1),
    "StridedSlice": lambda ops, x: ops.strided_slice(x, [0, 1, 1], [2, 4, 6], [1, 1, 2], [0] * 3, [0] * 3),
    "Tile": lambda ops, x: ops.tile(x, [1, 2, 1]),
    "Transpose": lambda ops, x: ops.transpose(x, [2, 0, 1]),
}
NO_VALUES = {"Convert", "MemoryInput", "MemoryOutput", "Range", "Reorder", "ShapeOf"}  # other types, states, layouts


@pytest.mark.parametrize("name", MOVES)
def test_what_moves_values_leaves_them_as_they_are(name: str) -> None:
    """By what OpenVINO answers: each value is one of those that went in, or the zero of a padding."""
    import openvino
    from openvino import opset13 as ops

    given = ops.parameter([2, 4, 6], np.float32)
    model = openvino.Model([MOVES[name](ops, given)], [given])
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    x = np.random.default_rng(0).normal(size=(2, 4, 6)).astype(np.float32)
    found = compiled([x])[0]
    kinds = {node.op: node.kind for node in map(node_of, layers_of(compiled))}
    assert kinds[name] == "moves"
    assert {*found.ravel().tolist()} <= {0.0, *x.ravel().tolist()} and prod(found.shape) > 1


def test_each_type_that_is_said_to_move_was_seen_to() -> None:
    assert {name for name, kind in KINDS.items() if kind == "moves"} == MOVES.keys() | NO_VALUES


def test_types_are_those_of_this_openvino() -> None:
    """A name that its plugin for CPUs does not hold is misspelt, or of another version."""
    import openvino

    content = (Path(openvino.__file__).parent / "libs" / "libopenvino_intel_cpu_plugin.so").read_bytes()
    assert not [name for name in (*KINDS, "FakeQuantize", "Eltwise") if f"{name}\0".encode() not in content]


def test_bfloat16_is_declared() -> None:
    assert [each.name for each in BF16.precisions] == [BF16.computes] and not F32.precisions
