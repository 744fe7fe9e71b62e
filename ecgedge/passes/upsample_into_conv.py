"""A convolution of what was upsampled works before the upsampling, once for each place in a step::

    before   x (N, C, L) -> Resize(nearest, 2) -> Conv(kernel 7) -> y
    after    x (N, C, L) -> Conv(kernel 5) -> (N, 2 O, L) -> Transpose -> Reshape (N, 2 L, O) -> Transpose -> y

Repeated samples are multiplied once, by the sum of their weights (Shi et al., arXiv 1609.07009). Only
where the new convolution has at most 16 channels: kernels compute so many at once, whether they are asked for or not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ecgedge.passes.upsample_to_concat import repeats
from ecgedge.passes.values import Values, attribute, is_op, is_plain_conv, replace_nodes, set_attributes, set_weights

MOST = 16  # channels, the block of the runtimes' kernels


def apply(model: Any, batch: int) -> None:
    """Resize by a whole number along the length, read by one Conv: half of the pair goes."""
    values = Values(model)
    nodes: list[Any] = []
    for node in model.graph.node:
        resize = values.producers.get(node.input[0]) if is_plain_conv(node, values) else None
        times = repeats(resize, values) if is_op(resize, "Resize", "Upsample") else 0
        if times > 1 and fits(node, resize, times, values):
            nodes.remove(resize)
            nodes += in_phases(node, resize, times, values)
        else:
            nodes.append(node)
    if len(nodes) != len(model.graph.node):
        replace_nodes(model.graph, nodes)


def fits(conv: Any, resize: Any, times: int, values: Values) -> bool:
    """Whether a Conv reads nothing but all of what is upsampled, and gives a whole number of steps."""
    weight, made = values.constants[conv.input[1]], values.shapes.get(conv.output[0], ())
    if values.readers[resize.output[0]] > 1 or weight.ndim != 3 or len(made) != 3 or attribute(conv, "group", 1) != 1:
        return False
    if set(attribute(conv, "strides", [1])) != {1} or set(attribute(conv, "dilations", [1])) != {1}:
        return False
    length = made[2] if attribute(conv, "auto_pad", b"NOTSET") == b"NOTSET" else None
    if length is None or length % times or len(weight) * times > MOST:
        return False
    return steps_beyond(conv, resize, times, values) >= 0


def window(conv: Any, times: int, values: Values) -> tuple[int, int]:
    """The first and the last sample before the upsampling that a step reads, counted from its own."""
    before, kernel = attribute(conv, "pads", [0, 0])[0], values.constants[conv.input[1]].shape[2]
    return -before // times, (times - 1 + kernel - 1 - before) // times


def steps_beyond(conv: Any, resize: Any, times: int, values: Values) -> int:
    """How far behind the end the last step reads."""
    length, made = (values.shapes[name][2] or 0 for name in (resize.input[0], conv.output[0]))
    return made // times - length + window(conv, times, values)[1]


def in_phases(conv: Any, resize: Any, times: int, values: Values) -> list[Any]:
    """The convolution before the upsampling, and what puts its channels behind each other."""
    from onnx import helper  # heavy

    weight, y = values.constants[conv.input[1]].astype(np.float64), conv.output[0]
    channels, _, kernel = weight.shape
    pads = attribute(conv, "pads", [0, 0])
    first, last = window(conv, times, values)
    phases = np.zeros((times, *weight.shape[:2], last - first + 1))
    for phase in range(times):
        for place in range(kernel):
            phases[phase, :, :, (phase + place - pads[0]) // times - first] += weight[:, :, place]
    bias = values.constants[conv.input[2]] if len(conv.input) > 2 and conv.input[2] else np.zeros(channels)
    pads = [-first, steps_beyond(conv, resize, times, values)]

    conv.input[0], conv.output[0] = resize.input[0], values.new_name(f"{y}_phases")
    set_weights(conv, values, phases.reshape(times * channels, *phases.shape[2:]), np.tile(bias, times))
    set_attributes(conv, kernel_shape=[last - first + 1], pads=pads)
    rows, behind = (values.new_name(f"{y}_{what}") for what in ("rows", "behind"))
    shape = values.add_constant(f"{y}_shape", np.array([0, values.shapes[y][2], channels], dtype=np.int64))
    return [
        conv,
        helper.make_node("Transpose", [conv.output[0]], [rows], perm=[0, 2, 1]),
        helper.make_node("Reshape", [rows, shape], [behind]),
        helper.make_node("Transpose", [behind], [y], perm=[0, 2, 1]),
    ]
