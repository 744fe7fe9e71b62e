"""A Relu of what cannot be negative is taken away::

    before   a -> Relu --+                     after   a -> Relu --+
             b -> Relu --+-> Add -> Relu -> y          b -> Relu --+-> Add -> y

So end the blocks of residual networks whose two sides both end in a Relu.
"""

from __future__ import annotations

import onnx_ir as ir

from ecgedge.passes.values import constant, is_op

POSITIVE = ("Relu", "Sigmoid", "HardSigmoid", "Softplus", "Abs", "Exp", "Sqrt", "Softmax")
# Of values that are never negative they make none that is.
KEEPING = (
    "Add", "Mul", "Max", "Min", "Sum", "Mean", "Concat", "Identity", "MaxPool", "AveragePool", "GlobalAveragePool",
    "GlobalMaxPool", "Flatten", "Transpose",
)  # fmt: skip
RESHAPING = ("Reshape", "Squeeze", "Unsqueeze")  # the same, by their first input


def apply(model: ir.Model, batch: int) -> None:
    """Relu of a value that is never negative: its readers read that value."""
    positive: set[ir.Value] = set()
    for node in list(model.graph):
        if is_op(node, "Relu") and is_positive(node.inputs[0], positive) and not node.outputs[0].is_graph_output():
            node.outputs[0].replace_all_uses_with(node.inputs[0])
            model.graph.remove(node, safe=True)
        elif is_op(node, *POSITIVE) or ((given := read(node)) and all(is_positive(one, positive) for one in given)):
            positive.update(node.outputs)


def is_positive(value: ir.Value | None, positive: set[ir.Value]) -> bool:
    """Whether a value is never negative: one that was found to be, or a constant."""
    array = constant(value)
    return value in positive if array is None else array.dtype.kind == "f" and bool((array >= 0).all())


def read(node: ir.Node) -> list[ir.Value | None]:
    """The values on whose sign that of the result depends; empty: it is not known."""
    if is_op(node, *KEEPING):
        return list(node.inputs)
    return [node.inputs[0]] if is_op(node, *RESHAPING) else []
