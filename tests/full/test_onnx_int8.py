"""The int8 ONNX files compute in integers, and what is rewritten for that keeps its answers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgedge import Artifact, Classification, Context, ConversionError, TensorSpec, check_parity
from ecgedge.builtin import onnx_quantizers
from ecgedge.builtin.onnx_rewrites import rewrite_for_int8
from ecgedge.testing import make_artifact
from tests.full.conftest import MODELS

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

MOVES = {"Reshape", "Flatten", "Transpose", "Slice", "Squeeze", "Unsqueeze", "Identity"}
FLOAT_CONVS = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"}
ENDS = {"QuantizeLinear": 1, "DequantizeLinear": 1}  # of the input, and of the output
NORMS = "BatchNormalization"
OPSETS = (13, 17, 18, 20)


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


def graph(body: str, shape: tuple[int, ...] = (2, 3, 8), opset: int = 17, **constants: np.ndarray) -> Any:
    """A model from ``x`` to ``y`` in the text form of ONNX, its shapes inferred."""
    head = f'<ir_version: 8, opset_import: ["": {opset}]> g (float{list(shape)} x) => (float[] y)'
    model = onnx.parser.parse_model(f"{head} {{{body}}}")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in constants.items())
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def answers(model: Any, **given: np.ndarray) -> np.ndarray:
    shape = [axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": x, **given})[0]


def rewritten(model: Any) -> list[str]:
    """The operators that the rewrites leave, after a look at their answers."""
    expected = answers(model)
    rewrite_for_int8(model)
    onnx.checker.check_model(model, full_check=True)
    found = answers(model)
    assert found.shape == expected.shape
    check_parity(expected, found, "rewritten")
    return [node.op_type for node in model.graph.node]


def mean(shape: tuple[int, ...], axes: list[int], keepdims: int, opset: int) -> Any:
    if opset >= 18:
        body = f"y = ReduceMean<keepdims={keepdims}>(x, axes)"
        return graph(body, shape, opset, axes=np.array(axes, dtype=np.int64))
    return graph(f"y = ReduceMean<axes={axes}, keepdims={keepdims}>(x)", shape, opset)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(("shape", "axes"), [((2, 3, 8), [2]), ((2, 3, 8), [-1]), ((2, 3, 4, 5), [3, 2])])
def test_the_mean_over_the_length_is_a_pool(shape: tuple[int, ...], axes: list[int], opset: int) -> None:
    assert rewritten(mean(shape, axes, 1, opset)) == ["GlobalAveragePool"]
    assert rewritten(mean(shape, axes, 0, opset)) == ["GlobalAveragePool", "Flatten"]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(("shape", "axes"), [((2, 3, 8), [1]), ((2, 3, 8), [1, 2]), ((2, 3, 4, 5), [3]), ((2, 8), [1])])
def test_other_means_stay(shape: tuple[int, ...], axes: list[int], opset: int) -> None:
    assert rewritten(mean(shape, axes, 0, opset)) == ["ReduceMean"]


def test_a_mean_of_all_stays() -> None:
    assert rewritten(graph("y = ReduceMean(x)", opset=13)) == ["ReduceMean"]
    assert rewritten(graph("y = ReduceMean(x)", (2, 8), opset=13)) == ["ReduceMean"]
    assert rewritten(graph("y = ReduceMean(x)", opset=18)) == ["ReduceMean"]
    assert rewritten(graph("y = ReduceMean(x, axes)", opset=18, axes=np.array([], np.int64))) == ["ReduceMean"]


def test_a_mean_whose_axes_come_with_the_input_stays() -> None:
    model = graph("y = ReduceMean<keepdims=0>(x, axes)", opset=18, axes=np.array([2]))
    model.graph.input.append(onnx.helper.make_tensor_value_info("axes", onnx.TensorProto.INT64, [1]))
    rewrite_for_int8(model)
    assert [node.op_type for node in model.graph.node] == ["ReduceMean"]
    assert answers(model, axes=np.array([1])).shape == (2, 8)


def test_a_mean_of_integers_stays() -> None:
    assert rewritten(graph("i = Cast<to=6>(x) m = ReduceMean<axes=[2]>(i) y = Cast<to=1>(m)")) == [
        "Cast", "ReduceMean", "Cast",
    ]  # fmt: skip


def norm(channels: int, seed: int = 0, name: str = "n") -> dict[str, np.ndarray]:
    """The parameters of a BatchNormalization as trained ones may be: also negative, also zero."""
    draw = np.random.default_rng(seed)
    scale, offset, average = draw.normal(size=(3, channels)).astype(np.float32)
    scale[0] = 0.0
    variance = draw.uniform(0.05, 3, channels).astype(np.float32)
    return dict(zip((f"{name}{what}" for what in "somv"), (scale, offset, average, variance), strict=True))


def weight(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


BN = f"{NORMS}(h, ns, no, nm, nv)"


@settings(max_examples=40, deadline=None)
@given(
    widths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    spatial=st.integers(1, 2),
    biased=st.lists(st.booleans(), min_size=4, max_size=4),
    backwards=st.booleans(),
    epsilon=st.sampled_from([1e-5, 1e-3]),
    opset=st.sampled_from(OPSETS),
)
def test_a_norm_goes_into_the_convs_before_it(
    widths: list[int], spatial: int, biased: list[bool], backwards: bool, epsilon: float, opset: int
) -> None:
    constants, body = norm(sum(widths)), ""
    for i, width in enumerate(widths):
        constants[f"w{i}"] = weight(width, 3, *[3] * spatial)
        constants[f"b{i}"] = weight(width)
        body += f"c{i} = Conv<pads={[1] * 2 * spatial}>(x, w{i}{f', b{i}' if biased[i] else ''}) "
    axis = -1 - spatial if backwards else 1
    body += f"h = Concat<axis={axis}>({', '.join(f'c{i}' for i in range(len(widths)))}) "
    body += f"n = {NORMS}<epsilon={epsilon}>(h, ns, no, nm, nv) y = Relu(n)"
    model = graph(body, (2, 3, *[8] * spatial), opset, **constants)
    assert rewritten(model) == [*["Conv"] * len(widths), "Concat", "Relu"]


def test_a_norm_goes_into_one_conv_and_spares_the_other_with_its_weight() -> None:
    body = f"h = Conv(x, w) n = {BN} m = Relu(n) other = Conv(x, w) z = Add(n, m) y = Add(z, other)"
    model = graph(body, w=weight(4, 3, 3), **norm(4))
    assert rewritten(model) == ["Conv", "Relu", "Conv", "Add", "Add"]


@pytest.mark.parametrize(
    "body",
    [
        f"y = {NORMS}(x, ns, no, nm, nv)",
        f"h = Relu(x) y = {BN}",
        f"h = Conv(x, w) n = {BN} y = Add(n, h)",  # the conv is read elsewhere too
        f"c = Conv(x, w) h = Concat<axis=1>(c) n = {BN} y = Add(n, c)",
        f"c = Conv(x, w) h = Concat<axis=1>(c) n = {BN} y = Add(n, h)",
        f"c = Conv(x, w) h = Concat<axis=2>(c, c) y = {BN}",
        f"c = Conv(x, w) d = Conv(x, w) h = Concat<axis=2>(c, d) y = {BN}",
        f"c = Conv(x, w1) d = Relu(x) h = Concat<axis=1>(c, d) y = {NORMS}(h, ks, ko, km, kv)",
        f"h = ConvTranspose(x, w) y = {BN}",
        f"u = Identity(w) h = Conv(x, u) y = {BN}",
    ],
)
def test_a_norm_elsewhere_is_a_conv_of_its_own(body: str) -> None:
    model = graph(body, w=weight(3, 3, 1), w1=weight(2, 3, 1), **norm(3), **norm(5, name="k"))
    before = [node.op_type for node in model.graph.node]
    assert rewritten(model) == ["Conv" if op == NORMS else op for op in before]


def test_what_an_inner_graph_reads_is_not_folded_into() -> None:
    inner = "then_branch = t () => (float[] a) {a = Identity(h)}, else_branch = e () => (float[] b) {b = Neg(h)}"
    body = f"h = Conv(x, w) n = {BN} i = If<{inner}>(yes) y = Add(n, i)"
    model = graph(body, w=weight(3, 3, 1), yes=np.array(True), **norm(3))
    assert rewritten(model) == ["Conv", "Conv", "If", "Add"]


def test_what_is_an_output_is_not_folded_into() -> None:
    model = graph(f"h = Conv(x, w) y = {BN}", w=weight(3, 3, 1), **norm(3))
    model.graph.output.append(onnx.helper.make_tensor_value_info("h", onnx.TensorProto.FLOAT, [2, 3, 8]))
    assert rewritten(model) == ["Conv", "Conv"]


def test_a_norm_without_channels_of_some_length_stays() -> None:
    assert rewritten(graph(f"h = Relu(x) y = {BN}", (4, 3), **norm(3))) == ["Relu", NORMS]


def test_a_norm_whose_parameters_can_be_replaced_stays() -> None:
    model = graph(f"h = Conv(x, w) y = {BN}", w=weight(3, 3, 1), **norm(3))
    model.graph.input.append(onnx.helper.make_tensor_value_info("ns", onnx.TensorProto.FLOAT, [3]))
    assert rewritten(model) == ["Conv", NORMS]


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
    made = onnx_quantizers.OnnxFullInt8().quantize(source, tmp_path / "int8.onnx", Context(beats))
    assert_in_integers(made.path, tmp_path)
    expected, found = (onnx_quantizers.answers(path, source, beats) for path in (source.path, made.path))
    check_parity(expected, found, "int8", atol=0.05)


def test_a_rewrite_that_changes_the_answers_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(model: Any) -> None:
        [first] = [t for t in model.graph.initializer if t.name == "g"]
        first.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(first) * np.float32(1.01), "g"))

    monkeypatch.setattr(onnx_quantizers, "rewrite_for_int8", wrong)
    model = graph("f = Flatten(x) y = Gemm(f, g)", (1, 1, 140), g=weight(140, 5))
    source = artifact_of(model, tmp_path / "theirs.onnx")
    beats = np.random.default_rng(0).standard_normal((10, 1, 140)).astype(np.float32)
    with pytest.raises(ConversionError, match="rewritten for int8: outputs differ"):
        onnx_quantizers.OnnxFullInt8().quantize(source, tmp_path / "int8.onnx", Context(beats))
