"""A batch norm that stands alone becomes a convolution of one weight a channel, which has an int8 kernel::

    before   x -> BatchNormalization -> y
    after    x -> Conv(kernel 1, groups = channels) -> y

For int8: in float32 it gains nothing.
"""

from __future__ import annotations

from typing import Any

from ecgedge.passes.values import Values, is_op, norm_affine, set_attributes, set_weights


def apply(model: Any, batch: int) -> None:
    """BatchNormalization over channels of some length: a Conv of one weight a channel."""
    values = Values(model)
    for norm in [node for node in model.graph.node if is_op(node, "BatchNormalization")]:
        affine, rank = norm_affine(norm, values), values.rank(norm.input[0])
        if affine is None or rank < 3:
            continue
        scale, offset = affine
        norm.op_type = "Conv"
        del norm.attribute[:]
        set_attributes(norm, group=len(scale))
        set_weights(norm, values, scale.reshape(-1, *[1] * (rank - 1)), offset)
