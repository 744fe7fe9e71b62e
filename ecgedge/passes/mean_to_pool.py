"""A mean over the length is a pooling, which has a kernel in int8 and in blocked layouts::

    before   x -> ReduceMean(axes 2, keepdims 0) -> y
    after    x -> GlobalAveragePool -> Flatten -> y

onnxruntime has no int8 kernel for ReduceMean: between int8 neighbours it goes to float32 and back.
"""

from __future__ import annotations

from typing import Any

from ecgedge.passes.values import Values, attribute, is_op


def apply(model: Any, batch: int) -> None:
    """ReduceMean over all axes but the first two: GlobalAveragePool, and Flatten where axes are dropped."""
    from onnx import helper  # heavy

    values = Values(model)
    for index, node in reversed(list(enumerate(model.graph.node))):
        rank = values.rank(node.input[0]) if is_op(node, "ReduceMean") else 0
        if rank < 3 or sorted(axis % rank for axis in values.axes(node)) != list(range(2, rank)):
            continue
        keepdims = attribute(node, "keepdims", 1)
        node.op_type = "GlobalAveragePool"
        del node.attribute[:], node.input[1:]
        if not keepdims:
            flat, node.output[0] = node.output[0], values.new_name(f"{node.output[0]}_pooled")
            model.graph.node.insert(index + 1, helper.make_node("Flatten", [node.output[0]], [flat], axis=1))
