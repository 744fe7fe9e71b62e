"""Files of one to twelve leads that plain torch and Keras wrote: each answers as its own framework does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecgedge import EcgEdgeError, Told, convert, evaluate, predict
from ecgedge.api.tasks import anomaly_scores
from ecgedge.commands.evaluate import Classified, Detected

torch = pytest.importorskip("torch")

LENGTH, CLASSES = 40, ("a", "b", "c")


def beats(leads: int, count: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Beats ``(count, leads, LENGTH)`` float32 and their classes."""
    rng = np.random.default_rng(leads)
    y = np.arange(count) % len(CLASSES)
    x = rng.standard_normal((count, leads, LENGTH)) + y[:, None, None] * np.linspace(-1, 1, leads)[:, None]
    return x.astype(np.float32), y


def data_set(folder: Path, count: int, **more: np.ndarray) -> Path:
    x, y = beats(count)
    words = np.array(CLASSES)[y]
    np.savez(folder / "set.npz", x_train=x + np.float32(0.01), y_train=words, x_test=x, y_test=words, **more)
    return folder / "set.npz"


def shares(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


class Turned(torch.nn.Module):
    """A network of (N, C, L) for inputs whose axes lie otherwise."""

    def __init__(self, inner: torch.nn.Module, enter: Callable):
        super().__init__()
        self.inner, self.enter = inner, enter

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(self.enter(x))


def network(leads: int) -> torch.nn.Module:
    torch.manual_seed(leads)
    conv = torch.nn.Conv1d(leads, 6, 5, padding=2)
    return torch.nn.Sequential(conv, torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(6 * LENGTH, 3)).eval()


SHAPES = {  # of a beat (C, L) as a file takes it: from beats (N, C, L), and back in torch
    "NCL": (lambda x: x, lambda x: x),
    "NLC": (lambda x: x.transpose(0, 2, 1), lambda x: x.permute(0, 2, 1)),
    "NC1L": (lambda x: x[:, :, None], lambda x: x.squeeze(2)),
    "N1CL": (lambda x: x[:, None], lambda x: x.squeeze(1)),
    "NLC1": (lambda x: x.transpose(0, 2, 1)[..., None], lambda x: x.squeeze(3).permute(0, 2, 1)),
}


def to_onnx(net: torch.nn.Module, x: np.ndarray, out: Path, free: dict[int, str] | None = None) -> Path:
    axes = {"x": {0: "n", **(free or {})}, "y": {0: "n"}}
    given = torch.from_numpy(np.ascontiguousarray(x[:2]))
    torch.onnx.export(net, (given,), str(out), dynamo=False, input_names=["x"], output_names=["y"], dynamic_axes=axes)
    return out


@pytest.mark.parametrize("leads", [1, 2, 3, 12])
@pytest.mark.parametrize("layout", ["NCL", "NC1L"])
def test_an_onnx_file_answers_as_onnxruntime(tmp_path: Path, leads: int, layout: str) -> None:
    check_onnx(tmp_path, leads, layout)


@pytest.mark.parametrize("layout", ["NLC", "N1CL", "NLC1"])
def test_an_onnx_file_with_other_axes_answers_as_onnxruntime(tmp_path: Path, layout: str) -> None:
    check_onnx(tmp_path, 3, layout)


def check_onnx(folder: Path, leads: int, layout: str) -> None:
    ort = pytest.importorskip("onnxruntime")
    (x, y), (give, take) = beats(leads), SHAPES[layout]
    file = to_onnx(Turned(network(leads), take), give(x), folder / "theirs.onnx")
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    expected = shares(session.run(None, {"x": np.ascontiguousarray(give(x))})[0])
    found = predict(file, x)
    np.testing.assert_allclose(found.probabilities, expected.max(axis=1), atol=1e-5)
    assert found.labels == tuple(str(i) for i in expected.argmax(axis=1))
    scored = evaluate(file, data=data_set(folder, leads))
    assert isinstance(scored.scores, Classified)
    assert scored.scores.accuracy == pytest.approx((expected.argmax(axis=1) == y).mean())


@pytest.mark.parametrize("layout", ["NLC", "NC1L"])
def test_an_onnx_file_is_converted_whatever_its_axes(tmp_path: Path, layout: str) -> None:
    for name in ("onnx2tf", "tensorflow", "ai_edge_litert", "onnxruntime"):
        pytest.importorskip(name)
    (x, _), (give, take) = beats(3), SHAPES[layout]
    net = Turned(network(3), take)
    file = to_onnx(net, give(x), tmp_path / "theirs.onnx")
    convert(file, "tflite", tmp_path / "made.tflite", data=data_set(tmp_path, 3))
    with torch.inference_mode():
        expected = shares(net(torch.from_numpy(np.ascontiguousarray(give(x)))).numpy())
    found = predict(tmp_path / "made.tflite", x)
    np.testing.assert_allclose(found.probabilities, expected.max(axis=1), atol=1e-5)
    assert found.labels == tuple(CLASSES[i] for i in expected.argmax(axis=1))


def test_the_data_tell_which_axis_is_which(tmp_path: Path) -> None:
    """Of a file for 20 leads of 20 samples or more, neither axis looks like leads: those of the data do."""
    pytest.importorskip("onnxruntime")
    x = np.random.default_rng(0).standard_normal((24, 20, 30)).astype(np.float32)
    y = np.array(CLASSES)[np.arange(24) % 3]
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(600, 3)).eval()
    file = to_onnx(Turned(net, lambda v: v.permute(0, 2, 1)), x.transpose(0, 2, 1), tmp_path / "theirs.onnx")
    np.savez(tmp_path / "set.npz", x_train=x, y_train=y, x_test=x, y_test=y, leads=[f"L{i}" for i in range(20)])
    with torch.inference_mode():
        decided = net(torch.from_numpy(x)).numpy().argmax(axis=1)
    scored = evaluate(file, data=tmp_path / "set.npz")
    assert scored.scores.accuracy == pytest.approx((decided == np.arange(24) % 3).mean())
    assert scored.artifact.input.layout == "NLC" and scored.artifact.notes["leads"][0] == "L0"


@pytest.mark.parametrize("leads", [2, 12])
def test_a_file_of_a_free_length_is_read(tmp_path: Path, leads: int) -> None:
    pytest.importorskip("onnxruntime")
    x, _ = beats(leads)
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv1d(leads, 3, 5), torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten()
    ).eval()  # fmt: skip
    file = to_onnx(net, x, tmp_path / "theirs.onnx", {2: "l"})
    with torch.inference_mode():
        expected = shares(net(torch.from_numpy(x)).numpy())
    np.testing.assert_allclose(predict(file, x).probabilities, expected.max(axis=1), atol=1e-5)


def test_programs_of_torch_answer_as_torch(tmp_path: Path) -> None:
    x, _ = beats(3)
    net = network(3)
    with torch.inference_mode():
        expected = shares(net(torch.from_numpy(x)).numpy())
    torch.jit.script(net).save(str(tmp_path / "net.pt"))
    batch = torch.export.Dim("batch", max=1024)
    torch.export.save(
        torch.export.export(net, (torch.from_numpy(x[:2]),), dynamic_shapes=({0: batch},)), str(tmp_path / "net.pt2")
    )
    for name in ("net.pt", "net.pt2"):
        found = predict(tmp_path / name, x, trust=name == "net.pt")
        np.testing.assert_allclose(found.probabilities, expected.max(axis=1), atol=1e-5)


@pytest.fixture(scope="module")
def keras_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A Keras classifier and an autoencoder of three leads, and what plain TensorFlow makes of them."""
    tf = pytest.importorskip("tensorflow")
    keras = pytest.importorskip("keras")
    folder = tmp_path_factory.mktemp("keras")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    classes = keras.Sequential([
        keras.Input((LENGTH, 3)), layers.Conv1D(4, 5, activation="relu"), layers.Flatten(), layers.Dense(3),
    ])  # fmt: skip
    back = keras.Sequential([keras.Input((LENGTH, 3)), layers.Conv1D(4, 5, padding="same"), layers.Conv1D(3, 1)])
    for name, model in (("classes", classes), ("back", back)):
        model.save(folder / f"{name}.keras")
        model.export(str(folder / name), verbose=False)
        made = tf.lite.TFLiteConverter.from_keras_model(model).convert()
        (folder / f"{name}.tflite").write_bytes(made)
    x, _ = beats(3)
    for name, model in (("classes", classes), ("back", back)):
        np.save(folder / f"{name}.npy", model(x.transpose(0, 2, 1), training=False).numpy())
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["classes.keras", "classes", "classes.tflite"])
def test_a_keras_classifier_answers_as_keras(keras_files: dict[str, Path], tmp_path: Path, name: str) -> None:
    x, y = beats(3)
    expected = shares(np.load(keras_files["classes.npy"]))
    np.testing.assert_allclose(predict(keras_files[name], x).probabilities, expected.max(axis=1), atol=1e-5)
    if name.endswith(".tflite"):
        scored = evaluate(keras_files[name], data=data_set(tmp_path, 3))
        assert scored.scores.accuracy == pytest.approx((expected.argmax(axis=1) == y).mean())
        assert scored.artifact.input.layout == "NLC"


@pytest.mark.parametrize("name", ["back", "back.tflite"])
def test_a_keras_autoencoder_gives_each_lead_back(keras_files: dict[str, Path], tmp_path: Path, name: str) -> None:
    x, _ = beats(3)
    given_back = np.load(keras_files["back.npy"]).transpose(0, 2, 1)
    told = Told(task="anomaly", normal="a", window=4)
    found = predict(keras_files[name], x, told=told, threshold=0.5)
    np.testing.assert_allclose(found.scores, anomaly_scores(given_back, x, 4), rtol=1e-4)
    if name.endswith(".tflite"):
        scored = evaluate(keras_files[name], data=data_set(tmp_path, 3), told=told)
        assert isinstance(scored.scores, Detected) and scored.artifact.output.layout == "NLC"


def test_a_keras_file_is_converted_with_its_leads(keras_files: dict[str, Path], tmp_path: Path) -> None:
    x, _ = beats(3)
    data = data_set(tmp_path, 3, leads=np.array(["I", "II", "V1"]))
    made = convert(keras_files["classes.keras"], "tflite", tmp_path / "made.tflite", quantizer="full-int8", data=data)
    assert made.artifact.notes["leads"] == ["I", "II", "V1"]
    expected = shares(np.load(keras_files["classes.npy"]))
    found = predict(tmp_path / "made.tflite", x)
    assert np.abs(found.probabilities - expected.max(axis=1)).max() < 0.05
    with pytest.raises(EcgEdgeError, match="was trained on the leads I, II, V1, set has II, I, V1") as raised:
        evaluate(tmp_path / "made.tflite", data=data, leads=("II", "I", "V1"))
    assert raised.value.hint == "say --leads I,II,V1"


def test_what_is_no_beat_is_told(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    x = np.zeros((4, 3, 8, 8), np.float32)
    file = to_onnx(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3)), x, tmp_path / "image.onnx")
    with pytest.raises(EcgEdgeError, match=r"input of shape \(N, 3, 8, 8\) is not of beats"):
        predict(file, x[:, 0])
