"""A free batch becomes a number, and what was computed from it can become a constant::

    before   x (batch, 1, 140) -> ... -> y (batch, 5)
    after    x (1, 1, 140) -> ... -> y (1, 5)

For deployment. A file of another batch is another file.
"""

from __future__ import annotations

from typing import Any


def apply(model: Any, batch: int) -> None:
    """The first axis of every input, where it is free; the outputs follow."""
    import onnx  # heavy

    constants = {tensor.name for tensor in model.graph.initializer}
    axes = [value.type.tensor_type.shape.dim for value in model.graph.input if value.name not in constants]
    free = [dims[0] for dims in axes if dims and not dims[0].HasField("dim_value")]
    if not free:
        return
    names = {axis.dim_param for axis in free if axis.dim_param}
    for axis in free:
        axis.dim_value = batch
    for value in model.graph.output:
        dims = value.type.tensor_type.shape.dim
        if dims and (dims[0].dim_param in names or not dims[0].HasField("dim_value")):
            dims[0].dim_value = batch
    del model.graph.value_info[:]
    onnx.shape_inference.infer_shapes(model, strict_mode=True)  # raises where that batch cannot be
