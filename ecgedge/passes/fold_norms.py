"""A batch norm behind a convolution becomes part of its weights::

    before   x -> Conv(W, b) -> BatchNormalization(scale, offset, mean, variance) -> y
    after    x -> Conv(W * f, b * f + offset - mean * f) -> y      f = scale / sqrt(variance + epsilon)

Only where nothing else reads what the convolution gives, and its weights are constants.
"""

from __future__ import annotations

import onnx_ir as ir

from ecgedge.passes.values import (
    bias_of,
    is_op,
    is_plain_conv,
    norm_affine,
    producer,
    reads,
    set_weights,
    take_over,
    weight_of,
)


def apply(model: ir.Model, batch: int) -> None:
    """BatchNormalization after a Conv that feeds nothing else: folded into it."""
    for norm in [node for node in model.graph if is_op(node, "BatchNormalization")]:
        affine, conv = norm_affine(norm), producer(norm.inputs[0])
        if affine is None or not is_plain_conv(conv) or reads(norm.inputs[0]) > 1:
            continue
        scale, offset = affine
        weight = weight_of(conv)
        set_weights(conv, weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), bias_of(conv) * scale + offset)
        take_over(conv.outputs[0], norm.outputs[0])
        model.graph.remove(norm, safe=True)
