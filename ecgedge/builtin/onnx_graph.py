"""What really runs of an ONNX file, by onnxruntime's own profile, and the weights that lie in the file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import Node, Profile, Step, Weight

DTYPES = {"float": "float32", "double": "float64"}  # what ONNX calls otherwise than numpy
DEVICES = {"CPUExecutionProvider": "cpu", "CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "cuda"}
MANY = 12  # inputs, above which it is not worked out which ones are constants


def read_profile(path: Path) -> tuple[Node, ...]:
    """The nodes that ran, in order, each once; those inside of ``If`` and ``Loop`` among them."""
    nodes: dict[str, Node] = {}
    for event in json.loads(path.read_text(encoding="utf-8")):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            nodes.setdefault(event["name"], node_of(event["name"].removesuffix("_kernel_time"), event["args"]))
    return tuple(nodes.values())


def read_times(path: Path, calls: int, nodes: tuple[Node, ...]) -> Profile:
    """What the nodes took in the last ``calls`` runs, in order; a node inside of a ``Loop`` all its turns together.

    onnxruntime cuts the times to whole microseconds.

    Args:
        nodes: of another session, where what onnxruntime itself put in may bear other names.
    """
    events = json.loads(path.read_text(encoding="utf-8"))
    runs = [float(event["dur"]) for event in events if event["name"] == "model_run"]
    ran = read_profile(path)
    taken: dict[str, list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            taken.setdefault(event["name"].removesuffix("_kernel_time"), []).append(float(event["dur"]))

    def of_each_run(times: list[float]) -> tuple[float, ...]:
        turns, rest = divmod(len(times), len(runs))
        return () if rest else tuple(np.reshape(times, (-1, turns)).sum(axis=1)[-calls:].tolist())

    same = matched(ran, nodes)
    steps = tuple(Step(node.op, node.name, same[node.name], of_each_run(taken[node.name])) for node in ran)
    return Profile(steps, tuple(runs[-calls:]), tick=1.0)


def matched(ran: tuple[Node, ...], nodes: tuple[Node, ...]) -> dict[str, tuple[str, ...]]:
    """For each node that ran the one that is the same: by its name, else the next of its type and output shapes."""
    found: dict[str, tuple[str, ...]] = {}
    left = list(nodes)
    for by_name in (True, False):
        for node in ran:
            like = [n for n in left if (n.op, n.output_shapes) == (node.op, node.output_shapes)]
            same = [n for n in like if n.name == node.name or not by_name]
            if node.name not in found and same:
                left.remove(same[0])
                found[node.name] = (same[0].name,)
    return {node.name: found.get(node.name, ()) for node in ran}


def node_of(name: str, told: dict[str, Any]) -> Node:
    """A node by the profile's words: ``{"op_name": "Conv", "input_type_shape": [{"float": [1, 1, 140]}, ...]}``."""
    inputs, outputs = (
        [(DTYPES.get(dtype, dtype), shape) for value in told[key] for dtype, shape in value.items()]
        for key in ("input_type_shape", "output_type_shape")
    )
    provider = told["provider"]
    return Node(
        name=name,
        op=told["op_name"],
        runner=provider,
        device=DEVICES.get(provider, provider.removesuffix("ExecutionProvider").lower()),
        takes=tuple(dtype for dtype, _ in inputs),
        gives=tuple(dtype for dtype, _ in outputs),
        constants=constants_of(inputs, int(told["activation_size"])),
        input_shapes=tuple(tuple(shape) for _, shape in inputs),
        output_shapes=tuple(tuple(shape) for _, shape in outputs),
    )


def constants_of(inputs: list[tuple[str, list[int]]], computed_bytes: int) -> tuple[int, ...]:
    """Elements of each input that is a constant, 0 for those that were computed; empty where it cannot be told.

    The profile says only how many bytes of the inputs were computed: they are the fewest inputs, the
    first ones first, that have that many.
    """
    elements = [int(np.prod(shape)) for _, shape in inputs]
    try:
        sizes = [count * np.dtype(dtype).itemsize for count, (dtype, _) in zip(elements, inputs)]
    except TypeError:  # bfloat16, strings
        return ()
    for count in range(len(inputs) + 1 if len(inputs) <= MANY else 0):
        for computed in combinations(range(len(inputs)), count):
            if sum(sizes[i] for i in computed) == computed_bytes:
                return tuple(0 if i in computed else size for i, size in enumerate(elements))
    return ()


def weights_of(path: Path) -> tuple[Weight, ...] | None:
    """Every constant of the file, subgraphs and external data included; None without the ``onnx`` package."""
    try:
        import onnx  # heavy, and not among what the runtime needs
    except ImportError:
        return None
    model = onnx.load(path)
    nodes = [node for function in model.functions for node in function.node]
    return tuple(weight_of(tensor) for tensor in tensors_of(model.graph, nodes))


def tensors_of(graph: Any, more: list[Any]) -> Iterator[Any]:
    """The initializers and the values of Constant nodes of a graph and of the graphs inside it."""
    yield from graph.initializer
    for node in [*graph.node, *more]:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                attribute.t.name = attribute.t.name or node.output[0]
                yield attribute.t
            for inner in (attribute.g, *attribute.graphs):
                yield from tensors_of(inner, [])


def weight_of(tensor: Any) -> Weight:
    import onnx  # heavy

    dtype = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
    if dtype == "string":
        return Weight(tensor.name, dtype, sum(map(len, tensor.string_data)))
    content = tensor.raw_data or onnx.numpy_helper.to_array(tensor).tobytes()
    return Weight(tensor.name, DTYPES.get(dtype, dtype), len(content), hashlib.sha256(content).hexdigest()[:16])
