"""What changes no output is taken away::

    before   x -> Conv -> Identity -> Dropout -> y       after   x -> Conv -> y
                   +--> Softmax (read by nobody)

Identities and dropouts, nodes whose results nobody reads, and constants that nobody reads.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ecgedge.passes.values import constant, is_op, opset_of, reads, take_over


def apply(model: ir.Model, batch: int) -> None:
    """What hands on its input goes; then what nobody reads, by onnx-ir."""
    for node in [node for node in model.graph if hands_on(node)]:
        bridge(node)
    if any(unread(model.graph)):
        RemoveUnusedNodesPass()(model)  # which would tidy what is read, too


def unread(graph: ir.Graph) -> Iterator[bool]:
    """Whether nothing reads a node, or a constant."""
    yield from (not any(reads(value) for value in node.outputs) for node in graph)
    yield from (not reads(value) and not value.is_graph_input() for value in graph.initializers.values())


def bridge(node: ir.Node) -> None:
    """Have the readers of what a node hands on read what it is given; it stays between an input and an output."""
    x, y = node.inputs[0], node.outputs[0]
    if not y.is_graph_output():
        y.replace_all_uses_with(x)
    elif x.producer() is not None and not x.is_graph_output():
        take_over(x, y)  # the output keeps its name
    else:
        return
    node.graph.remove(node, safe=True)


def hands_on(node: ir.Node) -> bool:
    """Identity; Dropout that drops nothing, since it does not train and its mask is not asked for."""
    if is_op(node, "Identity"):
        return True
    if not is_op(node, "Dropout") or any(reads(mask) for mask in node.outputs[1:]):
        return False
    training = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else False
    return opset_of(node.graph) >= 7 and training is not None and not training
