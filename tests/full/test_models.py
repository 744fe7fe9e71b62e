"""The five networks are the published ones, and the shipped weights are what their cards say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgedge import EcgEdgeError, load_network
from ecgedge.api import tasks
from ecgedge.data.dataset import Dataset
from ecgedge.data.finding import load
from ecgedge.plugins import Parts
from tests.full.conftest import MODELS, read_card

torch = pytest.importorskip("torch")

PARAMETERS = {"base-cnn": 174_597, "vgg": 3_608_325, "inception": 463_429, "tcn": 89_605, "cnn-ae": 9_969}


def outputs(network, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return np.concatenate([network(part).numpy() for part in torch.from_numpy(x).split(256)])


@pytest.mark.parametrize("name", MODELS)
def test_parameter_counts(parts: Parts, shipped, name: str) -> None:
    fresh = parts.models[name].build(5, 140)
    folded = load_network(shipped(name))
    norms = sum(p.numel() for key, p in fresh.named_parameters() if key.endswith("original0"))  # weight norm's g
    assert sum(p.numel() for p in fresh.parameters()) == PARAMETERS[name]
    assert sum(p.numel() for p in folded.parameters()) == PARAMETERS[name] - norms


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("classes", "length"), [(5, 140), (2, 96), (3, 101)])
def test_any_length_and_class_count(parts: Parts, name: str, classes: int, length: int) -> None:
    network = parts.models[name].build(classes, length).eval()
    expected = (3, 1, length) if parts.models[name].task == "anomaly" else (3, classes)
    assert network(torch.zeros(3, 1, length)).shape == expected


@pytest.mark.parametrize(("name", "length"), [("vgg", 31), ("base-cnn", 3), ("cnn-ae", 7)])
def test_too_short_a_beat_is_told(parts: Parts, name: str, length: int) -> None:
    with pytest.raises(EcgEdgeError, match=f"{name} needs beats of at least {length + 1} samples"):
        parts.models[name].build(5, length)
    parts.models[name].build(5, length + 1)(torch.zeros(2, 1, length + 1))


def test_the_autoencoder_pools_up_and_crops(parts: Parts) -> None:
    """Against the textbook form: ceil pooling, nearest upsampling, crop."""
    network = load_network_with_random_weights(parts)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 1, 140)).astype(np.float32))
    convolutions = [layer for layer in network.layers if isinstance(layer, torch.nn.Conv1d)]
    y = x
    for conv in convolutions[:3]:
        y = torch.nn.functional.max_pool1d(torch.relu(conv(y)), 2, ceil_mode=True)
    assert y.shape == (4, 8, 18)
    for conv in convolutions[3:6]:
        y = torch.nn.functional.interpolate(torch.relu(conv(y)), scale_factor=2, mode="nearest")
    torch.testing.assert_close(network(x), convolutions[6](y)[:, :, :140])


def load_network_with_random_weights(parts: Parts):
    torch.manual_seed(3)
    return parts.models["cnn-ae"].build(5, 140).eval()


@pytest.mark.parametrize("name", [name for name in MODELS if name != "cnn-ae"])
def test_shipped_weights_work_on_synthetic_beats(shipped, beats: Dataset, name: str) -> None:
    artifact = shipped(name)
    figures = tasks.evaluate(outputs(load_network(artifact), beats.test.x), beats.test.x, beats.test.y, artifact.task)
    assert figures["accuracy"] >= 0.85


@pytest.mark.parametrize("name", MODELS)
def test_shipped_weights_reproduce_their_cards(shipped, ecg5000: Path, torch_on_ecg5000, name: str) -> None:
    data, _ = load(str(ecg5000))
    artifact = shipped(name)
    figures = tasks.evaluate(torch_on_ecg5000(name), data.test.x, data.test.y, artifact.task)
    card = read_card(artifact.path)
    assert data.digest in card.text
    assert len(card.figures) >= 2
    for name, told in card.figures.items():
        assert figures[name] == pytest.approx(told, abs=6e-5), name


def test_all_weights_fit_in_12_mib(shipped) -> None:
    total = sum(file.stat().st_size for name in MODELS for file in shipped(name).path.rglob("*") if file.is_file())
    assert total < 12 * 2**20
