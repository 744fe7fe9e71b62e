"""Operations in int8, exactly as LiteRT's reference kernels compute them. Stored values have 128 added."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ecgedge_c.fixed_point import Multiplier, float32, mean_multiplier, multiplier_of
from ecgedge_c.lower import MOST_SUM, Lowering, Unsupported, activation, along, padding_of, rows_of
from ecgedge_c.net import Op, Tensor
from ecgedge_c.steps import APART, Constant, Rows, Step, window_rows

BLOCK = 64  # channels whose weights lie together, as the kernels have it
SHIFTED = 1 << 20  # bits that TFLite gives both sides of a sum beforehand

# Operations on single values: LiteRT's own answers to all 256 become a table.
SINGLE = frozenset({
    "ABS", "ELU", "EXP", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "NEG", "QUANTIZE", "RELU", "RELU6",
    "RELU_0_TO_1", "RELU_N1_TO_1", "RSQRT", "SQRT", "TANH",
})  # fmt: skip


def limits(op: Op, out: Tensor) -> tuple[int, int]:
    """The least and the most that an output may be, as stored, by its fused activation."""

    def stored(value: float) -> int:
        return max(
            0, min(255, out.stored_zero + int(np.floor(abs(value) / out.scale + 0.5)) * (1 if value > 0 else -1))
        )

    fused = activation(op)
    least = {"RELU": stored(0), "RELU6": stored(0), "RELU_N1_TO_1": stored(-1)}.get(fused, 0)
    most = {"RELU6": stored(6), "RELU_N1_TO_1": stored(1)}.get(fused, 255)
    return least, most


def check_scaled(op: Op, *tensors: Tensor) -> None:
    """Raise Unsupported where a tensor is no int8 with one scale."""
    for tensor in tensors:
        if tensor.dtype != "int8" or len(tensor.scales) != 1 or not tensor.scale:
            raise Unsupported(op, f"{tensor.name} is {tensor.dtype} with {len(tensor.scales)} scales", "use full-int8")


def weights_of(work: Lowering, op: Op) -> tuple[Tensor, np.ndarray]:
    """Its weights, int8 around 0. Raises Unsupported for others."""
    data, tensor = work.constant(op, 1), work.tensor(op.inputs[1])
    if tensor.dtype != "int8" or any(tensor.zeros) or not tensor.scales:
        raise Unsupported(op, f"its weights are {tensor.dtype}, or not around 0", "use full-int8")
    return tensor, data


def parameters(
    work: Lowering,
    op: Op,
    weights: np.ndarray,
    sums: np.ndarray,
    factors: list[Multiplier],
    cmsis_nn: np.ndarray | None = None,
) -> tuple[Constant, ...]:
    """Weights, biases with the zero point in them, and the factors of a layer, as constants.

    Args:
        weights: in the order in which the kernel reads them.
        sums: of the weights of each channel ``(C,)``, and of their sizes behind them.
        cmsis_nn: the weights in the order of CMSIS-NN, where that may be called.
    """
    channels, given = len(factors), work.given(op)
    index = op.inputs[2] if len(op.inputs) > 2 else -1
    bias = np.zeros(channels, np.int64) if index < 0 else work.constant(op, 2).astype(np.int64)
    folded = bias - given.stored_zero * sums[0]
    if int((np.abs(folded) + 255 * sums[1]).max()) > MOST_SUM:
        raise Unsupported(op, "its sums may not fit 32 bits", "use fewer channels or taps")
    return (
        Constant(f"weights_{op.number}", "int8_t", weights.reshape(-1), cmsis_nn),
        Constant(f"bias_{op.number}", "int32_t", folded),
        Constant(f"multiplier_{op.number}", "int32_t", np.array([one.value for one in factors])),
        Constant(f"shift_{op.number}", "shift_type", np.array([one.shift for one in factors])),
    )


def factors_of(given: Tensor, weights: Tensor, out: Tensor, channels: int) -> list[Multiplier]:
    """The factor of each channel from a sum of products to the output."""
    scales = weights.scales if len(weights.scales) > 1 else weights.scales * channels
    return [multiplier_of(given.scale * scale / out.scale) for scale in scales]


def layer(work: Lowering, op: Op, kernel: str, function: str, fill: dict[str, int], constants: tuple[Constant, ...],
          window: tuple[int, ...], rows: Rows | None) -> None:  # fmt: skip
    """Add a step with ``struct layer``.

    Args:
        window: length, stride, dilation, padding, length of the output, channels of the output.
        rows: how it makes them; None: it reads all of its input for each value.
    """
    given, out = work.given(op), work.made(op)
    least, most = limits(op, out)
    texts = (
        *(one.name for one in constants),
        *map(str, (given.stored_zero, out.stored_zero, least, most, *window)),
        "{pitch}",
    )
    call = f"{function}(&layer_{op.number}, {{0}}, {{y}});"
    distance = APART if rows is None else rows.distance()
    step = Step(kernel, function, op.inputs[:1], op.outputs[0], (distance,), op.told, fill,
                ("layer", texts), constants, call, rows)  # fmt: skip
    work.steps.append(step)


def conv(work: Lowering, op: Op) -> None:
    given, out = work.given(op), work.made(op)
    check_scaled(op, given, out)
    tensor, data = weights_of(work, op)
    (length, inputs), (out_length, channels) = rows_of(given, op), rows_of(out, op)
    if data.shape[-1] != inputs:
        raise Unsupported(op, "its channels are in groups", "use plain or depthwise convolutions")
    w = data.reshape(channels, -1, inputs).astype(np.int64)
    taps = w.shape[1]
    stride, dilation = along(op, given, "strideH", "strideW"), along(op, given, "dilationHFactor", "dilationWFactor")
    check_taps(op, data.shape[1:3], given)
    padding = padding_of(op, length, taps, stride, dilation, out_length)
    sums = np.stack([w.sum((1, 2)), np.abs(w).sum((1, 2))])
    factors = factors_of(given, tensor, out, channels)
    if inputs % 4:
        kernel, name, constants = "conv_few", "few", parameters(work, op, w.transpose(1, 2, 0), sums, factors)
    else:
        kernel, name = "conv_or_cmsis_nn" if work.cmsis_nn else "conv", "conv"
        constants = parameters(work, op, in_fours(w), sums, factors, w if work.cmsis_nn else None)
    function, fill = f"{name}_{inputs}x{taps}", {"inputs": inputs, "taps": taps}
    window = (length, stride, dilation, padding, out_length, channels)
    rows = window_rows(length, inputs, stride, padding, out_length, channels)
    layer(work, op, kernel, function, fill, constants, window, rows)


def in_fours(w: np.ndarray) -> np.ndarray:
    """Weights ``(C, K, I)`` as the kernels read them: blocks of channels, and four inputs of a channel together."""
    channels, taps, inputs = w.shape
    blocks = [w[start : start + BLOCK] for start in range(0, channels, BLOCK)]
    fours = [block.reshape(len(block), taps, inputs // 4, 4).transpose(1, 2, 0, 3) for block in blocks]
    return np.concatenate([block.reshape(-1) for block in fours])


def check_taps(op: Op, taps: tuple[int, int], given: Tensor) -> None:
    """Raise Unsupported for a window in two dimensions."""
    if 1 not in taps or (len(given.shape) == 4 and given.shape[2] != 1 and taps[0] != 1):
        raise Unsupported(op, f"its window is {taps[0]} by {taps[1]}", "use 1-D convolutions")


def depthwise(work: Lowering, op: Op) -> None:
    given, out = work.given(op), work.made(op)
    check_scaled(op, given, out)
    tensor, data = weights_of(work, op)
    (length, inputs), (out_length, channels) = rows_of(given, op), rows_of(out, op)
    check_taps(op, data.shape[1:3], given)
    w = data.reshape(-1, channels).astype(np.int64)
    taps = w.shape[0]
    stride, dilation = along(op, given, "strideH", "strideW"), along(op, given, "dilationHFactor", "dilationWFactor")
    padding = padding_of(op, length, taps, stride, dilation, out_length)
    sums = np.stack([w.sum(0), np.abs(w).sum(0)])
    constants = parameters(work, op, w, sums, factors_of(given, tensor, out, channels))
    fill = {"taps": taps, "each": channels // inputs}
    window = (length, stride, dilation, padding, out_length, channels)
    rows = window_rows(length, inputs, stride, padding, out_length, channels)
    layer(work, op, "depthwise", f"depthwise_{taps}x{channels // inputs}", fill, constants, window, rows)


def dense(work: Lowering, op: Op) -> None:
    """A dense layer, of which TFLite rounds the output once."""
    given, out = work.given(op), work.made(op)
    check_scaled(op, given, out)
    tensor, data = weights_of(work, op)
    channels, inputs = data.shape
    if given.count != inputs:
        raise Unsupported(op, f"it is applied to {given.count // inputs} rows", "use a 1x1 convolution")
    w = data.astype(np.int64)
    sums = np.stack([w.sum(1), np.abs(w).sum(1)])
    factors = factors_of(given, tensor, out, channels)
    if len(tensor.scales) == 1:  # whose product TFLite rounds to single precision
        factors = [multiplier_of(float32(given.scale * tensor.scale) / out.scale)] * channels
    fours = -(-inputs // 4)
    padded = np.pad(w, ((0, 0), (0, 4 * fours - inputs)))[:, None]
    constants = parameters(work, op, in_fours(padded), sums, factors)
    layer(work, op, "dense", "dense", {}, constants, (fours, 1, 1, 0, 1, channels), None)


def pool(work: Lowering, op: Op) -> None:
    given, out = work.given(op), work.made(op)
    check_scaled(op, given, out)
    (length, channels), (out_length, _) = rows_of(given, op), rows_of(out, op)
    least, most = limits(op, out)
    window = pool_window(op, given, length, channels, out_length)
    kernel = "max_pool" if op.kind == "MAX_POOL_2D" else "average_pool"
    rows = window_rows(length, channels, window[3], window[4], out_length, channels)
    texts = (*map(str, window), "{pitch}", str(least), str(most))
    call = f"{kernel}(&pool_{op.number}, {{0}}, {{y}});"
    step = Step(kernel, kernel, op.inputs, op.outputs[0], (rows.distance(),), op.told, struct=("pool", texts),
                call=call, rows=rows)  # fmt: skip
    work.steps.append(step)


def pool_window(op: Op, given: Tensor, length: int, channels: int, out_length: int) -> tuple[int, ...]:
    """Length, channels, taps, stride, padding and length of the output of a pooling."""
    taps, stride = along(op, given, "filterHeight", "filterWidth"), along(op, given, "strideH", "strideW")
    other = along(op, given, "filterWidth", "filterHeight")
    if other != 1:
        raise Unsupported(op, f"its window is {other} by {taps}", "use 1-D pooling")
    return length, channels, taps, stride, padding_of(op, length, taps, stride, 1, out_length), out_length


def mean(work: Lowering, op: Op) -> None:
    given, out = work.given(op), work.made(op)
    check_scaled(op, given, out)
    length, channels = meant(work, op)
    factor = mean_multiplier(given.scale, out.scale, length)
    texts = tuple(map(str, (length, channels, given.stored_zero, out.stored_zero, factor.value, factor.shift)))
    call = f"mean_of(&mean_{op.number}, {{0}}, {{y}});"
    step = Step("mean", "mean", op.inputs[:1], op.outputs[0], (0,), op.told, struct=("mean", texts), call=call)
    work.steps.append(step)


def meant(work: Lowering, op: Op) -> tuple[int, int]:
    """Length and channels of what a mean is taken of. Raises Unsupported where it is not that over all samples."""
    given = work.given(op)
    axes = sorted(int(axis) % len(given.shape) for axis in np.atleast_1d(work.constant(op, 1)))
    long = [axis for axis in axes if given.shape[axis] != 1]
    rest = [axis for axis in range(len(given.shape)) if axis not in axes and given.shape[axis] != 1]
    if len(long) > 1 or (long and rest and max(rest) < long[0]) or len(rest) > 1:
        raise Unsupported(op, f"it is over axes {axes} of {list(given.shape)}", "take the mean over all samples")
    length = int(np.prod([given.shape[axis] for axis in long], dtype=np.int64))
    return length, given.count // length


def pair(work: Lowering, op: Op) -> None:
    """Sum, difference or product of two tensors, or of one and a constant; the smaller is repeated."""
    a, b, period = pair_of(work, op)
    out = work.made(op)
    check_scaled(op, a, b, out)
    least, most = limits(op, out)
    if op.kind == "MUL":
        product = multiplier_of(float32(float32(a.scale * b.scale) / out.scale))
        ones, twos, whole, kernel = Multiplier(0, 0), Multiplier(0, 0), product, "multiply"
    else:
        twice = 2 * max(a.scale, b.scale)
        ones, twos = multiplier_of(a.scale / twice), multiplier_of(b.scale / twice)
        whole, kernel = multiplier_of(twice / (SHIFTED * out.scale)), "add"
    sign = -1 if op.kind == "SUB" else 1
    values = (out.count, period, a.stored_zero, b.stored_zero, out.stored_zero, least, most, ones.shift, twos.shift,
              whole.shift, ones.value, sign * twos.value, whole.value)  # fmt: skip
    add_pair(work, op, kernel, a, b, tuple(map(str, values)))


def pair_of(work: Lowering, op: Op) -> tuple[Tensor, Tensor, int]:
    """Both inputs, the larger first, and how many values the second has. Raises Unsupported."""
    a, b, out = work.tensor(op.inputs[0]), work.tensor(op.inputs[1]), work.made(op)
    if (a.count < b.count or a.data is not None) and op.kind != "SUB":
        a, b = b, a
    trimmed = list(b.shape)
    while trimmed and trimmed[0] == 1:
        trimmed.pop(0)
    if a.count != out.count or a.data is not None or tuple(trimmed) != out.shape[len(out.shape) - len(trimmed) :]:
        told = f"it takes {list(a.shape)} and {list(b.shape)}"
        raise Unsupported(op, told, "the second has to be as the first, or one value for each channel")
    return a, b, b.count


def add_pair(work: Lowering, op: Op, kernel: str, a: Tensor, b: Tensor, texts: tuple[str, ...]) -> None:
    """Add a step of two inputs, of which the second may be a constant."""
    constants: tuple[Constant, ...] = ()
    reads: tuple[int, ...] = (a.index, b.index)
    second = "{1}"
    distance: tuple[int, ...] = (0, 0 if b.count == a.count else APART)
    if b.data is not None:
        is_float = work.net.is_float
        values = b.data.reshape(-1) if is_float else b.data.reshape(-1).astype(np.int16) + 128
        constants = (Constant(f"values_{op.number}", "float" if is_float else "uint8_t", values),)
        reads, second, distance = (a.index,), f"values_{op.number}", (0,)
    call = f"{kernel}(&pair_{op.number}, {{0}}, {second}, {{y}});"
    step = Step(kernel, kernel, reads, op.outputs[0], distance, op.told, struct=("pair", texts),
                constants=constants, call=call)  # fmt: skip
    work.steps.append(step)


def look_up(work: Lowering, op: Op, answers: np.ndarray) -> None:
    """A table of an operation on single values."""
    given = work.given(op)
    constant = Constant(f"table_{op.number}", "uint8_t", answers)
    call = f"look_up(table_{op.number}, {given.count}, {{0}}, {{y}});"
    step = Step("look_up", "look_up", op.inputs[:1], op.outputs[0], (0,), op.told, constants=(constant,), call=call)
    work.steps.append(step)


KNOWN: dict[str, Callable[[Lowering, Op], None]] = {
    "CONV_2D": conv,
    "DEPTHWISE_CONV_2D": depthwise,
    "FULLY_CONNECTED": dense,
    "MAX_POOL_2D": pool,
    "AVERAGE_POOL_2D": pool,
    "MEAN": mean,
    "ADD": pair,
    "SUB": pair,
    "MUL": pair,
}
