"""The model keeps ecgedge's contract, and what is special to it holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ecgedge_rocket.contracts import *  # noqa: F403  (classes that pytest collects)
from ecgedge_rocket.fitting import draw, on_grid
from ecgedge_rocket.head import Regression, ridge, select
from ecgedge_rocket.kernels import GRID, SHAPES, draw_kernels
from ecgedge_rocket.model import Rocket
from ecgedge_rocket.network import TOP, dilations_for, offsets_for

from ecgedge import (
    Classification,
    Recipe,
    TrainingContext,
    TrainingSet,
    convert,
    save_weights,
    write_checkpoint,
)
from ecgedge.testing import draw as draw_beats

RAMPS = (0.1, 3.0)


@pytest.mark.parametrize(("length", "leads"), [(140, 1), (9, 1), (101, 3)])
def test_the_features_are_those_of_a_plain_convolution(length: int, leads: int) -> None:
    """In numpy, sample by sample: zeros beyond the beat, every second sample, a ramp between 0 and 6, a mean."""
    beats = draw_beats(6, length, leads=leads)
    groups = draw_kernels(torch.from_numpy(beats), 20, RAMPS, np.random.default_rng(0))
    count = sum(len(group.biases) for group in groups)
    network = Rocket().build(5, length, features=count, leads=leads)
    with torch.no_grad():
        network.kernels.weight.copy_(torch.cat([group.spread(length) for group in groups]))
        network.kernels.bias.copy_(torch.cat([group.biases for group in groups]))
        found = network.features(torch.from_numpy(beats)).numpy()
    expected = []
    for group in groups:
        reach = 4 * group.dilation
        padded = np.pad(beats, ((0, 0), (0, 0), (reach, reach)))
        windows = np.stack([padded[:, :, t : t + 2 * reach + 1 : group.dilation] for t in range(0, length, 2)], axis=3)
        outputs = np.einsum("nclt,kcl->nkt", windows, group.folded.numpy()) + group.biases.numpy()[:, None]
        expected.append(outputs.clip(0, 6).mean(axis=2))
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_are_what_int8_holds(shape: str) -> None:
    """Whole numbers up to 127, so that a scale a channel loses nothing of them."""
    for group in draw_kernels(torch.from_numpy(draw_beats(20)), 50, RAMPS, np.random.default_rng(1), shape):
        assert group.weights.abs().amax(dim=(1, 2)).eq(GRID).all()
        steps = group.folded / (group.folded.abs().amax(dim=(1, 2), keepdim=True) / GRID)
        torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)


def test_a_threshold_is_within_the_outputs_whatever_the_scale_of_the_beats() -> None:
    for scale in (1e-3, 1.0, 1e3):
        beats = torch.from_numpy(draw_beats(20) * np.float32(scale))
        features = torch.cat(
            [group.features(beats) for group in draw_kernels(beats, 100, RAMPS, np.random.default_rng(0))], 1
        )
        assert (features.std(dim=0) > 1e-3).float().mean() > 0.9


def test_the_kernels_of_minirocket_are_all_84_and_have_no_mean() -> None:
    """2 at three of nine places and -1 elsewhere; on a grid of 127 the sum stays zero."""
    [group, *_] = draw_kernels(torch.from_numpy(draw_beats(20)), 5 * 84, RAMPS, np.random.default_rng(0), "mini")
    kernels = group.weights[:, 0]
    assert len(kernels.unique(dim=0)) == 84
    assert kernels.sum(dim=1).eq(0).all() and kernels.eq(GRID).sum(dim=1).eq(3).all()
    torch.testing.assert_close(kernels * 2 / GRID, torch.where(kernels > 0, 2.0, -1.0), atol=0.01, rtol=0)


def test_dilations_share_their_samples() -> None:
    assert dilations_for(140) == [1, 2, 4, 8, 16]
    assert len(offsets_for(140)) == len(set(offsets_for(140))) == 25


def test_selection_keeps_what_tells() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 40, generator=generator)
    y = x[:, [3, 17]] @ torch.tensor([[1.0, -1.0], [2.0, 1.0]])
    assert {3, 17} <= set(select(x, y, torch.ones(200), 0.1, 5).tolist())
    assert len(select(x, y, torch.ones(200), 0.1, 5)) == 5


def test_the_ridge_regression_solves_its_equations() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(50, 8, generator=generator), torch.randn(50, 3, generator=generator)
    importance = torch.rand(50, generator=generator) + 0.1
    found = ridge(x, y, importance, 0.5)
    share = importance[:, None] / importance.mean()
    gradient = (x.T @ (share * (found(x) - y))) + 0.5 * x.shape[1] * found.weights
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-3, rtol=0)
    torch.testing.assert_close((share * (found(x) - y)).sum(dim=0), torch.zeros(3), atol=1e-3, rtol=0)


def test_more_features_than_beats_have_the_same_regression() -> None:
    """The dual form solves the same equations: a feature that is never anything but zero changes nothing."""
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(20, 15, generator=generator), torch.randn(20, 3, generator=generator)
    importance = torch.rand(20, generator=generator) + 0.1
    wide = torch.cat([x, torch.zeros(20, 30)], dim=1)
    few, many = ridge(x, y, importance, 0.45), ridge(wide, y, importance, 0.15)
    torch.testing.assert_close(many(wide), few(x), atol=1e-4, rtol=0)
    assert many.weights[15:].abs().max() < 1e-6


def test_pruning_of_several_sizes_is_that_of_each() -> None:
    x = draw_beats(40)
    data = TrainingSet(x, np.arange(40) % 3, ("a", "b", "c"))
    options = Rocket().defaults | {"candidates": 60, "features": 10, "views": 2, "balance": 0.5}
    several, one = (draw(data, options, 0).prune(sizes) for sizes in ([60, 10], [60]))
    assert set(several) == {60, 10} and len(several[10].biases) == 10
    assert torch.equal(several[60].head.weights, one[60].head.weights)


@pytest.mark.parametrize("shape", SHAPES)
def test_int8_keeps_the_share_of_positive_outputs(shape: str, tmp_path: Path) -> None:
    """A full int8 TFLite file whose head passes five features of steep ramps on, one of each dilation: each is the
    share of outputs above the threshold, and differs by no more than a ramp's width and a step do."""
    beats = draw_beats(60)
    groups = draw_kernels(torch.from_numpy(beats), 5, (0.1, 0.1001), np.random.default_rng(3), shape)
    network = Rocket().build(5, 140, features=5)
    with torch.no_grad():
        network.kernels.weight.copy_(torch.cat([group.spread(140) for group in groups]))
        network.kernels.bias.copy_(torch.cat([group.biases for group in groups]))
        network.head.weight.copy_(torch.eye(5) / TOP)
        network.head.bias.zero_()
    files = save_weights(network, tmp_path)
    labels = tuple("12345")
    options = {"features": 5}
    write_checkpoint(
        tmp_path, model="rocket", files=files, classes=5, length=140, task=Classification(labels), options=options
    )
    made = convert(tmp_path, "tflite", tmp_path / "int8.tflite", quantizer="full-int8", data="synthetic")
    found = answered(made.path, beats)
    share = torch.cat([(group.outputs(torch.from_numpy(beats)) > TOP / 2).float().mean(dim=2) for group in groups], 1)
    difference = np.abs(found - share.numpy())
    assert difference.mean() < 0.02 and difference.max() < 0.08
    assert made.artifact.output.dtype == "int8" and len(np.unique(found)) > 20


def test_the_head_is_what_int8_holds_and_its_scores_keep_their_mean() -> None:
    """A feature that hardly varies has a large weight; rounding the others' must not shift the scores of a class."""
    generator = torch.Generator().manual_seed(0)
    features = 3 + torch.randn(500, 60, generator=generator) * torch.tensor([0.01, *[0.3] * 59])
    head = Regression(torch.randn(60, 3, generator=generator), torch.zeros(3))
    head.weights[0] *= 50
    found = on_grid(head, features.mean(dim=0))
    steps = found.weights / (found.weights.abs().amax(dim=0) / GRID)
    torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
    torch.testing.assert_close(found(features).mean(dim=0), head(features).mean(dim=0), atol=1e-2, rtol=0)
    assert (found(features) - head(features)).std() < 0.5 < head(features).std()


def test_the_objective_weights_the_classes(tmp_path: Path) -> None:
    """For accuracy all beats count alike, otherwise rare ones more; the option goes before the objective."""
    x, y = draw_beats(40), np.repeat([0, 1, 2], [30, 8, 2])
    data = TrainingSet(x, y, ("a", "b", "c"))
    small = Rocket().defaults | {"candidates": 60, "features": 10, "views": 2}

    def fitted(objective: str, **chosen: float) -> torch.Tensor:
        options = {name: value for name, value in (small | chosen).items() if value is not None}
        context = TrainingContext(Recipe(objective=objective), options, "", tmp_path, lambda *_: None, lambda *_: None)
        weights: torch.Tensor = Rocket().fit(data, context).network.head.weight
        return weights

    assert torch.equal(fitted("accuracy"), fitted("balanced", balance=0.0))
    assert torch.equal(fitted("balanced"), fitted("accuracy", balance=0.5))
    assert not torch.equal(fitted("accuracy"), fitted("balanced"))


def answered(file: Path, beats: np.ndarray) -> np.ndarray:
    """What LiteRT answers of an int8 file with one beat a call, in real numbers."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file), num_threads=1)
    interpreter.allocate_tensors()
    [taken], [given] = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for beat in beats:
        scale, zero = taken["quantization"]
        whole = np.round(beat.reshape(taken["shape"]) / scale + zero).clip(-128, 127)
        interpreter.set_tensor(taken["index"], whole.astype(np.int8))
        interpreter.invoke()
        scale, zero = given["quantization"]
        found.append((interpreter.get_tensor(given["index"])[0].astype(np.float32) - zero) * scale)
    return np.stack(found)
