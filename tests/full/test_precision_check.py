"""Planted fakes are rejected, honest files pass, and the certificate says who ran them: on real files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge import Artifact, Context, Graph, Runtime
from ecgedge.evaluate import arithmetic, macs
from ecgedge.measure.bench import infer
from ecgedge.plugins import Parts
from ecgedge.testing import draw, make_artifact
from ecgedge.testing import judge_graph as judge

for framework in ("torch", "onnxruntime", "tensorflow", "onnx2tf", "ai_edge_litert"):
    pytest.importorskip(framework)

PRECISIONS = ("fp32", "fp16", "dynamic", "full-int8")
Files = Callable[[str, str], Artifact]
Tell = Callable[[Artifact], Graph]


def graph_of(runtime: Runtime, artifact: Artifact, beats: np.ndarray) -> Graph | None:
    session = runtime.load(artifact, 1)
    infer(session, beats)
    graph = session.graph()
    session.close()
    return graph


@pytest.fixture(scope="module")
def files(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """tcn in a format and precision, each made once."""
    folder = tmp_path_factory.mktemp("tcn")
    sources = {
        "onnx": make_artifact("tcn", "onnx", folder),
        "tflite": make_artifact("tcn", "saved_model", folder),
    }
    made: dict[tuple[str, str], Artifact] = {}

    def file(format: str, precision: str) -> Artifact:
        if (format, precision) == ("onnx", "fp32"):
            return sources["onnx"]
        if (format, precision) not in made:
            part = parts.quantizers[f"{format}-{precision}"]
            out = folder / f"{precision}.{format}"
            made[format, precision] = part.quantize(sources[format], out, Context(draw(100)))
        return made[format, precision]

    return file


@pytest.fixture(scope="module")
def tell(parts: Parts) -> Tell:
    """The graph of a file, by the runtime of its format."""
    runtimes = {"onnx": "cpu", "tflite": "tflite", "torch": "torch"}

    def graph(artifact: Artifact) -> Graph:
        told = graph_of(parts.runtimes[runtimes[artifact.format]], artifact, draw(1))
        assert told is not None
        return told

    return graph


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_the_built_in_files_are_what_they_claim(files: Files, tell: Tell, format: str, precision: str) -> None:
    parent = tell(files(format, "fp32"))
    verdict = judge(tell(files(format, precision)), precision, "cpu", parent)
    assert (verdict["status"], verdict["reason"], verdict["precision_check"]) == ("ok", "", "checked")
    dtype = {"fp32": "float32", "fp16": "float16"}.get(precision, "int8")
    assert verdict["weight_shares"][dtype] > 0.85
    end = "int8" if (format, precision) == ("tflite", "full-int8") else "float32"
    assert (verdict["input_dtype"], verdict["output_dtype"]) == (end, end)
    assert (precision == "full-int8") == (verdict["float_ops"] == [])
    placed = "1 partition, all " if format == "tflite" else f"{verdict['placed']['cpu']}/{verdict['placed']['cpu']} CPU"
    assert verdict["placement"].startswith(placed)


def test_one_float_operation_in_an_int8_file_is_seen(files: Files, tell: Tell, tmp_path: Path) -> None:
    """After the last of the int8 ones, on scores that are float again."""
    import onnx

    source = files("onnx", "full-int8")
    model = onnx.load(source.path)
    model.graph.node[-1].output[0] = "scores"
    model.graph.node.append(onnx.helper.make_node("Tanh", ["scores"], [source.output.name], name="squash"))
    onnx.save(model, tmp_path / "tanh.onnx")
    verdict = judge(tell(replace(source, path=tmp_path / "tanh.onnx")), "full-int8", "cpu")
    assert verdict["status"] == "rejected"
    assert "squash" in verdict["float_ops"]
    assert "squash (Tanh) computes" in verdict["reason"]


@pytest.mark.parametrize("format", ["onnx", "tflite"])
@pytest.mark.parametrize(
    ("true", "claimed", "reason"),
    [
        ("fp32", "fp16", "it has no float16 weights"),
        ("fp32", "dynamic", "it has no int8 weights"),
        ("fp32", "full-int8", "compute in float"),
        ("fp16", "fp32", "its weights are 100% float16"),
        ("fp16", "full-int8", "it has no int8 weights"),
        ("dynamic", "fp32", "int8"),
        ("dynamic", "full-int8", "activations are quantized while it runs (this is dynamic) by"),
        ("full-int8", "fp32", "int8"),
    ],
)
def test_a_file_under_another_name_is_rejected(
    files: Files, tell: Tell, format: str, true: str, claimed: str, reason: str
) -> None:
    verdict = judge(tell(files(format, true)), claimed, "cpu")
    assert verdict["status"] == "rejected"
    assert reason in verdict["reason"]


@pytest.mark.parametrize("back", ["DequantizeLinear", "Cast"])
@pytest.mark.parametrize("claimed", ["dynamic", "full-int8"])
def test_int8_weights_before_a_float_convolution_are_rejected(
    files: Files, tell: Tell, tmp_path: Path, back: str, claimed: str
) -> None:
    fake = with_int8_weights(files("onnx", "fp32"), tmp_path / "fake.onnx", back)
    verdict = judge(tell(fake), claimed, "cpu")
    assert verdict["weight_shares"]["int8"] > 0.9, "the fake is a good one"
    assert verdict["status"] == "rejected"
    assert "body.3" in verdict["reason"] or "weight" in verdict["reason"]


def with_int8_weights(source: Artifact, out: Path, back: str) -> Artifact:
    """The same network with its large weights in int8, and a node ``back`` that makes them float again."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(source.path)
    nodes = []
    for tensor in list(model.graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.size < 1024 or values.dtype != np.float32:
            continue
        scale = np.float32(np.abs(values).max() / 127)
        stored = numpy_helper.from_array(np.rint(values / scale).astype(np.int8), f"{tensor.name}_int8")
        inputs = [stored.name]
        if back == "DequantizeLinear":
            model.graph.initializer.append(numpy_helper.from_array(scale, f"{tensor.name}_scale"))
            inputs.append(f"{tensor.name}_scale")
        options: dict[str, Any] = {} if back == "DequantizeLinear" else {"to": onnx.TensorProto.FLOAT}
        nodes.append(helper.make_node(back, inputs, [tensor.name], name=f"{tensor.name}_back", **options))
        model.graph.initializer.append(stored)
        model.graph.initializer.remove(tensor)
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
    onnx.save(model, out)
    return replace(source, path=out)


@pytest.mark.parametrize("format", ["onnx", "tflite", "torch"])
def test_the_fp32_parent_under_the_name_of_a_third_party(
    files: Files, tell: Tell, shipped: Callable[[str], Artifact], format: str
) -> None:
    graph = tell(shipped("tcn") if format == "torch" else files(format, "fp32"))
    verdict = judge(graph, "int4", "cpu", parent=graph)
    assert verdict["reason"] == "int4: its weights are equal to those of its fp32 parent"
    assert judge(graph, "fp32", "cpu", parent=graph)["status"] == "ok"


def test_a_gpu_that_left_everything_to_the_cpu_is_rejected(parts: Parts, files: Files) -> None:
    fake = type(parts.runtimes["cpu"])("cuda", "CPUExecutionProvider")
    graph = graph_of(fake, files("onnx", "fp32"), draw(1))
    verdict = judge(graph, "fp32", fake.device)
    assert (verdict["status"], verdict["reason"]) == ("rejected", "cuda: all 15 computing nodes ran on the CPU")
    assert verdict["placed"] == {"cpu": 18}  # with what only moves data


def foreign_tflite(out: Path, batch: int | None) -> Path:
    """Convolution, running sum, dense: XNNPACK takes no running sum."""
    import tensorflow as tf

    draw_weights = np.random.default_rng(0).standard_normal
    kernel, dense = (draw_weights(shape).astype(np.float32) for shape in ((7, 1, 32), (32, 5)))

    @tf.function(input_signature=[tf.TensorSpec((batch, 140, 1), tf.float32)])
    def network(x: Any) -> Any:
        summed = tf.cumsum(tf.nn.relu(tf.nn.conv1d(x, kernel, 2, "SAME")), axis=1)
        return tf.reduce_mean(summed, axis=1) @ dense

    out.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()]).convert())
    return out


def test_operations_outside_of_the_delegate_are_counted(parts: Parts, tmp_path: Path) -> None:
    runtime = parts.runtimes["tflite"]
    placements = {}
    for batch in (1, None):
        artifact = runtime.inspect(foreign_tflite(tmp_path / f"{batch}.tflite", batch))
        graph = graph_of(runtime, artifact, draw(1))
        assert graph is not None
        outside = {node.op for node in graph.nodes if node.runner != "XNNPACK"}
        assert {node.device for node in graph.nodes} == {"cpu"}
        assert judge(graph, "fp32", "cpu")["status"] == "ok"
        placements[batch] = graph.placement(), outside
    assert placements[1] == ("2 partitions, 1 op outside XNNPACK", {"CUMSUM"})
    text, outside = placements[None]
    assert "CUMSUM" in outside and len(outside) > 1
    assert int(text.split(", ")[1].split()[0]) > 1


def test_profiles_stay_out_of_the_users_folder(
    files: Files, tell: Tell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tell(files("onnx", "fp32"))
    assert list(tmp_path.iterdir()) == []


def test_weights_in_subgraphs_constants_and_beside_the_file_count(files: Files, tell: Tell, tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    source = files("onnx", "fp32")
    whole = tell(source)
    assert sum(weight.size_bytes for weight in whole.weights or ()) > 0.9 * source.size_bytes
    # shapes stay inside: onnxruntime reads none from beside a file
    onnx.save(onnx.load(source.path), tmp_path / "beside.onnx", save_as_external_data=True, size_threshold=100)
    assert (tmp_path / "beside.onnx").stat().st_size < 0.2 * source.size_bytes
    assert set(tell(replace(source, path=tmp_path / "beside.onnx")).weights or ()) == set(whole.weights or ())

    def branch(name: str, dtype: type) -> Any:
        """Scores of zero, times a constant of 2,000 elements."""
        constant = numpy_helper.from_array(np.zeros((140, 5), dtype), f"{name}_weight")
        product = helper.make_node("MatMul", ["flat", f"{name}_float"], [f"{name}_y"], name=f"{name}_product")
        cast = helper.make_node("Cast", [f"{name}_weight"], [f"{name}_float"], to=TensorProto.FLOAT)
        out = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, ["batch", 5])
        if name == "then":
            return helper.make_graph([cast, product], name, [], [out], [constant])
        value = helper.make_node("Constant", [], [f"{name}_weight"], value=constant)
        return helper.make_graph([value, cast, product], name, [], [out])

    nodes = [
        helper.make_node("Flatten", ["input"], ["flat"]),
        helper.make_node("ReduceSum", ["flat"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "sum"], ["more"]),
        helper.make_node(
            "If", ["more"], ["output"], then_branch=branch("then", np.float32), else_branch=branch("else", np.int8)
        ),
    ]
    ends = [("input", ["batch", 1, 140]), ("output", ["batch", 5])]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends]
    graph = helper.make_graph(nodes, "branches", infos[:1], infos[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "if.onnx")
    told = tell(replace(source, path=tmp_path / "if.onnx"))
    assert {(w.name, w.dtype, w.size_bytes) for w in told.weights or ()} == {
        ("then_weight", "float32", 2800),
        ("else_weight", "int8", 700),
    }
    assert "else_product" in {node.name for node in told.nodes}, "what ran inside is seen"
    assert "may not be seen" in judge(told, "fp32", "cpu")["precision_check"]


def test_torch_tells_its_modules(shipped: Callable[[str], Artifact], tell: Tell) -> None:
    verdict = judge(tell(shipped("base-cnn")), "fp32", "cpu")
    assert (verdict["status"], verdict["weight_shares"]) == ("ok", {"float32": 1.0})
    assert verdict["placed"] == {"cpu": 18}
    assert {node.op for node in tell(shipped("base-cnn")).nodes} >= {"Conv1d", "Linear"}


def test_names_that_are_looked_up_are_those_of_what_is_built_in() -> None:
    """Each in the list of ONNX, onnxruntime, LiteRT, torch or TensorFlow; a runtime of a plugin tells kinds itself."""
    import onnx
    import tensorflow as tf
    import torch
    from ai_edge_litert.schema_py_generated import BuiltinOperator
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    of_tensorflow = [name.removesuffix("V2").removesuffix("Native") for name in dir(tf.raw_ops)]
    known = {
        macs.plain(name)
        for names in (
            [schema.name for schema in onnx.defs.get_all_schemas_with_history()],
            [schema.name for schema in get_all_operator_schema()],
            vars(BuiltinOperator),
            dir(torch.ops.aten),
            dir(torch.nn),
            of_tensorflow,
        )
        for name in names
    }
    tables = (macs.MACS, macs.RULES, macs.PLACES, arithmetic.MOVES, arithmetic.QUANTIZES, arithmetic.BODIES)
    assert not [name for table in tables for name in table if name not in known]
