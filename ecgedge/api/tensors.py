"""Inputs and outputs as files declare them, and the host's work between them and float32 beats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from ecgedge.errors import EcgEdgeError

limits_of = cache(np.iinfo)


@dataclass(frozen=True)
class TensorSpec:
    """One input or output as the file declares it.

    Attributes:
        name: as in the file.
        shape: None where an axis is free.
        dtype: numpy's name, ``"float32"`` or ``"int8"``.
        layout: an axis a letter: ``"NCL"``, ``"NLC"``, ``"NL"``, or ``"NC"`` for class scores.
        scale: with ``zero_point``, the affine quantization: value = (stored - zero_point) * scale.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    layout: str
    scale: float | None = None
    zero_point: int | None = None

    @property
    def batch(self) -> int | None:
        """Beats a call; None: any number."""
        return self.shape[0]

    @property
    def length(self) -> int | None:
        """Samples a beat, of an input; None: any number."""
        return self.shape[1 if self.layout in ("NL", "NLC") else 2]

    @property
    def leads(self) -> int | None:
        """Leads a beat, of an input; None: any number."""
        return 1 if self.layout == "NL" else self.shape[2 if self.layout == "NLC" else 1]

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Beats ``(N, C, L)`` float32 of C leads as this input wants them: its layout, its type, its scale.

        Raises:
            EcgEdgeError: it takes beats of another number of leads.
        """
        if self.leads not in (None, x.shape[1]):
            raise EcgEdgeError(f"input {self.name} takes beats of {counted(self.leads)}, these have {x.shape[1]}")
        x = arrange(x, self.layout)
        if self.scale is None or self.zero_point is None:
            return np.ascontiguousarray(x, dtype=self.dtype)
        limits = limits_of(self.dtype)
        stored = np.rint(x / np.float32(self.scale))
        stored += self.zero_point
        np.maximum(stored, limits.min, out=stored)  # np.clip takes longer than all else
        np.minimum(stored, limits.max, out=stored)
        return stored.astype(self.dtype)

    def batches(self, x: np.ndarray, size: int = 50) -> Iterator[np.ndarray]:
        """All beats, encoded, in batches of this input's size (``size`` where that is free).

        The last batch of a fixed size is filled up from the first beats.
        """
        step = self.batch or size
        for start in range(0, len(x), step):
            part = x[start : start + step]
            if self.batch and len(part) < step:
                part = np.concatenate([part, np.resize(x, (step - len(part), *x.shape[1:]))])
            yield self.encode(part)

    def decode(self, y: np.ndarray) -> np.ndarray:
        """What this output holds as float32: scores ``(N, classes)``, or reconstructions ``(N, C, L)`` of C leads.

        A beat of one lead may lie in any order of axes.
        """
        y = y.astype(np.float32)
        if self.scale is not None and self.zero_point is not None:
            y = (y - self.zero_point) * np.float32(self.scale)
        if self.layout == "NC":
            return y.reshape(len(y), -1)
        axes = y.shape[1:] if y.ndim == 3 else self.shape[1:]  # a runtime may hand them over flat
        if len(axes) != 2 or 1 in axes or None in axes:
            return y.reshape(len(y), 1, -1)
        y = y.reshape(len(y), *axes)
        return y.transpose(0, 2, 1) if self.layout == "NLC" else y


def counted(leads: int | None) -> str:
    """A number of leads in words."""
    return f"{leads or 'any number of'} lead{'' if leads == 1 else 's'}"


def arrange(x: np.ndarray, layout: str) -> np.ndarray:
    """Beats ``(N, C, L)`` in the axis order of ``layout``; C is 1 where that has no axis for leads."""
    if layout == "NCL":
        return x
    if layout == "NLC":
        return x.transpose(0, 2, 1)
    if layout == "NL":
        return x[:, 0]
    raise ValueError(f"unknown layout {layout!r}")


def layout_of(shape: tuple[int | None, ...]) -> str | None:
    """The layout of a one-channel input of that shape, or None where it cannot be told."""
    if len(shape) == 2:
        return "NL"
    if len(shape) == 3 and shape[1] == 1 and shape[2] != 1:
        return "NCL"
    if len(shape) == 3 and shape[2] == 1:
        return "NLC"
    return None
