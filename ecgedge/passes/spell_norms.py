"""A layer norm is spelt out in simpler operations::

    before   x -> LayerNormalization(scale, bias) -> y
    after    x -> Sub(mean) -> Div(root of the mean square) -> Mul(scale) -> Add(bias) -> y

onnx2tf 1.28 gives up on one whose axis it has moved, or over more than one axis.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ecgedge.passes.values import add_constant, is_op, new_value, opset_of, rank_of, replace

AXES_ARE_INPUTS = 18  # the opset from which a ReduceMean has its axes as an input


def apply(model: ir.Model, batch: int) -> None:
    """LayerNormalization of float32 values, whose mean and deviation nobody reads."""
    for node in list(model.graph):
        if is_op(node, "LayerNormalization") and rank_of(node.inputs[0]) and not any(v.name for v in node.outputs[1:]):
            spell_out(node)


def spell_out(node: ir.Node) -> None:
    """A norm over the last axes."""
    x, name, graph, rank = node.inputs[0], node.outputs[0].name, node.graph, rank_of(node.inputs[0])
    axes = list(range(node.attributes.get_int("axis", -1) % rank, rank))
    epsilon = add_constant(
        graph, f"{name}_epsilon", np.array(node.attributes.get_float("epsilon", 1e-5), dtype=np.float32)
    )
    average, centred, square, variance, more, root, normal, scaled = (
        new_value(f"{name}_{what}")
        for what in ("mean", "centred", "square", "variance", "more", "root", "normal", "scaled")
    )
    steps = [
        mean(x, axes, average, graph),
        ir.node("Sub", [x, average], outputs=[centred]),
        ir.node("Mul", [centred, centred], outputs=[square]),
        mean(square, axes, variance, graph),
        ir.node("Add", [variance, epsilon], outputs=[more]),
        ir.node("Sqrt", [more], outputs=[root]),
        ir.node("Div", [centred, root], outputs=[normal]),
        ir.node("Mul", [normal, node.inputs[1]], outputs=[scaled]),
    ]
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        steps.append(ir.node("Add", [scaled, node.inputs[2]]))
    replace([node], steps)


def mean(x: ir.Value, axes: list[int], made: ir.Value, graph: ir.Graph) -> ir.Node:
    """A ReduceMean that keeps its axes."""
    if opset_of(graph) < AXES_ARE_INPUTS:
        return ir.node("ReduceMean", [x], {"axes": axes, "keepdims": 1}, outputs=[made])
    where = add_constant(graph, f"{made.name}_axes", np.array(axes, dtype=np.int64))
    return ir.node("ReduceMean", [x, where], {"keepdims": 1}, outputs=[made])
