"""A network as the exporter reads it: tensors, and operations in the order in which they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Tensor:
    """A tensor of a TFLite file.

    Attributes:
        index: in the file.
        scales: of one value, or of each channel along ``axis``; empty: it is not quantized.
        zeros: zero points, as many.
        data: of a constant, in its shape; None: it is computed.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...] = ()
    zeros: tuple[int, ...] = ()
    axis: int = 0
    data: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def count(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def scale(self) -> float:
        return self.scales[0]

    @property
    def zero(self) -> int:
        return self.zeros[0]

    @property
    def stored_zero(self) -> int:
        """The zero point of values with 128 added, as the C keeps them."""
        return self.zero + 128


@dataclass(frozen=True)
class Op:
    """An operation of a TFLite file.

    Attributes:
        number: its place among the operations.
        kind: its name, such as ``"CONV_2D"``.
        inputs: indices of tensors; -1: left out.
        options: by TFLite's names.
    """

    number: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, int | float | bool] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """Its name and place, for messages."""
        return f"{self.kind} (operation {self.number})"


@dataclass(frozen=True)
class Net:
    """The one graph of a file, with its one input and one output.

    Attributes:
        digest: SHA-256 of the file.
    """

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    input: int
    output: int
    digest: str

    @property
    def is_float(self) -> bool:
        return self.tensors[self.input].dtype == "float32"
