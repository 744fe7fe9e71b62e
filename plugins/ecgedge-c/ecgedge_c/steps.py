"""What the C does for each operation: a call of a kernel, its constants, and how its output may overlap its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

APART = 1 << 30  # bytes: output and input may not overlap at all
ANYWHERE = -APART  # they may lie over each other as they like


@dataclass(frozen=True)
class Constant:
    """An array in read-only memory: ``static const TYPE NAME[] = {...}``.

    Attributes:
        cmsis_nn: the same in the order in which CMSIS-NN reads it; None: it is read as it is.
    """

    name: str
    ctype: str
    values: np.ndarray = field(compare=False)
    cmsis_nn: np.ndarray | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Rows:
    """How a step makes its output: row after row, of ``width`` values each.

    Attributes:
        unread: for each row, from which value on its input may still be read when that row is written.
    """

    width: int
    unread: tuple[int, ...]

    def distance(self, pitch: int = 0, offset: int = 0) -> int:
        """How many values before its input the output has to begin, of which a row begins ``pitch`` values after the
        one before it, the first at ``offset``. A pitch of 0: they lie one after another."""
        ends = (offset + row * (pitch or self.width) + self.width for row in range(len(self.unread)))
        return max(0, *(end - unread for end, unread in zip(ends, self.unread, strict=True)))


@dataclass(frozen=True)
class Join:
    """A concatenation: ``count`` rows of its output, in each of them so many values of each input."""

    count: int
    widths: tuple[int, ...]


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
        call: the statement, with ``{0}``, ``{1}`` for the places of ``reads`` and ``{y}`` for that of its output. It or
            the struct has ``{pitch}`` where rows may be written apart.
        rows: of its output, where those may be written apart; None: they may not.
        join: of a concatenation.
        offset, pitch: where in the tensor that it writes the first row begins, and how far after it the next, in
            values; a pitch of 0: they lie one after another.
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
    rows: Rows | None = None
    join: Join | None = None
    offset: int = 0
    pitch: int = 0

    def into(self, writes: int, offset: int, pitch: int) -> Step:
        """The same step, whose rows become part of a larger tensor's."""
        distance = self.distance
        if self.rows is not None:
            distance = (self.rows.distance(pitch, offset),)
        else:  # one row, which begins so much later
            distance = tuple(one + offset if ANYWHERE < one < APART else one for one in self.distance)
        return replace(self, writes=writes, offset=offset, pitch=pitch, distance=distance)


def window_rows(length: int, channels: int, stride: int, padding: int, out_length: int, out_channels: int) -> Rows:
    """The rows of a convolution or pooling: when row ``t`` is written, all of the input from row ``t * stride -
    padding`` on may still be read."""
    unread = (max(0, min(length, t * stride - padding)) * channels for t in range(out_length))
    return Rows(out_channels, tuple(unread))


def copied_rows(count: int, base: int, pitch: int, width: int) -> Rows:
    """Rows that are copied from ``base`` on, ``pitch`` apart, one by one; of the last one nothing is left to be read
    after it."""
    return Rows(width, tuple(base + (r + 1) * pitch if r + 1 < count else APART for r in range(count)))


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
