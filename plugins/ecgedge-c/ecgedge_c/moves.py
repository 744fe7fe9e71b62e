"""Operations that move values and compute nothing: reshapes, slices, concatenations, paddings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ecgedge_c.lower import Lowering, Unsupported
from ecgedge_c.net import Op
from ecgedge_c.steps import APART, Constant, Join, Step, copied_rows, joined_distance


def reshape(work: Lowering, op: Op) -> None:
    work.alias(op)


def concatenation(work: Lowering, op: Op) -> None:
    """Rows of the inputs, one after another; all have the same scale, as TFLite wants it."""
    tensors = [work.given(op, which) for which in range(len(op.inputs))]
    out = work.made(op)
    if op.options.get("fusedActivationFunction", 0):
        raise Unsupported(op, "it is fused with an activation", "apply it before")
    if any(tensor.scales[:1] != out.scales[:1] or tensor.zeros[:1] != out.zeros[:1] for tensor in tensors):
        raise Unsupported(op, "its inputs have other scales than its output", "quantize it with one scale")
    axis = int(op.options.get("axis", 0)) % len(out.shape)
    count = int(np.prod(out.shape[:axis]))
    widths = [int(np.prod(tensor.shape[axis:])) for tensor in tensors]
    places = [work.place(index) for index in op.inputs]
    distance = tuple(
        joined_distance(count, widths, [i for i, other in enumerate(places) if other == place]) for place in places
    )
    name = f"widths_{op.number}"
    constant = Constant(name, "int", np.array(widths, np.int32) * size_of(work))
    pointers = ", ".join(f"{{{i}}}" for i in range(len(widths)))
    call = (
        f"{{{{ const void *const parts[] = {{{{{pointers}}}}}; join({count}, {len(widths)}, parts, {name}, {{y}}); }}}}"
    )
    step = Step("join", "join", op.inputs, op.outputs[0], distance, op.told, constants=(constant,), call=call,
                join=Join(count, tuple(widths)))  # fmt: skip
    work.steps.append(step)


def strided_slice(work: Lowering, op: Op) -> None:
    begins, ends, strides = (work.constant(op, which) for which in (1, 2, 3))
    if op.options.get("ellipsisMask") or op.options.get("newAxisMask"):
        raise Unsupported(op, "it has an ellipsis or a new axis", "slice one axis")
    shape = work.given(op).shape
    begin_mask, end_mask = int(op.options.get("beginMask", 0)), int(op.options.get("endMask", 0))
    shrink = int(op.options.get("shrinkAxisMask", 0))
    ranges = []
    for axis, size in enumerate(shape):
        if axis >= len(begins):
            ranges.append(range(size))
            continue
        begin = None if begin_mask >> axis & 1 else int(begins[axis])
        end = None if end_mask >> axis & 1 else int(ends[axis])
        if shrink >> axis & 1:
            begin, end = int(begins[axis]), int(begins[axis]) + 1 or None
        ranges.append(range(*slice(begin, end, int(strides[axis])).indices(size)))
    take_rows(work, op, ranges)


def plain_slice(work: Lowering, op: Op) -> None:
    begins, sizes = work.constant(op, 1), work.constant(op, 2)
    shape = work.given(op).shape
    ends = [size if many < 0 else begin + many for begin, many, size in zip(begins, sizes, shape, strict=True)]
    take_rows(work, op, [range(int(begin), int(end)) for begin, end in zip(begins, ends, strict=True)])


def take_rows(work: Lowering, op: Op, ranges: list[range]) -> None:
    """Part of one axis as rows. Raises Unsupported where several axes are cut."""
    shape = work.given(op).shape
    cut = [axis for axis, part in enumerate(ranges) if part != range(shape[axis])]
    if not cut:
        return work.alias(op)
    if len(cut) > 1:
        raise Unsupported(op, f"it cuts {len(cut)} axes at once", "slice one axis after another")
    axis, part = cut[0], ranges[cut[0]]
    outer, inner = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
    if part.step == 1:
        count, base, pitch, width = outer, part.start * inner, shape[axis] * inner, len(part) * inner
    elif outer == 1 and part.step > 0:
        count, base, pitch, width = len(part), part.start * inner, part.step * inner, inner
    else:
        raise Unsupported(op, f"it takes steps of {part.step} along axis {axis}", "slice with a step of 1")
    size = size_of(work)
    call = f"rows({count}, {{0}} + {base}, {pitch * size}, {{y}}, {{pitch}} * {size}, {width * size});"
    rows = copied_rows(count, base, pitch, width)
    work.steps.append(
        Step("rows", "rows", op.inputs[:1], op.outputs[0], (rows.distance(),), op.told, call=call, rows=rows)
    )


def pad(work: Lowering, op: Op) -> None:
    """Padding of the first axis that is longer than 1, by the zero point or the value of ``PADV2``."""
    given, out, amounts = work.given(op), work.made(op), work.constant(op, 1)
    padded = [axis for axis in range(len(given.shape)) if amounts[axis].any()]
    if not padded:
        return work.alias(op)
    inner = int(np.prod(given.shape[padded[0] + 1 :]))
    if len(padded) > 1 or int(np.prod(given.shape[: padded[0]])) != 1:
        raise Unsupported(op, "it pads channels, or several axes", "pad along the samples")
    before, after = (int(amount) * inner for amount in amounts[padded[0]])
    if work.net.is_float:
        value = float(work.constant(op, 2).reshape(-1)[0]) if op.kind == "PADV2" else 0.0
        call = f"pad_float({before}, {given.count}, {after}, {value!r}f, {{0}}, {{y}});"
    else:
        stored = int(work.constant(op, 2).reshape(-1)[0]) + 128 if op.kind == "PADV2" else out.stored_zero
        call = f"pad({before}, {given.count}, {after}, {stored}, {{0}}, {{y}});"
    kernel = "pad_float" if work.net.is_float else "pad"
    work.steps.append(Step(kernel, kernel, op.inputs[:1], op.outputs[0], (0,), op.told, call=call))


def transpose(work: Lowering, op: Op) -> None:
    """Two axes exchanged; those of 1 may go anywhere."""
    shape, order = work.given(op).shape, [int(axis) for axis in work.constant(op, 1)]
    long = [axis for axis in order if shape[axis] != 1]
    if long == sorted(long):
        return work.alias(op)
    if len(long) != 2:
        raise Unsupported(op, f"it reorders {len(long)} axes", "use tensors of (1, L, C)")
    kernel = "transpose_float" if work.net.is_float else "transpose"
    call = f"{kernel}({shape[long[1]]}, {shape[long[0]]}, {{0}}, {{y}});"
    work.steps.append(Step(kernel, kernel, op.inputs[:1], op.outputs[0], (APART,), op.told, call=call))


def size_of(work: Lowering) -> int:
    """Bytes of a value in the arena."""
    return 4 if work.net.is_float else 1


KNOWN: dict[str, Callable[[Lowering, Op], None]] = {
    "RESHAPE": reshape,
    "SQUEEZE": reshape,
    "EXPAND_DIMS": reshape,
    "CONCATENATION": concatenation,
    "STRIDED_SLICE": strided_slice,
    "SLICE": plain_slice,
    "PAD": pad,
    "PADV2": pad,
    "TRANSPOSE": transpose,
}
