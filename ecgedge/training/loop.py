"""The loop: train a torch network on beats, and let it answer."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.api.training import Recipe, Report, TrainingSet
from ecgedge.data.dataset import Split
from ecgedge.errors import EcgEdgeError
from ecgedge.files import escape
from ecgedge.measure.processor import has_bfloat16, without_tf32
from ecgedge.training.batches import batches

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Loss = Callable[["Tensor", "Tensor"], "Tensor"]
WARM_UP = 0.2  # the share of the steps in which the learning rate rises


def train_network(
    network: nn.Module, data: TrainingSet, recipe: Recipe, *, task: str, title: str, report: Report
) -> None:
    """Train a network in place, on a GPU where torch has one.

    Progress, with the time left, goes to the standard error stream.

    Args:
        task: the kind of its task, which decides what the network is shown and the loss.
        title: what the progress line says.
        report: takes the figures of each epoch, and the averaged network.

    Raises:
        EcgEdgeError: the loss or a weight is not finite.
    """
    device = best_device()
    source = batches(Split(data.x, data.y), data.classes, recipe, task, device)
    run_epochs(network.to(device), source, math.ceil(len(data) / recipe.batch), recipe, title, report, loss_for(task))


def best_device() -> torch.device:
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def run_epochs(
    network: nn.Module,
    source: Iterator[tuple[Tensor, Tensor]],
    steps: int,
    recipe: Recipe,
    title: str,
    report: Report,
    loss_of: Loss,
) -> None:
    """Train in place, ``steps`` batches an epoch, end with the averaged weights; each epoch is reported."""
    import torch
    from torch.optim.swa_utils import AveragedModel
    from tqdm import tqdm

    device = next(network.parameters()).device
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.lr, weight_decay=recipe.decay)
    total_steps = recipe.epochs * steps + 1
    rise = WARM_UP if WARM_UP * total_steps > 1 else 2 / total_steps  # of one step at least: torch divides by it
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=total_steps, pct_start=rise)
    mixed = recipe.amp and (device.type == "cuda" or has_bfloat16())
    scaler = torch.amp.GradScaler(device.type, enabled=mixed and device.type == "cuda")
    averaged = AveragedModel(network, multi_avg_fn=moving_average(recipe.average), use_buffers=True)
    forward = torch.compile(network) if recipe.compile else network
    patience = {} if sys.stderr.isatty() else {"delay": 30, "mininterval": 60}  # seconds
    stream = escape.raw(sys.stderr)  # the bar moves the cursor
    with tqdm(total=recipe.epochs * steps, desc=escape.line(title), unit="batch", file=stream, **patience) as bar:
        for epoch in range(recipe.epochs):
            network.train()
            losses = torch.zeros((), dtype=torch.float64, device=device)
            for _ in range(steps):
                inputs, targets = (part.to(device) for part in next(source))
                with torch.autocast(device.type, enabled=mixed):
                    outputs = forward(inputs)
                loss = loss_of(outputs.float(), targets)
                optimizer.zero_grad()
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
                schedule.step()
                averaged.update_parameters(network)
                bar.update()
                losses += loss.detach().double()  # read at the end of the epoch: a GPU would have to be waited for
            total = losses.item()
            if not (math.isfinite(total) and finite(averaged.module)):
                raise EcgEdgeError(f"the loss is not finite in epoch {epoch + 1}", "lower --lr")
            report({"train_loss": total / steps, "lr": schedule.get_last_lr()[0]}, averaged.module)
    if recipe.average:
        network.load_state_dict(averaged.module.state_dict())


def moving_average(most: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """An exponential moving average that forgets the first steps: (1 + n) / (10 + n) of the old is kept
    in step n, and no more than ``most`` (as TensorFlow's ExponentialMovingAverage with num_updates)."""

    def average(olds: Sequence[Tensor], news: Sequence[Tensor], count: Tensor | int) -> None:
        n = int(count)
        for old, new in zip(olds, news, strict=True):
            old.copy_(old + (new - old) * (1 - min(most, (1 + n) / (10 + n))))

    return average


def finite(network: nn.Module) -> bool:
    return all(bool(value.isfinite().all()) for value in network.state_dict().values())


def loss_for(task: str) -> Loss:
    """What is made small: mean squared error of reconstructions to beats ``(N, C, L)``; cross entropy of logits
    ``(N, C)`` to the classes' probabilities; where each output speaks for itself, binary cross entropy."""
    from torch.nn import functional

    if task == "anomaly":
        return lambda outputs, targets: functional.mse_loss(outputs.reshape(targets.shape), targets)  # (N, L) is one
    if task in ("multilabel", "binary"):
        return functional.binary_cross_entropy_with_logits
    return functional.cross_entropy


def predict(network: nn.Module, x: np.ndarray) -> np.ndarray:
    """Outputs for beats ``(N, C, L)``, in evaluation mode and in float32, on a GPU as well."""
    import torch

    own = next(itertools.chain(network.parameters(), network.buffers()), torch.empty(0))  # it may have buffers alone
    device = own.device
    network.eval()
    with torch.no_grad(), without_tf32():
        return np.concatenate([network(part.to(device)).cpu().numpy() for part in torch.from_numpy(x).split(256)])
