"""Models of beats with several leads that a third party saves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecgedge import (
    Anomaly,
    Artifact,
    Classification,
    Context,
    EcgEdgeError,
    TensorSpec,
    TrainingSet,
    convert,
    evaluate,
    infer,
    load_network,
    plugins,
    predict,
    save_weights,
    write_checkpoint,
)
from ecgedge.convert.checkpoint import read_checkpoint
from tests.conftest import Command, error_of, write_beats

torch = pytest.importorskip("torch")

LEADS, LENGTH, LABELS = 2, 60, ("normal", "PVC", "other")
PLUGIN = """
from ecgedge import EcgEdgeError, Fitted, Model, hookimpl


class Pair(Model):
    "Classes of beats with two leads."
    name = "pair"
    needs = ("torch", "safetensors")
    leads = 2

    def build(self, classes, length, width=4, **options):
        from torch import nn

        first = nn.Sequential(nn.Conv1d(2, width, 5, padding=2), nn.ReLU())
        return nn.Sequential(first, nn.Flatten(), nn.Linear(width * length, classes))


class PairAE(Model):
    "Both leads of a beat, as it thinks them normal."
    name = "pair-ae"
    needs = ("torch", "safetensors")
    task = "anomaly"
    leads = 2

    def build(self, classes, length, **options):
        from torch import nn

        return nn.Sequential(nn.Conv1d(2, 3, 5, padding=2), nn.Tanh(), nn.Conv1d(3, 2, 5, padding=2))


@hookimpl
def ecgedge_models():
    return Pair(), PairAE()
"""


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "pairs.py").write_text(PLUGIN)
    monkeypatch.setenv("ECGEDGE_PLUGINS_DIR", str(folder))
    return folder


@pytest.fixture
def data() -> TrainingSet:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((30, LEADS, LENGTH), dtype=np.float32)
    return TrainingSet(x, np.arange(30) % len(LABELS), LABELS)


def saved(folder: Path, data: TrainingSet, name: str = "pair", window: int = 1) -> tuple[Path, object]:
    """A checkpoint as a third party writes it, with the public functions alone, and its network."""
    torch.manual_seed(3)
    options = {"width": 6} if name == "pair" else {}
    network = plugins.load().models[name].build(data.classes, data.length, **options).eval()
    anomaly = Anomaly(1.0, 0.95, "normal", data.labels, window)
    folder.mkdir()
    write_checkpoint(
        folder,
        model=name,
        files=save_weights(network, folder),
        classes=data.classes,
        length=data.length,
        options=options,
        input_shape=(None, data.leads, data.length),
        task=Classification(data.labels) if name == "pair" else anomaly,
    )
    return folder, network


def answers_of(network, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(x)).numpy()


def artifact_of(folder: Path) -> Artifact:
    return read_checkpoint(folder, plugins.load().models)


def test_a_classifier_answers_from_its_checkpoint_as_its_network_does(tmp_path: Path, data: TrainingSet) -> None:
    assert (len(data), data.leads, data.length) == (30, LEADS, LENGTH)
    folder, network = saved(tmp_path / "mine", data)
    logits = answers_of(network, data.x).astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = predict(folder, data.x)
    assert found.labels == tuple(LABELS[i] for i in logits.argmax(axis=1)) and len({*found.labels}) > 1
    np.testing.assert_allclose(found.probabilities, shares.max(axis=1), atol=1e-6)
    np.testing.assert_array_equal(answers_of(load_network(artifact_of(folder)), data.x), answers_of(network, data.x))
    swapped = predict(folder, data.x[:, ::-1].copy())
    assert not np.allclose(swapped.probabilities, found.probabilities), "each lead matters"


@pytest.mark.parametrize("window", [1, 7])
def test_an_autoencoder_scores_each_lead(tmp_path: Path, data: TrainingSet, window: int) -> None:
    folder, network = saved(tmp_path / "mine", data, "pair-ae", window)
    residual = answers_of(network, data.x).astype(np.float64) - data.x
    kernel = np.ones(window) / window
    smooth = np.array([[np.convolve(lead, kernel, "valid") for lead in beat] for beat in residual])
    found = predict(folder, data.x)
    np.testing.assert_allclose(found.scores, (smooth**2).mean(axis=(1, 2)), rtol=1e-6)
    np.testing.assert_array_equal(found.flags, found.scores > 1.0)
    artifact = artifact_of(folder)
    assert artifact.output.shape == (None, LEADS, LENGTH)
    session = plugins.load().runtimes["torch"].load(artifact, 1)
    np.testing.assert_array_equal(infer(session, data.x), answers_of(network, data.x))


@pytest.mark.parametrize("name", ["pair", "pair-ae"])
def test_an_onnx_file_of_several_leads_answers_as_its_network_does(
    tmp_path: Path, data: TrainingSet, name: str
) -> None:
    pytest.importorskip("onnxruntime")
    folder, network = saved(tmp_path / "mine", data, name)
    parts = plugins.load()
    made = parts.exporters["onnx"].convert(artifact_of(folder), tmp_path / "mine.onnx", Context(data.x))
    told = parts.runtimes["cpu"].inspect(made.path)
    assert told.input.leads == LEADS and told.task.labels == LABELS
    session = parts.runtimes["cpu"].load(told, 1)
    np.testing.assert_allclose(infer(session, data.x), answers_of(network, data.x), atol=1e-5)
    alone = predict(made.path, data.x)
    if name == "pair":
        assert alone.labels == predict(folder, data.x).labels
    with pytest.raises(EcgEdgeError, match="takes beats of 2 leads, these have 1"):
        infer(session, data.x[:, :1])


def test_data_of_other_leads_are_refused_at_every_door(ecgedge: Command, tmp_path: Path, data: TrainingSet) -> None:
    folder, _ = saved(tmp_path / "mine", data)
    file = plugins.load().exporters["onnx"].convert(artifact_of(folder), tmp_path / "two.onnx", Context(data.x)).path
    line = "Error: pair takes beats of 2 leads, those of synthetic have 1"
    doors = [("evaluate", target) for target in (folder, file)]
    doors += [("convert", folder, "--to", "onnx"), ("convert", file, "--to", "tflite")]
    doors += [("matrix", "--model", folder, "--profile", "quick"), ("matrix", "--artifact", file, "--profile", "quick")]
    doors += [("bundle", file)]
    for door in doors:
        assert error_of(ecgedge(*door, "--dataset", "synthetic")).splitlines()[0] == line, door
    np.save(tmp_path / "one.npy", data.x[:3, :1])
    write_beats(tmp_path / "beats.csv", data.x[:3, :1])
    for target in (folder, file):
        told = error_of(ecgedge("predict", target, "one.npy"))
        assert told.splitlines()[0] == "Error: pair takes beats of 2 leads, those of one.npy have 1"
        told = error_of(ecgedge("predict", target, "beats.csv"))
        assert told.splitlines()[0] == "Error: beats.csv, line 1: 60 numbers, the model takes 120"
    told = error_of(ecgedge("train", "pair", "--dataset", "synthetic"))
    assert told.splitlines()[0] == "Error: pair is for beats of 2 leads, those of synthetic have 1"
    for call in (lambda: evaluate(folder, data="synthetic"), lambda: convert(folder, "onnx", data="synthetic")):
        with pytest.raises(EcgEdgeError, match="takes beats of 2 leads"):
            call()
    for wrong in (data.x[:, :1], data.x[:, 0], np.zeros((0, LEADS, LENGTH), np.float32)):
        with pytest.raises(EcgEdgeError, match="pair does not take") as raised:
            predict(folder, wrong)
        assert raised.value.hint == "it takes (N, 2, 60)"
    kept = {"plugins", "mine", "two.onnx", "beats.csv", "one.npy", "checkpoints"}
    assert not {each.name for each in tmp_path.iterdir()} - kept


def test_a_beat_of_several_leads_is_refused_by_a_model_of_one(tmp_path: Path, data: TrainingSet) -> None:
    with pytest.raises(EcgEdgeError, match="cnn-ae does not take"):
        predict("cnn-ae", np.zeros((3, LEADS, 140), np.float32))


def test_where_its_time_goes_is_told(ecgedge: Command, tmp_path: Path, data: TrainingSet) -> None:
    folder, _ = saved(tmp_path / "mine", data)
    told = ecgedge("explain", folder)
    assert told.code == 0 and "Conv1d" in told.out, told.err
    layers = ecgedge("summary", "pair", "--classes", "3", "--length", "60")
    assert layers.code == 0 and "[1, 2, 60]" in layers.out, layers.err


def test_the_contract_of_a_model_draws_beats_of_its_leads(ecgedge: Command) -> None:
    checked = ecgedge("plugins", "check", "pairs")
    assert checked.code == 0, checked.out
    assert "TestPair, model pair:" in checked.out and "failed" not in checked.out


def test_a_record_whose_reconstruction_lacks_a_lead_is_refused(tmp_path: Path, data: TrainingSet) -> None:
    folder, _ = saved(tmp_path / "mine", data, "pair-ae")
    artifact = artifact_of(folder)
    with pytest.raises(ValueError, match=r"output_shape is \[None, 1, 60\], and its task wants 120 values"):
        write_checkpoint(
            folder, model="pair-ae", files=["weights.safetensors"], classes=3, length=LENGTH, task=artifact.task,
            input_shape=(None, LEADS, LENGTH), output_shape=(None, 1, LENGTH),
        )  # fmt: skip
    from ecgedge.api.records import from_record
    from ecgedge.api.records.rules import check_meaning

    again = from_record(folder, artifact.record())
    check_meaning(again)
    short = replace(again, output=TensorSpec("output", (None, 1, LENGTH), "float32", "NCL"))
    with pytest.raises(ValueError, match="60 values for a beat of 120: no reconstruction"):
        check_meaning(short)
