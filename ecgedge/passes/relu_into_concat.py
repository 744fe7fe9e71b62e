"""A batch norm or activation behind a concatenation of convolutions goes into its branches::

    before   a -> Conv --+                                     after   a -> Conv -> BN -> Relu --+
             b -> Conv --+-> Concat -> BN -> Relu -> y                 b -> Conv -> BN -> Relu --+-> Concat -> y
             c -> Relu --+                                             c -> Relu -> BN -> Relu --+

There it is folded into the convolutions (``fold_norms``, and every runtime does so with the Relu). A
lone int8 RELU behind a CONCATENATION is not taken by LiteRT's delegate, which falls in two pieces.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx_ir as ir

from ecgedge.passes.values import (
    add_constant,
    is_op,
    is_plain_conv,
    new_value,
    norm_parameters,
    producer,
    rank_of,
    reads,
    shape_of,
    take_over,
)

ACTIVATIONS = ("Relu", "LeakyRelu", "Clip")


def apply(model: ir.Model, batch: int) -> None:
    """One after the other, until none is left that can go."""
    while any(pushed(node) for node in list(model.graph)):
        pass


def pushed(node: ir.Node) -> bool:
    """Whether a node was behind a Concat, and could go into its branches."""
    concat = producer(node.inputs[0]) if is_op(node, "BatchNormalization", *ACTIVATIONS) else None
    if not is_op(concat, "Concat") or reads(node.inputs[0]) > 1:
        return False
    if not any(takes_in(branch, node) for branch in concat.inputs):
        return False
    if node.op_type == "BatchNormalization":
        parameters = norm_branches(node, concat)
    else:
        parameters = [list(node.inputs[1:]) for _ in concat.inputs]
    if parameters is None:
        return False
    for i, (branch, more) in enumerate(zip(concat.inputs, parameters, strict=True)):
        if node.op_type == "Relu" and is_op(producer(branch), "Relu"):
            continue  # twice is once
        made = new_value(f"{node.outputs[0].name}_{i}")
        concat.prepend(ir.Node("", node.op_type, [branch, *more], node.attributes, outputs=[made]))
        concat.replace_input_with(i, made)
    take_over(concat.outputs[0], node.outputs[0])
    node.graph.remove(node, safe=True)
    return True


def takes_in(branch: ir.Value, node: ir.Node) -> bool:
    """Whether a branch ends in a Conv that can take in what follows, or in a norm that goes into one."""
    last = producer(branch)
    if reads(branch) > 1:
        return False
    if is_op(last, "BatchNormalization") and node.op_type != "BatchNormalization":
        return True
    return is_plain_conv(last)


def norm_branches(norm: ir.Node, concat: ir.Node) -> list[list[ir.Value]] | None:
    """The parameters of a norm for each branch of a Concat along the channels; None where that cannot be told."""
    parameters, rank = norm_parameters(norm), rank_of(norm.inputs[0])
    widths = [shape_of(branch)[1:2] for branch in concat.inputs]
    if parameters is None or rank < 2 or concat.attributes.get_int("axis", 0) not in (1, 1 - rank):
        return None
    if any(width in ((), (None,)) for width in widths):
        return None
    ends = np.cumsum([0, *(width[0] for width in widths)])
    pairs = list(zip(norm.inputs[1:], parameters, strict=True))
    return [
        [add_constant(norm.graph, f"{value.name}_{i}", p[start:end]) for value, p in pairs]
        for i, (start, end) in enumerate(pairwise(ends))
    ]
