"""What a network is shown in training, batch by batch, and what it is to answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ecgedge.api.training import Recipe
from ecgedge.data.dataset import Split
from ecgedge.data.drawing import strata
from ecgedge.measure.processor import without_tf32
from ecgedge.training.augment import augment
from ecgedge.training.teacher import Teacher

if TYPE_CHECKING:
    import torch
    from torch import Tensor

LESSONS = 8192  # beats that a teacher answers, where the data has no more

Batches = Iterator[tuple["Tensor", "Tensor"]]


def batches(beats: Split, classes: int, recipe: Recipe, task: str, device: str | torch.device = "cpu") -> Batches:
    """Inputs ``(N, C, L)`` and what they should give, without end, on a device of torch.

    All is drawn from torch's generators, the changes of the beats from that of the device.
    """
    if task == "anomaly":
        return noisy(beats, recipe, device)
    if task in ("multilabel", "binary"):
        return apart(beats, recipe, device)
    return taught(beats, classes, recipe, device) if recipe.teacher else labelled(beats, classes, recipe, device)


def noisy(beats: Split, recipe: Recipe, device: str | torch.device) -> Batches:
    """Changed beats with noise, and the same without (denoising, Vincent et al., JMLR 2010)."""
    import torch

    while True:
        changed = drawn(beats, recipe, min(recipe.batch, len(beats)), device)[0]
        yield changed + recipe.denoise * torch.randn_like(changed), changed


def labelled(beats: Split, classes: int, recipe: Recipe, device: str | torch.device) -> Batches:
    """Changed beats, and their classes as probabilities, smoothed."""
    import torch

    while True:
        changed, y = drawn(beats, recipe, min(recipe.batch, len(beats)), device)
        one_hot = torch.nn.functional.one_hot(y, classes).float()
        yield changed, one_hot * (1 - recipe.smoothing) + recipe.smoothing / classes


def apart(beats: Split, recipe: Recipe, device: str | torch.device) -> Batches:
    """Changed beats, and of each output the probability that it should give, smoothed: that of a label, or that of the
    second of two classes ``(N, 1)``."""

    while True:
        changed, y = drawn(beats, recipe, min(recipe.batch, len(beats)), device)
        truth = y.reshape(len(y), -1).float()
        yield changed, truth * (1 - recipe.smoothing) + recipe.smoothing / 2


def taught(beats: Split, classes: int, recipe: Recipe, device: str | torch.device) -> Batches:
    """Changed beats, some a mix of two, and the probabilities that a teacher gives them.

    Distillation (Hinton et al., arXiv 1503.02531), teacher and network seeing the same (Beyer et al., arXiv
    2106.05237). Mixes (Zhang et al., arXiv 1710.09412) take the teacher's answer: mixed labels would cost
    the rare classes.
    """
    import torch

    with without_tf32():  # features are sums over a whole beat, and a teacher should not hang on the machine
        teacher = Teacher(beats, classes, recipe.augment, recipe.seed, device, recipe.objective)
        count = min(max(LESSONS, len(beats)), recipe.epochs * len(beats))  # no more than are shown
        share = torch.where(torch.rand(count, 1, 1) < recipe.mix, torch.rand(count, 1, 1), torch.ones(count, 1, 1))
        share = share.to(device)
        inputs = share * drawn(beats, recipe, count, device)[0] + (1 - share) * drawn(beats, recipe, count, device)[0]
        answers = torch.softmax(teacher(inputs) / recipe.temperature, dim=1)
    while True:
        for index in torch.randperm(count, device=device).split(min(recipe.batch, len(beats))):
            yield inputs[index], answers[index]


def drawn(beats: Split, recipe: Recipe, count: int, device: str | torch.device) -> tuple[Tensor, Tensor]:
    """Beats drawn with replacement, changed on a device, and their class indices; see ``Recipe.balance``.

    Where several labels may hold, a beat counts as its set of labels.
    """
    import torch

    y = torch.from_numpy(beats.y)
    kinds = torch.from_numpy(strata(beats.y))
    chances = torch.bincount(kinds).double()[kinds] ** -recipe.balance
    index = torch.multinomial(chances, count, replacement=True)
    return augment(torch.from_numpy(beats.x)[index].to(device), recipe.augment), y[index].to(device)
