"""The reciprocal of a root is written as a quotient::

    before   x -> Sqrt -> Reciprocal -> y
    after    x -> Sqrt -> Div(1 / ...) -> y

TensorFlow makes one Rsqrt of a quotient, for which LiteRT has an int8 kernel. Of a Reciprocal it makes a division,
whose int8 kernel breaks off where a small root is rounded to zero, as in a norm of a quiet beat.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ecgedge.passes.values import add_constant, is_op, producer, rank_of, replace


def apply(model: ir.Model, batch: int) -> None:
    """Reciprocals of roots of float32 values."""
    for node in [node for node in model.graph if is_op(node, "Reciprocal") and rank_of(node.inputs[0])]:
        if is_op(producer(node.inputs[0]), "Sqrt"):
            one = add_constant(node.graph, f"{node.outputs[0].name}_one", np.array(1, dtype=np.float32))
            replace([node], [ir.node("Div", [one, node.inputs[0]])])
