"""ROCKET: features of beats from random convolutions (Dempster et al., arXiv 1910.13051)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SIZES = (7, 9, 11)  # samples in a kernel
AT_ONCE = 64  # beats
AT_ONCE_ELSEWHERE = 1024  # on another device than the CPU, where launching a kernel takes longer than running it


class Rocket:
    """Random kernels of random size, weight, bias, dilation and padding; two features of each.

    Args:
        count: kernels.
        length: of a beat, in samples.
        seed: of the kernels.
        device: of torch, on which they and the beats lie.
        leads: of a beat. Of several, each kernel has weights for some drawn at random: one as often as about two, or
            all (as the authors have it for multivariate series).
    """

    def __init__(self, count: int, length: int, seed: int, device: str | torch.device = "cpu", leads: int = 1):
        import torch

        rng = np.random.default_rng(seed)
        alike: dict[tuple[int, int, int], list[tuple[np.ndarray, float]]] = {}
        for _ in range(count):
            size = min(int(rng.choice(SIZES)), length)
            used = heard(rng, leads, size) if leads > 1 else np.zeros(1, int)
            drawn = rng.standard_normal((len(used), size))
            weights = np.zeros((leads, size))
            weights[used] = drawn - drawn.mean(axis=1, keepdims=True)
            longest = np.log2(max(length - 1, 1) / max(size - 1, 1))
            dilation = int(2 ** rng.uniform(0, longest))
            padding = (size - 1) * dilation // 2 if rng.random() < 0.5 else 0
            shape = (size, dilation, padding)
            alike.setdefault(shape, []).append((weights, rng.uniform(-1, 1)))
        self.kernels = {  # those of one shape are one convolution
            shape: (
                torch.tensor(np.stack([weights for weights, _ in kernels]), dtype=torch.float32, device=device),
                torch.tensor([bias for _, bias in kernels], dtype=torch.float32, device=device),
            )
            for shape, kernels in alike.items()
        }

    def __call__(self, beats: Tensor) -> Tensor:
        """Of beats ``(N, C, L)``, each lead z-normalised here, the share of positive outputs and the largest of each
        kernel, ``(N, 2 * count)`` float32."""
        import torch

        centred = beats - beats.mean(dim=2, keepdim=True)
        normal = centred / centred.std(dim=2, keepdim=True).clamp(min=1e-8)
        at_once = AT_ONCE if beats.device.type == "cpu" else AT_ONCE_ELSEWHERE
        with torch.no_grad():
            return torch.cat([self.features(part) for part in normal.split(at_once)])

    def features(self, beats: Tensor) -> Tensor:
        import torch

        found = []
        for (_, dilation, padding), (weights, bias) in self.kernels.items():
            outputs = torch.nn.functional.conv1d(beats, weights, bias, dilation=dilation, padding=padding)
            largest = outputs.amax(dim=2)
            found += [outputs.gt_(0).mean(dim=2), largest]  # in place: a copy as bools, and back, takes twice the time
        return torch.cat(found, dim=1)


def heard(rng: np.random.Generator, leads: int, size: int) -> np.ndarray:
    """The leads that a kernel of that size has weights for: a number drawn by its logarithm, no more than the size."""
    most = min(leads, size)
    count = int(2 ** rng.uniform(0, np.log2(most + 1)))
    return rng.choice(leads, size=min(count, most), replace=False)
