"""Make the first inputs of the fuzzer: ``python -m tests.fuzz.make_corpus``. Random weights, synthetic beats."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgedge import Anomaly, Artifact, Classification, TensorSpec, write_record
from ecgedge.api.artifact import task_record
from tests.fuzz.run import CORPUS
from tests.fuzz.targets import APART, BEAT, FILES_OF_A_RUN, LABELS, LENGTH, SCORES, a_run

MAKER = {"part": "exporter onnx", "libraries": {"onnx": "1.23.2"}, "options": {"opset": 17}}
NET = Artifact(Path("m"), "onnx", "fp32", Classification(LABELS, "logits"), BEAT, SCORES, "net", "0" * 64, maker=MAKER)
MOST = 3000  # characters of a run's file, cut to whole lines


def main() -> None:
    seeds = {"record": records(), "checkpoint": checkpoints(), "onnx": onnx_files(), "tflite": tflite_files()}
    for door, files in {**seeds, "folder": folders()}.items():
        (CORPUS / door).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (CORPUS / door / name).write_bytes(content)
            print(f"{door}/{name}: {len(content):,} bytes")


def records() -> dict[str, bytes]:
    detector = replace(NET, task=Anomaly(0.015, 0.97, "1", LABELS, 5), output=replace(SCORES, shape=(None, 1, LENGTH)))
    noted = replace(
        NET, passes=("fold_norms",), parents=("a" * 64,), notes={"text": "a line", "left_out": {"x": "why"}}
    )
    made = {"classifier": NET, "detector": detector, "noted": noted}
    return {name: json.dumps(artifact.record()).encode() for name, artifact in made.items()}


def checkpoints() -> dict[str, bytes]:
    from safetensors.numpy import save

    told = {"model": "linear", "files": ["weights.safetensors"], "classes": 3, "length": LENGTH, "options": {}}
    told |= {"task": task_record(NET.task), "training": {"recipe": {"epochs": 1}}}
    rng = np.random.default_rng(0)
    weights = {"1.weight": rng.normal(size=(3, LENGTH)).astype(np.float32), "1.bias": np.zeros(3, np.float32)}
    return {"linear": json.dumps(told).encode() + APART + save(weights)}


def onnx_files() -> dict[str, bytes]:
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = numpy_helper.from_array(rng.normal(size=(LENGTH, 3)).astype(np.float32), "w")
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, LENGTH])
    returned = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 3])
    nodes = [
        helper.make_node("Flatten", ["input"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["output"], name="matmul"),
    ]
    graph = helper.make_graph(nodes, "net", [given], [returned], [weights])
    plain = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    bare = plain.SerializeToString()
    helper.set_model_props(plain, {"ecgedge": json.dumps(NET.record())})
    return {"record.onnx": plain.SerializeToString(), "plain.onnx": bare}


def tflite_files() -> dict[str, bytes]:
    import tensorflow as tf

    from ecgedge.builtin.tflite_quantizers import io_specs

    rng = np.random.default_rng(0)
    weights = tf.constant(rng.normal(size=(LENGTH, 3)).astype(np.float32))
    function = tf.function(lambda x: tf.matmul(tf.reshape(x, (1, LENGTH)), weights)).get_concrete_function(
        tf.TensorSpec((1, LENGTH, 1), tf.float32, name="input")
    )
    beats = [[rng.normal(size=(1, LENGTH, 1)).astype(np.float32)] for _ in range(20)]
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    plain = converter.convert()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: iter(beats)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    coded = converter.convert()
    like = replace(NET, input=TensorSpec("input", (1, LENGTH, 1), "float32", "NLC"))
    given, returned = io_specs(coded, like)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "int8.tflite"
        file.write_bytes(coded)
        write_record(
            replace(like, path=file, format="tflite", precision="full-int8", input=given, output=returned)
        )  # fmt: skip
        return {"int8.tflite": file.read_bytes(), "plain.tflite": plain}


def folders() -> dict[str, bytes]:
    made = {}
    for name in FILES_OF_A_RUN:
        content = (a_run() / name).read_bytes()
        if name.endswith(".jsonl"):
            lines = content.splitlines(keepends=True)
            content = b"".join(lines[: max(1, sum(np.cumsum([len(line) for line in lines]) < MOST))])
        if len(content) < 20_000:
            made[name] = name.encode() + APART + content
    return made


if __name__ == "__main__":
    main()
