"""Operations in float32, in the order of LiteRT's reference kernels: for comparison with int8."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ecgedge_c.integers import add_pair, check_taps, meant, pair_of, pool_window
from ecgedge_c.lower import Lowering, Unsupported, activation, along, padding_of, rows_of
from ecgedge_c.net import Op
from ecgedge_c.steps import APART, Constant, Rows, Step, window_rows

MOST = "3.402823466e+38f"
LIMITS = {
    "none": (f"-{MOST}", MOST),
    "RELU": ("0.0f", MOST),
    "RELU6": ("0.0f", "6.0f"),
    "RELU_N1_TO_1": ("-1.0f", "1.0f"),
}


def layer(work: Lowering, op: Op, kernel: str, function: str, fill: dict[str, int], weights: np.ndarray,
          window: tuple[int, ...], rows: Rows | None) -> None:  # fmt: skip
    """Add a step with ``struct layer``.

    Args:
        window: length, stride, dilation, padding, length of the output, channels of the output.
        rows: how it makes them; None: it reads all of its input for each value.
    """
    index = op.inputs[2] if len(op.inputs) > 2 else -1
    bias = np.zeros(window[-1], np.float32) if index < 0 else work.constant(op, 2)
    constants = (
        Constant(f"weights_{op.number}", "float", weights.reshape(-1)),
        Constant(f"bias_{op.number}", "float", bias),
    )
    texts = (*(one.name for one in constants), *LIMITS[activation(op)], *map(str, window), "{pitch}")
    call = f"{function}(&layer_{op.number}, {{0}}, {{y}});"
    distance = APART if rows is None else rows.distance()
    step = Step(kernel, function, op.inputs[:1], op.outputs[0], (distance,), op.told, fill,
                ("layer", texts), constants, call, rows)  # fmt: skip
    work.steps.append(step)


def weights_of(work: Lowering, op: Op) -> np.ndarray:
    """Its weights. Raises Unsupported where they are not float32."""
    data = work.constant(op, 1)
    if data.dtype != np.float32:
        raise Unsupported(op, f"its weights are {data.dtype}", "use fp32 or full-int8")
    return data


def conv(work: Lowering, op: Op) -> None:
    given, out = work.given(op), work.made(op)
    data = weights_of(work, op)
    (length, inputs), (out_length, channels) = rows_of(given, op), rows_of(out, op)
    if data.shape[-1] != inputs:
        raise Unsupported(op, "its channels are in groups", "use plain or depthwise convolutions")
    check_taps(op, data.shape[1:3], given)
    w = data.reshape(channels, -1, inputs).transpose(1, 2, 0)
    taps = w.shape[0]
    stride, dilation = along(op, given, "strideH", "strideW"), along(op, given, "dilationHFactor", "dilationWFactor")
    padding = padding_of(op, length, taps, stride, dilation, out_length)
    rows = window_rows(length, inputs, stride, padding, out_length, channels)
    window = (length, stride, dilation, padding, out_length, channels)
    layer(work, op, "conv_float", f"conv_{inputs}x{taps}", {"inputs": inputs, "taps": taps}, w, window, rows)


def depthwise(work: Lowering, op: Op) -> None:
    given, out = work.given(op), work.made(op)
    data = weights_of(work, op)
    (length, inputs), (out_length, channels) = rows_of(given, op), rows_of(out, op)
    check_taps(op, data.shape[1:3], given)
    w = data.reshape(-1, channels)
    taps = w.shape[0]
    stride, dilation = along(op, given, "strideH", "strideW"), along(op, given, "dilationHFactor", "dilationWFactor")
    padding = padding_of(op, length, taps, stride, dilation, out_length)
    rows = window_rows(length, inputs, stride, padding, out_length, channels)
    window = (length, stride, dilation, padding, out_length, channels)
    fill = {"taps": taps, "each": channels // inputs}
    layer(work, op, "depthwise_float", f"depthwise_{taps}x{channels // inputs}", fill, w, window, rows)


def dense(work: Lowering, op: Op) -> None:
    """A dense layer, as a convolution with one sample and one tap."""
    given, data = work.given(op), weights_of(work, op)
    channels, inputs = data.shape
    if given.count != inputs:
        raise Unsupported(op, f"it is applied to {given.count // inputs} rows", "use a 1x1 convolution")
    layer(work, op, "conv_float", f"conv_{inputs}x1", {"inputs": inputs, "taps": 1}, data.T, (1, 1, 1, 0, 1, channels),
          None)  # fmt: skip


def pool(work: Lowering, op: Op) -> None:
    given, out = work.given(op), work.made(op)
    (length, channels), (out_length, _) = rows_of(given, op), rows_of(out, op)
    window = pool_window(op, given, length, channels, out_length)
    kernel = "max_pool_float" if op.kind == "MAX_POOL_2D" else "average_pool_float"
    rows = window_rows(length, channels, window[3], window[4], out_length, channels)
    texts = (*map(str, window), "{pitch}", *LIMITS[activation(op)])
    call = f"{kernel}(&pool_{op.number}, {{0}}, {{y}});"
    step = Step(kernel, kernel, op.inputs, op.outputs[0], (rows.distance(),), op.told, struct=("pool", texts),
                call=call, rows=rows)  # fmt: skip
    work.steps.append(step)


def mean(work: Lowering, op: Op) -> None:
    length, channels = meant(work, op)
    call = f"mean_float(&mean_{op.number}, {{0}}, {{y}});"
    texts = (str(length), str(channels))
    step = Step("mean_float", "mean_float", op.inputs[:1], op.outputs[0], (0 if length == 1 else APART,), op.told,
                struct=("mean", texts), call=call)  # fmt: skip
    work.steps.append(step)


def pair(work: Lowering, op: Op) -> None:
    a, b, period = pair_of(work, op)
    kernel = {"ADD": "add_float", "SUB": "subtract_float", "MUL": "multiply_float"}[op.kind]
    texts = (str(a.count), str(period), *LIMITS[activation(op)])
    add_pair(work, op, kernel, a, b, texts)


def limit(work: Lowering, op: Op) -> None:
    least, most = LIMITS[op.kind]
    call = f"limit_float({work.given(op).count}, {least}, {most}, {{0}}, {{y}});"
    step = Step("limit_float", "limit_float", op.inputs[:1], op.outputs[0], (0,), op.told, call=call)
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
    "RELU": limit,
    "RELU6": limit,
    "RELU_N1_TO_1": limit,
}
