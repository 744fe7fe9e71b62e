"""Files that people bring: what they are is told from the files themselves, and their answers are the runtime's own."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge import Artifact, plugins
from ecgedge.testing import RuntimeContract, draw
from tests.conftest import Command, script, write_beats

for framework in ("torch", "onnx", "onnxruntime", "tensorflow", "tf_keras", "ai_edge_litert"):
    pytest.importorskip(framework)

PARTS = plugins.load()
SEEN = None  # a contract that another class of the same part is held to


# State: each beat from a fresh one.


def lstm(path: Path, batch: int) -> Path:
    """A TFLite file of an LSTM that keeps its state in variables of the graph, with large weights: it remembers."""
    import tensorflow as tf
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    layers = tf_keras.layers
    first = layers.Conv1D(4, 7, strides=8, kernel_initializer="random_normal")
    memory = layers.LSTM(8, unit_forget_bias=True, bias_initializer=tf_keras.initializers.Constant(1.0))
    network = tf_keras.Sequential([layers.Input((140, 1)), first, memory, layers.Dense(5)])
    function = tf.function(lambda x: network(x)).get_concrete_function(tf.TensorSpec((batch, 140, 1), tf.float32))
    tf.saved_model.save(network, str(path.with_suffix("")), signatures=function)
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(path.with_suffix(""))).convert())
    return path


def moving_average(path: Path) -> Path:
    """A TFLite file that keeps what it said in a resource variable."""
    import tensorflow as tf

    weights = tf.constant(np.random.default_rng(0).normal(size=(140, 5)).astype(np.float32))

    class Module(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.said = tf.Variable(tf.zeros((1, 5)))

        @tf.function(input_signature=[tf.TensorSpec((1, 140, 1), tf.float32)])
        def __call__(self, x):  # noqa: ANN001, ANN204  (TensorFlow reads annotations as types of its own)
            self.said.assign(0.5 * self.said + tf.matmul(tf.reshape(x, (1, 140)), weights))
            return self.said.read_value()

    module = Module()
    made = tf.lite.TFLiteConverter.from_concrete_functions([module.__call__.get_concrete_function()], module)
    path.write_bytes(made.convert())
    return path


MADE: dict[str, Callable[[Path], Path]] = {
    "lstm": lambda path: lstm(path, 1),
    "lstm in threes": lambda path: lstm(path, 3),
    "resource": moving_average,
}


@pytest.fixture(scope="module", params=MADE)
def stateful(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MADE[request.param](tmp_path_factory.mktemp("stateful") / "theirs.tflite")


def fresh(path: Path, x: np.ndarray, *, keep: bool = False) -> np.ndarray:
    """What LiteRT answers, in a new interpreter for each batch; ``keep``: in one for all."""
    from ai_edge_litert.interpreter import Interpreter

    answers = []
    for start in range(0, len(x), size := Interpreter(str(path)).get_input_details()[0]["shape"][0]):
        if not answers or not keep:
            interpreter = Interpreter(str(path))
            interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x[start : start + size].transpose(0, 2, 1))
        interpreter.invoke()
        answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    return np.concatenate(answers)


def softmax(y: np.ndarray) -> np.ndarray:
    powers = np.exp(y - y.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def answers_of(text: str) -> list[tuple[str, float]]:
    return [(row["class"], float(row["probability"])) for row in csv.DictReader(text.splitlines())]


def right(shares: np.ndarray) -> list[tuple[str, Any]]:
    return [(str(row.argmax()), pytest.approx(row.max(), abs=6e-5)) for row in shares]


def test_each_beat_starts_from_a_fresh_state(ecgedge: Command, stateful: Path, tmp_path: Path) -> None:
    x = draw(12)
    expected = fresh(stateful, x)
    assert np.abs(expected - fresh(stateful, x, keep=True)).max() > 1e-3, "this file does not remember enough"
    for number, beats in enumerate((x, x[::-1])):
        told = ecgedge("predict", stateful, write_beats(tmp_path / f"{number}.csv", beats))
        assert told.code == 0, told.err
        assert answers_of(told.out) == right(softmax(fresh(stateful, beats)))


def test_a_bundle_starts_each_beat_from_a_fresh_state(unpacked, tmp_path: Path) -> None:
    file = lstm(tmp_path / "theirs.tflite", 1)
    folder, x = unpacked(file), draw(12)
    done = script(sys.executable, folder / "predict.py", write_beats(tmp_path / "beats.csv", x))
    assert answers_of(done.stdout) == right(softmax(fresh(file, x))), done.stderr


class TestTfliteRuntimeWithState(RuntimeContract):
    part = PARTS.runtimes["tflite"]
    test_it_works_with_only_what_it_needs = SEEN

    def artifact(self, folder: Path) -> Artifact:
        return self.part.inspect(lstm(folder / "theirs.tflite", 3))
