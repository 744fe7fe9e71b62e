"""A max pooling that reaches beyond the end gets its missing samples: the last one once more::

    before   x (N, C, 35) -> MaxPool(kernel 2, stride 2, ceil_mode) -> y (N, C, 18)
    after    x -> Transpose -+-----------------+-> Concat (N, 36, C) -> Transpose -> MaxPool(2, 2) -> y
                            +-> Slice (last) -+

That changes no maximum. Converters pad with minus infinity instead, which no int8 range can hold. It
is done channels last: onnx2tf 1.28 converts the same wrongly channels first.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ecgedge.passes.values import add_constant, is_op, new_value, shape_of


def apply(model: ir.Model, batch: int) -> None:
    """MaxPool of (N, C, L), or (N, C, 1, L), that needs samples at its end only, where L is known."""
    for node in [node for node in model.graph if is_op(node, "MaxPool")]:
        missing = missing_samples(node)
        if missing > 0:
            lengthen(node, missing)
            node.attributes.add(ir.AttrInt64s("pads", [0] * len(node.attributes.get_ints("kernel_shape", [])) * 2))
            node.attributes.add(ir.AttrInt64("ceil_mode", 0))


def missing_samples(node: ir.Node) -> int:
    """How far the last window reaches beyond the end; 0: it does not, or it is not known."""
    given, made = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    ones = [1] * (len(given) - 2)
    window = [node.attributes.get_ints(name, ones) for name in ("kernel_shape", "strides", "dilations")]
    indices = any(value.name for value in node.outputs[1:])
    if len(given) not in (3, 4) or given[2:-1] not in ((), (1,)) or made[2:-1] != given[2:-1] or indices:
        return 0
    if given[-1] is None or made[-1] is None or {1, *(size for sizes in window for size in sizes[:-1])} != {1}:
        return 0
    pads = node.attributes.get_ints("pads", [0, 0])
    if node.attributes.get_string("auto_pad", "NOTSET") != "NOTSET" or any(pads[:-1]):
        return 0
    kernel, stride, dilation = (sizes[-1] for sizes in window)
    start = (made[-1] - 1) * stride
    return start + kernel - given[-1] if dilation == 1 and start < given[-1] else 0


def lengthen(node: ir.Node, missing: int) -> None:
    """Have a node read its input with the last sample repeated."""
    x, y, rank = node.inputs[0], node.outputs[0].name, len(shape_of(node.inputs[0]))
    rows, last, more, back = (new_value(f"{y}_{what}") for what in ("rows", "last", "more", "back"))
    bounds = [
        add_constant(node.graph, f"{last.name}_{what}", np.array([value], dtype=np.int64))
        for what, value in (("start", -1), ("end", np.iinfo(np.int64).max), ("axis", rank - 2))
    ]
    node.prepend(
        [
            ir.node("Transpose", [x], {"perm": [0, *range(2, rank), 1]}, outputs=[rows]),
            ir.node("Slice", [rows, *bounds], outputs=[last]),
            ir.node("Concat", [rows, *[last] * missing], {"axis": rank - 2}, outputs=[more]),
            ir.node("Transpose", [more], {"perm": [0, rank - 1, *range(1, rank - 1)]}, outputs=[back]),
        ]
    )
    node.replace_input_with(0, back)
