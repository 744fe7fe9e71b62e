"""How the values of one tensor are spread in both forms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ecgedge.diverge.lines import Line
from ecgedge.diverge.match import Matching, Read

BINS = 48  # of a histogram


@dataclass(frozen=True)
class Histogram:
    """How the values of one tensor are spread, as it ran and in the reference.

    Attributes:
        tensor: by its name in the form; ``reference``: the same in the other file.
        edges: of the bins, one more than there are counts; whole steps where the tensor is quantized.
        form, expected: values of each bin, of the form and of the reference.
    """

    tensor: str
    reference: str
    edges: tuple[float, ...]
    form: tuple[int, ...]
    expected: tuple[int, ...]


def histogram_of(both: Matching, line: Line, read: Read) -> Histogram | None:
    """The spread of a line's tensor, as it ran and in the reference; None where no value is finite."""
    expected, step = both.value(line.tensor).ravel(), both.tensors[line.tensor].scale
    held = read(line.tensor).ravel()
    held, expected = (each[np.isfinite(each)].astype(np.float64) for each in (held, expected))
    if not held.size or not expected.size:
        return None
    low, high = float(min(held.min(), expected.min())), float(max(held.max(), expected.max()))
    if step:  # bins of whole steps, else some are given two of them and others one
        width = step * max(1, math.ceil((high - low) / step / BINS))
        low -= step / 2
        edges = low + width * np.arange(max(1, math.ceil((high + step / 2 - low) / width)) + 1)
    else:
        edges = np.linspace(low, high, BINS + 1) if high > low else np.array([low - 0.5, low + 0.5])
    counts = [tuple(int(count) for count in np.histogram(each, edges)[0]) for each in (held, expected)]
    return Histogram(line.tensor, line.reference, tuple(float(edge) for edge in edges), *counts)
