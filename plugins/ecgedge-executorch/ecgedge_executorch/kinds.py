"""What operations do, and how much they multiply: XNNPACK's nodes, and ExecuTorch's own kernels.

The tests hold the names to XNNPACK's schema, and to torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

Shape = tuple[int, ...]

NODES = {  # of XNNPACK's schema, all of them
    **dict.fromkeys(
        ("BatchMatrixMultiply", "Conv2d", "ConvTranspose2d", "DepthwiseConv2d", "FullyConnected",
         "ScaledDotProductAttention"),
        "multiplies",
    ),
    **dict.fromkeys(
        ("Concatenate2", "Concatenate3", "Concatenate4", "Concatenate5", "Copy", "StaticConstantPad", "StaticReshape",
         "StaticSlice", "StaticTranspose"),
        "moves",
    ),
    "Convert": "quantizes",
    **dict.fromkeys(
        ("Abs", "Add", "ArgMaxPooling2d", "AvgPooling2d", "Ceiling", "Clamp", "Cos", "Div", "ELU", "Exp", "Floor",
         "Gelu", "GlobalAvgPooling2d", "Hardswish", "LeakyReLU", "Log", "MaxPooling2d", "Maximum", "Minimum",
         "Multiply", "Negate", "PReLU", "ReciprocalSquareRoot", "Sigmoid", "Sin", "Softmax", "Square", "SquareRoot",
         "StaticResizeBilinear2D", "Subtract", "Tanh"),
        "computes",
    ),
}  # fmt: skip
KERNELS = {  # of torch's operations, without ``_copy`` behind; one that is not here computes
    **dict.fromkeys(("addmm", "baddbmm", "bmm", "convolution", "linear", "mm"), "multiplies"),
    **dict.fromkeys(
        ("alias", "as_strided", "cat", "clone", "constant_pad_nd", "detach", "expand", "flip", "gather", "index_select",
         "narrow", "permute", "pixel_shuffle", "pixel_unshuffle", "reflection_pad1d", "repeat", "replication_pad1d",
         "roll", "select", "slice", "split_with_sizes", "squeeze", "stack", "t", "transpose", "unbind", "unfold",
         "unsqueeze", "view"),
        "moves",
    ),
    **dict.fromkeys(("_clone_dim_order", "_to", "_to_dim_order"), "moves"),  # to another type or order in memory
    **dict.fromkeys(
        ("choose_qparams", "choose_qparams_per_token_asymmetric", "dequantize_per_channel", "dequantize_per_tensor",
         "dequantize_per_token", "quantize_per_channel", "quantize_per_tensor", "quantize_per_token"),
        "quantizes",
    ),
}  # fmt: skip


def kind_of_node(op: str, takes: Sequence[str], gives: Sequence[str]) -> str:
    """Of a node of XNNPACK, see ``ecgedge.Node``; a Convert between two types of floats moves values."""
    if op == "Convert" and all("float" in dtype for dtype in (*takes, *gives)):
        return "moves"
    return NODES.get(op, "computes")


def macs_of_node(op: str, told: Mapping[str, int], read: Sequence[Shape], made: Sequence[Shape]) -> int | None:
    """Multiply-accumulates of one call of a node of XNNPACK; None where they are not known.

    Args:
        told: what the file says of the node.
        read, made: shapes of what it takes and gives; those of planes ``(N, H, W, C)``.
    """
    if NODES.get(op) != "multiplies":
        return 0
    if op in ("Conv2d", "DepthwiseConv2d", "ConvTranspose2d"):
        kernel = told["kernel_height"] * told["kernel_width"]
        if op == "ConvTranspose2d":
            return prod(read[0]) * kernel * told["group_output_channels"]
        return prod(made[0]) * kernel * told["group_input_channels"]
    if op == "FullyConnected":
        return prod(made[0]) * prod(read[1]) // made[0][-1]
    return prod(made[0]) * read[0][-1] if op == "BatchMatrixMultiply" else None


def kind_of_kernel(op: str) -> str:
    """Of an operation that ExecuTorch itself runs."""
    return KERNELS.get(op, "computes")


def macs_of_kernel(op: str, read: Sequence[Shape], made: Shape) -> int | None:
    """As ``macs_of_node``, of an operation that ExecuTorch itself runs."""
    if kind_of_kernel(op) != "multiplies":
        return 0
    if op in ("mm", "bmm"):
        return prod(made) * read[0][-1]
    if op in ("addmm", "baddbmm"):  # the first is added
        return prod(made) * read[1][-1]
    return prod(made) * read[1][-1] if op == "linear" else None  # a convolution may be transposed
