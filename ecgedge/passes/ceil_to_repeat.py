"""A max pooling that reaches beyond the end gets its missing samples: the last one once more::

    before   x (N, C, 35) -> MaxPool(kernel 2, stride 2, ceil_mode) -> y (N, C, 18)
    after    x -> Transpose -+-----------------+-> Concat (N, 36, C) -> Transpose -> MaxPool(2, 2) -> y
                            +-> Slice (last) -+

That changes no maximum. Converters pad with minus infinity instead, which no int8 range can hold. It
is done channels last: onnx2tf 1.28 converts the same wrongly channels first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ecgedge.passes.values import Values, attribute, is_op, replace_nodes, set_attributes


def apply(model: Any, batch: int) -> None:
    """MaxPool of (N, C, L), or (N, C, 1, L), that needs samples at its end only, where L is known."""
    values, nodes = Values(model), []
    for node in model.graph.node:
        missing = missing_samples(node, values) if is_op(node, "MaxPool") else 0
        if missing > 0:
            nodes += lengthened(node, missing, values)
            set_attributes(node, pads=[0] * len(attribute(node, "kernel_shape", [])) * 2, ceil_mode=0)
        nodes.append(node)
    if len(nodes) != len(model.graph.node):
        replace_nodes(model.graph, nodes)


def missing_samples(node: Any, values: Values) -> int:
    """How far the last window reaches beyond the end; 0: it does not, or it is not known."""
    given, made = values.shapes.get(node.input[0], ()), values.shapes.get(node.output[0], ())
    window = [attribute(node, name, [1] * (len(given) - 2)) for name in ("kernel_shape", "strides", "dilations")]
    if len(given) not in (3, 4) or given[2:-1] not in ((), (1,)) or made[2:-1] != given[2:-1] or any(node.output[1:]):
        return 0
    if given[-1] is None or made[-1] is None or {1, *(size for sizes in window for size in sizes[:-1])} != {1}:
        return 0
    pads = attribute(node, "pads", [0, 0])
    if attribute(node, "auto_pad", b"NOTSET") != b"NOTSET" or any(pads[:-1]):
        return 0
    kernel, stride, dilation = (sizes[-1] for sizes in window)
    start = (made[-1] - 1) * stride
    return start + kernel - given[-1] if dilation == 1 and start < given[-1] else 0


def lengthened(node: Any, missing: int, values: Values) -> list[Any]:
    """The nodes that repeat the last sample of the input of ``node``, which reads the result from now on."""
    from onnx import helper  # heavy

    x, rank = node.input[0], len(values.shapes[node.input[0]])
    rows, last, more, back = (values.new_name(f"{node.output[0]}_{what}") for what in ("rows", "last", "more", "back"))
    bounds = [
        values.add_constant(f"{last}_{what}", np.array([value], dtype=np.int64))
        for what, value in (("start", -1), ("end", np.iinfo(np.int64).max), ("axis", rank - 2))
    ]
    node.input[0] = back
    return [
        helper.make_node("Transpose", [x], [rows], perm=[0, *range(2, rank), 1]),
        helper.make_node("Slice", [rows, *bounds], [last]),
        helper.make_node("Concat", [rows, *[last] * missing], [more], axis=rank - 2),
        helper.make_node("Transpose", [more], [back], perm=[0, rank - 1, *range(1, rank - 1)]),
    ]
