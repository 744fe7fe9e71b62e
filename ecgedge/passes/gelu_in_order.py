"""A GELU that is written with an Erf is written in the one order that TensorFlow's converter knows::

    before   x -> Div(1.414) -> Erf -> Add(1) -> Mul(x) -> Mul(0.5) -> y
    after    x -> Mul(0.5) ------------------------------+
             x -> Mul(0.707) -> Erf -> Add(1, ...) ------+-> Mul -> y

It makes a GELU of that, which has kernels, in int8 too; of an Erf that stands alone TFLite has none.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from ecgedge.passes.values import add_constant, constant, is_op, new_value, producer, reads, replace

CLOSE = 1e-4  # relative: exporters round the root of 2


def apply(model: ir.Model, batch: int) -> None:
    """Every Erf that is the heart of a GELU."""
    for erf in [node for node in model.graph if is_op(node, "Erf")]:
        if (found := gelu_of(erf)) is not None:
            x, last = found
            write(x, last)


def gelu_of(erf: ir.Node) -> tuple[ir.Value, ir.Node] | None:
    """What the GELU around an Erf is of, and its last node; None: it is none, or is in order already."""
    x = scaled(producer(erf.inputs[0]))
    more = only_reader(erf.outputs[0], "Add")
    if x is None or more is None or not is_number(other(more, erf.outputs[0]), 1.0):
        return None
    product = only_reader(more.outputs[0], "Mul")
    if product is None:
        return None
    factor = other(product, more.outputs[0])
    if halved(producer(factor), x):
        in_order = is_op(producer(erf.inputs[0]), "Mul") and is_number(more.inputs[0], 1.0)
        return None if in_order else (x, product)
    last = only_reader(product.outputs[0], "Mul")
    if last is None:
        return None
    factors = factor, other(last, product.outputs[0])
    fits = any(one is x and is_number(half, 0.5) for one, half in (factors, factors[::-1]))
    return (x, last) if fits else None


def scaled(node: ir.Node | None) -> ir.Value | None:
    """What a node divides by the root of 2; None: it does not."""
    if is_op(node, "Div") and is_number(node.inputs[1], math.sqrt(2)):
        return node.inputs[0]
    if is_op(node, "Mul"):
        for one, factor in (node.inputs, node.inputs[::-1]):
            if is_number(factor, math.sqrt(0.5)):
                return one
    return None


def halved(node: ir.Node | None, x: ir.Value) -> bool:
    """Whether a node gives half of a value."""
    if is_op(node, "Div"):
        return node.inputs[0] is x and is_number(node.inputs[1], 2.0)
    return is_op(node, "Mul") and any(
        one is x and is_number(half, 0.5) for one, half in (node.inputs, node.inputs[::-1])
    )


def is_number(value: ir.Value | None, number: float) -> bool:
    """Whether a value is that one number."""
    array = constant(value)
    return array is not None and array.size == 1 and bool(abs(array.item() - number) <= CLOSE * number)


def other(node: ir.Node, value: ir.Value) -> ir.Value | None:
    """The other of two inputs."""
    return node.inputs[1] if node.inputs[0] is value else node.inputs[0]


def only_reader(value: ir.Value, op: str) -> ir.Node | None:
    """The only node that reads a value, where it is of that type."""
    uses = list(value.uses())
    return uses[0].node if len(uses) == reads(value) == 1 and is_op(uses[0].node, op) else None


def write(x: ir.Value, last: ir.Node) -> None:
    """Put a GELU of a value in the place of its last node; what led there is a dead end."""
    name, graph = last.outputs[0].name, last.graph
    half, root, one = (
        add_constant(graph, f"{name}_{what}", np.array(number, dtype=np.float32))
        for what, number in (("half", 0.5), ("root", math.sqrt(0.5)), ("one", 1.0))
    )
    halves, scale, erf, more = (new_value(f"{name}_{what}") for what in ("halves", "scaled", "erf", "more"))
    last.prepend(
        [
            ir.node("Mul", [x, half], outputs=[halves]),
            ir.node("Mul", [x, root], outputs=[scale]),
            ir.node("Erf", [scale], outputs=[erf]),
            ir.node("Add", [one, erf], outputs=[more]),
        ]
    )
    replace([last], [ir.node("Mul", [halves, more])])
