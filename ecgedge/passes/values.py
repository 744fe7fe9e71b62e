"""What is known of an ONNX graph before it runs, and the small changes that several passes make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

Shape = tuple[int | None, ...]


class Values:
    """What is known of the values of a graph whose shapes are inferred.

    Attributes:
        opset: of the standard operators.
        constants: initializers that no caller can replace, and what Constant nodes give, by name.
        producers: the node that makes a value.
        readers: how many inputs, outputs of the graph and inner graphs read a value.
        shapes: of the float32 values whose rank is known; None where an axis is free.
    """

    def __init__(self, model: Any):
        from onnx import TensorProto, numpy_helper  # heavy

        graph = model.graph
        self.model, self.graph = model, graph
        self.opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
        given = {value.name for value in graph.input}
        self.constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.name not in given}
        for node in graph.node:
            if is_op(node, "Constant") and (array := written(node)) is not None:
                self.constants[node.output[0]] = array
        self.producers = {name: node for node in graph.node for name in node.output}
        self.readers = Counter([*names_read(graph), *(value.name for value in graph.output)])
        typed = [(value.name, value.type.tensor_type) for value in (*graph.input, *graph.value_info, *graph.output)]
        typed = [(name, t) for name, t in typed if t.elem_type == TensorProto.FLOAT and t.HasField("shape")]
        self.shapes: dict[str, Shape] = {
            name: tuple(axis.dim_value if axis.HasField("dim_value") else None for axis in t.shape.dim)
            for name, t in typed
        }
        self.taken = {t.name for t in graph.initializer} | given | set(self.producers) | set(self.readers)

    def rank(self, name: str) -> int:
        """Of a float32 value; 0 where it is not known."""
        return len(self.shapes.get(name, ()))

    def computed(self, name: str, rank: int) -> bool:
        """Whether a value is float32, of that rank, and no constant."""
        return self.rank(name) == rank and name not in self.constants

    def new_name(self, wish: str) -> str:
        """A name that nothing in the graph has."""
        while wish in self.taken:
            wish += "_"
        self.taken.add(wish)
        return wish

    def add_constant(self, wish: str, array: np.ndarray) -> str:
        """A new initializer; returns its name."""
        from onnx import numpy_helper  # heavy

        name = self.new_name(wish)
        self.constants[name] = array
        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def axes(self, node: Any) -> list[int]:
        """Of Squeeze, Unsqueeze or a reduction: an attribute, or an input in newer opsets. Empty: not known, or all."""
        if len(node.input) > 1:
            return [int(axis) for axis in self.constants.get(node.input[1], ())]
        return list(attribute(node, "axes", []))


def is_op(node: Any, *types: str) -> bool:
    """Whether a node is one of these standard operators."""
    return node is not None and node.op_type in types and node.domain in ("", "ai.onnx")


def attribute(node: Any, name: str, default: Any) -> Any:
    from onnx import helper  # heavy

    return next((helper.get_attribute_value(held) for held in node.attribute if held.name == name), default)


def written(constant: Any) -> np.ndarray | None:
    """The value in a Constant node; None for strings and sparse tensors."""
    from onnx import helper, numpy_helper  # heavy

    [held] = constant.attribute
    value = helper.get_attribute_value(held)
    if held.name == "value":
        return numpy_helper.to_array(value)
    types = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    return np.array(value, dtype=types[held.name]) if held.name in types else None


def set_attributes(node: Any, **values: Any) -> None:
    from onnx import helper  # heavy

    kept = [held for held in node.attribute if held.name not in values]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in values.items())])


def bodies(node: Any) -> Iterator[Any]:
    """The inner graphs of If, Loop and Scan."""
    for held in node.attribute:
        yield from (body for body in (held.g, *held.graphs) if body.node or body.output)


def names_read(graph: Any) -> Iterator[str]:
    """The inputs of all nodes, also of those in inner graphs."""
    for node in graph.node:
        yield from node.input
        for body in bodies(node):
            yield from names_read(body)
            yield from (value.name for value in body.output)


def read_instead(graph: Any, old: str, new: str) -> None:
    """Have all nodes, also those in inner graphs, read another value."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        for body in bodies(node):
            read_instead(body, old, new)
            for value in body.output:
                value.name = new if value.name == old else value.name


def replace_nodes(graph: Any, nodes: Iterable[Any]) -> None:
    """Give a graph these nodes, in this order."""
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


def is_plain_conv(node: Any, values: Values) -> bool:
    """A Conv with a weight, and a bias if it has one, that are known."""
    return is_op(node, "Conv") and all(name in values.constants for name in node.input[1:] if name)


def norm_parameters(norm: Any, values: Values) -> list[np.ndarray] | None:
    """Scale, offset, mean and variance of a BatchNormalization; None where it is not constant, or not in float32."""
    parameters = [values.constants.get(name) for name in norm.input[1:]]
    if attribute(norm, "training_mode", 0) or any(norm.output[1:]):
        return None
    known = [p for p in parameters if p is not None and p.dtype == np.float32]
    return known if len(known) == len(parameters) == 4 else None


def norm_affine(norm: Any, values: Values) -> tuple[np.ndarray, np.ndarray] | None:
    """What a BatchNormalization multiplies each channel by and then adds, in float64."""
    parameters = norm_parameters(norm, values)
    if parameters is None:
        return None
    scale, offset, mean, variance = (p.astype(np.float64) for p in parameters)
    factor = scale / np.sqrt(variance + attribute(norm, "epsilon", 1e-5))
    return factor, offset - mean * factor


def set_weights(conv: Any, values: Values, weight: np.ndarray, bias: np.ndarray) -> None:
    """Give a Conv a weight and a bias of its own: others may share the old ones."""
    conv.input[1:] = [
        values.add_constant(f"{conv.output[0]}_{what}", np.asarray(array, dtype=np.float32))
        for what, array in (("weight", weight), ("bias", bias))
    ]
