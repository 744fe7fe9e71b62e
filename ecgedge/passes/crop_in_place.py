"""A crop of the length that takes a detour over two axes is done where the beat is::

    before   x (N, 1, 144) -> Flatten (N, 144) -> Slice -> Unsqueeze -> y (N, 1, 140)
    after    x (N, 1, 144) -> Slice -> y (N, 1, 140)

The detour is a habit: converters have dropped crops of three axes without a word.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ecgedge.passes.values import Values, is_op


def apply(model: Any, batch: int) -> None:
    """Flatten or its like, Slice of axis 1, and the way back: one Slice of axis 2."""
    values = Values(model)
    for cut in [node for node in model.graph.node if is_op(node, "Slice")]:
        flat, back = values.producers.get(cut.input[0]), reader(cut.output[0], values)
        if flat is None or back is None or not is_detour(flat, cut, back, values):
            continue
        cut.input[0], cut.output[0] = flat.input[0], back.output[0]
        cut.input[3] = values.add_constant(f"{back.output[0]}_axis", np.array([2], dtype=np.int64))
        model.graph.node.remove(back)


def reader(name: str, values: Values) -> Any | None:
    """The only node that reads a value, by its first input."""
    found = [node for node in values.graph.node if node.input and node.input[0] == name]
    return found[0] if len(found) == values.readers[name] == 1 else None


def is_detour(flat: Any, cut: Any, back: Any, values: Values) -> bool:
    """(N, 1, L) -> (N, L), a Slice of axis 1 alone, -> (N, 1, M)."""
    x, y = values.shapes.get(flat.input[0], ()), values.shapes.get(back.output[0], ())
    one_channel = len(x) == len(y) == 3 and x[1] == y[1] == 1 and values.rank(cut.input[0]) == 2
    if not one_channel or not is_op(flat, "Flatten", "Reshape", "Squeeze") or not is_op(back, "Unsqueeze", "Reshape"):
        return False
    axes = values.constants.get(cut.input[3]) if len(cut.input) > 3 else None
    kept = x[2] is not None and values.shapes[cut.input[0]][1] == x[2] and values.shapes[cut.output[0]][1] == y[2]
    return kept and axes is not None and axes.tolist() == [1] and flat.input[0] not in values.constants
