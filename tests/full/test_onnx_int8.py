"""The int8 ONNX files compute in integers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge import Artifact, Classification, Context, TensorSpec, check_parity
from ecgedge.builtin.onnx_quantizers import OnnxDynamic, OnnxFullInt8
from ecgedge.passes.optimize import optimize
from ecgedge.testing import make_artifact
from ecgedge.testing.contract import answers
from tests.full.conftest import MODELS
from tests.full.graphs import BN, OPSETS, graph, norm, weight

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

MOVES = {"Reshape", "Flatten", "Transpose", "Slice", "Squeeze", "Unsqueeze", "Identity"}
FLOAT_CONVS = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"}
ENDS = {"QuantizeLinear": 1, "DequantizeLinear": 1}  # of the input, and of the output


def kernels(path: Path, folder: Path) -> list[tuple[str, str]]:
    """What onnxruntime ran for one input, after all its optimisations: operator and type of its first output."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    [given] = session.get_inputs()
    session.run(None, {given.name: np.zeros([axis if isinstance(axis, int) else 1 for axis in given.shape], "float32")})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    ran = [event["args"] for event in events if event["cat"] == "Node" and event["name"].endswith("_kernel_time")]
    return [(args["op_name"], next(iter(args["output_type_shape"][0]))) for args in ran]


def assert_in_integers(path: Path, folder: Path) -> None:
    ran = kernels(path, folder)
    assert {op: count for op, count in Counter(op for op, _ in ran).items() if op in ENDS} == ENDS
    assert {op for op, kind in ran if kind not in ("uint8", "int8", "int32")} <= MOVES | {"DequantizeLinear"}


@pytest.mark.parametrize("model", MODELS)
def test_full_int8_computes_in_integers(model: str, tmp_path: Path) -> None:
    assert_in_integers(make_artifact(model, "onnx", tmp_path, "onnx-full-int8").path, tmp_path)


@pytest.mark.parametrize("model", MODELS)
def test_dynamic_multiplies_in_integers(model: str, tmp_path: Path) -> None:
    ran = {op for op, _ in kernels(make_artifact(model, "onnx", tmp_path, "onnx-dynamic").path, tmp_path)}
    assert "ConvInteger" in ran
    assert not ran & FLOAT_CONVS


def artifact_of(model: Any, path: Path) -> Artifact:
    onnx.save(model, path)
    shape = tuple(axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim)
    given, returned = TensorSpec("x", shape, "float32", "NCL"), TensorSpec("y", (shape[0], 5), "float32", "NC")
    return Artifact(path, "onnx", "fp32", Classification(tuple("abcde")), given, returned, "theirs")


@pytest.mark.parametrize("opset", OPSETS)
def test_a_graph_of_two_dimensions_computes_in_integers(opset: int, tmp_path: Path) -> None:
    axes = "(p, two)" if opset >= 18 else "(p)"
    attributes = "keepdims=0" if opset >= 18 else "axes=[2,3], keepdims=0"
    body = f"""r = Reshape(x, image) c = Conv<pads=[1,1,1,1]>(r, w) d = Conv(r, v) q = Relu(c)
        h = Concat<axis=1>(q, d) n = {BN} p = Relu(n) m = ReduceMean<{attributes}>{axes} y = Gemm(m, g)"""
    constants = {"w": weight(4, 1, 3, 3), "v": weight(2, 1, 1, 1), "g": weight(6, 5), **norm(6)}
    constants |= {"image": np.array([1, 1, 10, 14]), "two": np.array([2, 3])}
    source = artifact_of(graph(body, (1, 1, 140), opset, **constants), tmp_path / "theirs.onnx")
    beats = np.random.default_rng(0).standard_normal((40, 1, 140)).astype(np.float32)
    part = OnnxFullInt8()
    repaired = optimize(source, tmp_path / "repaired.onnx", part.wants, Context(beats))
    made = part.quantize(repaired, tmp_path / "int8.onnx", Context(beats))
    assert_in_integers(made.path, tmp_path)
    check_parity(answers(source, beats), answers(made, beats), "int8", atol=0.05)


def test_a_weight_whose_shape_is_listed_as_well_is_quantized(tmp_path: Path) -> None:
    """As torch's newer exporter lists it; the quantizer turns the weight of a Gemm around."""
    constants = {"flat": np.array([0, -1]), "w": weight(5, 140), "b": weight(5)}
    model = graph("r = Reshape(x, flat) y = Gemm<transB=1>(r, w, b)", (1, 1, 140), **constants)
    model.graph.value_info.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [5, 140]))
    source = artifact_of(model, tmp_path / "theirs.onnx")
    beats = np.random.default_rng(0).standard_normal((40, 1, 140)).astype(np.float32)
    made = OnnxDynamic().quantize(source, tmp_path / "dynamic.onnx", Context(beats))
    assert not {op for op, _ in kernels(made.path, tmp_path)} & FLOAT_CONVS
    expected = beats[:, 0] @ constants["w"].T + constants["b"]
    assert np.corrcoef(answers(made, beats).ravel(), expected.ravel())[0, 1] > 0.999
