"""Two convolutions with nothing between them, one of which has a kernel of 1, become one::

    before   x (N, 1, L) -> Conv(kernel 1) -> m (N, 32, L) -> Conv(kernel 39) -> y
    after    x (N, 1, L) -> Conv(kernel 39) -> y

Only where that takes no more multiplications: a bottleneck that is narrower than its input stays. A
bottleneck that widens its input, as the first one of an Inception network does, is work for nothing.
"""

from __future__ import annotations

from math import prod

import numpy as np
import onnx_ir as ir

from ecgedge.passes.values import bias_of, is_plain_conv, rank_of, set_weights, weight_of


def apply(model: ir.Model, batch: int) -> None:
    """A Conv whose result only Convs read: merged into all of them, or left alone."""
    for first in [node for node in model.graph if is_plain_conv(node)]:
        seconds = [use.node for use in first.outputs[0].uses()]
        if not seconds or first.outputs[0].is_graph_output():
            continue
        if not all(fits(first, second) for second in seconds) or not is_cheaper(first, seconds):
            continue
        for second in seconds:
            merge(first, second)
        model.graph.remove(first, safe=True)


def fits(first: ir.Node, second: ir.Node) -> bool:
    """Whether both can be one convolution that gives the same, at the edges too."""
    if second.graph is not first.graph or not is_plain_conv(second) or first.outputs[0] in second.inputs[1:]:
        return False
    if any(conv.attributes.get_int("group", 1) != 1 or not rank_of(conv.inputs[0]) for conv in (first, second)):
        return False
    if is_pointwise(second):
        return True
    return is_pointwise(first) and (not bias_of(first).any() or not is_padded(second))


def is_pointwise(conv: ir.Node) -> bool:
    """Each sample by itself: a kernel of 1, no stride, nothing added at the edges."""
    kernel = weight_of(conv).shape[2:]
    return set(kernel) == {1} and set(conv.attributes.get_ints("strides", [1])) == {1} and not is_padded(conv)


def is_padded(conv: ir.Node) -> bool:
    pads, auto = conv.attributes.get_ints("pads", []), conv.attributes.get_string("auto_pad", "NOTSET")
    return any(pads) or auto not in ("NOTSET", "VALID")


def is_cheaper(first: ir.Node, seconds: list[ir.Node]) -> bool:
    """By the multiplications for one sample, as if all had the same length."""
    sizes = [weight_of(conv).shape for conv in seconds]
    middle, given, *kernel = weight_of(first).shape
    apart = middle * given * prod(kernel) + sum(map(prod, sizes))
    return sum(size[0] * given * prod(kernel) * prod(size[2:]) for size in sizes) <= apart  # one of the kernels is 1


def merge(first: ir.Node, second: ir.Node) -> None:
    """Give the second one the work of both."""
    outer, inner = (weight_of(conv) for conv in (second, first))
    bias = np.einsum("omk,m->o", outer.reshape(*outer.shape[:2], -1), bias_of(first)) + bias_of(second)
    if is_pointwise(second):  # then the edges are those of the first
        weight = np.einsum("om,mi...->oi...", outer.reshape(outer.shape[:2]), inner)
        second.attributes.clear()
        second.attributes.update(first.attributes)
    else:
        weight = np.einsum("om...,mi->oi...", outer, inner.reshape(inner.shape[:2]))
    second.replace_input_with(0, first.inputs[0])
    set_weights(second, weight, bias)
