"""A free batch becomes a number, and what was computed from it can become a constant::

    before   x (batch, 1, 140) -> ... -> y (batch, 5)
    after    x (1, 1, 140) -> ... -> y (1, 5)

For deployment. A file of another batch is another file.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir


def apply(model: ir.Model, batch: int) -> None:
    """The first axis of every input, where it is free; the outputs follow."""
    graph = model.graph
    free = [value for value in graph.inputs if value.shape and not value.is_initializer() and is_free(value.shape[0])]
    if not free:
        return
    for value in (*free, *(value for value in graph.outputs if value.shape and is_free(value.shape[0]))):
        value.shape = ir.Shape([batch, *value.shape[1:]])
    fixed = ir.to_proto(model)
    del fixed.graph.value_info[:]
    onnx.shape_inference.infer_shapes(fixed, strict_mode=True)  # raises where that batch cannot be


def is_free(axis: int | ir.SymbolicDim) -> bool:
    return not isinstance(axis, int)
