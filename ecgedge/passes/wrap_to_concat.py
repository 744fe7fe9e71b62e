"""A circular padding is put together from the ends of what it pads::

    before   x (N, C, 70) -> Pad(wrap, 2, 1) -> y (N, C, 73)
    after    x -> Slice (last two) --+
             x ----------------------+-> Concat (N, C, 73) -> y
             x -> Slice (first one) -+

As torch's older exporter writes it. onnx2tf 1.28 does not know the mode of a Pad, which ONNX has had since opset 19.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ecgedge.passes.values import add_constant, constant, is_op, new_value, replace, shape_of

END = np.iinfo(np.int64).max


def apply(model: ir.Model, batch: int) -> None:
    """Pads of the last axis in the mode wrap, by no more than its length."""
    for node in [node for node in model.graph if is_op(node, "Pad")]:
        if node.attributes.get_string("mode", "constant") == "wrap" and any(pads := pads_of(node)):
            replace([node], pieces(node, *pads))


def pads_of(node: ir.Node) -> tuple[int, int]:
    """What is put before and behind the last axis; 0, 0: nothing, on other axes too, or it is not known."""
    shape, pads = shape_of(node.inputs[0]), constant(node.inputs[1])
    axes = constant(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] else np.arange(len(shape))
    if not shape or shape[-1] is None or pads is None or axes is None:
        return 0, 0
    found = {int(axis) % len(shape): pair for axis, *pair in zip(axes, *np.split(pads, 2), strict=True)}
    before, behind = map(int, found.pop(len(shape) - 1, (0, 0)))
    is_plain = min(before, behind) >= 0 and max(before, behind) <= shape[-1] and not any(map(any, found.values()))
    return (before, behind) if is_plain else (0, 0)


def pieces(node: ir.Node, before: int, behind: int) -> list[ir.Node]:
    """The nodes that give the same."""
    x, name, last = node.inputs[0], node.outputs[0].name, len(shape_of(node.inputs[0])) - 1
    slices = {}
    for what, size, start, end in (("last", before, -before, END), ("first", behind, 0, behind)):
        if size:
            bounds = [
                add_constant(node.graph, f"{name}_{what}_{part}", np.array([value], dtype=np.int64))
                for part, value in (("start", start), ("end", end), ("axis", last))
            ]
            slices[what] = ir.node("Slice", [x, *bounds], outputs=[new_value(f"{name}_{what}")])
    made = {what: step.outputs[0] for what, step in slices.items()}
    parts = [part for part in (made.get("last"), x, made.get("first")) if part is not None]
    return [*slices.values(), ir.node("Concat", parts, {"axis": last})]
