"""Bundles as a stranger uses them: their scripts decide as ``ecgedge`` does, with numpy and the runtime alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecgedge.data.dataset import Dataset
from ecgedge.data.finding import load
from tests.conftest import Command, error_of, script, write_beats
from tests.full.kept import run_here

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("ai_edge_litert")

BOARD = Path(__file__).parents[1] / "board"
PINS = Path(__file__).parents[2] / "constraints.txt"
ONNX = {"base-cnn": "fp32", "cnn-ae": "full-int8"}


@pytest.fixture(scope="module")
def file_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A model as ONNX, or the board's TFLite file."""
    folder = tmp_path_factory.mktemp("onnx")

    def make(model: str) -> Path:
        file = BOARD / model if model.endswith(".tflite") else folder / f"{model}.onnx"
        if not file.is_file():
            command = ["convert", model, "--to", "onnx", "--quantize", ONNX[model], "-o", file]
            assert run_here(*command, "--dataset", "synthetic").code == 0
        return file

    return make


@pytest.mark.parametrize("model", [*ONNX, "tcn-int8.tflite"])
def test_predict_answers_on_all_test_beats_as_ecgedge_does(
    here: Command, unpacked, file_of, ecg5000: Path, tmp_path: Path, model: str
) -> None:
    data, _ = load(str(ecg5000))
    beats = write_beats(tmp_path / "beats.csv", data.test.x)
    file = file_of(model)
    folder = unpacked(file)
    found = script(sys.executable, folder / "predict.py", beats)
    assert found.returncode == 0, found.stderr
    assert found.stdout == here("predict", file, beats).out
    assert found.stdout.count("\n") == 4501
    decided = [line.split(",") for line in found.stdout.splitlines()[1:]]
    told = here("evaluate", file, "--dataset", ecg5000).out
    if model.startswith("cnn-ae"):
        hits = sum(y != 0 and flag == "1" for y, (_, _, flag) in zip(data.test.y, decided))
        assert f"recall {hits / (data.test.y != 0).sum():.4f}" in told
    else:
        right = np.mean([data.labels[y] == label for y, (_, label, _) in zip(data.test.y, decided)])
        assert f"accuracy {right:.4f}" in told


@pytest.mark.parametrize(("model", "library"), [("base-cnn", "onnxruntime"), ("tcn-int8.tflite", "ai-edge-litert")])
def test_a_venv_with_numpy_and_the_runtime_alone_is_enough(
    unpacked, file_of, beats: Dataset, tmp_path: Path, model: str, library: str
) -> None:
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-compile", "-c", PINS]
    done = subprocess.run([*pip, "numpy", library], capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"pip cannot install {library} here: {done.stderr.strip().splitlines()[-1]}")
    folder = unpacked(file_of(model))
    checked = script(python, folder / "check.py")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "decisions that differ: 0" in checked.stdout
    answers = script(python, folder / "predict.py", write_beats(tmp_path / "beats.csv", beats.test.x[:300]))
    right = [line.split(",")[1] == beats.labels[y] for line, y in zip(answers.stdout.splitlines()[1:], beats.test.y)]
    assert len(right) == 300
    assert np.mean(right) > 0.85


def test_the_card_of_shipped_weights_travels(unpacked, file_of) -> None:
    folder = unpacked(file_of("cnn-ae"))
    card = (folder / "MODEL_CARD.md").read_text()
    assert "On the 4,500 test beats, scored once" in card
    assert "not those" not in card and "not known:" not in card
    assert "z-normalised" in (folder / "README.md").read_text()
    assert json.loads((folder / "record.json").read_text())["task"]["threshold"] > 0


class Probabilities(torch.nn.Module):
    """A third, whatever comes; its weights are big enough for a file of their own."""

    def __init__(self):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.zeros(140, 3))

    def forward(self, x):
        return (x.reshape(-1, 140) @ self.weights).softmax(1)


class Smooth(torch.nn.Module):
    """An autoencoder of sorts: what is smooth comes back."""

    def forward(self, x):
        return torch.nn.functional.avg_pool1d(x, 9, stride=1, padding=4, count_include_pad=False)


def export(network: torch.nn.Module, path: Path, shape: tuple[int, ...], free: dict[str, dict[int, str]]) -> None:
    options = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": free, "opset_version": 17}
    torch.onnx.export(network.eval(), (torch.zeros(shape),), str(path), dynamo=False, **options)


def test_files_made_elsewhere_need_to_be_told(here: Command, unpacked, beats: Dataset, tmp_path: Path) -> None:
    export(Probabilities(), tmp_path / "theirs.onnx", (3, 140, 1), {})
    assert "gives 3 scores" in error_of(here("bundle", "theirs.onnx", "--labels", "N,V"))
    assert "a classifier, which has no --threshold" in error_of(here("bundle", "theirs.onnx", "--threshold", "1"))
    folder = unpacked("theirs.onnx", "--labels", "N,V,other")
    text = "\n".join(" ".join(map(str, beat)) for beat in beats.test.x[:4, 0].tolist())
    answers = script(sys.executable, folder / "predict.py", "-", stdin=text).stdout
    assert answers.splitlines()[1:] == [f"{i},N,0.3333" for i in range(4)]
    card = (folder / "MODEL_CARD.md").read_text()
    assert "not known: who made it" in card
    assert "labels: as its user said" in card

    export(Smooth(), tmp_path / "smooth.onnx", (1, 1, 140), {"x": {0: "n"}, "y": {0: "n"}})
    assert "--task" in error_of(here("bundle", "smooth.onnx"))
    assert "--threshold" in error_of(here("bundle", "smooth.onnx", "--task", "anomaly"))
    folder = unpacked("smooth.onnx", "--task", "anomaly", "--dataset", "synthetic")
    told = here("evaluate", "smooth.onnx", "--task", "anomaly", "--dataset", "synthetic").err
    threshold = json.loads((folder / "record.json").read_text())["task"]["threshold"]
    assert f"threshold {threshold:.6g}," in told
    folder = unpacked("smooth.onnx", "--task", "anomaly", "--threshold", "0", "--force")
    answers = script(sys.executable, folder / "predict.py", "-", stdin=text).stdout
    assert [line.split(",")[2] for line in answers.splitlines()] == ["anomaly", "1", "1", "1", "1"]
    assert "already what --threshold" in error_of(here("bundle", BOARD / "cnn-ae-int8.tflite", "--threshold", "1"))


def test_weights_in_another_file_are_taken_in(here: Command, unpacked, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    export(Probabilities(), tmp_path / "whole.onnx", (1, 140), {})
    split = onnx.load(tmp_path / "whole.onnx")
    options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    onnx.save(split, tmp_path / "split.onnx", **options)
    (tmp_path / "alone").mkdir()
    (tmp_path / "split.onnx").rename(tmp_path / "alone" / "split.onnx")
    assert "its data weights.bin is missing" in error_of(here("bundle", "alone/split.onnx"))
    (tmp_path / "weights.bin").rename(tmp_path / "alone" / "weights.bin")
    assert (unpacked("alone/split.onnx") / "model.onnx").stat().st_size > 140 * 3 * 4


class Extremes(torch.nn.Module):
    """Mean, largest and smallest sample, of beats of any length."""

    def forward(self, x):
        return torch.cat([x.mean(2), x.amax(2), x.amin(2)], dim=1)


def test_a_model_of_any_length_is_bundled_for_that_of_its_vectors(here: Command, unpacked, tmp_path: Path) -> None:
    export(Extremes(), tmp_path / "any.onnx", (1, 1, 140), {"x": {0: "n", 2: "length"}, "y": {0: "n"}})
    (tmp_path / "mine.csv").write_text("0,1,3,2\n3,2,1,0\n")
    folder = unpacked("any.onnx", "--vectors", "mine.csv")
    assert "ANY_INPUT_SHAPE {1, 1, 4}" in (folder / "model.h").read_text()
    assert script(sys.executable, folder / "predict.py", "-", stdin="0 0 0 1\n").stdout.count("\n") == 2
    assert "4 finite numbers" in script(sys.executable, folder / "predict.py", "-", stdin="0 0 1\n").stderr
    (tmp_path / "mine.csv").write_text("0,1,3,2\n3,2,1\n")
    told = error_of(here("bundle", "any.onnx", "--vectors", "mine.csv", "-o", "never.zip"))
    assert "line 2: 3 numbers, the lines before have 4" in told
