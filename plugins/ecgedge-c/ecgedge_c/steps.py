"""What the C does for each operation: a call of a kernel, its constants, and how its output may overlap its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

APART = 1 << 30  # bytes: output and input may not overlap at all
ANYWHERE = -APART  # they may lie over each other as they like


@dataclass(frozen=True)
class Constant:
    """An array in read-only memory: ``static const TYPE NAME[] = {...}``."""

    name: str
    ctype: str
    values: np.ndarray = field(compare=False)


@dataclass(frozen=True)
class Step:
    """A call of a kernel.

    Attributes:
        kernel: the name of its template; empty: its call needs none.
        function: the name of the C function; one template makes several.
        fill: what stands for the template's names.
        struct: the struct of its parameters and their C texts, in order; empty: none.
        reads: tensors in the arena, in the order of the pointers.
        writes: the tensor that it makes.
        distance: for each of ``reads`` how many values the output has to begin before that input, so that nothing is
            overwritten that is still to be read; ``APART``: they may not overlap; ``ANYWHERE``: they may as they like.
        told: the operation, for a comment.
        constants: arrays that it reads.
        call: the statement, with ``{0}``, ``{1}`` for the places of ``reads`` and ``{y}`` for that of its output.
    """

    kernel: str
    function: str
    reads: tuple[int, ...]
    writes: int
    distance: tuple[int, ...]
    told: str
    fill: Mapping[str, int] = field(default_factory=dict)
    struct: tuple[str, tuple[str, ...]] | None = None
    constants: tuple[Constant, ...] = ()
    call: str = ""


def window_distance(length: int, channels: int, stride: int, padding: int, out_length: int, out_channels: int) -> int:
    """How far before its input the output of a convolution or pooling has to begin, in values.

    Row ``t`` of the output is written when all from row ``t * stride - padding`` of the input may still be read.
    """
    most = 0
    for t in range(out_length):
        unread = max(0, min(length, t * stride - padding)) * channels
        most = max(most, (t + 1) * out_channels - unread)
    return most


def rows_distance(count: int, base: int, pitch: int, width: int) -> int:
    """The same for rows of ``width`` values that are copied from ``base`` on, ``pitch`` apart, one by one."""
    return max([0, *((r + 1) * width - (base + (r + 1) * pitch) for r in range(count - 1))])


def joined_distance(count: int, widths: list[int], places: list[int]) -> int:
    """The same for an input of a concatenation that stands at ``places`` among the widths of all."""
    row, width = sum(widths), widths[places[0]]
    most = 0
    for r in range(count):
        before = r * row + sum(widths[: places[-1]])
        most = max(most, before - r * width)
        if r + 1 < count:
            most = max(most, (r + 1) * row - (r + 1) * width)
    return most
