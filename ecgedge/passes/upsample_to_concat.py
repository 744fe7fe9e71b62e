"""Nearest-neighbour upsampling of the length becomes a concatenation with itself and a reshape::

    before   x (N, C, L) -> Resize(nearest, scales 1, 1, 2) -> y (N, C, 2 L)
    after    x -> Transpose (N, L, C) -> Concat with itself (N, L, 2 C) -> Reshape (N, 2 L, C) -> Transpose -> y

Channels last, each sample lies beside its copy, so that the reshape puts it behind. Delegates take
these, and quantize them; a Resize becomes a gather in TFLite.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ecgedge.passes.values import add_constant, constant, is_op, new_value, opset_of, replace, shape_of

# How a Resize finds its sample: those that give each one k times in a row.
REPEATS = {
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("pytorch_half_pixel", "round_prefer_floor"),
    ("pytorch_half_pixel", "round_prefer_ceil"),
}


def apply(model: ir.Model, batch: int) -> None:
    """Resize or Upsample of (N, C, L), or (N, C, 1, L), by a whole number along L, where C and L are known."""
    for node in [node for node in model.graph if is_op(node, "Resize", "Upsample")]:
        times = repeats(node)
        if times > 1:
            replace([node], written_out(node, times))


def repeats(node: ir.Node) -> int:
    """How often each sample is to be repeated; 0: it is another resize."""
    shape = shape_of(node.inputs[0])
    if len(shape) not in (3, 4) or None in shape[1:] or shape[2:-1] not in ((), (1,)):
        return 0
    if node.attributes.get_string("mode", "nearest") != "nearest":
        return 0
    if is_op(node, "Resize"):
        found = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
        rounded = node.attributes.get_string("nearest_mode", "round_prefer_floor")
        if opset_of(node.graph) < 11 or (found, rounded) not in REPEATS or node.attributes.get_ints("axes", []):
            return 0
    scales = scales_of(node, shape)
    if scales is None or set(scales[:-1]) != {1.0} or scales[-1] != int(scales[-1]):
        return 0
    return int(scales[-1])


def scales_of(node: ir.Node, shape: tuple[int | None, ...]) -> list[float] | None:
    """By their input or attribute, or by the sizes of what comes out."""
    scales = constant(node.inputs[-1])
    if is_op(node, "Upsample") and len(node.inputs) == 1:
        scales = np.array(node.attributes.get_floats("scales", []))
    elif len(node.inputs) == 4 and node.inputs[3]:  # Resize: x, roi, scales, sizes
        out = shape_of(node.outputs[0])
        if scales is None or list(out[1:]) != list(scales[1:]) or out[:1] != shape[:1]:
            return None
        return [1.0, *(int(size) / int(old) for size, old in zip(scales[1:], shape[1:]) if old)]
    return [float(scale) for scale in scales] if scales is not None and len(scales) == len(shape) else None


def written_out(node: ir.Node, times: int) -> list[ir.Node]:
    """The nodes that do the same."""
    x, y = node.inputs[0], node.outputs[0].name
    _, channels, *unit, length = shape_of(x)
    last = [0, *range(2, len(unit) + 3), 1]  # channels last, and back
    first = [0, len(unit) + 2, *range(1, len(unit) + 2)]
    rows, beside, behind = (new_value(f"{y}_{what}") for what in ("rows", "beside", "behind"))
    sizes = np.array([0, *unit, times * (length or 0), channels], dtype=np.int64)
    shape = add_constant(node.graph, f"{y}_shape", sizes)
    return [
        ir.node("Transpose", [x], {"perm": last}, outputs=[rows]),
        ir.node("Concat", [rows] * times, {"axis": len(last) - 1}, outputs=[beside]),
        ir.node("Reshape", [beside, shape], outputs=[behind]),
        ir.node("Transpose", [behind], {"perm": first}),
    ]
