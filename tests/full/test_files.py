"""Files that people bring: what they are is told from the files themselves, and their answers are the runtime's own."""

from __future__ import annotations

import csv
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ecgedge import Artifact, plugins
from ecgedge.convert.lab import Lab
from ecgedge.data.dataset import Dataset
from ecgedge.testing import RuntimeContract, draw
from tests.conftest import Command, Result, error_of, rows_of, script, write_beats

torch = pytest.importorskip("torch")

for framework in ("onnx", "onnxruntime", "tensorflow", "tf_keras", "ai_edge_litert"):
    pytest.importorskip(framework)

PARTS = plugins.load()


SEEN = None  # a contract that another class of the same part is held to


# State: each beat from a fresh one.


def lstm(path: Path, batch: int) -> Path:
    path.write_bytes(content_of_lstm(batch))
    return path


@functools.cache
def content_of_lstm(batch: int) -> bytes:
    """A TFLite file of an LSTM that keeps its state in variables of the graph, with large weights: it remembers."""
    import tensorflow as tf
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    layers = tf_keras.layers
    first = layers.Conv1D(4, 7, strides=8, kernel_initializer="random_normal")
    memory = layers.LSTM(8, unit_forget_bias=True, bias_initializer=tf_keras.initializers.Constant(1.0))
    network = tf_keras.Sequential([layers.Input((140, 1)), first, memory, layers.Dense(5)])
    function = tf.function(lambda x: network(x)).get_concrete_function(tf.TensorSpec((batch, 140, 1), tf.float32))
    made: bytes = tf.lite.TFLiteConverter.from_concrete_functions([function], network).convert()
    return made


def moving_average(path: Path) -> Path:
    """A TFLite file that keeps what it said in a resource variable."""
    import tensorflow as tf

    weights = tf.constant(np.random.default_rng(0).normal(size=(140, 5)).astype(np.float32))

    class Module(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.said = tf.Variable(tf.zeros((1, 5)))

        @tf.function(input_signature=[tf.TensorSpec((1, 140, 1), tf.float32)])
        def __call__(self, x):
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
        given = interpreter.get_input_details()[0]
        interpreter.set_tensor(given["index"], x[start : start + size].reshape(given["shape"]))
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


def test_each_beat_starts_from_a_fresh_state(here: Command, stateful: Path, tmp_path: Path) -> None:
    x = draw(12)
    expected = fresh(stateful, x)
    assert np.abs(expected - fresh(stateful, x, keep=True)).max() > 1e-3, "this file does not remember enough"
    for number, beats in enumerate((x, x[::-1])):
        told = here("predict", stateful, write_beats(tmp_path / f"{number}.csv", beats))
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


# What class scores are: told once a file, by its last operation, never by how a few answers look.


def onnx_of(path: Path, nodes: list[Any], constants: dict[str, np.ndarray], classes: int = 5, **more: Any) -> Path:
    """An ONNX file (N, 140) -> (N, classes), of nodes from ``x`` to ``y``."""
    import onnx
    from onnx import TensorProto, helper

    kind = more.pop("dtype", TensorProto.FLOAT)
    outputs = more.pop("outputs", {"y": ["n", classes]})
    graph = helper.make_graph(
        nodes,
        "theirs",
        [helper.make_tensor_value_info("x", kind, ["n", 140])],
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in outputs.items()],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", more.pop("opset", 17)), *more.pop("domains", [])]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path, **more)
    return path


def node(op: str, given: str, returned: str, **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(op, given.split(), returned.split(), **attributes)


LINEAR = {"w": np.random.default_rng(0).normal(size=(140, 5)).astype(np.float32) / 12}
ENDS = {
    "softmax": [node("MatMul", "x w", "z"), node("Softmax", "z", "y", axis=1)],
    "spelt out": [
        node("MatMul", "x w", "z"),
        node("Exp", "z", "e"),
        node("ReduceSum", "e axis", "s"),
        node("Div", "e s", "y"),
    ],
    "sigmoid": [node("MatMul", "x w", "z"), node("Sigmoid", "z", "y")],
    "an operation that tells nothing": [
        node("MatMul", "x w", "z"),
        node("Softmax", "z", "p", axis=1),
        node("Clip", "p", "y"),
    ],
}


def run_onnx(path: Path, x: np.ndarray, output: str | None = None) -> np.ndarray:
    """What onnxruntime answers."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    [y] = session.run([output] if output else None, {session.get_inputs()[0].name: x})
    return y


@pytest.mark.parametrize("end", ENDS)
def test_probabilities_are_given_as_they_are(here: Command, end: str, tmp_path: Path) -> None:
    x = draw(20)
    file = onnx_of(tmp_path / "theirs.onnx", ENDS[end], LINEAR | {"axis": np.array([1])})
    told = here("predict", file, write_beats(tmp_path / "beats.csv", x))
    assert answers_of(told.out) == right(run_onnx(file, x[:, 0])), told.err


def test_logits_that_look_like_probabilities_get_their_softmax(here: Command, tmp_path: Path) -> None:
    constants = {"w": np.zeros((140, 5), np.float32), "b": np.array([0.6, 0.1, 0.1, 0.1, 0.1], np.float32)}
    file = onnx_of(tmp_path / "theirs.onnx", [node("Gemm", "x w b", "y")], constants)
    told = here("predict", file, write_beats(tmp_path / "beats.csv", draw(3)))
    assert answers_of(told.out) == right(softmax(run_onnx(file, draw(3)[:, 0]))), told.err


@pytest.fixture(scope="module")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TFLite file in int8 with a softmax of 17 classes, whose shares add up to 0.97 for all beats."""
    import tensorflow as tf

    shares = np.append(np.full(16, 15.4), 256 - 16 * 15.4) / 256
    weights = (np.random.default_rng(0).normal(size=(140, 17)) * 1e-4).astype(np.float32)

    @tf.function(input_signature=[tf.TensorSpec((1, 140), tf.float32)])
    def network(x):
        return tf.nn.softmax(tf.matmul(x, weights) + np.log(shares).astype(np.float32))

    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([x] for x in draw(50))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    file = tmp_path_factory.mktemp("coarse") / "theirs.tflite"
    file.write_bytes(converter.convert())
    return file


def test_shares_in_int8_that_do_not_add_up_are_not_made_anew(here: Command, unpacked, coarse, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    x = draw(20)
    interpreter = Interpreter(str(coarse))
    interpreter.allocate_tensors()
    given, returned = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    stored = np.clip(np.rint(x[:, 0] / given["quantization"][0]) + given["quantization"][1], -128, 127)
    shares = []
    for beat in stored.astype(np.int8):
        interpreter.set_tensor(given["index"], beat[None])
        interpreter.invoke()
        shares.append((interpreter.get_tensor(returned["index"])[0] + 128.0) / 256)
    sums = np.sum(shares, axis=1)
    assert returned["quantization"] == (1 / 256, -128)
    assert (np.abs(sums - 1) > 0.02).any(), "the shares of this file add up too well"
    beats = write_beats(tmp_path / "beats.csv", x)
    expected = right(np.array(shares))
    folder = unpacked(coarse, "--labels", ",".join(map(str, range(17))))
    told = here("predict", coarse, beats)
    assert answers_of(told.out) == expected, told.err
    assert answers_of(script(sys.executable, folder / "predict.py", beats).stdout) == expected


# Which of several outputs is the answer.


class TwoHeads(torch.nn.Module):
    """An embedding of as many values as there are classes, and the class scores."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = torch.nn.Sequential(torch.nn.Conv1d(1, 4, 7, stride=4), torch.nn.ReLU(), torch.nn.Flatten())
        self.embed, self.head = torch.nn.Linear(136, 5), torch.nn.Linear(5, 5)

    def forward(self, x):
        embedding = self.embed(self.body(x))
        return embedding, self.head(embedding)


def export(network: torch.nn.Module, path: Path, names: list[str], batch: str | int = "n") -> Path:
    free = {name: {0: batch} for name in ("x", *names)} if isinstance(batch, str) else {}
    options = {"input_names": ["x"], "output_names": names, "dynamic_axes": free, "opset_version": 17}
    torch.onnx.export(network.eval(), (torch.zeros(1, 1, 140),), str(path), dynamo=False, **options)
    return path


@pytest.fixture(scope="module")
def two_heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(TwoHeads(), tmp_path_factory.mktemp("heads") / "theirs.onnx", ["embedding", "logits"])


COMMANDS = {
    "evaluate": ("evaluate", "FILE", "--dataset", "synthetic"),
    "predict": ("predict", "FILE", "beats.csv"),
    "explain": ("explain", "FILE"),
    "convert": ("convert", "FILE", "--to", "onnx", "--dataset", "synthetic"),
    "matrix": ("matrix", "--artifact", "FILE", "--dry-run", "--dataset", "synthetic"),
    "bundle": ("bundle", "FILE"),
    "diverge": ("diverge", "FILE", "--against", "FILE", "--dataset", "synthetic"),
}


def called(run: Command, command: str, file: Path, *more: str) -> Result:
    return run(*(file if word == "FILE" else word for word in COMMANDS[command]), *more)


def test_the_answer_among_several_outputs_has_to_be_named(here: Command, two_heads: Path, tmp_path: Path) -> None:
    write_beats(tmp_path / "beats.csv", draw(3))
    for command in COMMANDS:
        told = error_of(called(here, command, two_heads))
        assert "gives several outputs: embedding (n, 5) float32, logits (n, 5) float32" in told
        assert "--output-name NAME" in told
        assert "it gives: embedding" in error_of(called(here, command, two_heads, "--output-name", "logit"))
    for command in ("evaluate", "predict", "explain", "matrix", "bundle"):
        result = called(here, command, two_heads, "--output-name", "logits")
        assert result.code == 0, result.err


@pytest.mark.usefixtures("untimed")
def test_the_named_output_is_what_is_run_and_converted(
    here: Command, two_heads: Path, beats: Dataset, tmp_path: Path
) -> None:
    expected = run_onnx(two_heads, beats.test.x, "logits")
    accuracy = (expected.argmax(axis=1) == beats.test.y).mean()
    told = here("evaluate", two_heads, "--output-name", "logits", "--dataset", "synthetic")
    assert f"accuracy {accuracy:.4f}" in told.out
    made = here(
        "convert", two_heads, "--output-name", "logits", "--to", "tflite", "-o", "one.tflite", "--dataset", "synthetic"
    )
    assert made.code == 0, made.err
    x = draw(8)
    np.testing.assert_allclose(fresh(tmp_path / "one.tflite", x), run_onnx(two_heads, x, "logits"), atol=1e-5)


@pytest.mark.usefixtures("untimed")
def test_the_label_beside_the_scores_is_no_answer(here: Command, beats: Dataset, tmp_path: Path) -> None:
    """As skl2onnx writes classifiers: no name is asked for."""
    from onnx import TensorProto, helper

    nodes = [node("MatMul", "x w", "y"), node("ArgMax", "y", "label", axis=1, keepdims=0)]
    file = onnx_of(tmp_path / "theirs.onnx", nodes, LINEAR)
    import onnx

    model = onnx.load(file)
    model.graph.output.insert(0, helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]))
    onnx.save(model, file)
    accuracy = (run_onnx(file, beats.test.x[:, 0], "y").argmax(axis=1) == beats.test.y).mean()
    assert f"accuracy {accuracy:.4f}" in here("evaluate", file, "--dataset", "synthetic").out
    assert here("convert", file, "--to", "tflite", "--dataset", "synthetic").code == 0


def test_one_of_several_outputs_of_a_tflite_file(here: Command, tmp_path: Path) -> None:
    import tensorflow as tf

    weights = [LINEAR["w"], LINEAR["w"][:, ::-1].copy()]

    @tf.function(input_signature=[tf.TensorSpec((1, 140, 1), tf.float32)])
    def network(x):
        flat = tf.reshape(x, (1, 140))
        return {"a": tf.tanh(tf.matmul(flat, weights[0])), "b": tf.matmul(flat, weights[1])}

    file = tmp_path / "theirs.tflite"
    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
    file.write_bytes(converter.convert())
    x = draw(5)
    beats = write_beats(tmp_path / "beats.csv", x)
    told = error_of(here("predict", file, beats))
    assert "gives several outputs: " in told
    names = [
        word.split(" (")[0] for word in told.split("several outputs: ")[1].splitlines()[0].split(", ") if "(" in word
    ]
    found = {}
    for name in names:
        result = here("predict", file, beats, "--output-name", name)
        assert result.code == 0, result.err
        found[name] = answers_of(result.out)
    assert right(softmax(x[:, 0] @ weights[1])) in found.values()
    assert len(names) == 2


# Content that is known under another name.


@pytest.mark.usefixtures("untimed")
def test_the_same_content_under_two_names(here: Command, inspect, tmp_path: Path) -> None:
    file = onnx_of(tmp_path / "one.onnx", [node("MatMul", "x w", "y")], LINEAR)
    (tmp_path / "other.onnx").write_bytes(file.read_bytes())
    run = ("matrix", "--artifact", "other.onnx", "--quantizer", "dynamic", "--runtime", "cpu", "--profile", "quick")
    assert here(*run, "--out", "run", "--dataset", "synthetic").code == 0
    for name in ("one", "other"):
        told = here("convert", f"{name}.onnx", "--to", "onnx", "--quantize", "dynamic", "--dataset", "synthetic")
        assert told.code == 0, told.err
        assert told.out.startswith(f"{name}-dynamic.onnx: ")
        assert inspect(tmp_path / f"{name}-dynamic.onnx").name == name
    x = draw(5)[:, 0]
    one, other = (run_onnx(tmp_path / f"{name}-dynamic.onnx", x) for name in ("one", "other"))
    np.testing.assert_array_equal(one, other)


# Data beside the file.


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """An ONNX file whose weights lie in another."""
    options = {"save_as_external_data": True, "location": "theirs.onnx.data", "size_threshold": 0}
    return onnx_of(tmp_path / "theirs.onnx", [node("MatMul", "x w", "y")], LINEAR, **options)


@pytest.mark.usefixtures("untimed")
def test_data_beside_the_file_is_taken_in(here: Command, unpacked, split: Path, beats: Dataset, tmp_path) -> None:
    accuracy = (run_onnx(split, beats.test.x[:, 0]).argmax(axis=1) == beats.test.y).mean()
    assert f"accuracy {accuracy:.4f}" in here("evaluate", split, "--dataset", "synthetic").out
    made = here("convert", split, "--to", "onnx", "-o", "one.onnx", "--dataset", "synthetic")
    assert made.code == 0, made.err
    told = here("matrix", "--artifact", split, "--quantizer", "none", "--runtime", "cpu", "--profile", "quick",
                   "--dataset", "synthetic", "--out", "run")  # fmt: skip
    assert told.code == 0, told.err
    [row] = rows_of(tmp_path / "run")
    assert row["size_bytes"] > LINEAR["w"].nbytes
    assert row["accuracy"] is not None
    assert here("check", "run").code == 0
    x = draw(4)
    folder = unpacked(split)
    done = script(sys.executable, folder / "predict.py", write_beats(tmp_path / "beats.csv", x))
    assert answers_of(done.stdout) == right(softmax(x[:, 0] @ LINEAR["w"])), done.stderr


def missing(folder: Path) -> None:
    (folder / "theirs.onnx.data").unlink()


def cut_off(folder: Path) -> None:
    (folder / "theirs.onnx.data").write_bytes(b"short")


def linked(folder: Path) -> None:
    (folder / "theirs.onnx.data").rename(folder / "elsewhere")
    (folder / "theirs.onnx.data").symlink_to(folder / "elsewhere")


def located(where: Callable[[Path], str]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        import onnx

        model = onnx.load(folder / "theirs.onnx", load_external_data=False)
        [place] = [entry for entry in model.graph.initializer[0].external_data if entry.key == "location"]
        place.value = where(folder)
        (folder / "theirs.onnx").write_bytes(model.SerializeToString())

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (missing, "its data theirs.onnx.data is missing"),
        (cut_off, "its data theirs.onnx.data has 5 bytes, 2,800 are wanted"),
        (linked, "its data theirs.onnx.data is a link"),
        (located(lambda folder: str(folder / "theirs.onnx.data")), "its data lies outside of its folder"),
        (located(lambda folder: f"../{folder.name}/theirs.onnx.data"), "its data lies outside of its folder"),
    ],
)
def test_data_elsewhere_is_refused(here: Command, split: Path, change, told: str, tmp_path: Path) -> None:
    change(tmp_path)
    assert told in error_of(here("evaluate", split, "--dataset", "synthetic"))


# What a runtime cannot run, in one line.


class Double(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Conv1d(1, 5, 7), torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten())

    def forward(self, x):
        return self.body(x)


def test_double_precision_is_told(here: Command, tmp_path: Path) -> None:
    file = tmp_path / "theirs.onnx"
    torch.onnx.export(Double().double(), (torch.zeros(1, 1, 140, dtype=torch.float64),), str(file), dynamo=False)
    write_beats(tmp_path / "beats.csv", draw(3))
    for command in COMMANDS:
        assert "computes in float64, for which onnxruntime lacks" in error_of(called(here, command, file)), command


def unknown_operation(path: Path) -> Path:
    from onnx import helper

    nodes = [helper.make_node("Guess", ["x"], ["y"], domain="theirs")]
    return onnx_of(path, nodes, {}, domains=[helper.make_opsetid("theirs", 1)])


def of_the_future(path: Path) -> Path:
    return onnx_of(path, [node("MatMul", "x w", "y")], LINEAR, opset=99)


def in_bfloat16(path: Path) -> Path:
    import onnx
    from onnx import TensorProto, helper

    onnx_of(path, [node("MatMul", "x w", "y")], LINEAR, dtype=TensorProto.BFLOAT16)
    model = onnx.load(path)
    model.graph.initializer[0].CopyFrom(
        helper.make_tensor("w", TensorProto.BFLOAT16, (140, 5), LINEAR["w"].ravel().tolist())
    )
    onnx.save(model, path)
    return path


def of_whole_numbers(path: Path) -> Path:
    from onnx import TensorProto

    return onnx_of(path, [node("MatMul", "x w", "y")], {"w": np.ones((140, 5), np.int64)}, dtype=TensorProto.INT64)


def breaks_off(path: Path) -> Path:
    """Its reshape fits no beat."""
    shape = {"shape": np.array([-1, 7, 23])}
    return onnx_of(
        path, [node("Reshape", "x shape", "z"), node("ReduceMean", "z", "y", axes=[2], keepdims=0)], shape, 7
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (unknown_operation, "Guess"),
        (of_the_future, "opset"),
        (in_bfloat16, "bfloat16"),
        (of_whole_numbers, "int64"),
        (breaks_off, "onnxruntime cannot run"),
    ],
)
def test_what_onnxruntime_cannot_run_is_told(here: Command, make, words: str, tmp_path: Path) -> None:
    file = make(tmp_path / "theirs.onnx")
    write_beats(tmp_path / "beats.csv", draw(3))
    assert words in error_of(called(here, "predict", file))


def test_an_operation_that_litert_lacks_is_named(here: Command, tmp_path: Path) -> None:
    import flatbuffers
    import tensorflow as tf
    from ai_edge_litert import schema_py_generated as schema

    @tf.function(input_signature=[tf.TensorSpec((1, 140), tf.float32)])
    def network(x):
        y = tf.matmul(x, LINEAR["w"])
        return tf.reduce_sum(tf.linalg.cholesky(tf.eye(5)[None] * (1 + y * y)), axis=1)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    (tmp_path / "flex.tflite").write_bytes(converter.convert())
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs((tmp_path / "flex.tflite").read_bytes(), 0))
    [code] = [code for code in model.operatorCodes if code.customCode]
    code.customCode = b"TheirCholesky"
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "custom.tflite").write_bytes(bytes(builder.Output()))
    for name in ("flex", "custom"):
        told = error_of(here("evaluate", tmp_path / f"{name}.tflite", "--dataset", "synthetic"))
        assert "needs the operation" in told
        assert "Cholesky" in told


def test_what_the_delegate_refuses_is_named(here: Command, coarse: Path, tmp_path: Path) -> None:
    """The file's own operations are in order: LiteRT without its delegate opens it."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(coarse.read_bytes(), 0))
    [product] = [op for op in model.subgraphs[0].operators if len(op.inputs) == 3]
    model.subgraphs[0].tensors[product.inputs[0]].quantization.scale = np.array([1e36], np.float32)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    file = tmp_path / "theirs.tflite"
    file.write_bytes(bytes(builder.Output()))
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    Interpreter(str(file), experimental_op_resolver_type=plain).allocate_tensors()
    told = error_of(here("explain", file))
    assert "XNNPACK refuses the operation FULLY_CONNECTED" in told


def test_an_operation_that_breaks_off_is_named(here: Command, tmp_path: Path) -> None:
    """An int8 division by what was rounded to zero: LiteRT opens the file, and stumbles on a beat."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    @tf.function(input_signature=[tf.TensorSpec((1, 140), tf.float32)])
    def network(x):
        return tf.matmul(tf.math.divide(1.0, tf.nn.relu(x) + 1e-6), LINEAR["w"])

    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([np.full((1, 140), value, np.float32)] for value in (0.5, 1.0, 2.0))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    file = tmp_path / "theirs.tflite"
    file.write_bytes(converter.convert())
    interpreter = Interpreter(str(file))
    interpreter.allocate_tensors()
    with pytest.raises(RuntimeError, match="DIV"):
        interpreter.invoke()  # on zeros
    write_beats(tmp_path / "beats.csv", draw(3))
    told = error_of(called(here, "predict", file))
    assert told.startswith(f"Error: LiteRT cannot run {file}: DIV failed to invoke: ")
    assert ".cc:" not in told


# The precision of a file without a record.


def quantized(source: Path, out: Path, way: str) -> Path:
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        beats = iter(draw(20))

        def get_next(self):
            return next(({"x": x[None]} for x in self.beats), None)

    form = quantization.QuantFormat.QOperator if way == "operators" else quantization.QuantFormat.QDQ
    if way == "dynamic":
        quantization.quantize_dynamic(source, out)
    else:
        quantization.quantize_static(source, out, Reader(), quant_format=form, per_channel=True)
    return out


def halved(source: Path, out: Path) -> Path:
    """A file in float16, with input and output in float32."""
    import onnx
    from onnxruntime.transformers import float16

    onnx.save(float16.convert_float_to_float16(onnx.load(source), keep_io_types=True), out)
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float32 file of two convolutions and a head."""
    torch.manual_seed(0)
    first, second, head = torch.nn.Conv1d(1, 16, 7, stride=2), torch.nn.Conv1d(16, 32, 5), torch.nn.Linear(32, 5)
    network = torch.nn.Sequential(first, torch.nn.ReLU(), second, torch.nn.ReLU(), torch.nn.AdaptiveAvgPool1d(1),
                                  torch.nn.Flatten(), head)  # fmt: skip
    return export(network, tmp_path_factory.mktemp("precisions") / "whole.onnx", ["y"])


def test_the_precision_of_an_onnx_file_is_told_by_what_is_in_it(
    here: Command, inspect, whole: Path, tmp_path: Path
) -> None:
    files = {
        "fp32": whole,
        "fp16": halved(whole, tmp_path / "half.onnx"),
        "dynamic": quantized(whole, tmp_path / "dynamic.onnx", "dynamic"),
        "full-int8": quantized(whole, tmp_path / "static.onnx", "static"),
    }
    assert {name: inspect(file).precision for name, file in files.items()} == {name: name for name in files}
    told = here("convert", "static.onnx", "--to", "onnx", "--quantize", "full-int8", "--dataset", "synthetic")
    assert "onnx cannot be 'full-int8'" in error_of(told)
    told = here("matrix", "--artifact", "static.onnx", "--runtime", "cpu", "--dry-run", "--dataset", "synthetic")
    assert [line.split()[1:4] for line in told.out.splitlines() if line.startswith("cell")] == [
        ["static.onnx", "->", "none"]
    ]


@pytest.mark.parametrize("way", ["static", "operators", "dynamic"])
def test_a_quantized_onnx_file_has_no_way_to_tflite(
    here: Command, whole: Path, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line before a conversion is paid for; nor does anything make float32 of it."""
    monkeypatch.setattr(Lab, "make", lambda *_: pytest.fail("it was converted"))
    file, precision = quantized(whole, tmp_path / "theirs.onnx", way), "dynamic" if way == "dynamic" else "full-int8"
    remedy = f"bring the float file that it was made of: tflite-{precision} quantizes it on the way"
    for format in ("tflite", "saved_model"):
        told = error_of(here("convert", file, "--to", format, "--dataset", "synthetic"))
        assert f"no way from theirs to {format}: it is {precision}, and onnx2tf takes no quantized ONNX file" in told
        assert (remedy if format == "tflite" else "bring the float file that it was made of") in told
    told = here("matrix", "--artifact", file, "--dry-run", "--dataset", "synthetic").out
    line = f"skip  theirs.onnx  tflite on tflite: {precision}: onnx2tf takes no quantized ONNX file; {remedy}"
    assert line in told.splitlines() and "cell  theirs.onnx -> none  =>  onnx" in told
    told = error_of(here("convert", file, "--to", "onnx", "--quantize", "fp32", "--dataset", "synthetic"))
    assert f"onnx cannot be 'fp32': theirs is {precision} already" in told


@pytest.mark.usefixtures("untimed")
def test_a_file_in_float16_goes_to_tflite(here: Command, whole: Path, tmp_path: Path) -> None:
    file, x = halved(whole, tmp_path / "half.onnx"), draw(8)
    made = here("convert", file, "--to", "tflite", "-o", "half.tflite", "--dataset", "synthetic")
    assert made.code == 0, made.err
    expected = run_onnx(whole, x)  # before it was halved
    assert np.abs(fresh(tmp_path / "half.tflite", x) - expected).max() <= 2e-3 * np.abs(expected).max()
    assert "half is fp16 already" in error_of(
        here("convert", file, "--to", "onnx", "--quantize", "fp32", "--dataset", "synthetic")
    )


def test_the_precision_of_a_tflite_file_is_told_by_what_is_in_it(inspect, tmp_path: Path) -> None:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    filters = [(rng.normal(size=shape) / 10).astype(np.float32) for shape in ((1, 7, 1, 32), (1, 5, 32, 32))]

    @tf.function(input_signature=[tf.TensorSpec((1, 140, 1), tf.float32)])
    def network(x):
        y = tf.reshape(x, (1, 1, 140, 1))
        for one in filters:
            y = tf.nn.relu(tf.nn.conv2d(y, one, 2, "VALID"))
        return tf.matmul(tf.reduce_mean(y, axis=[1, 2]), filters[1][0, 0, :, :5])

    def made(name: str, **told: Any) -> Path:
        converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
        if name != "fp32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if told.get("calibrated"):
            converter.representative_dataset = lambda: ([x.reshape(1, 140, 1)] for x in draw(20))
        if ops := told.get("ops"):
            converter.target_spec.supported_ops = [ops]
        if types := told.get("types"):
            converter.target_spec.supported_types = [types]
        if ends := told.get("ends"):
            converter.inference_input_type = converter.inference_output_type = ends
        (tmp_path / f"{name}.tflite").write_bytes(converter.convert())
        return tmp_path / f"{name}.tflite"

    sets = tf.lite.OpsSet
    files = {
        "fp32": made("fp32"),
        "fp16": made("fp16", types=tf.float16),
        "dynamic": made("dynamic"),
        "full-int8": made("whole", calibrated=True, ops=sets.TFLITE_BUILTINS_INT8, ends=tf.int8),
        "int16x8": made(
            "wide", calibrated=True, ops=sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ),
    }  # fmt: skip
    assert {name: inspect(file).precision for name, file in files.items()} == {name: name for name in files}
    assert inspect(made("ends in float", calibrated=True, ops=sets.TFLITE_BUILTINS_INT8)).precision == "full-int8"


# What cannot be used yet.


def test_what_ecgedge_cannot_feed_or_read_is_told(here: Command, tmp_path: Path) -> None:
    class Both(torch.nn.Module):
        def forward(self, beat, rr):
            return beat.mean(2) + rr

    class Mean(torch.nn.Module):
        def forward(self, x):
            return x.mean(2)

    options = {"dynamo": False, "opset_version": 17}
    torch.onnx.export(Both(), (torch.zeros(1, 1, 140), torch.zeros(1, 5)), str(tmp_path / "two.onnx"),
                      input_names=["beat", "rr"], **options)  # fmt: skip
    torch.onnx.export(Mean(), (torch.zeros(1, 1, 140),), str(tmp_path / "one.onnx"), **options)
    write_beats(tmp_path / "beats.csv", draw(3))
    words = "takes 2 inputs (beat (1, 1, 140), rr (1, 5))"
    for command in COMMANDS:
        assert words in error_of(called(here, command, tmp_path / "two.onnx")), command
    told = error_of(here("evaluate", tmp_path / "one.onnx", "--dataset", "synthetic"))
    assert "gives 1 value a beat; the data has 5 classes" in told


def test_one_value_decides_between_two_classes_and_several_may_hold(here: Command, tmp_path: Path) -> None:
    """Files of sigmoids: what is said of them is what scikit-learn says of torch's own answers."""
    from sklearn import metrics

    class Bumps(torch.nn.Module):
        def __init__(self, count: int):
            super().__init__()
            self.count = count

        def forward(self, x):
            parts = x.reshape(-1, 2, 70).mean(2)
            return torch.sigmoid(parts[:, : self.count])

    rng = np.random.default_rng(0)
    y = (rng.random((120, 2)) < (0.5, 0.3)).astype(int)
    x = (rng.normal(size=(120, 140)) + np.repeat(y - 0.5, 70, axis=1) * 0.3).astype(np.float32)
    options = {"dynamo": False, "opset_version": 17, "input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}}
    found = {}
    for count in (1, 2):
        torch.onnx.export(Bumps(count), (torch.zeros(1, 1, 140),), str(tmp_path / f"{count}.onnx"), **options)
        truth = y if count == 2 else np.array(["quiet", "wide"])[1 - (1 - y[:, 0])]
        parts = {"x_train": x[:60], "y_train": truth[:60], "x_test": x[60:], "y_test": truth[60:]}
        np.savez(tmp_path / f"{count}.npz", **parts)
        found[count] = here("evaluate", tmp_path / f"{count}.onnx", "--dataset", tmp_path / f"{count}.npz")
        assert found[count].code == 0, found[count].err
    shares = Bumps(2)(torch.from_numpy(x[60:, None])).numpy()
    accuracy = metrics.accuracy_score(y[60:, 0], shares[:, 0] > 0.5)
    assert f"accuracy {accuracy:.4f}" in found[1].out
    assert f"macro AUROC {metrics.roc_auc_score(y[60:], shares):.4f}" in found[2].out
    assert "thresholds 0." in found[2].err
    write_beats(tmp_path / "beats.csv", x[60:63, None])
    [first, *_] = here("predict", tmp_path / "1.onnx", tmp_path / "beats.csv").out.splitlines()[1:]
    assert first.split(",")[1] == str(int(shares[0, 0] > 0.5))


def test_the_length_of_an_output_that_the_file_does_not_tell(here: Command, beats: Dataset, tmp_path: Path) -> None:
    """torch's exporter loses it on the way through a resize, where the batch is free."""

    class Wider(torch.nn.Module):
        def forward(self, x):
            short = torch.nn.functional.avg_pool1d(x, 4)
            return torch.nn.functional.interpolate(short, size=140, mode="linear", align_corners=True)

    file, free = tmp_path / "theirs.onnx", {"x": {0: "n"}, "y": {0: "n"}}
    torch.onnx.export(Wider(), (torch.zeros(1, 1, 140),), str(file), dynamo=False, opset_version=17,
                      input_names=["x"], output_names=["y"], dynamic_axes=free)  # fmt: skip
    errors = ((Wider()(torch.from_numpy(beats.test.x)).numpy() - beats.test.x) ** 2).mean(axis=(1, 2))
    auroc = roc_auc_score(beats.test.y != 0, errors)
    result = here("evaluate", file, "--dataset", "synthetic", "--task", "anomaly", "--window", "1")
    assert f"AUROC {auroc:.4f}" in result.out, result.err


def test_a_file_of_any_length_takes_that_of_the_data(here: Command, beats: Dataset, tmp_path: Path) -> None:
    class Extremes(torch.nn.Module):
        def forward(self, x):
            return torch.cat([x.mean(2), x.amax(2), x.amin(2), x.mean(2) * 2, x.amax(2) / 2], dim=1)

    file, free = tmp_path / "theirs.onnx", {"x": {0: "n", 2: "length"}, "y": {0: "n"}}
    torch.onnx.export(Extremes(), (torch.zeros(1, 1, 140),), str(file), dynamo=False, opset_version=17,
                      input_names=["x"], output_names=["y"], dynamic_axes=free)  # fmt: skip
    accuracy = (run_onnx(file, beats.test.x).argmax(axis=1) == beats.test.y).mean()
    assert f"accuracy {accuracy:.4f}" in here("evaluate", file, "--dataset", "synthetic").out
    x = draw(4, length=60)
    told = here("predict", file, write_beats(tmp_path / "beats.csv", x))
    assert [label for label, _ in answers_of(told.out)] == [str(c) for c in run_onnx(file, x).argmax(axis=1)]
