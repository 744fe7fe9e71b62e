"""A crop of the length that takes a detour over two axes is done where the beat is::

    before   x (N, 1, 144) -> Flatten (N, 144) -> Slice -> Unsqueeze -> y (N, 1, 140)
    after    x (N, 1, 144) -> Slice -> y (N, 1, 140)

The detour is a habit: converters have dropped crops of three axes without a word.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ecgedge.passes.values import add_constant, constant, is_op, producer, rank_of, reads, replace, shape_of


def apply(model: ir.Model, batch: int) -> None:
    """Flatten or its like, Slice of axis 1, and the way back: one Slice of axis 2."""
    for cut in [node for node in model.graph if is_op(node, "Slice")]:
        flat, back = producer(cut.inputs[0]), reader(cut.outputs[0])
        if flat is None or back is None or not is_detour(flat, cut, back):
            continue
        axis = add_constant(model.graph, f"{back.outputs[0].name}_axis", np.array([2]))
        replace([cut, back], [ir.node("Slice", [flat.inputs[0], *cut.inputs[1:3], axis, *cut.inputs[4:]])])


def reader(value: ir.Value) -> ir.Node | None:
    """The only node that reads a value, by its first input."""
    found = [use.node for use in value.uses() if use.idx == 0]
    return found[0] if len(found) == reads(value) == 1 else None


def is_detour(flat: ir.Node, cut: ir.Node, back: ir.Node) -> bool:
    """(N, 1, L) -> (N, L), a Slice of axis 1 alone, -> (N, 1, M)."""
    x, y = shape_of(flat.inputs[0]) if flat.inputs else (), shape_of(back.outputs[0])
    one_channel = len(x) == len(y) == 3 and x[1] == y[1] == 1 and rank_of(cut.inputs[0]) == 2
    if not one_channel or not is_op(flat, "Flatten", "Reshape", "Squeeze") or not is_op(back, "Unsqueeze", "Reshape"):
        return False
    axes = constant(cut.inputs[3]) if len(cut.inputs) > 3 else None
    kept = x[2] is not None and shape_of(cut.inputs[0])[1] == x[2] and shape_of(cut.outputs[0])[1:] == (y[2],)
    return kept and axes is not None and axes.tolist() == [1]
