"""The model keeps ecgedge's contract, and what is special to it holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ecgedge_rocket.contracts import *  # noqa: F403  (classes that pytest collects)
from ecgedge_rocket.fitting import draw
from ecgedge_rocket.head import ridge, select
from ecgedge_rocket.kernels import GRID, draw_kernels
from ecgedge_rocket.model import Rocket
from ecgedge_rocket.network import dilations_for, offsets_for

from ecgedge import TrainingSet
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


def test_weights_are_what_int8_holds() -> None:
    """Whole numbers up to 127, so that a scale a channel loses nothing of them."""
    for group in draw_kernels(torch.from_numpy(draw_beats(20)), 50, RAMPS, np.random.default_rng(1)):
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


def test_pruning_of_several_sizes_is_that_of_each() -> None:
    x = draw_beats(40)
    data = TrainingSet(x, np.arange(40) % 3, ("a", "b", "c"))
    options = Rocket().defaults | {"candidates": 60, "features": 10, "views": 2}
    several, one = (draw(data, options, 0).prune(sizes) for sizes in ([60, 10], [60]))
    assert set(several) == {60, 10} and len(several[10].biases) == 10
    assert torch.equal(several[60].head.weights, one[60].head.weights)
