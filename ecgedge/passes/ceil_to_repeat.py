"""A max pooling that reaches beyond the ends gets its missing samples: the first one and the last one once more::

    before   x (N, C, 35) -> MaxPool(kernel 3, stride 2, pads 1, 1) -> y (N, C, 18)
    after    x -> Transpose -+-> Slice (first) -+
                            +------------------+-> Concat (N, 37, C) -> Transpose -> MaxPool(3, 2) -> y
                            +-> Slice (last) --+

That changes no maximum. Converters pad with minus infinity instead, which no int8 range can hold. It
is done channels last: onnx2tf 1.28 converts the same wrongly channels first.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ecgedge.passes.values import add_constant, is_op, new_value, shape_of


def apply(model: ir.Model, batch: int) -> None:
    """MaxPool of (N, C, L), or (N, C, 1, L), that needs samples at its ends, where L is known."""
    for node in [node for node in model.graph if is_op(node, "MaxPool")]:
        first, last = missing_samples(node)
        if first > 0 or last > 0:
            lengthen(node, first, last)
            node.attributes.add(ir.AttrInt64s("pads", [0] * len(node.attributes.get_ints("kernel_shape", [])) * 2))
            node.attributes.add(ir.AttrInt64("ceil_mode", 0))


def missing_samples(node: ir.Node) -> tuple[int, int]:
    """How far the windows reach beyond the beginning and the end; 0, 0: they do not, or it is not known."""
    given, made = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    ones = [1] * (len(given) - 2)
    window = [node.attributes.get_ints(name, ones) for name in ("kernel_shape", "strides", "dilations")]
    indices = any(value.name for value in node.outputs[1:])
    if len(given) not in (3, 4) or given[2:-1] not in ((), (1,)) or made[2:-1] != given[2:-1] or indices:
        return 0, 0
    if given[-1] is None or made[-1] is None or {1, *(size for sizes in window for size in sizes[:-1])} != {1}:
        return 0, 0
    *others, first, last = padding(node, len(given) - 2)
    if node.attributes.get_string("auto_pad", "NOTSET") != "NOTSET" or any(others):
        return 0, 0
    kernel, stride, dilation = (sizes[-1] for sizes in window)
    start = (made[-1] - 1) * stride - first
    if dilation != 1 or start >= given[-1] or (first, last) == same_padding(given[-1], kernel, stride):
        return 0, 0
    return first, max(0, start + kernel - given[-1])


def padding(node: ir.Node, axes: int) -> list[int]:
    """The padding of all axes but the last, then at the beginning and at the end of the last."""
    pads = list(node.attributes.get_ints("pads", [0] * 2 * axes))
    return [*pads[: axes - 1], *pads[axes:-1], pads[axes - 1], pads[-1]]


def same_padding(length: int, kernel: int, stride: int) -> tuple[int, int] | None:
    """The padding that TensorFlow calls SAME, where it is at both ends: converters have an operation for that."""
    both = max(0, (-(-length // stride) - 1) * stride + kernel - length)
    return (both // 2, both - both // 2) if both > 1 else None


def lengthen(node: ir.Node, before: int, behind: int) -> None:
    """Have a node read its input with the first and the last sample repeated."""
    x, y, rank = node.inputs[0], node.outputs[0].name, len(shape_of(node.inputs[0]))
    rows, more, back = (new_value(f"{y}_{what}") for what in ("rows", "more", "back"))
    steps = [ir.node("Transpose", [x], {"perm": [0, *range(2, rank), 1]}, outputs=[rows])]
    ends: list[list[ir.Value]] = []
    for what, times, start, end in (("first", before, 0, 1), ("last", behind, -1, np.iinfo(np.int64).max)):
        sample = new_value(f"{y}_{what}")
        ends.append([sample] * times)
        if times > 0:
            bounds = [
                add_constant(node.graph, f"{sample.name}_{part}", np.array([value], dtype=np.int64))
                for part, value in (("start", start), ("end", end), ("axis", rank - 2))
            ]
            steps.append(ir.node("Slice", [rows, *bounds], outputs=[sample]))
    steps += [
        ir.node("Concat", [*ends[0], rows, *ends[1]], {"axis": rank - 2}, outputs=[more]),
        ir.node("Transpose", [more], {"perm": [0, rank - 1, *range(1, rank - 1)]}, outputs=[back]),
    ]
    node.prepend(steps)
    node.replace_input_with(0, back)
