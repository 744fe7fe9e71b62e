"""A Relu of what cannot be negative is taken away::

    before   a -> Relu --+                     after   a -> Relu --+
             b -> Relu --+-> Add -> Relu -> y          b -> Relu --+-> Add -> y

So end the blocks of residual networks whose two sides both end in a Relu.
"""

from __future__ import annotations

from typing import Any

from ecgedge.passes.values import Values, is_op, read_instead

POSITIVE = ("Relu", "Sigmoid", "HardSigmoid", "Softplus", "Abs", "Exp", "Sqrt", "Softmax")
# Of values that are never negative they make none that is.
KEEPING = (
    "Add", "Mul", "Max", "Min", "Sum", "Mean", "Concat", "Identity", "MaxPool", "AveragePool", "GlobalAveragePool",
    "GlobalMaxPool", "Flatten", "Transpose",
)  # fmt: skip
RESHAPING = ("Reshape", "Squeeze", "Unsqueeze")  # the same, by their first input


def apply(model: Any, batch: int) -> None:
    """Relu of a value that is never negative: its readers read that value."""
    values = Values(model)
    results = {value.name for value in model.graph.output}
    positive = {name for name, array in values.constants.items() if array.dtype.kind == "f" and (array >= 0).all()}
    for node in [*model.graph.node]:
        if is_op(node, "Relu") and node.input[0] in positive and node.output[0] not in results:
            read_instead(model.graph, node.output[0], node.input[0])
            model.graph.node.remove(node)
        elif is_op(node, *POSITIVE) or ((given := read(node)) and positive.issuperset(given)):
            positive.update(node.output)


def read(node: Any) -> list[str]:
    """The values on whose sign that of the result depends; empty: it is not known."""
    if is_op(node, *KEEPING):
        return list(node.input)
    return [node.input[0]] if is_op(node, *RESHAPING) else []
