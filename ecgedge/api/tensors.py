"""Inputs and outputs as files declare them, and the host's work between them and float32 beats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from ecgedge.errors import EcgEdgeError

limits_of = cache(np.iinfo)
MOST_LEADS = 16  # that are told from a shape: twelve, and those of Frank
LAYOUTS = {  # of an input, with the axes that it has
    "NL": 2,
    **dict.fromkeys(("NCL", "NLC"), 3),
    **dict.fromkeys(("N1CL", "N1LC", "NC1L", "NL1C", "NCL1", "NLC1"), 4),
}


@dataclass(frozen=True)
class TensorSpec:
    """One input or output as the file declares it.

    Attributes:
        name: as in the file.
        shape: None where an axis is free.
        dtype: numpy's name, ``"float32"`` or ``"int8"``.
        layout: an axis a letter, N beats, C leads, L samples, and 1 for an axis of that size: ``"NCL"``, ``"NLC"``,
            ``"NL"``, ``"NC1L"`` and the like (see ``LAYOUTS``), or ``"NC"`` for class scores.
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
        """Samples a beat and lead, of an input; None: any number."""
        return self.shape[self.layout.index("L") if "L" in self.layout else 2]

    @property
    def leads(self) -> int | None:
        """Leads a beat, of an input; None: any number."""
        return 1 if self.layout == "NL" else self.shape[self.layout.index("C") if "C" in self.layout else 1]

    def settled(self, beats: np.ndarray, batch: int | None) -> TensorSpec:
        """This input with the sizes of beats ``(N, C, L)`` where it leaves them free, and with that batch."""
        sizes = {"C": beats.shape[1], "L": beats.shape[2]}
        rest = (axis or sizes.get(letter, 1) for axis, letter in zip(self.shape[1:], self.layout[1:], strict=True))
        return replace(self, shape=(batch, *rest))

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

        A beat of one lead may lie in any order of axes; of several, the order of C and L in ``layout`` tells.
        """
        y = y.astype(np.float32)
        if self.scale is not None and self.zero_point is not None:
            y = (y - self.zero_point) * np.float32(self.scale)
        if self.layout == "NC":
            return y.reshape(len(y), -1)
        axes = y.shape[1:] if y.ndim > 2 else self.shape[1:]  # a runtime may hand them over flat
        sizes = [axis for axis in axes if axis != 1]
        if len(sizes) != 2 or None in sizes:
            return y.reshape(len(y), 1, -1)
        y = y.reshape(len(y), *sizes)
        return y.transpose(0, 2, 1) if samples_first(self.layout) else y


def counted(leads: int | None) -> str:
    """A number of leads in words."""
    return f"{leads or 'any number of'} lead{'' if leads == 1 else 's'}"


def samples_first(layout: str) -> bool:
    """Whether samples come before leads."""
    return "LC" in layout.replace("1", "")


def arrange(x: np.ndarray, layout: str) -> np.ndarray:
    """Beats ``(N, C, L)`` in the axis order of ``layout``; C is 1 where that has no axis for leads."""
    if layout == "NCL":
        return x
    if layout not in LAYOUTS:
        raise ValueError(f"unknown layout {layout!r}")
    if layout == "NL":
        return x[:, 0]
    turned = x.transpose(0, 2, 1) if samples_first(layout) else x
    return np.expand_dims(turned, layout.index("1")) if "1" in layout else turned


def layout_of(shape: tuple[int | None, ...], leads_last: bool = False) -> str | None:
    """The layout of an input of that shape, or None where it is none of beats.

    Leads are the axis of size 1; else the only one of ``MOST_LEADS`` at most. Where both or neither is, the shape does
    not tell, and it is the custom of a framework: ``turned`` gives the other order.

    Args:
        leads_last: the custom is (beats, samples, leads), as TensorFlow has it, and not (beats, leads, samples).
    """
    rest = shape[1:]
    if len(rest) == 1:
        return "NL"
    unit = next((at for at in (1, 0, 2) if rest[at] == 1), None) if len(rest) == 3 else -1
    if len(rest) not in (2, 3) or unit is None:
        return None
    sizes = [size for at, size in enumerate(rest) if at != unit]
    few = [size is not None and size <= MOST_LEADS for size in sizes]
    first = (sizes[0] == 1 and sizes[1] != 1) or (1 not in sizes and (few[0] if few[0] != few[1] else not leads_last))
    letters = "CL" if first else "LC"
    return "N" + (letters if unit < 0 else letters[:unit] + "1" + letters[unit:])


def turned(spec: TensorSpec) -> TensorSpec:
    """The same tensor with leads and samples the other way round."""
    return replace(spec, layout=spec.layout.translate(str.maketrans("CL", "LC")))


def shape_told(spec: TensorSpec) -> str:
    """``(N, 12, 1000)``; N: free."""
    return f"({', '.join('N' if axis is None else str(axis) for axis in spec.shape)})"
