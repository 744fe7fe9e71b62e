"""Batch norms folded into the convolutions before them, or made convolutions of their own.

XNNPACK's quantizer leaves in float what follows no convolution. Imported only by a conversion: torch is heavy.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

aten = torch.ops.aten
CONVOLUTIONS = (aten.conv1d.default, aten.conv1d.padding)


def fold_norms(flat: fx.GraphModule) -> None:
    """Do away with the batch norms of values ``(N, C, L)``, in place."""
    for node in list(flat.graph.nodes):
        if node.target != aten.batch_norm.default or node.meta["val"].dim() != 3:
            continue
        x, gain, offset, mean, variance, _, _, epsilon, *_ = node.args
        variance = value_of(flat, variance)
        scale = (value_of(flat, gain) if gain else 1) / torch.sqrt(variance + epsilon)
        shift = (value_of(flat, offset) if offset else 0) - value_of(flat, mean) * scale
        if can_absorb(x):
            absorb(flat, x, scale, shift)
            node.replace_all_uses_with(x)
        else:
            node.replace_all_uses_with(channelwise(flat, node, scale, shift))
        flat.graph.erase_node(node)


def can_absorb(node: fx.Node) -> bool:
    """A convolution, or convolutions side by side, whose answers nobody else takes."""
    if len(node.users) > 1:
        return False
    if node.target == aten.cat.default:
        sources, axis = (*node.args, 0)[:2]
        return axis == 1 and len(set(sources)) == len(sources) and all(map(can_absorb, sources))
    return node.target in CONVOLUTIONS


def absorb(flat: fx.GraphModule, node: fx.Node, scale: Tensor, shift: Tensor) -> None:
    """Scale and shift what the convolutions give, by their weights and biases."""
    if node.target == aten.cat.default:
        sizes = [source.meta["val"].shape[1] for source in node.args[0]]
        for source, its_scale, its_shift in zip(node.args[0], scale.split(sizes), shift.split(sizes)):
            absorb(flat, source, its_scale, its_shift)
        return
    x, weight, bias, *rest = (*node.args, None)[: max(3, len(node.args))]
    with flat.graph.inserting_before(node):
        weight = put(flat, value_of(flat, weight) * scale[:, None, None])
        bias = put(flat, (value_of(flat, bias) if bias else 0) * scale + shift)
    node.args = (x, weight, bias, *rest)


def channelwise(flat: fx.GraphModule, norm: fx.Node, scale: Tensor, shift: Tensor) -> fx.Node:
    """A convolution of one sample, a channel for itself, in the place of a batch norm."""
    with flat.graph.inserting_before(norm):
        weight, bias = put(flat, scale[:, None, None]), put(flat, shift)
        arguments = (norm.args[0], weight, bias, [1], [0], [1], len(scale))
        node = flat.graph.call_function(aten.conv1d.default, arguments)
    node.meta = dict(norm.meta)
    return node


def value_of(flat: fx.GraphModule, node: fx.Node) -> Tensor:
    """The tensor behind a ``get_attr`` node."""
    owner, _, name = node.target.rpartition(".")
    return getattr(flat.get_submodule(owner), name).detach()


def put(flat: fx.GraphModule, tensor: Tensor) -> fx.Node:
    """A weight under a name of its own, and its node where the graph is being written."""
    name = f"weight_{len(list(flat.parameters()))}"
    flat.register_parameter(name, torch.nn.Parameter(tensor.contiguous(), requires_grad=False))
    node = flat.graph.get_attr(name)
    node.meta["val"] = tensor
    return node
