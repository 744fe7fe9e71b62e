"""Models as Keras, TensorFlow and torch save them: opened as any file is, right by the framework's own answers."""

from __future__ import annotations

import ast
import json
import runpy
import shutil
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecgedge import Artifact, Classification, Context, EcgEdgeError, bundle, infer
from ecgedge.data.dataset import Dataset
from ecgedge.data.synthetic import synthetic_beats
from ecgedge.plugins import Parts
from tests.conftest import Command, error_of

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
layers = keras.layers

X = np.random.default_rng(0).standard_normal((6, 1, 140), dtype=np.float32)
NLC = X.transpose(0, 2, 1)


def answers(parts: Parts, artifact: Artifact) -> np.ndarray:
    """Of the first runtime that takes it, beats one after the other where its batch is fixed."""
    runtime = next(part for part in parts.runtimes.values() if artifact.format in part.accepts)
    session = runtime.load(artifact, 1)
    try:
        return infer(session, X)
    finally:
        session.close()


def same(found: np.ndarray, expected: np.ndarray, atol: float = 1e-5) -> None:
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-5, atol=atol)


# -- Keras


def sequential(*stack, shape=(140, 1)):
    keras.utils.set_random_seed(1)
    return keras.Sequential([layers.Input(shape), *stack])


def convolutional():
    """With statistics that are not those of a fresh network."""
    norm = layers.Normalization()
    norm.adapt(NLC * 2 + 1)
    stack = [norm, layers.Conv1D(6, 5), layers.BatchNormalization(), layers.ReLU(), layers.GlobalAveragePooling1D()]
    network = sequential(*stack, layers.Dropout(0.5), layers.Dense(5, activation="softmax"))
    gamma, beta, mean, variance = network.layers[2].get_weights()
    network.layers[2].set_weights([gamma, beta, mean + 0.2, variance * 3])
    return network


@pytest.mark.parametrize("shape", [(140, 1), (140,), (1, 140), (None, 1)])
def test_keras_of_every_layout(inspect, parts: Parts, tmp_path: Path, shape: tuple[int | None, ...]) -> None:
    pool = [layers.Conv1D(4, 5), layers.GlobalMaxPooling1D()] if shape[0] is None else [layers.Flatten()]
    network = sequential(*pool, layers.Dense(5), shape=shape)
    network.save(tmp_path / "theirs.keras")
    artifact = inspect(tmp_path / "theirs.keras")
    assert (artifact.format, artifact.precision, artifact.name) == ("keras", "fp32", "theirs")
    beats = {(140,): X[:, 0], (1, 140): X}.get(shape, NLC)
    same(answers(parts, artifact), network.predict(beats, verbose=0))


def tf_keras_file(folder: Path):
    import tf_keras

    old = tf_keras.layers
    network = tf_keras.Sequential([old.Input((140, 1)), old.Conv1D(4, 5), old.GlobalMaxPooling1D(), old.Dense(5)])
    network.save(folder / "keras2.h5")
    return network, folder / "keras2.h5"


def h5_file(folder: Path):
    network = convolutional()
    network.save(folder / "old.h5")
    return network, folder / "old.h5"


def unzipped(folder: Path):
    network = convolutional()
    network.save(folder / "unzipped", zipped=False)
    return network, folder / "unzipped"


def keras_saved_model(folder: Path):
    network = convolutional()
    network.export(folder / "exported", verbose=False)
    return network, folder / "exported"


@pytest.mark.parametrize("make", [tf_keras_file, h5_file, unzipped, keras_saved_model])
def test_keras_in_every_wrapping(inspect, parts: Parts, tmp_path: Path, make: Callable) -> None:
    network, path = make(tmp_path)
    same(answers(parts, inspect(path)), network.predict(NLC, verbose=0))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    "make", [convolutional, lambda: sequential(layers.LSTM(4), layers.Dense(5))], ids=["cnn", "lstm"]
)
def test_keras_to_tflite(inspect, parts: Parts, tmp_path: Path, make: Callable, batch: int) -> None:
    """A recurrent network too: its batch is fixed before TensorFlow's converter sees it. No beat hangs on another."""
    network = make()
    network.save(tmp_path / "theirs.keras")
    context = Context(X, batch=batch)
    saved = parts.exporters["keras"].convert(inspect(tmp_path / "theirs.keras"), tmp_path / "saved", context)
    made = parts.quantizers["tflite-fp32"].quantize(saved, tmp_path / "made.tflite", context)
    expected = network.predict(NLC, verbose=0)
    same(answers(parts, saved), expected)
    same(answers(parts, made), expected)
    session = parts.runtimes["tflite"].load(made, 1)
    same(infer(session, X[::-1])[::-1], expected)


# -- SavedModel


class Two(tf.Module):
    """Two functions; only one takes a beat alone."""

    def __init__(self):
        super().__init__()
        self.w = tf.Variable(np.random.default_rng(1).standard_normal((140, 5), dtype=np.float32))

    @tf.function(input_signature=[tf.TensorSpec((None, 1, 140), name="beats")])
    def score(self, beats):
        return tf.reshape(beats, (-1, 140)) @ self.w

    @tf.function(input_signature=[tf.TensorSpec((None, 1, 140), name="beats"), tf.TensorSpec((None, 5), name="y")])
    def loss(self, beats, y):
        return self.score(beats) - y


def test_a_saved_model_of_another_signature(inspect, parts: Parts, tmp_path: Path) -> None:
    """The one that takes a beat is used, on TensorFlow and on the way to TFLite; of two it is not guessed."""
    module, path = Two(), tmp_path / "scores"
    tf.saved_model.save(module, path, signatures={"loss": module.loss, "score": module.score})
    artifact = inspect(path)
    assert (artifact.format, artifact.input.layout, artifact.input.batch) == ("saved_model", "NCL", None)
    made = parts.quantizers["tflite-fp32"].quantize(artifact, tmp_path / "made.tflite", Context(X))
    for one in (artifact, made):
        same(answers(parts, one), X[:, 0] @ module.w.numpy())
    tf.saved_model.save(module, tmp_path / "two", signatures={"a": module.score, "b": module.score})
    with pytest.raises(EcgEdgeError, match="a, b take one tensor each"):
        inspect(tmp_path / "two")
    tf.saved_model.save(tf.Module(), tmp_path / "none")
    with pytest.raises(EcgEdgeError, match="no signature 'serving_default', and it has none"):
        inspect(tmp_path / "none")


class Restored(tf.Module):
    """A reconstruction whose shape TensorFlow works out only while it runs."""

    @tf.function(input_signature=[tf.TensorSpec((None, 1, 140), name="beats")])
    def score(self, beats):
        return tf.reshape(0.5 * beats, (tf.shape(beats)[0], 1, tf.size(beats) // tf.shape(beats)[0]))


def test_a_saved_model_that_does_not_tell_its_length(inspect, parts: Parts, tmp_path: Path) -> None:
    module = Restored()
    assert module.score.get_concrete_function().output_shapes.as_list() == [None, 1, None]
    tf.saved_model.save(module, tmp_path / "restored", signatures={"serving_default": module.score})
    artifact = inspect(tmp_path / "restored")
    assert artifact.output.shape == (None, 1, 140)
    same(answers(parts, artifact), X / 2)


# -- torch


def cnn():
    torch.manual_seed(1)
    nn = torch.nn
    stack = [nn.Conv1d(1, 6, 5), nn.BatchNorm1d(6), nn.ReLU(), nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(12, 5)]
    network = nn.Sequential(*stack)
    network[1].running_mean += 0.2
    return network.eval()


class Recurrent(torch.nn.Module):
    """Takes ``(N, L, 1)``."""

    def __init__(self):
        super().__init__()
        self.lstm, self.last = torch.nn.LSTM(1, 4, batch_first=True), torch.nn.Linear(4, 5)

    def forward(self, x):
        return self.last(self.lstm(x)[0][:, -1])


def torch_answers(network, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(np.ascontiguousarray(x))).numpy()


def export(network, path: Path, x: np.ndarray, free: bool = False) -> Path:
    axes = ({0: torch.export.Dim("n")},) if free else None
    program = torch.export.export(network, (torch.from_numpy(np.ascontiguousarray(x)),), dynamic_shapes=axes)
    torch.export.save(program, path)
    return path


def onnx_answers(artifact: Artifact, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(artifact.path), providers=["CPUExecutionProvider"])
    step = artifact.input.batch or len(x)
    parts = [session.run(None, {artifact.input.name: x[i : i + step]})[0] for i in range(0, len(x), step)]
    return np.concatenate(parts)


@pytest.mark.parametrize(
    ("make", "x", "batch", "free"),
    [(cnn, X, 2, True), (cnn, X, 3, False), (cnn, X, 1, False), (Recurrent, NLC, 1, False)],
    ids=["free", "3", "1", "recurrent"],
)
def test_an_exported_program(
    inspect, parts: Parts, tmp_path: Path, make: Callable, x: np.ndarray, batch: int, free: bool
) -> None:
    """On torch, and as ONNX on onnxruntime."""
    network = make().eval()
    artifact = inspect(export(network, tmp_path / "net.pt2", x[:batch], free))
    assert artifact.input.batch == (None if free else batch)
    expected = torch_answers(network, x)
    same(answers(parts, artifact), expected)
    made = parts.exporters["torch-export"].convert(artifact, tmp_path / "net.onnx", Context(X))
    same(onnx_answers(made, x), expected)


def scripted(network, x: torch.Tensor):
    return torch.jit.script(network)


@pytest.mark.parametrize("how", [scripted, torch.jit.trace], ids=["scripted", "traced"])
@pytest.mark.parametrize(("make", "x", "layout"), [(cnn, X, "NCL"), (Recurrent, NLC, "NLC")], ids=["cnn", "recurrent"])
def test_torchscript(parts: Parts, tmp_path: Path, make: Callable, x: np.ndarray, layout: str, how: Callable) -> None:
    """It declares no shapes: what it takes is tried."""
    network = make().eval()
    how(network, torch.from_numpy(x[:2].copy())).save(str(tmp_path / "net.pt"))
    artifact = replace(parts.runtimes["torch-program"].inspect(tmp_path / "net.pt"), notes={"trusted": True})
    assert (artifact.format, artifact.input.layout, artifact.input.batch) == ("torchscript", layout, None)
    expected = torch_answers(network, x)
    same(answers(parts, artifact), expected)
    made = parts.exporters["torchscript"].convert(artifact, tmp_path / "net.onnx", Context(X))
    same(onnx_answers(made, x), expected)


def test_torchscript_of_one_length(parts: Parts, tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(187, 5)).double().eval()
    torch.jit.script(network).save(str(tmp_path / "net.pt"))
    given = parts.runtimes["torch-program"].inspect(tmp_path / "net.pt").input
    assert (given.shape, given.dtype) == ((None, 1, 187), "float64")


def test_a_program_tells_its_operations(inspect, parts: Parts, tmp_path: Path) -> None:
    """Those of aten that ran, with the sizes of their weights."""
    session = parts.runtimes["torch-program"].load(inspect(export(cnn(), tmp_path / "net.pt2", X[:1])), 1)
    session.bind(X[:1])
    session.invoke()
    graph, profile = session.graph(), session.profile(3)
    assert [node.op for node in graph.nodes] == [
        "conv1d",
        "batch_norm",
        "relu",
        "adaptive_avg_pool1d",
        "flatten",
        "linear",
    ]
    assert graph.nodes[0].constants == (0, 6 * 5, 6)
    assert graph.nodes[-1].output_shapes == ((1, 5),)
    assert [step.nodes[0] for step in profile.steps] == [node.name for node in graph.nodes]


# -- what is refused, and why


def refused(path: Path, inspect: Callable) -> str:
    with pytest.raises(EcgEdgeError) as caught:
        inspect(path)
    assert "\n" not in caught.value.message
    return f"{caught.value.message} | {caught.value.hint}"


def test_weights_and_pickles_are_not_unpickled(inspect, tmp_path: Path) -> None:
    """They say what they need: the network's code."""
    marker = tmp_path / "ran"
    for number, what in enumerate([cnn().state_dict(), cnn(), Trap(marker)]):
        for new in (True, False):
            file = tmp_path / f"{number}{new}.pth"
            torch.save(what, file, _use_new_zipfile_serialization=new)
            assert "a plugin with a Model (ecgedge plugins new" in refused(file, inspect)
    assert not marker.exists()


class Trap:
    """What runs a command when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def tampered(path: Path, out: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """A copy of an archive with members changed."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            target.writestr(name, change(name, source.read(name)))
    return out


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"torch.ops.aten.relu.default", b"torch.os.system", "a call of torch.os.system"),
        (b"torch.ops.aten.relu.default", b"torch.ops.aten.relu.__init__", "a call of torch.ops.aten.relu.__init__"),
        (b"Symbol('", b"eval('", "an expression that is no arithmetic: eval("),
    ],
)
def test_a_program_that_does_more_than_compute(inspect, tmp_path: Path, old: bytes, new: bytes, reason: str) -> None:
    good = export(cnn(), tmp_path / "good.pt2", X, free=True)
    told = refused(tampered(good, tmp_path / "bad.pt2", lambda _, content: content.replace(old, new)), inspect)
    assert reason in told
    assert "--trust" in told


def test_a_program_with_a_pickle_in_it(inspect, tmp_path: Path) -> None:
    """torch.export.load would unpickle its sample inputs without limits."""
    marker, good = tmp_path / "ran", export(cnn(), tmp_path / "good.pt2", X)
    torch.save(Trap(marker), tmp_path / "trap.pt")
    trap = (tmp_path / "trap.pt").read_bytes()
    bad = tampered(good, tmp_path / "bad.pt2", lambda name, content: trap if "sample_inputs" in name else content)
    assert "pickled objects" in refused(bad, inspect)
    assert not marker.exists()


class Gate(layers.Layer):
    def call(self, x):
        return x * 2


def wide(*outputs: int):
    given = layers.Input((140, 1))
    flat = layers.Flatten()(given)
    return keras.Model(given, [layers.Dense(count)(flat) for count in outputs])


def two_inputs():
    given = layers.Input((140, 1)), layers.Input((3,))
    return keras.Model(given, layers.Dense(5)(layers.Concatenate()([layers.Flatten()(given[0]), given[1]])))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: sequential(Gate(), layers.Flatten(), layers.Dense(5)), "needs the class 'Gate'"),
        (lambda: wide(5, 16), "has 2 outputs"),
        (two_inputs, "has 2 inputs, a beat fills one"),
        (lambda: sequential(layers.Flatten(), layers.Dense(5), shape=(8, 9, 3)), "is not of beats"),
    ],
    ids=["custom", "outputs", "inputs", "image"],
)
def test_keras_that_cannot_be_used(inspect, tmp_path: Path, make: Callable, reason: str) -> None:
    make().save(tmp_path / "theirs.keras")
    assert reason in refused(tmp_path / "theirs.keras", inspect)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_lambda_is_not_run(inspect, tmp_path: Path, suffix: str) -> None:
    marker = tmp_path / "ran"
    name = str(marker)
    network = sequential(layers.Flatten(), layers.Lambda(lambda x: (Path(name).touch(), x)[1]), layers.Dense(5))
    network.save(tmp_path / f"theirs{suffix}")
    marker.unlink(missing_ok=True)
    told = refused(tmp_path / f"theirs{suffix}", inspect)
    assert "holds a Lambda layer: Python code" in told
    assert "--trust" in told
    assert not marker.exists()


def test_torchscript_has_to_be_trusted(inspect, tmp_path: Path) -> None:
    torch.jit.script(cnn()).save(str(tmp_path / "net.pt"))
    assert "holds TorchScript: a program that torch would run | --trust" in refused(tmp_path / "net.pt", inspect)


def test_damaged_files(inspect, tmp_path: Path) -> None:
    convolutional().save(tmp_path / "whole.keras")
    export(cnn(), tmp_path / "whole.pt2", X)
    convolutional().save_weights(tmp_path / "only.weights.h5")
    for name in ("whole.keras", "whole.pt2"):
        cut = tmp_path / f"cut{Path(name).suffix}"
        cut.write_bytes((tmp_path / name).read_bytes()[:2000])
        assert "is not a readable" in refused(cut, inspect)
        shutil.copy(tmp_path / "whole.keras", tmp_path / "other.pt")
    assert "none of torch" in refused(tmp_path / "other.pt", inspect)
    assert "holds weights without their network" in refused(tmp_path / "only.weights.h5", inspect)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "saved_model.pb").write_bytes(b"no graph")
    assert "is not a readable SavedModel" in refused(tmp_path / "broken", inspect)


def test_a_network_in_training_mode(inspect, tmp_path: Path) -> None:
    assert "training mode (batch_norm)" in refused(export(cnn().train(), tmp_path / "net.pt2", X), inspect)


def test_a_sidecar_cannot_vouch_for_its_file(inspect, tmp_path: Path) -> None:
    """A SavedModel that calls Python, with a record that says it is trusted."""

    class Calls(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 1, 140), name="x")])
        def __call__(self, x):
            return tf.reshape(tf.numpy_function(np.copy, [x], tf.float32), (-1, 140))

    Two_ = Two()
    tf.saved_model.save(Two_, tmp_path / "good", signatures={"serving_default": Two_.score})
    record = inspect(tmp_path / "good").record() | {"notes": {"trusted": True}, "maker": {"part": "theirs"}}
    tf.saved_model.save(Calls(), tmp_path / "bad")
    (tmp_path / "bad" / "ecgedge.json").write_text(json.dumps(record))
    assert "PyFunc: operations that reach beyond the model | --trust" in refused(tmp_path / "bad", inspect)


# -- the commands


@pytest.fixture
def classifier(beats: Dataset):
    """Correlation with the classes' mean beats: some accuracy that is not chance."""
    means = np.stack([beats.train.x[beats.train.y == c, 0].mean(axis=0) for c in range(beats.classes)])
    return (means / np.linalg.norm(means, axis=1, keepdims=True)).T.astype(np.float32)


def test_a_lambda_runs_for_who_trusts_it(ecgedge: Command, beats: Dataset, classifier, tmp_path: Path) -> None:
    network = sequential(layers.Flatten(), layers.Lambda(lambda x: x * 2), layers.Dense(5))
    network.layers[-1].set_weights([classifier, np.zeros(5, np.float32)])
    network.save(tmp_path / "theirs.keras")
    decided = network.predict(beats.test.x.transpose(0, 2, 1), verbose=0).argmax(axis=1)
    result = ecgedge(
        "convert", "theirs.keras", "--to", "tflite", "--dataset", "synthetic", "--trust", "--verify", "full"
    )
    assert result.code == 0, result.err
    assert f"accuracy {(decided == beats.test.y).mean():.4f}" in result.out
    assert "0 of" in result.out.partition("parity")[2]


def test_a_program_through_the_commands(ecgedge: Command, beats: Dataset, classifier, tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(140, 5))
    network.load_state_dict({"1.weight": torch.from_numpy(classifier.T.copy()), "1.bias": torch.zeros(5)})
    export(network.eval(), tmp_path / "net.pt2", X[:1])
    accuracy = (torch_answers(network, beats.test.x).argmax(axis=1) == beats.test.y).mean()
    result = ecgedge("evaluate", "net.pt2", "--dataset", "synthetic")
    assert f"accuracy {accuracy:.4f}" in result.out, result.err
    assert "its own check passed on 20 beats" in ecgedge("bundle", "net.pt2").out
    result = ecgedge("convert", "net.pt2", "--to", "onnx", "--dataset", "synthetic", "--verify", "full")
    assert f"accuracy {accuracy:.4f}" in result.out, result.err
    planned = ecgedge("matrix", "--artifact", "net.pt2", "--dataset", "synthetic", "--dry-run").out
    assert "pt2 fp32 on torch-program" in planned
    assert "full-int8 on tflite" in planned
    assert " on saved_model" not in planned


# -- bundles


def two_leads():
    """Keras, of two leads, whose axes are the other way round than lines of beats."""
    keras.utils.set_random_seed(2)
    stack = [layers.Input((140, 2)), layers.Conv1D(6, 5, activation="relu"), layers.GlobalAveragePooling1D()]
    return keras.Sequential([*stack, layers.Dense(5)])


class Doubled(torch.nn.Module):
    """An answer that is alone in a dict."""

    def forward(self, x):
        return {"y": 2 * x.flatten(1)[:, :5]}


def exported(folder: Path) -> Path:
    torch.export.save(torch.export.export(Doubled(), (torch.zeros(1, 1, 140),)), folder / "net.pt2")
    return folder / "net.pt2"


def script_file(folder: Path) -> Path:
    torch.jit.save(torch.jit.script(small_torch()), folder / "net.pt")
    return folder / "net.pt"


def small_torch():
    return torch.nn.Sequential(torch.nn.Conv1d(1, 4, 5), torch.nn.AdaptiveMaxPool1d(1), torch.nn.Flatten()).eval()


def kept_keras(name: str, **options) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        two_leads().save(folder / name, **options)
        return folder / name

    return make


def saved_model(folder: Path) -> Path:
    two_leads().export(folder / "saved", verbose=False)
    return folder / "saved"


BUNDLED = {
    "keras": kept_keras("net.keras"),
    "a folder of keras": kept_keras("net", zipped=False),
    "h5": kept_keras("net.h5"),
    "saved_model": saved_model,
    "pt2": exported,
    "torchscript": script_file,
}


@pytest.mark.parametrize("what", BUNDLED)
def test_a_bundle_runs_on_the_framework_that_saved_its_file(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    """Its own check answers, and sees other outputs; predict.py needs numpy and the framework alone."""
    path = BUNDLED[what](tmp_path)
    format = what.rpartition(" ")[2]
    runtime = parts.runtimes[bundle.TARGETS[format].runtime]
    code = runtime.code_in(path)
    artifact = replace(runtime.inspect(path), notes={"trusted": True} if code else {})
    assert artifact.format == format and (code is None) == (what != "torchscript")
    leads, values = artifact.input.leads or 1, artifact.output.shape[-1]
    artifact = replace(artifact, task=Classification(tuple("abcde"[:values]), "logits"), digest="0" * 64)
    beats = synthetic_beats(20, 140, leads)
    session = runtime.load(artifact, 1)
    made = bundle.Vectors.of(artifact, beats, infer(session, beats), "synthetic beats")
    session.close()
    artifact = replace(artifact, input=artifact.input.settled(beats, artifact.input.batch))
    model = bundle.model_files(artifact)
    facts = bundle.Facts("net", path.name, code=code or "", requirements=("numpy", "some==1.0"))
    bundle.place(bundle.contents(artifact, model, made, facts), "net", tmp_path / "bundle")
    assert (tmp_path / "bundle" / "requirements.txt").read_text() == "numpy\nsome==1.0\n"
    for name in ("README.md", "MODEL_CARD.md"):
        assert ("TorchScript: a program" in (tmp_path / "bundle" / name).read_text()) == bool(code)
    monkeypatch.syspath_prepend(tmp_path / "bundle")

    def check() -> str:
        for name in ("predict", "framework"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        runpy.run_path(str(tmp_path / "bundle" / "check.py"), run_name="__main__")
        return capsys.readouterr().out

    assert "decisions that differ: 0" in check()
    imported = {word for name in ("predict.py", "framework.py") for word in imports_of(tmp_path / "bundle" / name)}
    assert imported - {*sys.stdlib_module_names, "framework"} <= {"numpy", "keras", "tensorflow", "torch"}
    lines = (tmp_path / "bundle" / "SHA256SUMS").read_text().splitlines(keepends=True)
    (tmp_path / "bundle" / "SHA256SUMS").write_text("".join(line for line in lines if "outputs.csv" not in line))
    (tmp_path / "bundle" / "vectors" / "outputs.csv").write_text(20 * (",".join(["0.5"] * values) + "\n"))
    with pytest.raises(SystemExit, match="does not answer here"):
        check()


def imports_of(script: Path) -> set[str]:
    """The top-level names that a script imports."""
    found = (node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Import | ast.ImportFrom))
    names = (
        [node.module] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names] for node in found
    )
    return {str(name).split(".")[0] for each in names for name in each}


def test_a_file_with_code_is_bundled_where_it_is_trusted(
    here: Command, unpacked: Callable[..., Path], tmp_path: Path
) -> None:
    path = script_file(tmp_path)
    assert "--trust" in error_of(here("bundle", path))
    folder = unpacked(path, "--trust")
    assert json.loads((folder / "record.json").read_text())["file"] == "model.torchscript"
    assert (folder / "model.torchscript").read_bytes() == path.read_bytes()
    assert "torch==" in (folder / "requirements.txt").read_text() and not (folder / "model.c").exists()
    assert "trusted its maker" in (folder / "MODEL_CARD.md").read_text()
