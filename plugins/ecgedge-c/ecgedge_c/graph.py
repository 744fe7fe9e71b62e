"""The operations and weights of a network, as ecgedge's precision check wants them told."""

from __future__ import annotations

import hashlib

from ecgedge import Graph, Node, Weight
from ecgedge_c.net import Net, Op

RUNNER = "C"


def graph_of(net: Net) -> Graph:
    """All operations in order, each run as it stands; the device is told by who runs them."""
    used = {index for op in net.ops for index in op.inputs if index >= 0}
    weights = tuple(
        Weight(tensor.name, tensor.dtype, tensor.data.nbytes, hashlib.sha256(tensor.data.tobytes()).hexdigest()[:16])
        for tensor in net.tensors
        if tensor.index in used and tensor.data is not None and (tensor.dtype != "int32" or tensor.scales)
    )
    given, returned = net.tensors[net.input], net.tensors[net.output]
    return Graph(tuple(node_of(net, op) for op in net.ops), weights, input=given.dtype, output=returned.dtype)


def node_of(net: Net, op: Op) -> Node:
    used, made = [net.tensors[i] for i in op.inputs if i >= 0], [net.tensors[i] for i in op.outputs]
    return Node(
        f"{op.kind} {op.number}",
        op.kind,
        RUNNER,
        "cpu",
        tuple(tensor.dtype for tensor in used),
        tuple(tensor.dtype for tensor in made),
        tuple(tensor.count if tensor.data is not None else 0 for tensor in used),
        tuple(tensor.shape for tensor in used),
        tuple(tensor.shape for tensor in made),
        made[0].name,
    )
