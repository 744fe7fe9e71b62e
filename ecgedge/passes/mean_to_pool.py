"""A mean over the length is a pooling, which has a kernel in int8 and in blocked layouts::

    before   x -> ReduceMean(axes 2, keepdims 0) -> y
    after    x -> GlobalAveragePool -> Flatten -> y

onnxruntime has no int8 kernel for ReduceMean: between int8 neighbours it goes to float32 and back.
"""

from __future__ import annotations

import onnx_ir as ir

from ecgedge.passes.values import axes_of, is_op, new_value, rank_of, replace


def apply(model: ir.Model, batch: int) -> None:
    """ReduceMean over all axes but the first two: GlobalAveragePool, and Flatten where axes are dropped."""
    for node in [node for node in model.graph if is_op(node, "ReduceMean")]:
        rank = rank_of(node.inputs[0])
        if rank < 3 or sorted(axis % rank for axis in axes_of(node)) != list(range(2, rank)):
            continue
        pooled = new_value(f"{node.outputs[0].name}_pooled")
        made = [ir.node("GlobalAveragePool", [node.inputs[0]], outputs=[pooled])]
        if not node.attributes.get_int("keepdims", 1):
            made.append(ir.node("Flatten", [pooled], {"axis": 1}))
        replace([node], made)
