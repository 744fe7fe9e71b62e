"""A convolution of what was upsampled works before the upsampling, once for each place in a step::

    before   x (N, C, L) -> Resize(nearest, 2) -> Conv(kernel 7) -> y
    after    x (N, C, L) -> Conv(kernel 5) -> (N, 2 O, L) -> Transpose -> Reshape (N, 2 L, O) -> Transpose -> y

Repeated samples are multiplied once, by the sum of their weights (Shi et al., arXiv 1609.07009). Only
where the new convolution has at most 16 channels: kernels compute so many at once, whether they are asked for or not.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ecgedge.passes.upsample_to_concat import repeats
from ecgedge.passes.values import (
    add_constant,
    bias_of,
    is_op,
    is_plain_conv,
    new_value,
    producer,
    reads,
    replace,
    shape_of,
    weight_of,
)

MOST = 16  # channels, the block of the runtimes' kernels


def apply(model: ir.Model, batch: int) -> None:
    """Resize by a whole number along the length, read by one Conv: half of the pair goes."""
    for conv in [node for node in model.graph if is_plain_conv(node)]:
        resize = producer(conv.inputs[0])
        times = repeats(resize) if is_op(resize, "Resize", "Upsample") else 0
        if times > 1 and fits(conv, resize, times):
            replace([resize, conv], in_phases(conv, resize, times))


def fits(conv: ir.Node, resize: ir.Node, times: int) -> bool:
    """Whether a Conv reads nothing but all of what is upsampled, and gives a whole number of steps."""
    weight, made = weight_of(conv), shape_of(conv.outputs[0])
    held = conv.attributes
    if reads(resize.outputs[0]) > 1 or weight.ndim != 3 or len(made) != 3 or held.get_int("group", 1) != 1:
        return False
    if set(held.get_ints("strides", [1])) != {1} or set(held.get_ints("dilations", [1])) != {1}:
        return False
    length = made[2] if held.get_string("auto_pad", "NOTSET") == "NOTSET" else None
    if length is None or length % times or len(weight) * times > MOST:
        return False
    return steps_beyond(conv, resize, times) >= 0


def window(conv: ir.Node, times: int) -> tuple[int, int]:
    """The first and the last sample before the upsampling that a step reads, counted from its own."""
    before, kernel = conv.attributes.get_ints("pads", [0, 0])[0], weight_of(conv).shape[2]
    return -before // times, (times - 1 + kernel - 1 - before) // times


def steps_beyond(conv: ir.Node, resize: ir.Node, times: int) -> int:
    """How far behind the end the last step reads."""
    length, made = (shape_of(value)[2] or 0 for value in (resize.inputs[0], conv.outputs[0]))
    return made // times - length + window(conv, times)[1]


def in_phases(conv: ir.Node, resize: ir.Node, times: int) -> list[ir.Node]:
    """The convolution before the upsampling, and what puts its channels behind each other."""
    weight, y = weight_of(conv), conv.outputs[0]
    channels, _, kernel = weight.shape
    before = conv.attributes.get_ints("pads", [0, 0])[0]
    first, last = window(conv, times)
    phases = np.zeros((times, *weight.shape[:2], last - first + 1))
    for phase in range(times):
        for place in range(kernel):
            phases[phase, :, :, (phase + place - before) // times - first] += weight[:, :, place]
    added = [
        add_constant(conv.graph, f"{y.name}_{what}", array)
        for what, array in (
            ("weight", phases.reshape(times * channels, *phases.shape[2:]).astype(np.float32)),
            ("bias", np.tile(bias_of(conv), times).astype(np.float32)),
            ("shape", np.array([0, shape_of(y)[2], channels], dtype=np.int64)),
        )
    ]
    window_of = {"kernel_shape": [last - first + 1], "pads": [-first, steps_beyond(conv, resize, times)]}
    beside, rows, behind = (new_value(f"{y.name}_{what}") for what in ("phases", "rows", "behind"))
    return [
        ir.node("Conv", [resize.inputs[0], *added[:2]], window_of, outputs=[beside]),
        ir.node("Transpose", [beside], {"perm": [0, 2, 1]}, outputs=[rows]),
        ir.node("Reshape", [rows, added[2]], outputs=[behind]),
        ir.node("Transpose", [behind], {"perm": [0, 2, 1]}),
    ]
