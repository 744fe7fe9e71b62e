"""A softplus is written so that its parts stay small::

    before   x -> Softplus -> y
    after    x -> Abs -> Mul(-1) -> Exp -> Add(1) -> Log --+
             x -> Relu ------------------------------------+-> Add -> y

Converters write Log(1 + Exp(x)), whose exponential no int8 range can hold; here it is 1 at most. So is a Mish, which
is x * tanh(softplus(x)).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ecgedge.passes.values import add_constant, is_op, new_value, rank_of, replace


def apply(model: ir.Model, batch: int) -> None:
    """Softplus and Mish of float32 values."""
    for node in [node for node in model.graph if is_op(node, "Softplus", "Mish") and rank_of(node.inputs[0])]:
        x, name = node.inputs[0], node.outputs[0].name
        soft = new_value(f"{name}_soft")
        steps = softplus(x, soft, node.graph)
        if is_op(node, "Mish"):
            bounded = new_value(f"{name}_bounded")
            steps.append(ir.node("Tanh", [soft], outputs=[bounded]))
            steps.append(ir.node("Mul", [x, bounded]))
        replace([node], steps)


def softplus(x: ir.Value, made: ir.Value, graph: ir.Graph) -> list[ir.Node]:
    """The nodes that give log(1 + exp(x))."""
    one, back = (
        add_constant(graph, f"{made.name}_{what}", np.array(number, dtype=np.float32))
        for what, number in (("one", 1), ("back", -1))  # LiteRT has no int8 kernel for a Neg
    )
    size, minus, power, more, rest, above = (
        new_value(f"{made.name}_{what}") for what in ("size", "minus", "power", "more", "rest", "above")
    )
    return [
        ir.node("Abs", [x], outputs=[size]),
        ir.node("Mul", [size, back], outputs=[minus]),
        ir.node("Exp", [minus], outputs=[power]),
        ir.node("Add", [power, one], outputs=[more]),
        ir.node("Log", [more], outputs=[rest]),
        ir.node("Relu", [x], outputs=[above]),
        ir.node("Add", [above, rest], outputs=[made]),
    ]
