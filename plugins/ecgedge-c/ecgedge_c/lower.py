"""From TFLite's operations to steps in C; what there is no C for is told by name, with what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ecgedge import EcgEdgeError
from ecgedge_c.net import Net, Op, Tensor
from ecgedge_c.steps import Step

FUSED = {0: "none", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6"}
MOST_SUM = 2**31 - 2**25  # what is added while it is rounded has room beside it


class Unsupported(EcgEdgeError):
    """There is no C for an operation."""

    def __init__(self, op: Op, why: str, todo: str):
        super().__init__(f"{op.told} cannot become C: {why}", todo)


@dataclass
class Lowering:
    """What has been made so far.

    Attributes:
        same: tensors that lie where others do, as after a reshape.
        cmsis_nn: whether convolutions are written for CMSIS-NN, too.
    """

    net: Net
    steps: list[Step]
    same: dict[int, int]
    cmsis_nn: bool = False

    def tensor(self, index: int) -> Tensor:
        return self.net.tensors[index]

    def place(self, index: int) -> int:
        """The tensor in whose place one lies."""
        while index in self.same:
            index = self.same[index]
        return index

    def given(self, op: Op, which: int = 0) -> Tensor:
        """An input of an operation that is computed. Raises Unsupported for a constant."""
        tensor = self.tensor(op.inputs[which])
        if tensor.data is not None:
            raise Unsupported(op, f"its input {which} is a constant", "let the converter fold constants")
        return tensor

    def made(self, op: Op) -> Tensor:
        return self.tensor(op.outputs[0])

    def constant(self, op: Op, which: int) -> np.ndarray:
        """A constant input. Raises Unsupported where it is computed or left out."""
        index = op.inputs[which] if which < len(op.inputs) else -1
        data = self.tensor(index).data if index >= 0 else None
        if data is None:
            raise Unsupported(op, f"its input {which} is no constant", "export it with constant shapes and weights")
        return data

    def alias(self, op: Op) -> None:
        """The output lies where the input does."""
        self.given(op)
        self.same[op.outputs[0]] = op.inputs[0]


def rows_of(tensor: Tensor, op: Op) -> tuple[int, int]:
    """Length and channels of a tensor ``(1, L, C)``, ``(1, 1, L, C)`` or ``(1, L, 1, C)``. Raises Unsupported."""
    shape = tensor.shape
    if not shape or shape[0] != 1:
        raise Unsupported(op, f"its batch is {shape[0] if shape else 0}", "convert it for one beat a call")
    if len(shape) == 4 and 1 not in shape[1:3]:
        raise Unsupported(op, f"it works in two dimensions, {shape[1]} by {shape[2]}", "use 1-D convolutions")
    if len(shape) not in (3, 4):
        raise Unsupported(op, f"its tensor has {len(shape)} axes", "use tensors of (1, L, C)")
    return int(np.prod(shape[1:-1])), shape[-1]


def along(op: Op, tensor: Tensor, tall: str, wide: str) -> int:
    """An option along the one axis that the tensor is long in: ``tall`` where that is the second, else ``wide``."""
    is_tall = len(tensor.shape) == 4 and tensor.shape[2] == 1 and tensor.shape[1] != 1
    return int(op.options.get(tall if is_tall else wide, 1))


def padding_of(op: Op, length: int, taps: int, stride: int, dilation: int, out_length: int) -> int:
    """Zeros before the first sample: TFLite's ``SAME`` or ``VALID``."""
    if op.options.get("padding", 0) == 1:
        return 0
    return max(0, (out_length - 1) * stride + (taps - 1) * dilation + 1 - length) // 2


def activation(op: Op) -> str:
    """Its fused activation. Raises Unsupported for one that there is no C for."""
    number = int(op.options.get("fusedActivationFunction", 0))
    if number not in FUSED:
        raise Unsupported(op, f"it is fused with activation {number}", "use ReLU, ReLU6 or none")
    return FUSED[number]


def elements(tensor: Tensor) -> int:
    return tensor.count


def lower(net: Net, table: Callable[[Net, Op], np.ndarray], cmsis_nn: bool = False) -> Lowering:
    """All operations of a network as steps.

    Args:
        table: the answers ``(256,)`` uint8 of an operation on single values, from the stored 0 to 255.
        cmsis_nn: whether int8 convolutions are written for CMSIS-NN, too.

    Raises:
        EcgEdgeError: there is no C for one of them.
    """
    from ecgedge_c import floats, integers, moves  # each imports this one

    known = {**moves.KNOWN, **(floats.KNOWN if net.is_float else integers.KNOWN)}
    work = Lowering(net, [], {}, cmsis_nn)
    check_types(net)
    for op in net.ops:
        if op.kind in known:
            known[op.kind](work, op)
        elif not net.is_float and op.kind in integers.SINGLE:
            integers.look_up(work, op, table(net, op))
        else:
            raise Unsupported(
                op, "there is no kernel for it", f"{instead(op.kind)}; known are {', '.join(sorted(known))}"
            )
    return work


def instead(kind: str) -> str:
    """What to do in the place of an operation that there is no C for."""
    if kind in ("SOFTMAX", "LOG_SOFTMAX"):
        return "end the network with its logits, whose largest is the class"
    if kind in ("DEQUANTIZE", "QUANTIZE"):
        return "quantize all of it (full-int8) or nothing (fp32)"
    if kind in ("WHILE", "UNIDIRECTIONAL_SEQUENCE_LSTM"):
        return "use convolutions in the place of recurrent layers"
    if kind in ("LOGISTIC", "TANH", "ELU", "GELU", "EXP"):
        return "quantize it (full-int8), where it is a table"
    return "build the network of other layers, or run it by TFLM"


def check_types(net: Net) -> None:
    """Raise EcgEdgeError where a network is neither float32 nor int8 throughout."""
    wanted = "float32" if net.is_float else "int8"
    for op in net.ops:
        for index in op.outputs:
            if net.tensors[index].dtype != wanted:
                dtype = net.tensors[index].dtype
                raise Unsupported(op, f"it gives {dtype} in a network of {wanted}", "use full-int8 or fp32")
    for index in (net.input, net.output):
        if net.tensors[index].dtype != wanted:
            told = f"the network takes {wanted} and gives {net.tensors[net.output].dtype}"
            raise EcgEdgeError(f"{told}: there is C for int8 or float32 throughout", "use full-int8 or fp32")
