"""Files that are not what they claim, made by a plugin's quantizers, through the matrix: each is rejected."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Command, rows_of

for framework in ("torch", "onnxruntime", "tensorflow", "onnx2tf", "ai_edge_litert"):
    pytest.importorskip(framework)

PLUGIN = """
import dataclasses
import numpy as np
from ecgedge import Quantizer, hookimpl, plugins

class Renamed(Quantizer):
    '''The work of another quantizer under another precision.'''
    def __init__(self, of, precision):
        self.of, self.name, self.precision = of, f"{of}-as-{precision}", precision
        made_by = {"tflite": "saved_model", "onnx": "onnx", "none": "onnx"}
        self.accepts = (made_by[of.split("-")[0]],)
        self.produces = "tflite" if of.startswith("tflite") else None
        self.fixed_batch = of.startswith("tflite")

    def quantize(self, source, out, context):
        made = plugins.load().find("quantizer", self.of).quantize(source, out, context)
        return dataclasses.replace(made, precision=self.precision)

class Spoiled(Quantizer):
    accepts = ("onnx",)
    def __init__(self, name, precision):
        self.name, self.precision = name, precision

    def quantize(self, source, out, context):
        import onnx
        from onnx import helper, numpy_helper
        model = onnx.load(source.path)
        graph = model.graph
        last = next(n for n in reversed(graph.node) if n.op_type == "Gemm")
        names = {"cast": [i.name for i in graph.initializer if len(i.dims) > 1],
                 "nan": [last.input[1]], "swapped": [last.input[1], last.input[2]]}[self.name]
        for constant in [i for i in graph.initializer if i.name in names]:
            values = numpy_helper.to_array(constant)
            if self.name == "cast":
                scale = np.float32(np.abs(values).max() / 127)
                whole = np.rint(values / scale).astype(np.int8)
                graph.initializer.remove(constant)
                graph.initializer.extend([numpy_helper.from_array(whole, constant.name + "_8"),
                                          numpy_helper.from_array(scale, constant.name + "_s")])
                factors = [constant.name + "_f", constant.name + "_s"]
                graph.node.insert(0, helper.make_node("Mul", factors, [constant.name]))
                graph.node.insert(0, helper.make_node("Cast", [constant.name + "_8"], [constant.name + "_f"], to=1))
                continue
            changed = values * np.nan if self.name == "nan" else values[[1, 0, *range(2, len(values))]]
            constant.CopyFrom(numpy_helper.from_array(changed.astype(np.float32), constant.name))
        onnx.save(model, out)
        return source.derive(out, precision=self.precision)

@hookimpl
def ecgedge_quantizers():
    return [Renamed("tflite-fp32", "full-int8"), Renamed("tflite-dynamic", "full-int8"),
            Renamed("onnx-dynamic", "full-int8"), Renamed("none", "int4"), Renamed("tflite-fp32", "fp16"),
            Spoiled("cast", "full-int8"), Spoiled("nan", "fp32"), Spoiled("swapped", "fp32")]
"""

REASONS = {
    "tflite-fp32-as-full-int8": "full-int8: its weights are equal to those of its fp32 parent; it has no int8 weights",
    "tflite-dynamic-as-full-int8": "in float",
    "onnx-dynamic-as-full-int8": "activations are quantized while it runs (this is dynamic)",
    "none-as-int4": "equal to those of its fp32 parent",
    "tflite-fp32-as-fp16": "fp16: ",
    "cast": "float weights are multiplied by",
    "nan": "are not finite",
    "swapped": "the classes are in another order: output 0 is class '2', output 1 is class '1'",
}


def test_each_planted_fake_is_rejected(ecgedge: Command, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "fakes.py").write_text(PLUGIN)
    asked = [word for name in (*REASONS, "fp32") for word in ("--quantizer", name)]
    asked += ["--dataset", "synthetic", "--model", "base-cnn", "--runtime", "cpu", "--runtime", "tflite"]
    result = ecgedge("--plugins-dir", tmp_path / "plugins", "matrix", "--profile", "quick", "--out", "run", *asked)
    assert result.code == 1, result.out + result.err
    rows = {row["quantizer"]: row for row in rows_of(tmp_path / "run")}
    assert rows.pop("none")["status"] == rows.pop("tflite-fp32")["status"] == "ok"
    for name, reason in REASONS.items():
        assert rows[name]["status"] == "rejected", rows[name]
        assert reason in rows[name]["reason"]
