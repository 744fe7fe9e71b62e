"""Two convolutions with nothing between them, one of which has a kernel of 1, become one::

    before   x (N, 1, L) -> Conv(kernel 1) -> m (N, 32, L) -> Conv(kernel 39) -> y
    after    x (N, 1, L) -> Conv(kernel 39) -> y

Only where that takes no more multiplications: a bottleneck that is narrower than its input stays. A
bottleneck that widens its input, as the first one of an Inception network does, is work for nothing.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ecgedge.passes.values import Values, attribute, is_plain_conv, set_weights


def apply(model: Any, batch: int) -> None:
    """A Conv whose result only Convs read: merged into all of them, or left alone."""
    values = Values(model)
    for first in [node for node in model.graph.node if is_plain_conv(node, values)]:
        seconds = [node for node in model.graph.node if first.output[0] in node.input]
        if not seconds or values.readers[first.output[0]] > len(seconds):
            continue
        if not all(fits(first, second, values) for second in seconds) or not is_cheaper(first, seconds, values):
            continue
        for second in seconds:
            merge(first, second, values)
        model.graph.node.remove(first)


def fits(first: Any, second: Any, values: Values) -> bool:
    """Whether both can be one convolution that gives the same, at the edges too."""
    if not is_plain_conv(second, values) or first.output[0] in second.input[1:]:
        return False
    if any(attribute(conv, "group", 1) != 1 or not values.rank(conv.input[0]) for conv in (first, second)):
        return False
    if is_pointwise(second, values):
        return True
    return is_pointwise(first, values) and (not bias_of(first, values).any() or not is_padded(second))


def is_pointwise(conv: Any, values: Values) -> bool:
    """Each sample by itself: a kernel of 1, no stride, nothing added at the edges."""
    kernel = values.constants[conv.input[1]].shape[2:]
    return set(kernel) == {1} and set(attribute(conv, "strides", [1])) == {1} and not is_padded(conv)


def is_padded(conv: Any) -> bool:
    return any(attribute(conv, "pads", [])) or attribute(conv, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")


def is_cheaper(first: Any, seconds: list[Any], values: Values) -> bool:
    """By the multiplications for one sample, as if all had the same length."""
    sizes = [values.constants[conv.input[1]].shape for conv in seconds]
    middle, given, *kernel = values.constants[first.input[1]].shape
    apart = middle * given * prod(kernel) + sum(map(prod, sizes))
    return sum(size[0] * given * prod(kernel) * prod(size[2:]) for size in sizes) <= apart  # one of the kernels is 1


def bias_of(conv: Any, values: Values) -> np.ndarray:
    if len(conv.input) > 2 and conv.input[2]:
        return values.constants[conv.input[2]].astype(np.float64)
    return np.zeros(len(values.constants[conv.input[1]]))


def merge(first: Any, second: Any, values: Values) -> None:
    """Give the second one the work of both."""
    outer, inner = (values.constants[conv.input[1]].astype(np.float64) for conv in (second, first))
    bias = np.einsum("omk,m->o", outer.reshape(*outer.shape[:2], -1), bias_of(first, values)) + bias_of(second, values)
    if is_pointwise(second, values):  # then the edges are those of the first
        weight = np.einsum("om,mi...->oi...", outer.reshape(outer.shape[:2]), inner)
        del second.attribute[:]
        second.attribute.extend(first.attribute)
    else:
        weight = np.einsum("om...,mi->oi...", outer, inner.reshape(inner.shape[:2]))
    second.input[0] = first.input[0]
    set_weights(second, values, weight, bias)
