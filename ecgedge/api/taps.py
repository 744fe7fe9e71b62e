"""What lies between a file's input and its output: tensors that can be read, and operations that can run alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tensor:
    """A tensor that is computed, as the file declares it.

    Attributes:
        shape: of one beat, without the axis of the batch; None where an axis is free.
        scale: one quantization step, in the values' own unit; None: it is not quantized.
        zero_point: the stored integer that means 0.
        also: other names by which the file knows it, as that of the float tensor which is stored in integers here.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    """An operation of the file, as it is written there.

    Attributes:
        op: its type in the format's own words: ``"Conv"``, ``"CONV_2D"``.
        inputs, outputs: names of the tensors that are computed; constants are left out.
        rounding: rms of what rounding its weights has cost, relative to their rms; 0: they are float32, or there are
            none.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    rounding: float = 0.0


@dataclass(frozen=True)
class Wiring:
    """The operations of a file in an order in which they can run, and the tensors between them.

    Attributes:
        input, output: names of the tensors that hold the beats and the answers.
    """

    input: str
    output: str
    tensors: tuple[Tensor, ...]
    operations: tuple[Operation, ...]


class Taps(ABC):
    """An open file whose inner tensors can be read without changing what else it does.

    Attributes:
        wiring: its operations and tensors.
    """

    wiring: Wiring

    @abstractmethod
    def read(self, tensor: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What one tensor holds for beats ``(N, C, L)`` float32, and the answers of that very run.

        Both are float32 with the axis of the batch first, quantized values in the unit that their scale gives. The
        file runs as it is shipped, with that one tensor given out besides; of the output itself both are the same.
        """

    @abstractmethod
    def between(self, inputs: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        """What the operations between some tensors and another one make of given values, on the same runtime.

        Args:
            inputs: values ``(N, ...)`` float32 by the tensor's name, in the axes that it has in the file; they are
                rounded where the tensor is quantized.

        Returns:
            Values ``(N, ...)`` float32 of ``output``.

        Raises:
            EcgEdgeError: ``output`` depends on more than these, or the piece cannot run alone.
        """

    def close(self) -> None:  # noqa: B027  (most have nothing to give back)
        """Give back what is held."""
