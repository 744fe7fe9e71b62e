"""Which operation parts two families of kernels: each by itself, given the same inputs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ecgedge.api.taps import Operation, Taps
from ecgedge.errors import ConversionError, EcgEdgeError
from ecgedge.evaluate.parity import same_bits
from ecgedge.portability.certificate import Finding

FEW = 16  # beats that are looked at


@dataclass(frozen=True)
class Parted:
    """An operation that another family of kernels computes otherwise, from the same inputs.

    Attributes:
        differing: the share of its values.
        largest: the largest difference; ``steps``: the same in quantization steps of its output, where it has some.
    """

    operation: Operation
    differing: float
    largest: float
    steps: float | None

    @property
    def text(self) -> str:
        by = f"{self.steps:.0f} step{'' if round(self.steps) == 1 else 's'}" if self.steps else f"{self.largest:.2g}"
        return f"{self.operation.name}: {self.differing:.2%} of its values, {by} at most"


def parted(first: Taps, other: Taps, x: np.ndarray) -> tuple[list[Parted], int]:
    """The operations that differ by themselves, in the order in which they run, and how many were held against.

    Each is run alone by both, with what the first family computed as its inputs; what cannot run alone is left out.

    Args:
        x: beats ``(N, C, L)``.
    """
    found, count, held = [], 0, {first.wiring.input: first.read(first.wiring.input, x)[0]}
    tensors = {tensor.name: tensor for tensor in first.wiring.tensors}
    for operation in first.wiring.operations:
        for name in operation.outputs:
            held[name] = first.read(name, x)[0]
        inputs = {name: held[name] for name in operation.inputs if name in held}
        for name in operation.outputs:
            try:
                here, there = (taps.between(inputs, name) for taps in (first, other))
            except (EcgEdgeError, ConversionError):
                continue
            count += 1
            apart = ~same_bits(np.asarray(there, np.float32), np.asarray(here, np.float32))
            if apart.any():
                largest = float(np.nanmax(np.abs(there.astype(np.float64) - here), initial=0.0))
                scale = tensors[name].scale
                found.append(Parted(operation, float(apart.mean()), largest, largest / scale if scale else None))
    return found, count


def of_parting(family: str, first: Taps, other: Taps, x: np.ndarray) -> Finding | None:
    """The first operation that parts two families, and the kinds of all that do; None: none does by itself."""
    found, count = parted(first, other, x[:FEW])
    if not found:
        return None
    counts = Counter(each.operation.op for each in found).most_common(4)
    kinds = ", ".join(f"{number} {kind}" for kind, number in counts)
    told = f"of {count} operations {by_itself(len(found))}: {kinds}"
    return Finding(f"{family} parts first in {found[0].text}; {told}", "")


def by_itself(count: int) -> str:
    return f"{count} differs by itself" if count == 1 else f"{count} differ by themselves"
