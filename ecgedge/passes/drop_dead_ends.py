"""What changes no output is taken away::

    before   x -> Conv -> Identity -> Dropout -> y       after   x -> Conv -> y
                   +--> Softmax (read by nobody)

Identities and dropouts, nodes whose results nobody reads, and constants that nobody reads.
"""

from __future__ import annotations

from typing import Any

from ecgedge.passes.values import Values, is_op, names_read, read_instead


def apply(model: Any, batch: int) -> None:
    """Until nothing is left to take away."""
    while any(bridged(model, node) for node in [*model.graph.node]) or drop_unread(model.graph):
        pass


def bridged(model: Any, node: Any) -> bool:
    """Whether a node that hands on its input could be taken away."""
    values, graph = Values(model), model.graph
    if not hands_on(node, values):
        return False
    x, y = node.input[0], node.output[0]
    if y not in {value.name for value in graph.output}:
        read_instead(graph, y, x)
    elif values.producers.get(x) and x not in {value.name for value in graph.output}:
        read_instead(graph, x, y)  # the output keeps its name: what makes it takes that over
        maker = values.producers[x]
        maker.output[:] = [y if name == x else name for name in maker.output]
    else:
        return False  # from an input or constant to an output
    graph.node.remove(node)
    return True


def hands_on(node: Any, values: Values) -> bool:
    """Identity; Dropout that drops nothing, since it does not train and its mask is not asked for."""
    if is_op(node, "Identity"):
        return True
    if not is_op(node, "Dropout") or any(values.readers[name] for name in node.output[1:] if name):
        return False
    training = values.constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else False
    return values.opset >= 7 and training is not None and not training


def drop_unread(graph: Any) -> bool:
    """Whether nodes or constants that nobody reads were taken away."""
    read = {*names_read(graph), *(value.name for value in graph.output)}
    given = {value.name for value in graph.input}
    nodes = [node for node in graph.node if not any(name in read for name in node.output)]
    tensors = [tensor for tensor in graph.initializer if tensor.name not in read | given]
    for node in nodes:
        graph.node.remove(node)
    for tensor in tensors:
        graph.initializer.remove(tensor)
    return bool(nodes or tensors)
