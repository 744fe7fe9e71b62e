"""What float16 cannot hold of a file's values: by the ranges of its tensors on the beats, and by a model in numpy.

Kernels of x86-64 convert to float32, compute there and convert back at the end, so that nothing overflows here. An Arm
core or a GPU that computes in float16 keeps each operation's output in it: that is what the model does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api.taps import Taps
from ecgedge.portability.certificate import Finding, Overflowing
from ecgedge.portability.onnx_nodes import OnnxFile, attributes

LARGEST, SMALLEST = 65_504.0, 2.0**-14  # what float16 holds, and the least that it holds in full
INFINITE = 65_520.0  # from which on a value is rounded to infinity
PIECE = 100  # beats at once
FEW = 50  # beats by which the tensors of a file are read one by one
FLOAT, HALF = 1, 10  # element types of ONNX
MANY_SMALL = 0.01  # share of subnormal weights that is told
REMEDY = "ship fp32 there, or scale the layer's weights down and those of the next one up"


@dataclass
class Range:
    """What a tensor of float16 came to.

    Attributes:
        largest: in magnitude, in float32.
        beats: on which a value was beyond float16; ``seen`` are all.
        values, small: that are not 0, and those of them that are below float16's full precision.
    """

    name: str
    largest: float = 0.0
    beats: int = 0
    seen: int = 0
    values: int = 0
    small: int = 0

    def add(self, found: np.ndarray) -> None:
        """Take in values ``(N, ...)`` of N beats."""
        size = np.abs(found.reshape(len(found), -1).astype(np.float64))
        self.largest = max(self.largest, float(size.max(initial=0.0)))
        self.beats += int((size >= INFINITE).any(axis=1).sum())
        self.seen += len(found)
        self.values += int((size > 0).sum())
        self.small += int(((size > 0) & (size < SMALLEST)).sum())


class HalfModel:
    """An ONNX file with tensors of float16, ready to answer.

    Args:
        path: of the file.

    Attributes:
        ranges: of each float16 tensor that is computed, by name, as far as beats were answered in float32.
        weights: the constants in float16, by name.
    """

    def __init__(self, path: Path):
        from onnx.shape_inference import infer_shapes  # heavy

        self.file = OnnxFile(path)
        self.constants, graph = self.file.constants, infer_shapes(self.file.model).graph
        self.types = {
            value.name: value.type.tensor_type.elem_type
            for part in (graph.value_info, graph.input, graph.output) for value in part
        }  # fmt: skip
        self.weights = {name: each for name, each in self.constants.items() if each.dtype == np.float16}
        self.ranges: dict[str, Range] = {}

    def answers(self, x: np.ndarray, rounded: bool) -> np.ndarray:
        """Outputs for an encoded input ``(N, ...)``, in float32 or with each operation's output in float16."""
        with np.errstate(all="ignore"):
            pieces = [self.answer(x[start : start + PIECE], rounded) for start in range(0, len(x), PIECE)]
        return np.concatenate(pieces)

    def answer(self, x: np.ndarray, rounded: bool) -> np.ndarray:
        values: dict[str, Any] = {name: widened(each) for name, each in self.constants.items()} | {self.file.input: x}
        for node in self.file.nodes:
            for name, found in zip(node.output, self.carry_out(node, values)):
                values[name] = self.kept(node, name, found, rounded) if self.is_half(node, name) else found
        return np.asarray(values[self.file.output], np.float32)

    def is_half(self, node: Any, name: str) -> bool:
        if node.op_type == "Cast":
            return bool(attributes(node)["to"] == HALF)
        return self.types.get(name) == HALF

    def kept(self, node: Any, name: str, found: np.ndarray, rounded: bool) -> np.ndarray:
        """An output as the next operation gets it."""
        if rounded:
            return found.astype(np.float16).astype(np.float32)
        self.ranges.setdefault(name, Range(node.name or name)).add(found)
        return found

    def carry_out(self, node: Any, values: Mapping[str, Any]) -> list[Any]:
        """One operation, by onnx's reference in float32."""
        if node.op_type == "Cast" and attributes(node)["to"] in (FLOAT, HALF):
            return [np.asarray(values[node.input[0]], np.float32)]
        found = self.file.by_reference(node, {name: values[name] for name in node.input if name})
        return [widened(each) for each in found]


def widened(values: Any) -> Any:
    return values.astype(np.float32) if np.asarray(values).dtype == np.float16 else values


@dataclass(frozen=True)
class Halves:
    """What was found of a file's float16.

    Attributes:
        outputs: of the model, with each operation's output in float16, ``(N, ...)``; None: nothing overflows, or there
            is no model of such a file.
        missed: why the model is not believed; empty where it is.
    """

    layers: tuple[Overflowing, ...] = ()
    findings: tuple[Finding, ...] = ()
    outputs: np.ndarray | None = field(default=None, repr=False)
    missed: str = ""


def is_in(path: Path) -> bool:
    """Whether an ONNX file has weights in float16, or casts to it."""
    import onnx  # heavy

    graph = onnx.load(path, load_external_data=False).graph
    casts = any(node.op_type == "Cast" and attributes(node)["to"] == HALF for node in graph.node)
    return casts or any(each.data_type == HALF for each in graph.initializer)


def of_onnx(path: Path, x: np.ndarray, base: np.ndarray) -> Halves:
    """What an ONNX file's float16 does on encoded beats. Raises whatever a strange graph leads to.

    Args:
        base: the runtime's answers to these beats here, which the model has to give in float32, within 1% of the
            largest.
    """
    model = HalfModel(path)
    exact = model.answers(x, rounded=False).reshape(len(base), -1)
    findings = (*of_weights(model.weights), *of_small(model.ranges.values()))
    layers = beyond(model.ranges.values())
    if not layers:
        return Halves((), (*findings, *of_largest(model.ranges.values())))
    apart = float(np.abs(exact - base.reshape(len(base), -1)).max())
    if not apart <= 0.01 * max(float(np.abs(base).max()), 1e-6):
        return Halves(layers, findings, None, f"the model, in float32, is {apart:.3g} apart from the runtime here")
    outputs = model.answers(x, rounded=True)
    lost = int((~np.isfinite(outputs.reshape(len(outputs), -1))).any(axis=1).sum())
    return Halves(layers, (*findings, of_overflow(layers, f"no answer to {lost:,} of {len(x):,} beats there")), outputs)


def of_taps(taps: Taps, x: np.ndarray) -> Halves:
    """What float16 does to the tensors of a file that is computed in float32 here, by reading each."""
    made = {name: each.name for each in taps.wiring.operations for name in each.outputs}
    ranges = []
    for tensor in taps.wiring.tensors:
        if tensor.name not in made or not tensor.dtype.startswith("float"):
            continue
        found = Range(made[tensor.name])
        found.add(taps.read(tensor.name, x[:FEW])[0])
        ranges.append(found)
    layers = beyond(ranges)
    told = [of_overflow(layers, "what becomes of the answers there was not computed")] if layers else of_largest(ranges)
    return Halves(layers, (*told, *of_small(ranges)))


def of_file(
    format: str, path: Path, beats: np.ndarray, encoded: np.ndarray, base: np.ndarray, taps: Callable[[], Taps | None]
) -> Halves | None:
    """What float16 does in a file of some format; None: its runtime lets no tensor be read."""
    if format == "onnx":
        return of_onnx(path, encoded, base)
    opened = taps()
    if opened is None:
        return None
    try:
        return of_taps(opened, beats)
    finally:
        opened.close()


def beyond(ranges: Any) -> tuple[Overflowing, ...]:
    """The layers whose values leave float16 on some beats."""
    return tuple(Overflowing(each.name, each.largest, each.beats, each.seen) for each in ranges if each.beats)


def of_overflow(layers: tuple[Overflowing, ...], effect: str) -> Finding:
    worst = max(layers, key=lambda layer: layer.largest)
    told = f"values of {len(layers)} layer{'' if len(layers) == 1 else 's'} leave float16, which ends at 65,504"
    return Finding(f"{told}: most in {worst.layer}, {worst.largest:,.0f} on {worst.beats:,} of {worst.seen:,} beats; "
                   f"{effect}", REMEDY)  # fmt: skip


def of_largest(ranges: Any) -> Iterator[Finding]:
    """A layer that comes near the end of float16, where none goes beyond."""
    found = max(ranges, key=lambda each: each.largest, default=None)
    if found and found.largest > LARGEST / 2:
        yield Finding(f"{found.name} comes to {found.largest:,.0f} on the beats, float16 ends at 65,504", REMEDY)


def of_weights(weights: Mapping[str, np.ndarray]) -> Iterator[Finding]:
    """Weights that are no numbers in float16, and those below its full precision."""
    if lost := [name for name, each in weights.items() if not np.isfinite(each).all()]:
        yield Finding(f"weights of {', '.join(lost[:3])} are beyond float16", "keep these in float32")
    parts = [np.abs(each[each != 0].astype(np.float32)) for each in weights.values()]
    count, small = sum(map(len, parts)), sum(int((each < SMALLEST).sum()) for each in parts)
    if count and small / count > MANY_SMALL:
        yield Finding(
            f"{small:,} of {count:,} weights are subnormal in float16, which some processors take for 0",
            "scale these weights up and what comes after them down",
        )


def of_small(ranges: Any) -> Iterator[Finding]:
    """The layers most of whose values are below float16's full precision."""
    small = [each.name for each in ranges if each.values and each.small > each.values / 2]
    if small:
        more = f" and {len(small) - 3} more" if len(small) > 3 else ""
        yield Finding(f"most values of {', '.join(small[:3])}{more} are subnormal in float16, which some processors "
                      "take for 0", "scale that layer's weights up and those of the next one down")  # fmt: skip
