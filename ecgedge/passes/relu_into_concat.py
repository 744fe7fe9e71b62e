"""A batch norm or activation behind a concatenation of convolutions goes into its branches::

    before   a -> Conv --+                                     after   a -> Conv -> BN -> Relu --+
             b -> Conv --+-> Concat -> BN -> Relu -> y                 b -> Conv -> BN -> Relu --+-> Concat -> y
             c -> Relu --+                                             c -> Relu -> BN -> Relu --+

There it is folded into the convolutions (``fold_norms``, and every runtime does so with the Relu). A
lone int8 RELU behind a CONCATENATION is not taken by LiteRT's delegate, which falls in two pieces.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ecgedge.passes.values import Values, attribute, is_op, is_plain_conv, norm_parameters

ACTIVATIONS = ("Relu", "LeakyRelu", "Clip")


def apply(model: Any, batch: int) -> None:
    """One after the other, until none is left that can go."""
    while any(pushed(model, node) for node in [*model.graph.node]):
        pass


def pushed(model: Any, node: Any) -> bool:
    """Whether a node was behind a Concat, and could go into its branches."""
    if not is_op(node, "BatchNormalization", *ACTIVATIONS):
        return False
    values = Values(model)
    concat: Any = values.producers.get(node.input[0])
    if not is_op(concat, "Concat") or values.readers[node.input[0]] > 1:
        return False
    if not any(takes_in(name, node, values) for name in concat.input):
        return False
    if node.op_type == "BatchNormalization":
        branches = norm_branches(node, concat, values)
    else:
        branches = [list(node.input[1:]) for _ in concat.input]
    if branches is None:
        return False
    for i, (name, more) in enumerate(zip(concat.input, branches, strict=True)):
        if node.op_type == "Relu" and is_op(values.producers.get(name), "Relu"):
            continue  # twice is once
        made = type(node)()
        made.CopyFrom(node)
        made.name, made.input[:] = "", [name, *more]
        made.output[:] = [values.new_name(f"{node.output[0]}_{i}")]
        concat.input[i] = made.output[0]
        model.graph.node.insert(list(model.graph.node).index(concat), made)
    concat.output[0] = node.output[0]
    model.graph.node.remove(node)
    return True


def takes_in(name: str, node: Any, values: Values) -> bool:
    """Whether a branch ends in a Conv that can take in what follows, or in a norm that goes into one."""
    last = values.producers.get(name)
    if values.readers[name] > 1:
        return False
    if is_op(last, "BatchNormalization") and node.op_type != "BatchNormalization":
        return True
    return is_plain_conv(last, values)


def norm_branches(norm: Any, concat: Any, values: Values) -> list[list[str]] | None:
    """The parameters of a norm for each branch of a Concat along the channels; None where that cannot be told."""
    parameters, rank = norm_parameters(norm, values), values.rank(norm.input[0])
    widths = [values.shapes.get(name, (None, None))[1:2] for name in concat.input]
    if parameters is None or rank < 2 or attribute(concat, "axis", 0) not in (1, 1 - rank):
        return None
    if any(width in ((), (None,)) for width in widths):
        return None
    ends = np.cumsum([0, *(width[0] for width in widths)])
    return [
        [values.add_constant(f"{name}_{i}", p[start:end]) for name, p in zip(norm.input[1:], parameters, strict=True)]
        for i, (start, end) in enumerate(pairwise(ends))
    ]
