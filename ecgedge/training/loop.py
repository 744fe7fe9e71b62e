"""The loop: fit a network to beats."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.api.parts import Model
from ecgedge.data.dataset import Dataset, Split
from ecgedge.errors import EcgEdgeError
from ecgedge.files import escape
from ecgedge.measure.processor import has_bfloat16, without_tf32
from ecgedge.training.batches import batches
from ecgedge.training.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

WARM_UP = 0.2  # the share of the steps in which the learning rate rises


def fit(
    model: Model, data: Dataset, beats: Split, recipe: Recipe, told: str, held: Split | None = None
) -> tuple[nn.Module, list[dict[str, Any]]]:
    """A network of ``model`` fitted to ``beats``, and a record an epoch.

    The same seed on the same machine gives the same weights. Progress, with the time left, goes to
    the standard error stream.

    Args:
        data: names the classes; only ``beats`` are fitted, of an autoencoder its normal ones.
        told: what the progress line says.
        held: beats that are not fitted, whose loss is in the records; it decides nothing.

    Raises:
        EcgEdgeError: the loss or the outputs are not finite, or there is too little to fit.
    """
    import torch

    if model.task == "anomaly":
        normal = data.labels.index(recipe.normal)
        beats = beats.take(np.flatnonzero(beats.y == normal))
        held = held and held.take(np.flatnonzero(held.y == normal))
    if len(beats) < 2:  # batch norm needs two
        raise EcgEdgeError(f"{len(beats)} beats are too few to train on", "bring more training beats")
    torch.manual_seed(recipe.seed)
    torch.backends.cudnn.deterministic = True
    device = best_device()
    network = model.build(data.classes, data.length, **build_options(model, recipe)).to(device)
    source = batches(beats, data.classes, recipe, model.task, device)
    history = run_epochs(network, source, math.ceil(len(beats) / recipe.batch), recipe, told, held)
    if not np.isfinite(predict(network, beats.x)).all():
        raise EcgEdgeError("the trained network answers with numbers that are not finite", "lower --lr")
    return network, history


def build_options(model: Model, recipe: Recipe) -> dict[str, Any]:
    """What ``model.build`` is given beside the shapes."""
    return {} if model.task == "anomaly" else {"dropout": recipe.dropout}


def best_device() -> torch.device:
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def run_epochs(
    network: nn.Module,
    source: Iterator[tuple[Tensor, Tensor]],
    steps: int,
    recipe: Recipe,
    told: str,
    held: Split | None,
) -> list[dict[str, Any]]:
    """Train in place, ``steps`` batches an epoch, end with the averaged weights; returns one record an epoch."""
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
    history: list[dict[str, Any]] = []
    patience = {} if sys.stderr.isatty() else {"delay": 30, "mininterval": 60}  # seconds
    stream = escape.raw(sys.stderr)  # the bar moves the cursor
    for epoch in tqdm(range(recipe.epochs), desc=escape.line(told), unit="epoch", file=stream, **patience):
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
            losses += loss.detach().double()  # not read before the end of the epoch: a GPU would have to be waited for
        total = losses.item()
        history.append({"epoch": epoch + 1, "train_loss": total / steps, "lr": schedule.get_last_lr()[0]})
        if not (math.isfinite(total) and finite(averaged.module)):
            raise EcgEdgeError(f"the loss is not finite in epoch {epoch + 1}", "lower --lr")
        if held:
            history[-1]["held_out_loss"] = held_out_loss(averaged.module, held)
    if recipe.average:
        network.load_state_dict(averaged.module.state_dict())
    return history


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


def held_out_loss(network: nn.Module, held: Split) -> float:
    import torch

    outputs = torch.from_numpy(predict(network, held.x))
    return float(loss_of(outputs, torch.from_numpy(held.x if outputs.ndim == 3 else held.y)))


def loss_of(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of reconstructions ``(N, 1, L)``; cross entropy of logits ``(N, C)`` to classes ``(N,)``
    or their probabilities ``(N, C)``."""
    from torch.nn import functional

    if outputs.ndim == 3:
        return functional.mse_loss(outputs, targets)
    return functional.cross_entropy(outputs, targets)


def predict(network: nn.Module, x: np.ndarray) -> np.ndarray:
    """Outputs for beats ``(N, 1, L)``, in evaluation mode and in float32, on a GPU as well."""
    import torch

    device = next(network.parameters()).device
    network.eval()
    with torch.no_grad(), without_tf32():
        return np.concatenate([network(part.to(device)).cpu().numpy() for part in torch.from_numpy(x).split(256)])
