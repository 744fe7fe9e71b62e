"""Transposes sink towards the end, and those that meet cancel out::

    before   a -> Conv -> Transpose --+                              after   a -> Conv --+
             b -> Conv -> Transpose --+-> Add -> Relu -> Transpose -> y      b -> Conv --+-> Add -> Relu -> y

Frameworks that keep channels last turn each convolution there and back. Only where fewer are left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ecgedge.passes.values import Values, attribute, bodies, is_op, names_read, replace_nodes

ONE = (
    "Abs", "Clip", "Elu", "Erf", "Exp", "HardSwish", "Identity", "LeakyRelu", "Neg", "Relu", "Sigmoid", "Sqrt", "Tanh",
)  # fmt: skip
SEVERAL = ("Add", "Div", "Max", "Min", "Mul", "Pow", "Sub", "Sum")
UNIT = 2  # where a new axis goes: conv_to_2d finds it there

Order = tuple[int, ...]


def apply(model: Any, batch: int) -> None:
    """Transposes go through what treats each element alike, and through a Squeeze or Unsqueeze of one axis."""
    turned = Turned(Values(model))
    for node in model.graph.node:
        turned.add(node)
    nodes = turned.finished()
    if count(nodes) < count(model.graph.node):
        replace_nodes(model.graph, nodes)


def count(nodes: Any) -> int:
    return sum(is_op(node, "Transpose") for node in nodes)


def inner_names(body: Any) -> Iterator[str]:
    yield from (*names_read(body), *(value.name for value in body.output))


class Turned:
    """A graph written anew, in which a Transpose is put off until something needs it.

    Attributes:
        orders: of a value that is not there yet: the value that is, and how its axes are to be turned.
    """

    def __init__(self, values: Values):
        self.values, self.nodes = values, list[Any]()
        self.orders: dict[str, tuple[str, Order]] = {}

    def add(self, node: Any) -> None:
        """Write a node, or put it off."""
        name, node = node.output[0] if node.output else "", type(node).FromString(node.SerializeToString())
        for rule in (turn, through, unsqueezed, squeezed):
            if (found := rule(node, self)) is not None:
                given, order = found
                if list(order) == sorted(order):
                    self.make("Identity", given, name)
                else:
                    self.orders[name] = found
                return
        for read in (*node.input, *(name for body in bodies(node) for name in inner_names(body))):
            self.need(read)
        self.nodes.append(node)

    def source(self, name: str) -> tuple[str, Order]:
        """A value that is there, and how its axes lie; no axes where that is not known."""
        return self.orders.get(name, (name, tuple(range(self.values.rank(name)))))

    def need(self, name: str) -> None:
        """Turn a value now, for something that cannot take it otherwise."""
        if name in self.orders:
            given, order = self.orders.pop(name)
            self.make("Transpose", given, name, perm=order)

    def make(self, operator: str, given: str, made: str, **attributes: Any) -> None:
        from onnx import helper  # heavy

        self.nodes.append(helper.make_node(operator, [given], [made], **attributes))

    def put(self, node: Any, inputs: list[str]) -> str:
        """A node with other inputs; returns the name of what it gives."""
        node.input[:] = inputs
        node.output[0] = self.values.new_name(f"{node.output[0]}_turned")
        self.nodes.append(node)
        return node.output[0]

    def finished(self) -> list[Any]:
        for value in self.values.graph.output:
            self.need(value.name)
        return self.nodes


# -- what becomes of a node: the value that is there, and how its axes lie; None: it needs its inputs as they are


def turn(node: Any, turned: Turned) -> tuple[str, Order] | None:
    if not is_op(node, "Transpose") or not turned.values.computed(node.input[0], turned.values.rank(node.input[0])):
        return None
    given, order = turned.source(node.input[0])
    wanted = attribute(node, "perm", [*reversed(range(len(order)))])
    return (given, tuple(order[axis] for axis in wanted)) if order else None


def through(node: Any, turned: Turned) -> tuple[str, Order] | None:
    """Element by element: done before the Transpose, where all that is computed lies alike."""
    if not is_op(node, *ONE, *SEVERAL) or (node.input[0] not in turned.orders and not is_op(node, *SEVERAL)):
        return None
    values, result = turned.values, node.output[0]
    computed = [name for name in node.input if name and name not in values.constants]
    orders = {turned.source(name)[1] for name in computed}
    if len(orders) != 1 or not any(name in turned.orders for name in computed) or not values.rank(result):
        return None
    [order] = orders
    inputs = [name if name in values.constants or not name else turned.source(name)[0] for name in node.input]
    for i, name in enumerate(node.input if is_op(node, *SEVERAL) else ()):
        if name in values.constants and values.constants[name].size > 1:
            array = values.constants[name]
            if array.ndim > len(order):
                return None
            full = array.reshape(*[1] * (len(order) - array.ndim), *array.shape)
            inputs[i] = values.add_constant(f"{name}_turned", full.transpose(np.argsort(order)))
    return turned.put(node, inputs), order


def unsqueezed(node: Any, turned: Turned) -> tuple[str, Order] | None:
    """The new axis goes to one place, and from there to its own by the Transpose."""
    axes = turned.values.axes(node) if is_op(node, "Unsqueeze") else []
    if len(axes) != 1 or turned.values.rank(node.input[0]) != 3:
        return None
    given, order = turned.source(node.input[0])
    place = axes[0] % 4
    if node.input[0] in turned.values.constants or (place == UNIT and node.input[0] not in turned.orders):
        return None
    old = [axis + (axis >= UNIT) for axis in order]
    return with_axis(node, given, UNIT, turned), (*old[:place], UNIT, *old[place:])


def squeezed(node: Any, turned: Turned) -> tuple[str, Order] | None:
    axes = turned.values.axes(node) if is_op(node, "Squeeze") else []
    if len(axes) != 1 or node.input[0] not in turned.orders:
        return None
    given, order = turned.source(node.input[0])
    gone = order[axes[0] % len(order)]
    left = tuple(axis - (axis > gone) for axis in order if axis != gone)
    return with_axis(node, given, gone, turned), left


def with_axis(node: Any, given: str, axis: int, turned: Turned) -> str:
    """The node with another axis, which it has as an input or as an attribute."""
    from onnx import helper  # heavy

    inputs = [given]
    if len(node.input) > 1:
        inputs.append(turned.values.add_constant(f"{node.output[0]}_axis", np.array([axis], dtype=np.int64)))
    else:
        del node.attribute[:]
        node.attribute.append(helper.make_attribute("axes", [axis]))
    return turned.put(node, inputs)
