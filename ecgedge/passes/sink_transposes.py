"""Transposes sink towards the end, and those that meet cancel out::

    before   a -> Conv -> Transpose --+                              after   a -> Conv --+
             b -> Conv -> Transpose --+-> Add -> Relu -> Transpose -> y      b -> Conv --+-> Add -> Relu -> y

Frameworks that keep channels last turn each convolution there and back. Only where fewer are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

from ecgedge.passes.values import (
    add_constant,
    axes_of,
    bodies,
    constant,
    is_op,
    new_value,
    rank_of,
    take_over,
)

ONE = (
    "Abs", "Clip", "Elu", "Erf", "Exp", "HardSwish", "Identity", "LeakyRelu", "Neg", "Relu", "Sigmoid", "Sqrt", "Tanh",
)  # fmt: skip
SEVERAL = ("Add", "Div", "Max", "Min", "Mul", "Pow", "Sub", "Sum")
UNIT = 2  # where a new axis goes: conv_to_2d finds it there

Order = tuple[int, ...]


def apply(model: ir.Model, batch: int) -> None:
    """Transposes go through what treats each element alike, and through a Squeeze or Unsqueeze of one axis."""
    trial = model.clone()
    turned = Turned(trial.graph)
    for node in list(trial.graph):
        turned.visit(node)
    turned.finish()
    if count(trial.graph) < count(model.graph):
        model.graph = trial.graph


def count(graph: ir.Graph) -> int:
    return sum(is_op(node, "Transpose") for node in graph)


class Turned:
    """A graph being changed, in which a Transpose is put off until something needs it.

    Attributes:
        orders: of a value that is put off: the value that is there instead, and how its axes are to be turned.
        idle: nodes whose work others do.
    """

    def __init__(self, graph: ir.Graph):
        self.graph = graph
        self.orders: dict[ir.Value, tuple[ir.Value, Order]] = {}
        self.idle: list[ir.Node] = []

    def visit(self, node: ir.Node) -> None:
        """Put a node off, or give it what it reads."""
        for rule in (turn, through, unsqueezed, squeezed):
            if (found := rule(node, self)) is not None:
                self.idle.append(node)
                self.orders[node.outputs[0]] = found
                given, order = found
                if list(order) == sorted(order):
                    self.make(ir.node("Identity", [given]), node.outputs[0], node)
                return
        for value in values_read(node):
            self.need(value, node)

    def source(self, value: ir.Value) -> tuple[ir.Value, Order]:
        """A value that is there, and how its axes lie; no axes where that is not known."""
        return self.orders.get(value, (value, tuple(range(rank_of(value)))))

    def need(self, value: ir.Value | None, before: ir.Node | None = None) -> None:
        """Turn a value now, for a node that cannot take it otherwise; None: for the end."""
        if value in self.orders:
            given, order = self.orders[value]
            self.make(ir.node("Transpose", [given], {"perm": order}), value, before)

    def make(self, node: ir.Node, value: ir.Value, before: ir.Node | None) -> None:
        """A node that gives a value which was put off."""
        del self.orders[value]
        if before is None:
            self.graph.append(node)
        else:
            before.prepend(node)
        take_over(node.outputs[0], value)

    def put(self, node: ir.Node, inputs: Sequence[ir.Value | None], **attributes: Sequence[int]) -> ir.Value:
        """The same node with other inputs and attributes; returns what it gives."""
        made = new_value(f"{node.outputs[0].name}_turned")
        held = {**node.attributes, **{name: ir.AttrInt64s(name, value) for name, value in attributes.items()}}
        node.prepend(ir.Node("", node.op_type, inputs, held, outputs=[made]))
        return made

    def finish(self) -> None:
        """Turn what the graph gives, and take away what is idle."""
        for value in list(self.graph.outputs):
            self.need(value)
        self.graph.remove(self.idle, safe=True)


def values_read(node: ir.Node) -> Iterator[ir.Value | None]:
    """The inputs of a node, and all that its inner graphs read."""
    yield from node.inputs
    for body in bodies(node):
        for inner in ir.traversal.RecursiveGraphIterator(body):
            yield from inner.inputs
        yield from body.outputs


# -- what becomes of a node: the value that is there, and how its axes lie; None: it needs its inputs as they are


def turn(node: ir.Node, turned: Turned) -> tuple[ir.Value, Order] | None:
    if not is_op(node, "Transpose"):
        return None
    given, order = turned.source(node.inputs[0])
    wanted = node.attributes.get_ints("perm", [*reversed(range(len(order)))])
    return (given, tuple(order[axis] for axis in wanted)) if order else None


def through(node: ir.Node, turned: Turned) -> tuple[ir.Value, Order] | None:
    """Element by element: done before the Transpose, where all that is computed lies alike."""
    if not is_op(node, *ONE, *SEVERAL) or (node.inputs[0] not in turned.orders and not is_op(node, *SEVERAL)):
        return None
    computed = [value for value in node.inputs if value is not None and constant(value) is None]
    orders = {turned.source(value)[1] for value in computed}
    if len(orders) != 1 or not any(value in turned.orders for value in computed) or not rank_of(node.outputs[0]):
        return None
    [order] = orders
    inputs = [turned.source(value)[0] if value in computed else value for value in node.inputs]
    for i, value in enumerate(node.inputs if is_op(node, *SEVERAL) else ()):
        array = constant(value)
        if array is not None and array.size > 1:
            if array.ndim > len(order):
                return None
            full = array.reshape(*[1] * (len(order) - array.ndim), *array.shape)
            inputs[i] = add_constant(turned.graph, f"{value.name}_turned", full.transpose(np.argsort(order)))
    return turned.put(node, inputs), order


def unsqueezed(node: ir.Node, turned: Turned) -> tuple[ir.Value, Order] | None:
    """The new axis goes to one place, and from there to its own by the Transpose."""
    axes = axes_of(node) if is_op(node, "Unsqueeze") else []
    if len(axes) != 1 or rank_of(node.inputs[0]) != 3:
        return None
    given, order = turned.source(node.inputs[0])
    place = axes[0] % 4
    if place == UNIT and node.inputs[0] not in turned.orders:
        return None
    old = [axis + (axis >= UNIT) for axis in order]
    return with_axis(node, given, UNIT, turned), (*old[:place], UNIT, *old[place:])


def squeezed(node: ir.Node, turned: Turned) -> tuple[ir.Value, Order] | None:
    axes = axes_of(node) if is_op(node, "Squeeze") else []
    if len(axes) != 1 or node.inputs[0] not in turned.orders:
        return None
    given, order = turned.source(node.inputs[0])
    gone = order[axes[0] % len(order)]
    left = tuple(axis - (axis > gone) for axis in order if axis != gone)
    return with_axis(node, given, gone, turned), left


def with_axis(node: ir.Node, given: ir.Value, axis: int, turned: Turned) -> ir.Value:
    """The node with another axis, which it has as an input or as an attribute."""
    if len(node.inputs) == 1:
        return turned.put(node, [given], axes=[axis])
    return turned.put(node, [given, add_constant(turned.graph, f"{node.outputs[0].name}_axis", np.array([axis]))])
