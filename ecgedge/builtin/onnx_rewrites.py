"""Float32 ONNX graphs, rewritten so that their int8 form computes in integers from input to output.

onnxruntime has no int8 kernel for ReduceMean and BatchNormalization: between int8 neighbours it goes
to float32 and back for them. Each function here replaces one such pattern in place, with the same
answers up to rounding. It leaves alone what it does not know: other axes, other types, parameters
that are no constants, values that something else reads as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np


def rewrite_for_int8(model: Any) -> None:
    """All rewrites of an ``onnx.ModelProto`` whose shapes are inferred, in place."""
    means_into_pools(model.graph)
    norms_into_convs(model.graph)
    norms_to_convs(model.graph)


def means_into_pools(graph: Any) -> None:
    """ReduceMean over all axes but the first two: GlobalAveragePool, and Flatten where axes are dropped."""
    from onnx import helper  # heavy

    values = Values(graph)
    for index, node in reversed(list(enumerate(graph.node))):
        rank = values.ranks.get(node.input[0], 0) if node.op_type == "ReduceMean" else 0
        if rank < 3 or mean_axes(node, rank, values) != list(range(2, rank)):
            continue
        keepdims = attribute(node, "keepdims", 1)
        node.op_type = "GlobalAveragePool"
        del node.attribute[:], node.input[1:]
        if not keepdims:
            flat = node.output[0]
            node.output[0] = f"{flat}_pooled"
            graph.node.insert(index + 1, helper.make_node("Flatten", [node.output[0]], [flat], f"{flat}_flat", axis=1))


def norms_into_convs(graph: Any) -> None:
    """BatchNormalization after a Conv, or after a Concat of Convs along the channels: folded into them."""
    values = Values(graph)
    for norm in norms_of(graph):
        affine, convs = norm_affine(norm, values), convs_before(norm, values)
        if affine is None or not convs:
            continue
        ends = np.cumsum([0, *(len(values.constants[conv.input[1]]) for conv in convs)])
        for conv, (start, end) in zip(convs, pairwise(ends), strict=True):
            scale, offset = (part[start:end] for part in affine)
            weight = values.constants[conv.input[1]]
            bias = values.constants[conv.input[2]] if len(conv.input) > 2 and conv.input[2] else 0
            set_weights(graph, conv, weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), bias * scale + offset)
        values.producers[norm.input[0]].output[0] = norm.output[0]
        graph.node.remove(norm)


def norms_to_convs(graph: Any) -> None:
    """BatchNormalization over channels of some length: a Conv of one weight a channel."""
    from onnx import helper  # heavy

    values = Values(graph)
    for norm in norms_of(graph):
        affine, rank = norm_affine(norm, values), values.ranks.get(norm.input[0], 0)
        if affine is None or rank < 3:
            continue
        scale, offset = affine
        norm.op_type = "Conv"
        del norm.attribute[:]
        norm.attribute.append(helper.make_attribute("group", len(scale)))
        set_weights(graph, norm, scale.reshape(-1, *[1] * (rank - 1)), offset)


class Values:
    """What is known of the values of a graph before it runs.

    Attributes:
        constants: initializers that no caller can replace, by name.
        producers: the node that makes a value.
        readers: how many inputs, outputs of the graph and inner graphs read a value.
        ranks: of the float32 values whose shape is known.
    """

    def __init__(self, graph: Any):
        from onnx import TensorProto, numpy_helper  # heavy

        given = {value.name for value in graph.input}
        self.constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.name not in given}
        self.producers = {name: node for node in graph.node for name in node.output}
        self.readers = Counter([*names_read(graph), *(value.name for value in graph.output)])
        typed = [(value.name, value.type.tensor_type) for value in (*graph.input, *graph.value_info, *graph.output)]
        floats = [(name, t) for name, t in typed if t.elem_type == TensorProto.FLOAT and t.HasField("shape")]
        self.ranks = {name: len(t.shape.dim) for name, t in floats}


def names_read(graph: Any) -> Iterator[str]:
    """The inputs of all nodes, also of those in the bodies of If, Loop and Scan."""
    for node in graph.node:
        yield from node.input
        for held in node.attribute:
            for body in (held.g, *held.graphs):
                yield from names_read(body)
                yield from (value.name for value in body.output)


def mean_axes(node: Any, rank: int, values: Values) -> list[int]:
    """Of a ReduceMean: an attribute up to opset 17, an input from then on. Empty: not known, or all."""
    axes = attribute(node, "axes", [])
    if len(node.input) > 1:
        axes = values.constants.get(node.input[1], [])
    return sorted(int(axis) % rank for axis in axes)


def norms_of(graph: Any) -> list[Any]:
    return [node for node in graph.node if node.op_type == "BatchNormalization"]


def norm_affine(norm: Any, values: Values) -> tuple[np.ndarray, np.ndarray] | None:
    """What a BatchNormalization multiplies each channel by and then adds, in float64.

    None where that is not constant, or not computed in float32.
    """
    parameters = [values.constants.get(name) for name in norm.input[1:]]
    if attribute(norm, "training_mode", 0) or any(norm.output[1:]):
        return None
    if any(p is None or p.dtype != np.float32 for p in parameters):
        return None
    scale, offset, mean, variance = (np.asarray(p, dtype=np.float64) for p in parameters)
    factor = scale / np.sqrt(variance + attribute(norm, "epsilon", 1e-5))
    return factor, offset - mean * factor


def convs_before(norm: Any, values: Values) -> list[Any]:
    """The Convs whose channels, in order, are the input of a BatchNormalization and feed nothing else."""
    before = values.producers.get(norm.input[0])
    feeding = [norm.input[0]]
    if before is not None and before.op_type == "Concat":
        if attribute(before, "axis", 0) not in (1, 1 - values.ranks.get(norm.input[0], 0)):
            return []
        feeding = list(before.input)
    if any(values.readers[name] > 1 for name in (norm.input[0], *feeding)):
        return []
    convs = [values.producers.get(name) for name in feeding]
    return convs if all(has_constant_weights(conv, values) for conv in convs) else []


def has_constant_weights(node: Any, values: Values) -> bool:
    """A Conv with a weight, and a bias if it has one, that are known."""
    if node is None or node.op_type != "Conv":
        return False
    return all(name in values.constants for name in node.input[1:] if name)


def set_weights(graph: Any, conv: Any, weight: np.ndarray, bias: np.ndarray) -> None:
    """Give a Conv a weight and a bias of its own: others may share the old ones."""
    from onnx import numpy_helper  # heavy

    names = [f"{conv.output[0]}_{what}" for what in ("weight", "bias")]
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array, dtype=np.float32), name)
        for array, name in zip((weight, bias), names, strict=True)
    )
    conv.input[1:] = names


def attribute(node: Any, name: str, default: Any) -> Any:
    from onnx import helper  # heavy

    return next((helper.get_attribute_value(held) for held in node.attribute if held.name == name), default)
