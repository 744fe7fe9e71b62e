"""Files that other tools made: every layout, type and batch; the matrix, evaluate and convert take them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgedge.api.artifact import digest_of
from ecgedge.data.dataset import Dataset
from tests.conftest import Command, error_of, rows_of

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
tf = pytest.importorskip("tensorflow")


class Linear(torch.nn.Module):
    """Correlation with the classes' mean beats, from inputs of any of the three shapes."""

    def __init__(self, beats: Dataset, softmax: bool = False):
        super().__init__()
        means = np.stack([beats.train.x[beats.train.y == c, 0].mean(axis=0) for c in range(beats.classes)])
        self.weights = torch.nn.Parameter(torch.from_numpy(means.T / np.linalg.norm(means, axis=1)))
        self.softmax = softmax

    def forward(self, x):
        scores = x.reshape(-1, 140) @ self.weights
        return scores.softmax(1) if self.softmax else scores


class Smooth(torch.nn.Module):
    """An autoencoder of sorts: what is smooth comes back."""

    def forward(self, x):
        return torch.nn.functional.avg_pool1d(x, 9, stride=1, padding=4, count_include_pad=False)


def export(network, path: Path, shape: tuple[int, ...], free: bool = True) -> Path:
    axes = {"x": {0: "n"}, "y": {0: "n"}} if free else None
    options = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": axes, "opset_version": 17}
    torch.onnx.export(network.eval(), (torch.zeros(shape),), str(path), dynamo=False, **options)
    return path


@pytest.fixture
def accuracy(ecgedge: Command):
    def measure(file: str, *arguments: str) -> float:
        result = ecgedge("evaluate", file, "--dataset", "synthetic", *arguments)
        assert result.code == 0, result.err
        return float(result.out.split("accuracy ")[1].split()[0])

    return measure


@pytest.fixture
def expected(beats: Dataset) -> float:
    with torch.inference_mode():
        decided = Linear(beats)(torch.from_numpy(beats.test.x)).argmax(1).numpy()
    return round(float((decided == beats.test.y).mean()), 4)


@pytest.mark.parametrize("shape", [(2, 1, 140), (2, 140, 1), (2, 140)])
@pytest.mark.parametrize("free", [True, False])
def test_onnx_of_every_layout_and_batch(
    accuracy, expected: float, beats: Dataset, tmp_path: Path, shape: tuple[int, ...], free: bool
) -> None:
    export(Linear(beats, softmax=True), tmp_path / "theirs.onnx", shape, free)
    assert accuracy("theirs.onnx") == expected


@pytest.mark.parametrize("kind", ["float", "int8", "uint8"])
@pytest.mark.parametrize("shape", [(140,), (140, 1), (1, 140)])
def test_tflite_of_keras(
    accuracy, expected: float, beats: Dataset, tmp_path: Path, shape: tuple[int, ...], kind: str
) -> None:
    weights = Linear(beats).weights.detach().numpy()
    layers = [tf.keras.layers.Input(shape), tf.keras.layers.Flatten(), tf.keras.layers.Dense(5)]
    network = tf.keras.Sequential(layers)
    network.layers[-1].set_weights([weights, np.zeros(5, np.float32)])
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    if kind != "float":
        samples = beats.train.x[:100].reshape(100, 1, *shape)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        converter.inference_input_type = converter.inference_output_type = getattr(tf, kind)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    (tmp_path / "theirs.tflite").write_bytes(converter.convert())
    assert accuracy("theirs.tflite") == pytest.approx(expected, abs=1e-9 if kind == "float" else 0.03)


def test_scikit_learn(ecgedge: Command, accuracy, beats: Dataset, tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=500).fit(beats.train.x[:, 0], beats.train.y)
    for zipmap in (False, True):
        graph = to_onnx(model, beats.train.x[:1, 0], options={"zipmap": zipmap})
        (tmp_path / f"zip{zipmap}.onnx").write_bytes(graph.SerializeToString())
    assert accuracy("zipFalse.onnx") == pytest.approx(model.score(beats.test.x[:, 0], beats.test.y), abs=1e-3)
    assert "zipmap=False" in error_of(ecgedge("evaluate", "zipTrue.onnx", "--dataset", "synthetic"))


def test_an_autoencoder_needs_to_be_told(ecgedge: Command, tmp_path: Path) -> None:
    export(Smooth(), tmp_path / "smooth.onnx", (2, 1, 140))
    assert "--task anomaly" in error_of(ecgedge("evaluate", "smooth.onnx", "--dataset", "synthetic"))
    result = ecgedge("evaluate", "smooth.onnx", "--dataset", "synthetic", "--task", "anomaly")
    assert result.code == 0, result.err
    assert "threshold" in result.err
    assert "AUROC 0." in result.out
    told = error_of(ecgedge("evaluate", "smooth.onnx", "--dataset", "synthetic", "--task", "anomaly", "--normal", "9"))
    assert "no class '9'" in told


def test_an_autoencoder_is_scored_by_the_window_that_it_is_told(
    ecgedge: Command, beats: Dataset, tmp_path: Path
) -> None:
    export(Smooth(), tmp_path / "smooth.onnx", (2, 1, 140))
    np.savetxt(tmp_path / "beats.txt", beats.test.x[:5, 0])
    with torch.inference_mode():
        residual = Smooth()(torch.from_numpy(beats.test.x[:5])).numpy()[:, 0].astype(float) - beats.test.x[:5, 0]
    asked = ("--task", "anomaly", "--window")
    for window in (1, 7):
        lines = ecgedge("predict", "smooth.onnx", "beats.txt", *asked, window, "--threshold", "1").out.splitlines()
        means = [np.convolve(row, np.ones(window) / window, "valid") for row in residual]
        expected = [np.mean(mean**2) for mean in means]
        assert [float(line.split(",")[1]) for line in lines[1:]] == pytest.approx(expected, rel=1e-4)
    arguments = (*asked, "7", "--dataset", "synthetic")
    result = ecgedge("evaluate", "smooth.onnx", *arguments)
    assert "averaged over 7 samples" in result.out, result.err
    result = ecgedge("matrix", "--artifact", "smooth.onnx", *arguments, "--quantizer", "fp32", "--runtime", "cpu",
                     "--profile", "quick", "--out", "run")  # fmt: skip
    assert result.code == 0, result.out + result.err
    assert ecgedge("check", "run").code == 0
    none, came = rows_of(tmp_path / "run")  # the very bytes, beside what the passes made of them
    assert came["digest"] == digest_of(tmp_path / "smooth.onnx") and came["passes"] == []
    assert came["time_ratio"]["to"] == none["id"] and not none.get("time_ratio")
    assert "as it came" in result.out and "onnx as it came" in (tmp_path / "run" / "report.html").read_text()
    asked = (*asked, "141")
    assert "fewer than a window of 141" in error_of(
        ecgedge("evaluate", "smooth.onnx", *asked, "--dataset", "synthetic")
    )
    assert "lower --window" in error_of(ecgedge("predict", "smooth.onnx", "beats.txt", *asked, "--threshold", "1"))


def test_predict_is_told_what_it_cannot_know(ecgedge: Command, beats: Dataset, tmp_path: Path) -> None:
    export(Smooth(), tmp_path / "smooth.onnx", (2, 1, 140))
    np.savetxt(tmp_path / "beats.txt", beats.test.x[:3, 0])
    assert "--task anomaly" in error_of(ecgedge("predict", "smooth.onnx", "beats.txt"))
    assert "--threshold" in error_of(ecgedge("predict", "smooth.onnx", "beats.txt", "--task", "anomaly"))
    for threshold, flag in (("0", "1"), ("99", "0")):
        arguments = ("--task", "anomaly", "--threshold", threshold)
        lines = ecgedge("predict", "smooth.onnx", "beats.txt", *arguments).out.splitlines()
        assert [line.split(",")[2] for line in lines] == ["anomaly", flag, flag, flag]
    export(Linear(beats), tmp_path / "linear.onnx", (2, 140))
    lines = ecgedge("predict", "linear.onnx", "beats.txt").out.splitlines()
    assert lines[0] == "beat,class,probability"
    assert len(lines) == 4


def test_they_enter_the_matrix_beside_the_built_ins(ecgedge: Command, beats: Dataset, tmp_path: Path) -> None:
    export(Linear(beats), tmp_path / "theirs.onnx", (1, 1, 140))
    export(Linear(beats), tmp_path / "fixed.onnx", (3, 140), free=False)
    result = ecgedge("convert", "theirs.onnx", "--to", "tflite", "--quantize", "full-int8", "-o", "int8.tflite",
                     "--dataset", "synthetic")  # fmt: skip
    assert result.code == 0, result.err
    names = ("theirs.onnx", "fixed.onnx", "int8.tflite")
    files = [word for name in names for word in ("--artifact", name)]
    arguments = ("--dataset", "synthetic", "--profile", "quick", "--model", "cnn-ae", "--format", "onnx")
    result = ecgedge("matrix", *arguments, "--format", "tflite", "--quantizer", "fp32", "--quantizer", "full-int8",
                     *files, "--out", "run")  # fmt: skip
    assert result.code == 0, result.out + result.err
    rows = [row for row in rows_of(tmp_path / "run") if row["status"] == "ok"]
    made = {(row["model"], row["format"], row["precision"]) for row in rows}
    for name in ("theirs.onnx", "fixed.onnx", "cnn-ae"):
        assert {(name, f, p) for f in ("onnx", "tflite") for p in ("fp32", "full-int8")} <= made
    assert [form for form in made if form[0] == "int8.tflite"] == [("int8.tflite", "tflite", "full-int8")]
    fixed = [row for row in rows if row["model"] == "fixed.onnx"]
    for row in fixed:
        assert [key for key in row if key.startswith("throughput_")] == ["throughput_3_per_s"]
    assert all(row["changed_decisions"] == 0 for row in rows if row["precision"] == "fp32")


def test_two_files_of_one_name_are_refused(ecgedge: Command, beats: Dataset, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    export(Linear(beats), tmp_path / "m.onnx", (1, 140))
    export(Linear(beats), tmp_path / "a" / "m.onnx", (1, 140))
    told = error_of(ecgedge("matrix", "--dataset", "synthetic", "--artifact", "m.onnx", "--artifact", "a/m.onnx"))
    assert "two rows would both be called 'm.onnx'" in told
