"""What an operation has to do, by the shapes that its runtime tells: multiply-accumulates and bytes."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from ecgedge.api.graph import Node

# Operations that multiply, by name, as ``plain`` has it: those of what is built in, that is ONNX, onnxruntime, LiteRT,
# TensorFlow and torch. A runtime of a plugin tells the kind of its own, see ``Node.kind``.
MACS = frozenset({
    "attention", "batchmatmul", "bidirectionalsequencelstm", "bidirectionalsequencernn", "conv", "conv1d", "conv2d",
    "conv3d", "conv3dtranspose", "convinteger", "convolution", "convtranspose", "convtranspose1d", "convtranspose2d",
    "depthwiseconv2d", "dynamicquantizelstm", "dynamicquantizematmul", "einsum", "fullyconnected", "fusedconv",
    "fusedgemm", "fusedmatmul", "gemm", "gru", "linear", "lstm", "matmul", "matmulinteger", "matmulintegertofloat",
    "matmulnbits", "multiheadattention", "nhwcconv", "nhwcfusedconv", "qattention", "qgemm", "qlinearconv",
    "qlinearconvtranspose", "qlinearmatmul", "rnn", "svdf", "transposeconv", "transposematmul",
    "unidirectionalsequencelstm", "unidirectionalsequencernn",
})  # fmt: skip

Shape = tuple[int, ...]
Shapes = tuple[Shape, ...]

# Where operations that take scales and zero points among their inputs have the data and the weights.
PLACES = {
    "qlinearconv": (0, 3), "qlinearconvtranspose": (0, 3), "qlinearmatmul": (0, 3), "qgemm": (0, 3),
    "transposeconv": (2, 1),
}  # fmt: skip


def plain(op: str) -> str:
    """An operation's type in lower case and without underscores."""
    return op.lower().replace("_", "")


def multiplies(node: Node) -> bool:
    """Whether an operation multiplies, as its runtime says, else by its name."""
    return node.kind == "multiplies" if node.kind else plain(node.op) in MACS


def macs_of(node: Node) -> int | None:
    """Multiply-accumulates of one call, padding that the runtime added included; 0 for what multiplies no matrices.

    None: the shapes are not told, or it is not known how the operation uses them.
    """
    if node.macs is not None:
        return node.macs
    op = plain(node.op)
    if op not in RULES or (node.kind and node.kind != "multiplies"):
        return None if multiplies(node) else 0
    data, weights = PLACES.get(op, (0, 1))
    if max(data, weights) >= len(node.input_shapes) or not node.output_shapes:
        return None
    return RULES[op](node.input_shapes[data], node.input_shapes[weights], node.output_shapes[0])


def conv(_: Shape, weights: Shape, out: Shape) -> int:
    """Weights ``(M, C / groups, k...)``, or ``(M, k..., C / groups)`` in TFLite; the output in any layout."""
    return prod(out) * prod(weights[1:])


def transposed_conv(x: Shape, weights: Shape, _: Shape) -> int:
    """Weights ``(C, M / groups, k...)``: each input value goes into so many outputs."""
    return prod(x) * prod(weights[1:])


def transposed_conv_last(x: Shape, weights: Shape, _: Shape) -> int:
    """TFLite's: weights ``(M, h, w, C)``."""
    return prod(x) * prod(weights[:-1])


def depthwise_conv(_: Shape, weights: Shape, out: Shape) -> int:
    """TFLite's: weights ``(1, h, w, M)``."""
    return prod(out) * prod(weights[1:-1])


def fully_connected(_: Shape, weights: Shape, out: Shape) -> int:
    """Weights ``(M, K)``."""
    return prod(out) * weights[-1]


def matmul(a: Shape, b: Shape, out: Shape) -> int | None:
    """Any of the two may be transposed, or a vector."""
    if len(a) < 2 or len(b) < 2:
        return prod(out) * prod(a if len(a) < 2 else b)
    rows = out[-2] if len(out) >= 2 else 1
    return prod(out) * (a[-1] * a[-2] // rows) if rows else 0


RULES: dict[str, Callable[[Shape, Shape, Shape], int | None]] = {
    **dict.fromkeys(
        ("conv", "conv1d", "conv2d", "convinteger", "convolution", "fusedconv", "nhwcconv", "nhwcfusedconv",
         "qlinearconv"),
        conv,
    ),
    **dict.fromkeys(("convtranspose", "convtranspose1d", "convtranspose2d", "qlinearconvtranspose"), transposed_conv),
    "transposeconv": transposed_conv_last,
    "depthwiseconv2d": depthwise_conv,
    **dict.fromkeys(("fullyconnected", "linear"), fully_connected),
    **dict.fromkeys(
        ("batchmatmul", "dynamicquantizematmul", "fusedgemm", "fusedmatmul", "gemm", "matmul", "matmulinteger",
         "matmulintegertofloat", "qgemm", "qlinearmatmul"),
        matmul,
    ),
}  # fmt: skip


def bytes_of(node: Node) -> int | None:
    """Bytes of all that one call reads, weights included, and writes; None where that is not told."""
    if len(node.input_shapes) != len(node.takes) or len(node.output_shapes) != len(node.gives):
        return None
    if not node.output_shapes:
        return None
    try:
        each = zip((*node.takes, *node.gives), (*node.input_shapes, *node.output_shapes), strict=True)
        return sum(itemsize(dtype) * prod(shape) for dtype, shape in each)
    except TypeError:  # a type that has no size: strings
        return None


def itemsize(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
