"""A precision that a stranger's quantizer declares, on the real stack: TFLite with int8 weights and int16 between."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Command, rows_of

PLUGIN = '''
from dataclasses import replace

from ecgedge import Precision, Quantizer, hookimpl

TYPES = ("int8", "int32", "int64"), "int8", ("int16", "int32", "int64")


class Tflite16x8(Quantizer):
    """TensorFlow's 16x8: int8 weights, int16 between."""

    name, precision = "tflite-16x8", "w8a16"
    precisions = (Precision("w8a16", "int8 weights, int16 between", *TYPES, cosine=0.999),)
    needs = libraries = ("tensorflow",)
    accepts, produces, calibrates, fixed_batch = ("saved_model",), "tflite", True, True

    def quantize(self, source, out, context):
        import tensorflow as tf

        ends = (source.input, source.output)
        given, returned = (replace(end, shape=(context.batch, *end.shape[1:])) for end in ends)
        loaded = tf.saved_model.load(str(source.path))
        serve = tf.function(lambda x: loaded.signatures["serving_default"](**{source.input.name: x}))
        concrete = serve.get_concrete_function(tf.TensorSpec(given.shape, tf.float32))
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], loaded)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([batch] for batch in source.input.batches(context.beats))
        wanted = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [wanted]
        out.write_bytes(converter.convert())
        return source.derive(out, format="tflite", precision=self.precision, input=given, output=returned)


@hookimpl
def ecgedge_quantizers():
    return [Tflite16x8()]
'''
ASKED = ("--format", "tflite", "--runtime", "tflite", "--profile", "quick")


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "own.py").write_text(textwrap.dedent(PLUGIN))
    return tmp_path / "plugins"


def test_int16_between_is_checked_and_chosen(ecgedge: Command, plugins: Path, tmp_path: Path) -> None:
    done = ecgedge("--plugins-dir", plugins, "matrix", "--model", "base-cnn", *ASKED, "--quantizer", "none",
                   "--quantizer", "w8a16", "--out", "run")  # fmt: skip
    assert done.code == 0, done.err
    rows = {row["precision"]: row for row in rows_of(tmp_path / "run")}
    row = rows["w8a16"]
    assert (row["status"], row["precision_check"], row["tolerance"]) == ("ok", "checked", {"cosine": 0.999})
    held = ecgedge("check", "run")  # without the plugin: what it declared is in the run's folder
    assert held.code == 0, held.out
    file = tmp_path / "run" / row["artifact"]
    assert {"int16", "int8"} <= types_of(file) and "float16" not in types_of(file)
    chosen = ecgedge("choose", "run", "--require", "precision==w8a16", "--optimize", "size", "--output", "json")
    assert [each["winner"]["id"] for each in json.loads(chosen.out)["choices"]] == [row["id"]]


def types_of(file: Path) -> set[str]:
    """Of the tensors of a TFLite file, as LiteRT itself tells them."""
    from ai_edge_litert.interpreter import Interpreter  # heavy

    return {np.dtype(each["dtype"]).name for each in Interpreter(str(file)).get_tensor_details()}
