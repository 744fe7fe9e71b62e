"""A batch norm behind a convolution becomes part of its weights::

    before   x -> Conv(W, b) -> BatchNormalization(scale, offset, mean, variance) -> y
    after    x -> Conv(W * f, b * f + offset - mean * f) -> y      f = scale / sqrt(variance + epsilon)

Only where nothing else reads what the convolution gives, and its weights are constants.
"""

from __future__ import annotations

from typing import Any

from ecgedge.passes.values import Values, is_op, is_plain_conv, norm_affine, set_weights


def apply(model: Any, batch: int) -> None:
    """BatchNormalization after a Conv that feeds nothing else: folded into it."""
    values = Values(model)
    for norm in [node for node in model.graph.node if is_op(node, "BatchNormalization")]:
        affine = norm_affine(norm, values)
        conv: Any = values.producers.get(norm.input[0])
        if affine is None or not is_plain_conv(conv, values) or values.readers[norm.input[0]] > 1:
            continue
        scale, offset = affine
        weight = values.constants[conv.input[1]]
        bias = values.constants[conv.input[2]] if len(conv.input) > 2 and conv.input[2] else 0
        set_weights(conv, values, weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), bias * scale + offset)
        conv.output[0] = norm.output[0]
        values.producers[norm.output[0]] = conv
        model.graph.node.remove(norm)
