"""A batch norm that stands alone becomes a convolution of one weight a channel, which has an int8 kernel::

    before   x -> BatchNormalization -> y
    after    x -> Conv(kernel 1, groups = channels) -> y

For int8: in float32 it gains nothing.
"""

from __future__ import annotations

import onnx_ir as ir

from ecgedge.passes.values import is_op, norm_affine, rank_of, set_weights


def apply(model: ir.Model, batch: int) -> None:
    """BatchNormalization over channels of some length: a Conv of one weight a channel."""
    for norm in [node for node in model.graph if is_op(node, "BatchNormalization")]:
        affine, rank = norm_affine(norm), rank_of(norm.inputs[0])
        if affine is None or rank < 3:
            continue
        scale, offset = affine
        norm.op_type = "Conv"
        norm.attributes.clear()
        norm.attributes.add(ir.AttrInt64("group", len(scale)))
        set_weights(norm, scale.reshape(-1, *[1] * (rank - 1)), offset)
