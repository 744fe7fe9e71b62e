"""A crop behind a convolution becomes a smaller padding, or goes behind the activation::

    before   x (N, C, 140) -> Conv(pads 8, 8) -> (N, O, 148) -> Slice(0 to 140) -> Relu -> y (N, O, 140)
    after    x (N, C, 140) -> Conv(pads 8, 0) -> Relu -> y (N, O, 140)

    before   x -> Conv -> Slice -> Relu -> y                  where the padding is smaller than the crop
    after    x -> Conv -> Relu -> Slice -> y

So causal convolutions are written (a "chomp"). Runtimes fuse an activation with what is right before it only; a lone
int8 RELU is not taken by LiteRT's delegate, which falls in pieces.
"""

from __future__ import annotations

import onnx_ir as ir

from ecgedge.passes.values import (
    constant,
    is_op,
    is_plain_conv,
    new_value,
    opset_of,
    producer,
    reads,
    shape_of,
    take_over,
)

ACTIVATIONS = ("Clip", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "Relu", "Sigmoid", "Tanh")  # of each element


def apply(model: ir.Model, batch: int) -> None:
    """Slice of the last axis alone of what a Conv gives and nobody else reads."""
    for cut in [node for node in model.graph if is_op(node, "Slice") and opset_of(node.graph) >= 10]:
        conv, bounds = producer(cut.inputs[0]), bounds_of(cut)
        if bounds is None or not is_plain_conv(conv) or reads(cut.inputs[0]) > 1:
            continue
        pads = smaller_pads(conv, *bounds)
        if pads is not None:
            conv.attributes.add(ir.AttrInt64s("pads", pads))
            take_over(conv.outputs[0], cut.outputs[0])
            model.graph.remove(cut, safe=True)
        else:
            move_behind(cut)


def bounds_of(cut: ir.Node) -> tuple[int, int] | None:
    """How many samples a Slice takes away at the beginning and at the end; None: it does something else, or more."""
    shape = shape_of(cut.inputs[0])
    known = [constant(value) for value in cut.inputs[1:]]
    if len(shape) < 3 or shape[-1] is None or len(known) < 3 or any(array is None for array in known):
        return None
    starts, ends, axes, *steps = (array.tolist() for array in known if array is not None)
    if len(axes) != 1 or axes[0] % len(shape) != len(shape) - 1 or steps not in ([], [[1]]):
        return None
    start, end, _ = slice(starts[0], ends[0]).indices(shape[-1])
    return (start, shape[-1] - end) if start < end else None


def smaller_pads(conv: ir.Node, first: int, last: int) -> list[int] | None:
    """The padding with which a Conv does not give those samples; None: it has none to spare."""
    pads = list(conv.attributes.get_ints("pads", []))
    if conv.attributes.get_string("auto_pad", "NOTSET") != "NOTSET" or not pads:
        return None
    if {*conv.attributes.get_ints("strides", [1])} != {1}:
        return None
    middle = len(pads) // 2 - 1
    pads[middle] -= first
    pads[-1] -= last
    return pads if min(pads) >= 0 else None


def move_behind(cut: ir.Node) -> None:
    """Put a Slice behind the activation that is the only one to read it."""
    uses = list(cut.outputs[0].uses())
    if len(uses) != reads(cut.outputs[0]) or len(uses) != 1 or uses[0].idx != 0:
        return
    active = uses[0].node
    if not is_op(active, *ACTIVATIONS) or active.graph is not cut.graph:
        return
    made = new_value(f"{active.outputs[0].name}_whole")
    active.prepend(ir.Node("", active.op_type, [cut.inputs[0], *active.inputs[1:]], active.attributes, outputs=[made]))
    cropped = ir.node("Slice", [made, *cut.inputs[1:]])
    active.prepend(cropped)
    take_over(cropped.outputs[0], active.outputs[0])
    cut.graph.remove([active, cut], safe=True)
