"""A free batch becomes a number, and what was computed from it can become a constant::

    before   x (batch, 1, 140) -> ... -> y (batch, 5)
    after    x (1, 1, 140) -> ... -> y (1, 5)

For deployment. A file of another batch is another file. A length that is free becomes that of the beats.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir


def apply(model: ir.Model, batch: int, length: int | None = None) -> None:
    """The first axis of every input, where it is free, and the only other one that is; the outputs follow."""
    graph = model.graph
    changed = False
    for value in graph.inputs:
        if value.shape and not value.is_initializer():
            fixed = fixed_shape(value.shape, batch, length)
            changed, value.shape = changed or fixed != value.shape, fixed
    if not changed:
        return
    for value in graph.outputs:
        if value.shape and is_free(value.shape[0]):
            value.shape = ir.Shape([batch, *value.shape[1:]])
    bare = ir.to_proto(model)
    del bare.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(bare, strict_mode=True)  # raises where that batch cannot be
    for value, told in zip(graph.outputs, inferred.graph.output, strict=True):
        value.shape = ir.from_proto(told).shape or value.shape


def fixed_shape(shape: ir.Shape, batch: int, length: int | None) -> ir.Shape:
    """A shape with a batch, and with a length where that is the only other axis that is free."""
    first = batch if is_free(shape[0]) else shape[0]
    rest = list(shape[1:])
    if length and sum(map(is_free, rest)) == 1:
        rest = [length if is_free(axis) else axis for axis in rest]
    return ir.Shape([first, *rest])


def is_free(axis: int | ir.SymbolicDim) -> bool:
    return not isinstance(axis, int)
