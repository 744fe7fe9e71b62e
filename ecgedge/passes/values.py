"""What is known of the values of a graph before it runs, and the small changes that several passes make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeGuard

import numpy as np
import onnx_ir as ir

Shape = tuple[int | None, ...]


def is_op(node: ir.Node | None, *types: str) -> TypeGuard[ir.Node]:
    """Whether a node is one of these standard operators."""
    return node is not None and node.op_type in types and node.domain == ""


def producer(value: ir.Value | None) -> ir.Node | None:
    """The node that makes a value; None for an input, an initializer, or no value."""
    return None if value is None else value.producer()


def constant(value: ir.Value | None) -> np.ndarray | None:
    """An initializer that no caller can replace, or what a Constant node gives; None: it is computed, or of strings."""
    if value is None or value.is_graph_input():
        return None
    made = value.producer()
    if is_op(made, "Constant") and "sparse_value" in made.attributes:
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None or tensor.dtype == ir.DataType.STRING else tensor.numpy()


def shape_of(value: ir.Value | None) -> Shape:
    """Of a float32 value that is computed: None where an axis is free. Empty: it is no such value, or not known."""
    if value is None or value.shape is None or value.dtype != ir.DataType.FLOAT or constant(value) is not None:
        return ()
    return tuple(axis if isinstance(axis, int) else None for axis in value.shape)


def rank_of(value: ir.Value | None) -> int:
    """How many axes a float32 value has that is computed; 0 where it is no such value, or not known."""
    return len(shape_of(value))


def reads(value: ir.Value) -> int:
    """How many inputs, also in inner graphs, and outputs of the graph read a value."""
    return len(value.uses()) + value.is_graph_output()


def axes_of(node: ir.Node) -> list[int]:
    """Of Squeeze, Unsqueeze or a reduction: an attribute, or an input in newer opsets. Empty: not known, or all."""
    if len(node.inputs) > 1:
        axes = constant(node.inputs[1])
        return [] if axes is None else [int(axis) for axis in axes]
    return list(node.attributes.get_ints("axes", []))


def opset_of(graph: ir.Graph) -> int:
    """Of the standard operators."""
    return graph.opset_imports.get("", 0)


def bodies(node: ir.Node) -> Iterator[ir.Graph]:
    """The inner graphs of If, Loop and Scan."""
    for held in node.attributes.values():
        if held.type == ir.AttributeType.GRAPH:
            yield held.as_graph()
        elif held.type == ir.AttributeType.GRAPHS:
            yield from held.as_graphs()


# -- changes


def new_value(wish: str) -> ir.Value:
    """What a new node is to give. Names become unique at the end (``apply_pass``)."""
    return ir.val(wish)


def add_constant(graph: ir.Graph, wish: str, array: np.ndarray) -> ir.Value:
    """A new initializer."""
    while wish in graph.initializers:
        wish += "_"
    tensor = ir.tensor(np.asarray(array), name=wish)
    value = ir.val(wish, tensor.dtype, tensor.shape, const_value=tensor)
    graph.register_initializer(value)
    return value


def take_over(new: ir.Value, old: ir.Value) -> None:
    """Have all that reads ``old`` read ``new``, which gets its name, type and shape."""
    new.name, new.type, new.shape = old.name, old.type or new.type, old.shape or new.shape
    old.replace_all_uses_with(new, replace_graph_outputs=True)


def replace(old: Sequence[ir.Node], new: Sequence[ir.Node]) -> None:
    """Put new nodes where the last of the old ones is; the last ones give the same, by its name."""
    last, [given], [made] = old[-1], old[-1].outputs[:1], new[-1].outputs
    graph = last.graph
    take_over(made, given)
    graph.insert_after(last, new)
    graph.remove(old, safe=True)


# -- convolutions and norms


def is_plain_conv(node: ir.Node | None) -> TypeGuard[ir.Node]:
    """A Conv with a weight, and a bias if it has one, that are known."""
    return is_op(node, "Conv") and all(constant(value) is not None for value in node.inputs[1:] if value)


def weight_of(conv: ir.Node) -> np.ndarray:
    """Of a plain Conv, in float64."""
    return np.asarray(constant(conv.inputs[1]), dtype=np.float64)


def bias_of(conv: ir.Node) -> np.ndarray:
    """Of a plain Conv, in float64; zeros where it has none."""
    if len(conv.inputs) > 2 and conv.inputs[2]:
        return np.asarray(constant(conv.inputs[2]), dtype=np.float64)
    return np.zeros(len(weight_of(conv)))


def set_weights(conv: ir.Node, weight: np.ndarray, bias: np.ndarray) -> None:
    """Give a Conv a weight and a bias of its own: others may share the old ones."""
    conv.resize_inputs(3)
    for place, what, array in ((1, "weight", weight), (2, "bias", bias)):
        name = f"{conv.outputs[0].name}_{what}"
        conv.replace_input_with(place, add_constant(conv.graph, name, array.astype(np.float32)))


def norm_parameters(norm: ir.Node) -> list[np.ndarray] | None:
    """Scale, offset, mean and variance of a BatchNormalization; None where it is not constant, or not in float32."""
    parameters = [constant(value) for value in norm.inputs[1:]]
    if norm.attributes.get_int("training_mode", 0) or any(value.name for value in norm.outputs[1:]):
        return None
    known = [p for p in parameters if p is not None and p.dtype == np.float32]
    return known if len(known) == len(parameters) == 4 else None


def norm_affine(norm: ir.Node) -> tuple[np.ndarray, np.ndarray] | None:
    """What a BatchNormalization multiplies each channel by and then adds, in float64."""
    parameters = norm_parameters(norm)
    if parameters is None:
        return None
    scale, offset, mean, variance = (p.astype(np.float64) for p in parameters)
    factor = scale / np.sqrt(variance + norm.attributes.get_float("epsilon", 1e-5))
    return factor, offset - mean * factor
