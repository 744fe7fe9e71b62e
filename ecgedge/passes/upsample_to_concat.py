"""Nearest-neighbour upsampling of the length becomes a concatenation with itself and a reshape::

    before   x (N, C, L) -> Resize(nearest, scales 1, 1, 2) -> y (N, C, 2 L)
    after    x -> Transpose (N, L, C) -> Concat with itself (N, L, 2 C) -> Reshape (N, 2 L, C) -> Transpose -> y

Channels last, each sample lies beside its copy, so that the reshape puts it behind. Delegates take
these, and quantize them; a Resize becomes a gather in TFLite.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ecgedge.passes.values import Values, attribute, is_op, replace_nodes

# How a Resize finds its sample: those that give each one k times in a row.
REPEATS = {
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("pytorch_half_pixel", "round_prefer_floor"),
    ("pytorch_half_pixel", "round_prefer_ceil"),
}


def apply(model: Any, batch: int) -> None:
    """Resize or Upsample of (N, C, L), or (N, C, 1, L), by a whole number along L, where C and L are known."""
    values, nodes = Values(model), []
    for node in model.graph.node:
        times = repeats(node, values) if is_op(node, "Resize", "Upsample") else 0
        nodes += written_out(node, times, values) if times > 1 else [node]
    if len(nodes) != len(model.graph.node):
        replace_nodes(model.graph, nodes)


def repeats(node: Any, values: Values) -> int:
    """How often each sample is to be repeated; 0: it is another resize."""
    shape = values.shapes.get(node.input[0], ())
    if len(shape) not in (3, 4) or None in shape[1:] or shape[2:-1] not in ((), (1,)):
        return 0
    if attribute(node, "mode", b"nearest") != b"nearest":
        return 0
    if is_op(node, "Resize"):
        found = attribute(node, "coordinate_transformation_mode", b"half_pixel").decode()
        rounded = attribute(node, "nearest_mode", b"round_prefer_floor").decode()
        if values.opset < 11 or (found, rounded) not in REPEATS or attribute(node, "axes", []):
            return 0
    scales = scales_of(node, values, shape)
    if scales is None or set(scales[:-1]) != {1.0} or scales[-1] != int(scales[-1]):
        return 0
    return int(scales[-1])


def scales_of(node: Any, values: Values, shape: tuple[int | None, ...]) -> list[float] | None:
    """By their input or attribute, or by the sizes of what comes out."""
    scales = values.constants.get(node.input[-1])
    if is_op(node, "Upsample") and len(node.input) == 1:
        scales = np.array(attribute(node, "scales", []))
    elif len(node.input) == 4 and node.input[3]:  # Resize: x, roi, scales, sizes
        out = values.shapes.get(node.output[0], ())
        if scales is None or list(out[1:]) != list(scales[1:]) or out[:1] != shape[:1]:
            return None
        return [1.0, *(int(size) / int(old) for size, old in zip(scales[1:], shape[1:]) if old)]
    return [float(scale) for scale in scales] if scales is not None and len(scales) == len(shape) else None


def written_out(node: Any, times: int, values: Values) -> list[Any]:
    from onnx import helper  # heavy

    x, y = node.input[0], node.output[0]
    _, channels, *unit, length = values.shapes[x]
    last = [0, *range(2, len(unit) + 3), 1]  # channels last, and back
    first = [0, len(unit) + 2, *range(1, len(unit) + 2)]
    rows, beside, behind = (values.new_name(f"{y}_{what}") for what in ("rows", "beside", "behind"))
    sizes = np.array([0, *unit, times * (length or 0), channels], dtype=np.int64)
    shape = values.add_constant(f"{y}_shape", sizes)
    return [
        helper.make_node("Transpose", [x], [rows], perm=last),
        helper.make_node("Concat", [rows] * times, [beside], axis=len(last) - 1),
        helper.make_node("Reshape", [beside, shape], [behind]),
        helper.make_node("Transpose", [behind], [y], perm=first),
    ]
