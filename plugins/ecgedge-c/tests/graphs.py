"""Small random int8 graphs of all operations that there is C for, drawn by hypothesis."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ecgedge_c.builder import Call, build
from ecgedge_c.net import Tensor
from hypothesis import strategies as st

SINGLE = ("RELU", "RELU6", "LOGISTIC", "TANH", "HARD_SWISH", "LEAKY_RELU", "QUANTIZE")


@dataclass
class Graph:
    """A graph in the making: tensors ``(1, 1, L, C)`` or ``(1, L, 1, C)``, and the operations so far."""

    rng: np.random.Generator
    tall: bool
    tensors: list[Tensor] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def scale(self) -> float:
        return float(np.float32(10 ** self.rng.uniform(-2.5, 0)))

    def add(self, shape: tuple[int, ...], scale: float | None = None, zero: int | None = None) -> int:
        index = len(self.tensors)
        scale = self.scale() if scale is None else scale
        zero = int(self.rng.integers(-128, 128)) if zero is None else zero
        self.tensors.append(Tensor(index, f"t{index}", shape, "int8", (scale,), (zero,)))
        return index

    def constant(
        self, values: np.ndarray, scales: tuple[float, ...] = (), zeros: tuple[int, ...] = (), axis: int = 0
    ) -> int:
        index = len(self.tensors)
        self.tensors.append(
            Tensor(
                index, f"t{index}", values.shape, str(values.dtype), scales, zeros or (0,) * len(scales), axis, values
            )
        )
        return index

    def rows(self, length: int, channels: int) -> tuple[int, ...]:
        return (1, length, 1, channels) if self.tall else (1, 1, length, channels)

    def window(self, taps: int, channels: tuple[int, int]) -> tuple[int, ...]:
        return (channels[0], taps, 1, channels[1]) if self.tall else (channels[0], 1, taps, channels[1])

    def along(self, name: str, value: int) -> dict[str, int]:
        """An option along the samples, and 1 across them."""
        tall, wide = f"{name}{'Height' if name == 'filter' else 'H'}", f"{name}{'Width' if name == 'filter' else 'W'}"
        if name == "dilation":
            tall, wide = "dilationHFactor", "dilationWFactor"
        return {tall: value, wide: 1} if self.tall else {tall: 1, wide: value}

    def call(self, kind: str, inputs: list[int], output: int, version: int = 1, **options: Any) -> None:
        self.calls.append(Call(kind, inputs, [output], options, version))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[bytes, int]:
    """A file, and the number of its input values."""
    graph = Graph(np.random.default_rng(draw(st.integers(0, 2**32))), draw(st.booleans()))
    length, channels = draw(st.integers(4, 24)), draw(st.sampled_from([1, 2, 3, 4, 8, 12, 64]))
    first = now = graph.add(graph.rows(length, channels))
    seen = [first]
    for _ in range(draw(st.integers(1, 5))):
        kinds = ["conv", "depthwise", "max", "average", "add", "mul", "sub", "concat", "branches", "slice", "pad",
                 "single", "same"]  # fmt: skip
        now = STEPS[draw(st.sampled_from(kinds))](graph, now, seen, draw)
        seen.append(now)
    end = draw(st.sampled_from(["none", "mean", "dense", "both", "transpose"]))
    if end in ("mean", "both"):
        now = mean(graph, now)
    if end in ("dense", "both"):
        now = dense(graph, now, draw)
    if end == "transpose":
        now = transpose(graph, now)
    return build(graph.tensors, graph.calls, first, now), length * channels


def size(graph: Graph, index: int) -> tuple[int, int]:
    shape = graph.tensors[index].shape
    return int(np.prod(shape[1:-1])), shape[-1]


def conv(graph: Graph, now: int, seen: list[int], draw: st.DrawFn, each: int = 0) -> int:
    length, inputs = size(graph, now)
    taps, stride = draw(st.integers(1, 5)), draw(st.sampled_from([1, 1, 2]))
    dilation = draw(st.sampled_from([1, 1, 2, 3])) if stride == 1 else 1
    padding = draw(st.sampled_from([0, 1]))
    reach = (taps - 1) * dilation + 1
    if padding == 1 and reach > length:
        padding = 0
    out_length = -(-length // stride) if padding == 0 else (length - reach) // stride + 1
    channels = inputs * each if each else draw(st.sampled_from([1, 3, 4, 8, 17, 64, 65, 128, 260]))
    shape = graph.window(taps, (1, channels) if each else (channels, inputs))
    weights = graph.rng.integers(-127, 128, shape).astype(np.int8)
    scales = tuple(graph.scale() * 0.1 for _ in range(channels))
    scales = tuple(float(np.float32(scale)) for scale in scales)
    w = graph.constant(weights, scales, axis=3 if each else 0)
    bias = graph.constant(graph.rng.integers(-5000, 5000, channels).astype(np.int32), tuple(
        graph.tensors[now].scale * scale for scale in scales))  # fmt: skip
    out = graph.add(graph.rows(out_length, channels))
    options = {"padding": padding, "fusedActivationFunction": draw(st.sampled_from([0, 1, 3]))}
    options |= graph.along("stride", stride) | graph.along("dilation", dilation)
    kind = "DEPTHWISE_CONV_2D" if each else "CONV_2D"
    graph.call(kind, [now, w, bias], out, 3, **options, **({"depthMultiplier": each} if each else {}))
    return out


def depthwise(graph: Graph, now: int, seen: list[int], draw: st.DrawFn) -> int:
    return conv(graph, now, seen, draw, each=draw(st.sampled_from([1, 2])))


def pool(graph: Graph, now: int, seen: list[int], draw: st.DrawFn, kind: str = "MAX_POOL_2D") -> int:
    length, channels = size(graph, now)
    taps, stride, padding = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.sampled_from([0, 1]))
    if taps > length:
        taps = 1
    out_length = -(-length // stride) if padding == 0 else (length - taps) // stride + 1
    tensor = graph.tensors[now]
    out = graph.add(graph.rows(out_length, channels), tensor.scale, tensor.zero)
    options = {"padding": padding, "fusedActivationFunction": draw(st.sampled_from([0, 1]))}
    graph.call(kind, [now], out, 2, **options, **graph.along("stride", stride), **graph.along("filter", taps))
    return out


def average(graph: Graph, now: int, seen: list[int], draw: st.DrawFn) -> int:
    return pool(graph, now, seen, draw, "AVERAGE_POOL_2D")


def pair(graph: Graph, now: int, seen: list[int], draw: st.DrawFn, kind: str = "ADD") -> int:
    shape = graph.tensors[now].shape
    alike = [index for index in seen if graph.tensors[index].shape == shape]
    other = draw(st.sampled_from([*alike, -1, -2]))
    if other < 0:  # a constant: as large, or one value for each channel
        values = graph.rng.integers(-128, 128, shape if other == -1 else shape[-1:]).astype(np.int8)
        other = graph.constant(values, (graph.scale(),), (int(graph.rng.integers(-128, 128)),))
    out = graph.add(shape)
    graph.call(kind, [now, other], out, 2, fusedActivationFunction=draw(st.sampled_from([0, 1])))
    return out


def multiply(graph: Graph, now: int, seen: list[int], draw: st.DrawFn) -> int:
    return pair(graph, now, seen, draw, "MUL")


def subtract(graph: Graph, now: int, seen: list[int], draw: st.DrawFn) -> int:
    return pair(graph, now, seen, draw, "SUB")


def concatenation(graph: Graph, now: int, seen: list[int], draw: st.DrawFn) -> int:
    tensor = graph.tensors[now]
    alike = [i for i in seen if (graph.tensors[i].shape, graph.tensors[i].scales, graph.tensors[i].zeros)
             == (tensor.shape, tensor.scales, tensor.zeros)]  # fmt: skip
    parts = [now, *draw(st.lists(st.sampled_from(alike or [now]), min_size=1, max_size=2))]
    axis = draw(st.sampled_from([3, 1 if graph.tall else 2]))
    shape = list(tensor.shape)
    shape[axis] *= len(parts)
    out = graph.add(tuple(shape), tensor.scale, tensor.zero)
    graph.call("CONCATENATION", parts, out, 2, axis=axis)
    return out


def branches(graph: Graph, now: int, seen: list[int], draw: st.DrawFn) -> int:
    """Branches that a concatenation alone reads, beside one that others may read, too."""
    length, _ = size(graph, now)
    tensor = graph.tensors[now]
    kinds = draw(st.lists(st.sampled_from(["conv", "depthwise", "pool", "given"]), min_size=2, max_size=4))
    parts = [branch(graph, now, kind, draw) for kind in kinds]
    out = graph.add(graph.rows(length, sum(graph.tensors[part].shape[-1] for part in parts)), tensor.scale, tensor.zero)
    graph.call("CONCATENATION", parts, out, 2, axis=3)
    return out


def branch(graph: Graph, now: int, kind: str, draw: st.DrawFn) -> int:
    """A tensor as long as ``now`` and with its scale."""
    tensor = graph.tensors[now]
    if kind == "given":
        return now
    if kind == "pool":
        out = graph.add(tensor.shape, tensor.scale, tensor.zero)
        options = graph.along("stride", 1) | graph.along("filter", draw(st.integers(1, 4)))
        graph.call("MAX_POOL_2D", [now], out, 2, padding=0, fusedActivationFunction=0, **options)
        return out
    inputs = tensor.shape[-1]
    channels = inputs if kind == "depthwise" else draw(st.sampled_from([1, 4, 17, 64]))
    taps, dilation = draw(st.integers(1, 5)), draw(st.sampled_from([1, 2]))
    shape = graph.window(taps, (1, channels) if kind == "depthwise" else (channels, inputs))
    scales = tuple(float(np.float32(graph.scale() * 0.1)) for _ in range(channels))
    w = graph.constant(
        graph.rng.integers(-127, 128, shape).astype(np.int8), scales, axis=3 if kind == "depthwise" else 0
    )
    bias = graph.constant(np.zeros(channels, np.int32), tuple(tensor.scale * scale for scale in scales))
    out = graph.add((*tensor.shape[:-1], channels), tensor.scale, tensor.zero)
    options = {"padding": 0, "fusedActivationFunction": draw(st.sampled_from([0, 1]))}
    options |= graph.along("stride", 1) | graph.along("dilation", dilation)
    name = "DEPTHWISE_CONV_2D" if kind == "depthwise" else "CONV_2D"
    graph.call(name, [now, w, bias], out, 3, **options, **({"depthMultiplier": 1} if kind == "depthwise" else {}))
    return out


def piece(graph: Graph, now: int, seen: list[int], draw: st.DrawFn) -> int:
    tensor = graph.tensors[now]
    axis = draw(st.sampled_from([3, 1 if graph.tall else 2]))
    shape = tensor.shape
    begin = draw(st.integers(0, shape[axis] - 1))
    end, step = draw(st.integers(begin + 1, shape[axis])), draw(st.sampled_from([1, 2])) if axis != 3 else 1
    arrays = [np.zeros(4, np.int32), np.array(shape, np.int32), np.ones(4, np.int32)]
    arrays[0][axis], arrays[1][axis], arrays[2][axis] = begin, end, step
    made = list(shape)
    made[axis] = len(range(begin, end, step))
    out = graph.add(tuple(made), tensor.scale, tensor.zero)
    graph.call("STRIDED_SLICE", [now, *(graph.constant(array) for array in arrays)], out, 2)
    return out


def pad(graph: Graph, now: int, seen: list[int], draw: st.DrawFn) -> int:
    tensor = graph.tensors[now]
    amounts = np.zeros((4, 2), np.int32)
    amounts[1 if graph.tall else 2] = draw(st.integers(0, 3)), draw(st.integers(1, 3))
    shape = tuple(int(n + a.sum()) for n, a in zip(tensor.shape, amounts, strict=True))
    out = graph.add(shape, tensor.scale, tensor.zero)
    graph.call("PAD", [now, graph.constant(amounts)], out, 2)
    return out


def single(graph: Graph, now: int, seen: list[int], draw: st.DrawFn) -> int:
    tensor = graph.tensors[now]
    kind = draw(st.sampled_from(SINGLE))
    fixed = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}.get(kind, (None, None))
    out = graph.add(tensor.shape, *fixed)
    graph.call(kind, [now], out, 2 if kind != "HARD_SWISH" else 1, **({"alpha": 0.1} if kind == "LEAKY_RELU" else {}))
    return out


def same(graph: Graph, now: int, seen: list[int], draw: st.DrawFn) -> int:
    """A reshape there and back, so that two tensors have one place."""
    tensor = graph.tensors[now]
    flat = graph.add((1, tensor.count), tensor.scale, tensor.zero)
    graph.call("RESHAPE", [now, graph.constant(np.array([1, tensor.count], np.int32))], flat)
    out = graph.add(tensor.shape, tensor.scale, tensor.zero)
    graph.call("RESHAPE", [flat, graph.constant(np.array(tensor.shape, np.int32))], out)
    return out


def mean(graph: Graph, now: int) -> int:
    channels = graph.tensors[now].shape[-1]
    out = graph.add((1, channels))
    graph.call("MEAN", [now, graph.constant(np.array([1, 2], np.int32))], out, 2, keepDims=False)
    return out


def dense(graph: Graph, now: int, draw: st.DrawFn) -> int:
    tensor = graph.tensors[now]
    if len(tensor.shape) != 2:
        flat = graph.add((1, tensor.count), tensor.scale, tensor.zero)
        graph.call("RESHAPE", [now, graph.constant(np.array([1, tensor.count], np.int32))], flat)
        now, tensor = flat, graph.tensors[flat]
    channels = draw(st.sampled_from([1, 5, 64, 66]))
    weights = graph.rng.integers(-127, 128, (channels, tensor.count)).astype(np.int8)
    scales = tuple(float(np.float32(graph.scale() * 0.1)) for _ in range(draw(st.sampled_from([1, channels]))))
    biases = graph.rng.integers(-5000, 5000, channels).astype(np.int32)
    inputs = [now, graph.constant(weights, scales)]
    inputs.append(graph.constant(biases, tuple(tensor.scale * scale for scale in scales)))
    out = graph.add((1, channels))
    graph.call("FULLY_CONNECTED", inputs, out, 4, fusedActivationFunction=draw(st.sampled_from([0, 1])))
    return out


def transpose(graph: Graph, now: int) -> int:
    tensor = graph.tensors[now]
    order = [0, 3, 2, 1] if graph.tall else [0, 1, 3, 2]
    out = graph.add(tuple(tensor.shape[axis] for axis in order), tensor.scale, tensor.zero)
    graph.call("TRANSPOSE", [now, graph.constant(np.array(order, np.int32))], out, 2)
    return out


STEPS = {
    "conv": conv,
    "depthwise": depthwise,
    "max": pool,
    "average": average,
    "add": pair,
    "mul": multiply,
    "sub": subtract,
    "concat": concatenation,
    "branches": branches,
    "slice": piece,
    "pad": pad,
    "single": single,
    "same": same,
}
