"""An integer ONNX file carried out in numpy, product by product: exact, or as x86-64 without VNNI would.

Layers of integers are computed in integers and rounded as onnxruntime's kernels do; whatever lies between them goes by
onnx's reference operations. It is slow, and shares nothing with the kernels that it is held against.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.portability import products
from ecgedge.portability.integers import Quantized, Rounded, along, bias_of, real, rounded
from ecgedge.portability.onnx_nodes import OnnxFile, attributes
from ecgedge.portability.products import Counts
from ecgedge.portability.windows import windows

PIECE = 100  # beats at once
SUMS = ("Conv", "Gemm", "MatMul")
CLIPS = ("Relu", "Clip")


@dataclass
class Layer:
    """A layer whose products are of 8-bit integers.

    Attributes:
        name: of the node.
        types: of its activations and weights.
        counts: of its pairs; None: none are added in 16 bits.
        lowest: its weights of -128.
        reaches: the largest sum that it can come to, in magnitude.
        changed, steps: what 16 bits change of its own output, for the same input: the share of the values, and the
            most of its steps.
    """

    name: str
    types: tuple[str, str]
    counts: Counts | None
    lowest: int
    reaches: int
    values: int = 0
    differing: int = 0
    steps: int = 0

    @property
    def changed(self) -> float:
        return self.differing / self.values if self.values else 0.0


class IntegerModel:
    """An ONNX file with quantized layers, ready to answer.

    Args:
        path: of the file.
        narrow: pairs of products are added in 16 bits.

    Attributes:
        layers: those of 8-bit integers, by the name of their output.
        step: of the output, where that is quantized; None: it is not.

    Raises:
        ValueError: it holds nothing that can be carried out so.
    """

    def __init__(self, path: Path, narrow: bool = False):
        self.file = OnnxFile(path)
        self.constants, self.nodes = self.file.constants, self.file.nodes
        self.input, self.output, self.narrow = self.file.input, self.file.output, narrow
        self.users = Counter(name for node in self.nodes for name in node.input)
        self.users.update(value.name for value in self.file.model.graph.output)
        self.makers = {name: node for node in self.nodes for name in node.output}
        self.readers: dict[str, Any] = {name: node for node in reversed(self.nodes) for name in node.input}
        self.layers: dict[str, Layer] = {}
        for node in self.nodes:
            if node.op_type in SUMS and (layer := self.layer_of(node)):
                self.layers[node.output[0]] = layer

    @property
    def step(self) -> float | None:
        maker = self.makers.get(self.output)
        while maker is not None and maker.op_type in ("Reshape", "Flatten", "Squeeze", "Identity", "Transpose"):
            maker = self.makers.get(maker.input[0])
        if maker is None or maker.op_type != "DequantizeLinear" or maker.input[1] not in self.constants:
            return None
        scale = np.asarray(self.constants[maker.input[1]])
        return float(scale.reshape(-1)[0]) if scale.size == 1 else None

    def constant(self, name: str) -> Quantized | None:
        """The integers behind a weight; None where it is none of that."""
        maker = self.makers.get(name)
        if maker is None or maker.op_type != "DequantizeLinear" or maker.input[0] not in self.constants:
            return None
        return self.dequantized(maker, self.constants)

    def dequantized(self, node: Any, values: Mapping[str, Any]) -> Quantized:
        stored, scale = np.asarray(values[node.input[0]]), np.asarray(values[node.input[1]], np.float32)
        zero = np.asarray(values[node.input[2]]) if len(node.input) > 2 and node.input[2] else np.zeros(1, stored.dtype)
        return Quantized(stored, scale.reshape(-1), zero.reshape(-1), attributes(node).get("axis", 1))

    def layer_of(self, node: Any) -> Layer | None:
        """What can be said of a layer by itself; None where onnxruntime computes it in float."""
        weights, source = self.constant(node.input[1]), self.makers.get(node.input[0])
        if weights is None or source is None or source.op_type != "DequantizeLinear" or not self.quantizes(node):
            return None
        zero = self.constants.get(source.input[2]) if len(source.input) > 2 else None
        kind = "uint8" if zero is None else str(np.asarray(zero).dtype)
        if kind not in ("uint8", "int8") or weights.values.dtype not in (np.int8, np.uint8):
            return None
        rows = self.rows_of(node, weights.values)
        adds_pairs = weights.values.dtype == np.int8 and not self.is_depthwise(node, weights.values)
        largest = int(np.abs(rows.astype(np.int64)).sum(axis=2).max()) * 255
        return Layer(
            node.name or node.output[0],
            (kind, str(weights.values.dtype)),
            products.counts_of(rows) if adds_pairs else None,
            int((weights.values == -128).sum()) if weights.values.dtype == np.int8 else 0,
            largest,
        )

    def quantizes(self, node: Any) -> Any:
        """The node that quantizes the output of a layer, at once or behind a Relu; None: it stays float."""
        name = node.output[0]
        while self.users[name] == 1 and (reader := self.readers.get(name)) is not None:
            if reader.op_type == "QuantizeLinear":
                return reader
            if reader.op_type not in CLIPS:
                return None
            name = reader.output[0]
        readers = [each for each in self.nodes if name in each.input]
        is_quantized = readers and all(each.op_type == "QuantizeLinear" for each in readers)
        return readers[0] if is_quantized and name != self.output else None

    @staticmethod
    def is_depthwise(node: Any, weights: np.ndarray) -> bool:
        """One channel in and one out for each group: onnxruntime's kernel for that adds in 32 bits."""
        groups = attributes(node).get("group", 1)
        return bool(node.op_type == "Conv" and groups > 1 and weights.shape[1] == 1 and weights.shape[0] == groups)

    @staticmethod
    def rows_of(node: Any, weights: np.ndarray) -> np.ndarray:
        """Weights as ``(groups, outputs, K)``, K in the order in which they are summed."""
        if node.op_type == "Conv":
            groups = attributes(node).get("group", 1)
            last = np.moveaxis(weights, 1, -1)  # the channels inmost
            return np.asarray(last.reshape(groups, weights.shape[0] // groups, -1))
        turned = node.op_type == "Gemm" and attributes(node).get("transB", 0)
        return np.asarray((weights if turned else weights.T)[None])

    def answers(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """Outputs for an encoded input ``(N, ...)``, a piece of beats at a time."""
        for start in range(0, len(x), PIECE):
            yield self.answer(x[start : start + PIECE])

    def answer(self, x: np.ndarray) -> np.ndarray:
        values: dict[str, Any] = {**self.constants, self.input: x}
        for node in self.nodes:
            if node.output[0] in values:
                continue
            self.carry_out(node, values)
        return np.asarray(real(values[self.output]))

    def carry_out(self, node: Any, values: dict[str, Any]) -> None:
        op = node.op_type
        if op == "DequantizeLinear":
            values[node.output[0]] = self.dequantized(node, values)
        elif op == "QuantizeLinear":
            values[node.output[0]] = self.quantized(node, values)
        elif node.output[0] in self.layers:
            self.sum_up(node, values)
        elif op == "MaxPool" and len(node.output) == 1 and not attributes(node).get("ceil_mode", 0):
            self.largest(node, values)
        elif (
            op not in JOINED or not (quantizer := self.quantizes(node)) or not JOINED[op](self, node, quantizer, values)
        ):
            self.by_reference(node, values)

    def quantized(self, node: Any, values: Mapping[str, Any]) -> np.ndarray:
        value = values[node.input[0]]
        if isinstance(value, Rounded):
            return value.values
        scale = np.asarray(values[node.input[1]], np.float32)
        zero = np.asarray(values[node.input[2]]) if len(node.input) > 2 else np.zeros((), np.uint8)
        data = np.asarray(real(value), np.float32)
        if scale.size > 1:
            axis = attributes(node).get("axis", 1)
            scale, zero = along(scale, axis, data.ndim), along(zero, axis, data.ndim)
        return rounded(data / scale, zero)

    def sum_up(self, node: Any, values: dict[str, Any]) -> None:
        """A layer of integers, through to the integers that it gives."""
        layer, quantizer = self.layers[node.output[0]], self.quantizes(node)
        x, weights = values[node.input[0]], values[node.input[1]]
        bias = values[node.input[2]] if len(node.input) > 2 and node.input[2] else None
        scale = np.asarray(values[quantizer.input[1]], np.float32).reshape(-1)[0]
        zero = np.asarray(values[quantizer.input[2]]).reshape(-1)[0]
        shift = 128 if x.values.dtype == np.int8 else 0  # kernels turn s8 activations into u8
        unsigned, offset = x.values.astype(np.int32) + shift, int(x.zero[0]) + shift
        grouped = self.rows_of(node, weights.values)
        columns, shape, beat = self.columns(node, unsigned, offset, grouped.shape[0], weights.values.shape)
        sums, off = [], []
        for group, rows in enumerate(grouped):
            total = products.exact(columns[group], rows)
            sums.append(total - offset * rows.astype(np.float64).sum(axis=1))
            if layer.counts is not None and self.narrow:
                off.append(products.lost(columns[group], rows, beat, layer.counts, group))
        total = np.concatenate(sums, axis=1)
        if weights.zero.any():
            inputs = [each.astype(np.float64).sum(axis=1, keepdims=True) - offset * each.shape[1] for each in columns]
            total -= np.repeat(np.concatenate(inputs, 1), grouped.shape[1], 1) * weights.zero.astype(np.float64)
        if bias is not None:
            total = total + bias_of(bias, x.scale[0] * weights.scale)
        factor = (x.scale[0] * weights.scale / scale).astype(np.float32)
        given = rounded(total.astype(np.float32) * factor, zero)
        if off:
            narrow = rounded((total + np.concatenate(off, axis=1)).astype(np.float32) * factor, zero)
            apart = np.abs(narrow.astype(np.int32) - given.astype(np.int32))
            layer.values += apart.size
            layer.differing += int((apart != 0).sum())
            layer.steps = max(layer.steps, int(apart.max()))
            given = narrow
        name = node.output[0]
        values[name] = Rounded(shape(given), Quantized(shape(given), np.asarray([scale]), np.asarray([zero]), 1))

    def columns(
        self, node: Any, x: np.ndarray, zero: int, groups: int, weights: tuple[int, ...]
    ) -> tuple[list[np.ndarray], Any, np.ndarray]:
        """What output values sum over, ``(rows, K)`` a group; what gives rows their shape back; each row's beat."""
        if node.op_type != "Conv":
            rows = x.reshape(-1, x.shape[-1])
            beat = np.repeat(np.arange(len(x)), len(rows) // len(x))
            return [rows], lambda found: found.reshape(*x.shape[:-1], -1), beat
        axes = x.ndim - 2
        view = windows(x, weights[2:], attributes(node), zero)
        order = (0, *range(2, 2 + axes), *range(2 + axes, 2 + 2 * axes), 1)  # beat, position, kernel position, channel
        n, places = len(x), view.shape[2 : 2 + axes]
        found = view.transpose(order).reshape(n * int(np.prod(places)), -1, groups, x.shape[1] // groups)
        columns = [found[:, :, group].reshape(len(found), -1) for group in range(groups)]
        beat = np.repeat(np.arange(n), len(found) // n)
        return columns, lambda given: np.moveaxis(given.reshape(n, *places, -1), -1, 1), beat

    def largest(self, node: Any, values: dict[str, Any]) -> None:
        """A MaxPool; onnx's reference fails at some paddings."""
        told, data = attributes(node), np.asarray(real(values[node.input[0]]))
        view = windows(data, tuple(told["kernel_shape"]), told, -np.inf)
        values[node.output[0]] = view.max(axis=tuple(range(data.ndim, view.ndim)))

    def by_reference(self, node: Any, values: dict[str, Any]) -> None:
        """Any other operation, by onnx's reference."""
        feeds = {name: real(values[name]) for name in node.input if name}
        for name, value in zip(node.output, self.file.by_reference(node, feeds)):
            values[name] = value

    def add(self, node: Any, quantizer: Any, values: dict[str, Any]) -> bool:
        """The sum of two quantized tensors, as onnxruntime's kernel has it; whether it is that."""
        a, b = (values[name] for name in node.input)
        if not (isinstance(a, Quantized) and isinstance(b, Quantized)) or a.values.shape != b.values.shape:
            return False
        scale = np.asarray(values[quantizer.input[1]], np.float32).reshape(-1)[0]
        zero = np.asarray(values[quantizer.input[2]]).reshape(-1)[0]
        of_a, of_b = np.float32(a.scale[0] / scale), np.float32(b.scale[0] / scale)
        fixed = np.float32(np.float32(zero) - np.float32(of_a * np.float32(a.zero[0]) + of_b * np.float32(b.zero[0])))
        inner = (a.values.astype(np.float64) * np.float64(of_a) + fixed).astype(np.float32)  # fused: rounded once
        total = (b.values.astype(np.float64) * np.float64(of_b) + inner).astype(np.float32)
        self.keep(node, rounded(total, np.zeros((), zero.dtype)), scale, zero, values)
        return True

    def average(self, node: Any, quantizer: Any, values: dict[str, Any]) -> bool:
        """The mean over all positions of a quantized tensor; whether it is that."""
        x = values[node.input[0]]
        if not isinstance(x, Quantized):
            return False
        scale = np.asarray(values[quantizer.input[1]], np.float32).reshape(-1)[0]
        zero = np.asarray(values[quantizer.input[2]]).reshape(-1)[0]
        axes = tuple(range(2, x.values.ndim))
        count = int(np.prod(x.values.shape[2:]))
        total = x.values.astype(np.int64).sum(axis=axes, keepdims=True) - count * int(x.zero[0])
        factor = np.float32(x.scale[0] / np.float32(scale * np.float32(count)))
        self.keep(node, rounded(total.astype(np.float32) * factor, zero), scale, zero, values)
        return True

    def keep(self, node: Any, given: np.ndarray, scale: Any, zero: Any, values: dict[str, Any]) -> None:
        values[node.output[0]] = Rounded(given, Quantized(given, np.asarray([scale]), np.asarray([zero]), 1))


JOINED = {"Add": IntegerModel.add, "GlobalAveragePool": IntegerModel.average}
