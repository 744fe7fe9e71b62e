"""The teacher: ROCKET's features and the ridge regression against independent ones, and what it knows."""

from __future__ import annotations

import numpy as np
import pytest

from ecgedge import Recipe
from ecgedge.data.dataset import Dataset, Split

torch = pytest.importorskip("torch")

from ecgedge.training import teacher as teacher_module  # noqa: E402
from ecgedge.training.batches import batches  # noqa: E402
from ecgedge.training.rocket import Rocket  # noqa: E402
from ecgedge.training.teacher import Teacher, ridge  # noqa: E402


def test_rocket_is_the_convolution_of_its_paper() -> None:
    x = np.random.default_rng(0).standard_normal((3, 1, 60)).astype(np.float32)
    rocket = Rocket(40, 60, seed=1)
    found = rocket(torch.from_numpy(x)).numpy()
    beats = (x[:, 0] - x[:, 0].mean(1, keepdims=True)) / x[:, 0].std(1, ddof=1, keepdims=True)
    expected = []
    for (size, dilation, padding), (weights, biases) in rocket.kernels.items():
        assert (size - 1) * dilation < 60
        padded = np.pad(beats, ((0, 0), (padding, padding)))
        ends = range(padded.shape[1] - (size - 1) * dilation)
        windows = np.stack([padded[:, i : i + (size - 1) * dilation + 1 : dilation] for i in ends], axis=1)
        outputs = windows @ weights[:, 0].numpy().T + biases.numpy()
        np.testing.assert_allclose(weights.sum(dim=2), 0, atol=1e-5)
        expected += [(outputs > 0).mean(axis=1), outputs.max(axis=1)]
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), atol=1e-4)
    assert found.shape == (3, 80)


@pytest.mark.parametrize("length", [4, 8, 140])
def test_rocket_takes_beats_of_any_length(length: int) -> None:
    beats = torch.randn(2, 1, length)
    beats[1] = 1.0  # constant
    assert Rocket(20, length, seed=0)(beats).isfinite().all()


def test_the_ridge_regression_is_scikit_learns() -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((30, 50)), rng.standard_normal((30, 3))
    importance = rng.uniform(0.1, 3, 30)
    weights, bias = ridge(*map(torch.from_numpy, (x, y, importance)), 2.0)
    reference = Ridge(alpha=2.0).fit(x, y, sample_weight=importance * 30 / importance.sum())
    np.testing.assert_allclose(weights.numpy().T, reference.coef_, atol=1e-8)
    np.testing.assert_allclose(bias.numpy(), reference.intercept_, atol=1e-8)


def test_a_teacher_knows_beats_that_it_has_not_seen(beats: Dataset) -> None:
    torch.manual_seed(0)
    teacher = Teacher(beats.train, beats.classes, 1.0, seed=0)
    scores = teacher(torch.from_numpy(beats.test.x[:1000])).numpy()
    assert (scores.argmax(axis=1) == beats.test.y[:1000]).mean() > 0.9


@pytest.mark.parametrize("objective", ["accuracy", "balanced"])
def test_lessons_are_the_teachers_answers_not_the_labels(
    beats: Dataset, objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher_module, "VIEWS", 300)
    recipe = Recipe(mix=0.5, batch=32, epochs=2, objective=objective)
    short = Split(few(beats).x[:, :, ::4].copy(), few(beats).y)
    torch.manual_seed(0)
    inputs, answers = next(batches(short, beats.classes, recipe, "classification"))
    torch.manual_seed(0)
    teacher = Teacher(short, beats.classes, recipe.augment, recipe.seed, objective=objective)
    torch.testing.assert_close(answers, torch.softmax(teacher(inputs) / recipe.temperature, dim=1))
    assert inputs.shape == (32, 1, 35)


def test_classes_count_as_they_occur_or_rare_ones_more(beats: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The teacher is the ridge regression in which each beat has the importance that the objective gives."""
    monkeypatch.setattr(teacher_module, "VIEWS", len(few(beats)))  # each beat as it is
    part = Split(few(beats).x[:, :, ::4].copy(), few(beats).y)
    x, y = torch.from_numpy(part.x), torch.from_numpy(part.y)
    features = Rocket(2000, 35, seed=3)(x)
    normal = (features - features.mean(dim=0)) / (features.std(dim=0) + 1e-8)
    one_hot = torch.nn.functional.one_hot(y, beats.classes).float()
    counts = torch.bincount(y)
    rare = int(counts[counts > 0].min())
    scores = []
    for objective, balance in (("accuracy", 0.0), ("balanced", 0.75)):
        answers = Teacher(part, beats.classes, 0.0, 3, objective=objective)(x)
        weights, bias = ridge(normal, one_hot, counts[y].float() ** -balance, 1200.0)
        torch.testing.assert_close(answers, normal @ weights + bias, atol=1e-3, rtol=1e-3)
        of_rare = counts[y] == rare
        scores.append(answers[of_rare, y[of_rare]].mean().item())
    assert scores[1] > 1.1 * scores[0], "a rare class is answered more where it counts more"


def test_without_a_teacher_rare_classes_are_drawn_by_the_root_of_their_number(beats: Dataset) -> None:
    counts = np.bincount(beats.train.y, minlength=beats.classes)
    recipe = Recipe(teacher=False, batch=500, smoothing=0.1, balance=0.5)
    torch.manual_seed(0)
    source = batches(beats.train, beats.classes, recipe, "classification")
    answers = torch.cat([next(source)[1] for _ in range(20)])
    assert set(np.round(answers.unique().tolist(), 4)) == {0.02, 0.92}
    drawn = (answers > 0.5).double().mean(dim=0).numpy()
    np.testing.assert_allclose(drawn, np.sqrt(counts) / np.sqrt(counts).sum(), atol=0.02)


def test_an_autoencoder_is_shown_noise_and_answers_without(beats: Dataset) -> None:
    torch.manual_seed(0)
    inputs, targets = next(batches(few(beats), beats.classes, Recipe(denoise=0.5, augment=0), "anomaly"))
    assert (inputs - targets).std() == pytest.approx(0.5, abs=0.03)
    known = {beat.tobytes() for beat in few(beats).x}
    assert all(target.tobytes() in known for target in targets.numpy())


def few(beats: Dataset) -> Split:
    return beats.train.take(np.arange(0, 500, 8))


def test_a_teacher_computes_and_answers_where_it_is_told(beats: Dataset) -> None:
    """On torch's device ``meta``, which holds shapes only: an operation that mixes it with the CPU fails."""
    few = Split(beats.train.x[::10].copy(), beats.train.y[::10].copy())
    teacher = Teacher(few, beats.classes, strength=1.0, seed=0, device="meta")
    assert {part.device.type for pair in teacher.rocket.kernels.values() for part in pair} == {"meta"}
    answers = teacher(torch.from_numpy(few.x).to("meta"))
    assert (answers.device.type, answers.shape) == ("meta", (len(few), beats.classes))
    for task, changes in (("classification", {}), ("classification", {"teacher": False}), ("anomaly", {})):
        inputs, targets = next(batches(few, beats.classes, Recipe(epochs=1, **changes), task, "meta"))
        assert (inputs.device.type, targets.device.type) == ("meta", "meta")
        assert len(inputs) == len(targets) == min(64, len(few))


def test_the_moving_average_is_that_of_each_step() -> None:
    """By its recurrence in plain numbers; integer buffers follow too."""
    from torch.optim.swa_utils import AveragedModel

    from ecgedge.training.loop import moving_average

    network = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.BatchNorm1d(1))
    averaged = AveragedModel(network, multi_avg_fn=moving_average(0.9), use_buffers=True)
    expected = 0.0
    for n, value in enumerate((2.0, 3.0, 5.0, 7.0)):
        network[0].weight.data.fill_(value)
        averaged.update_parameters(network)
        expected = value if n == 0 else expected + (value - expected) * (1 - min(0.9, (1 + n) / (10 + n)))
    assert averaged.module[0].weight.item() == pytest.approx(expected, rel=1e-6)
    assert averaged.module[1].num_batches_tracked.dtype == torch.int64
