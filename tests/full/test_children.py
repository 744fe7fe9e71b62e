"""Model files that hang, want all memory, or are named in no alphabet: one line, and the command goes home."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.conftest import Command, error_of, write_beats

FLOAT = TensorProto.FLOAT
DATA = ("--dataset", "synthetic")
COMMANDS = {
    "evaluate": DATA,
    "predict": ("beats.txt",),
    "explain": (),
    "convert": ("--to", "onnx", *DATA, "-o", "made.onnx"),
    "bundle": ("-o", "made.zip"),
    "diverge": ("--against", "base-cnn", *DATA),
}
VALUES = 50_000_000_000  # 200 GB


def classifier(
    path: Path, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], batch: str | int = "N", name: str = "x"
) -> Path:
    """An ONNX file whose scores ``z`` are a product of beat and weights; ``nodes`` make the output ``y`` of them."""
    weights = np.random.default_rng(0).standard_normal((140, 5)).astype(np.float32)
    product = [helper.make_node("Flatten", [name], ["f"]), helper.make_node("MatMul", ["f", "w"], ["z"])]
    graph = helper.make_graph(
        [*product, *nodes],
        "classifier",
        [helper.make_tensor_value_info(name, FLOAT, [batch, 1, 140])],
        [helper.make_tensor_value_info("y", FLOAT, [batch, 5])],
        [numpy_helper.from_array(value, key) for key, value in {"w": weights, **constants}.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def endless(path: Path) -> Path:
    """A Loop whose condition stays as it is: true."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Identity", ["v"], ["v2"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, None),
        ],
        [helper.make_tensor_value_info("c2", TensorProto.BOOL, []), helper.make_tensor_value_info("v2", FLOAT, None)],
    )
    loop = helper.make_node("Loop", ["", "true", "z"], ["y"], body=body)
    return classifier(path, [loop], {"true": np.array(True)})


def large(path: Path, operation: str) -> Path:
    """A file that adds the largest of very many values, made by ConstantOfShape or Expand."""
    made = {
        "ConstantOfShape": helper.make_node("ConstantOfShape", ["shape"], ["many"]),
        "Expand": helper.make_node("Expand", ["one", "shape"], ["many"]),
    }[operation]
    nodes = [
        helper.make_node("ReduceMax", ["z"], ["one"], keepdims=0),
        made,
        helper.make_node("ReduceMax", ["many"], ["most"], keepdims=0),
        helper.make_node("Add", ["z", "most"], ["y"]),
    ]
    return classifier(path, nodes, {"shape": np.array([VALUES])})


def test_an_endless_loop_ends(ecgedge: Command, tmp_path: Path) -> None:
    endless(tmp_path / "loop.onnx")
    write_beats(tmp_path / "beats.txt", np.zeros((3, 1, 140)))
    with ThreadPoolExecutor() as pool:
        running = [
            pool.submit(ecgedge, command, "loop.onnx", *more, "--timeout", "10") for command, more in COMMANDS.items()
        ]
    for result in running:
        told = error_of(result.result())
        assert told == "Error: loop.onnx did not end within 10 s\n  raise --timeout\n"


def test_so_does_one_of_tflite(ecgedge: Command, tmp_path: Path) -> None:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, 1, 140), tf.float32)])
    def forever(x: tf.Tensor) -> tf.Tensor:
        scores = tf.reshape(x, (1, 140))[:, :5]
        return tf.while_loop(lambda y: tf.reduce_all(tf.abs(y) >= 0), lambda y: [y], [scores])[0]

    converter = tf.lite.TFLiteConverter.from_concrete_functions([forever.get_concrete_function()])
    (tmp_path / "loop.tflite").write_bytes(converter.convert())
    told = error_of(ecgedge("evaluate", "loop.tflite", *DATA, "--timeout", "10"))
    assert told == "Error: loop.tflite did not end within 10 s\n  raise --timeout\n"


@pytest.mark.parametrize("operation", ["ConstantOfShape", "Expand"])
def test_what_wants_all_memory_is_told(ecgedge: Command, tmp_path: Path, operation: str) -> None:
    large(tmp_path / "large.onnx", operation)
    for command in ("evaluate", "explain"):
        told = error_of(ecgedge(command, "large.onnx", *COMMANDS[command], "--memory", "4000"))
        assert told.startswith("Error: large.onnx needs more memory: "), told
        assert str(4 * VALUES) in told and told.endswith("\n  raise --memory\n")


def test_a_batch_that_no_memory_holds_is_told(ecgedge: Command, tmp_path: Path) -> None:
    classifier(tmp_path / "batch.onnx", [helper.make_node("Identity", ["z"], ["y"])], {}, batch=10**9)
    assert "batch.onnx: input.shape[0] is 1000000000" in error_of(ecgedge("evaluate", "batch.onnx", *DATA))


def test_a_name_that_is_not_utf_8_is_told(ecgedge: Command, tmp_path: Path) -> None:
    path = classifier(tmp_path / "n.onnx", [helper.make_node("Identity", ["z"], ["y"])], {}, name="NAME")
    path.write_bytes(path.read_bytes().replace(b"NAME", b"\xff\xfe\xfdE"))
    told = error_of(ecgedge("evaluate", "n.onnx", *DATA))
    assert told.startswith("Error: n.onnx ") and "is not UTF-8\n" in told
