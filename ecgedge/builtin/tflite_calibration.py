"""The ranges of values that TensorFlow's calibrator finds, kept for the next form of the same model.

A calibrator runs every beat through kernels that take ten times as long as the file will: most of what it takes to make
a file in int8. The ranges depend on model and beats alone, so a file for more beats a call, or with other layers left
in float, takes those that were found with one beat a call. Where its graph is another one it is calibrated itself.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from ecgedge import Artifact, Context

Ranges = dict[int, tuple[Any, Any]]  # the smallest and the largest value, by the number of the tensor
Feed = Callable[[], Iterator[Any]]

KEPT = 2  # models whose ranges are kept: the forms of one are made one after the other
Key = tuple[str, str, bytes]  # a path, its digest, that of the beats
FOUND: dict[Key, tuple[object, Ranges]] = {}  # of which graph, and which ranges


def is_known(source: Artifact, context: Context) -> bool:
    """Whether the ranges of a model on these beats were found in this process."""
    return key_of(source, context) in FOUND


def key_of(source: Artifact, context: Context) -> Key:
    return str(source.path), source.digest, hashlib.sha256(context.beats.tobytes()).digest()


@contextlib.contextmanager
def kept_ranges(source: Artifact, context: Context, note: bool) -> Iterator[None]:
    """Meanwhile TensorFlow's calibrator takes the ranges that are known of this model on these beats, if any are.

    Args:
        note: what it finds is kept.
    """
    from tensorflow.lite.python.optimize.calibrator import Calibrator  # heavy

    key, original = key_of(source, context), Calibrator.calibrate

    def calibrate(self: Any, feed: Feed) -> Any:
        if key in FOUND:
            made = with_ranges(original(self, lambda: islice(feed(), 1)), *FOUND[key])
            if made is not None:
                return made
        found = original(self, feed)
        if note and source.digest:
            FOUND[key] = ranges_of(found)
            while len(FOUND) > KEPT:
                del FOUND[next(iter(FOUND))]
        return found

    Calibrator.calibrate = calibrate
    try:
        yield
    finally:
        Calibrator.calibrate = original


def ranges_of(calibrated: bytes) -> tuple[object, Ranges]:
    """The graph of a calibrated model, and its ranges."""
    model = read(calibrated)
    noted = ((number, tensor.quantization) for number, tensor in enumerate(model.subgraphs[0].tensors))
    return graph_of(model), {number: (held.min, held.max) for number, held in noted if has_range(held)}


def with_ranges(calibrated: bytes, graph: object, ranges: Ranges) -> bytes | None:
    """A calibrated model with other ranges; None where its graph is another one, or notes ranges elsewhere."""
    import flatbuffers  # comes with TensorFlow

    model = read(calibrated)
    held = {number: tensor.quantization for number, tensor in enumerate(model.subgraphs[0].tensors)}
    if graph_of(model) != graph or {number for number, each in held.items() if has_range(each)} != set(ranges):
        return None
    for number, (least, most) in ranges.items():
        held[number].min, held[number].max = least, most
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def has_range(held: Any) -> bool:
    """Whether the quantization of a tensor notes a range."""
    return held is not None and held.min is not None and len(held.min) > 0


def read(content: bytes) -> Any:
    from tensorflow.lite.python import schema_py_generated as schema  # heavy

    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def graph_of(model: Any) -> object:
    """What has to be alike in two models for their tensors to be the same: operations, and names and shapes but for
    the batch."""
    kinds = [(code.builtinCode, code.customCode) for code in model.operatorCodes]
    return [
        (
            [(kinds[each.opcodeIndex], list(each.inputs), list(each.outputs)) for each in graph.operators],
            [(tensor.name, tensor.type, [*tensor.shape[1:]] if tensor.shape is not None else None)
             for tensor in graph.tensors],
        )
        for graph in model.subgraphs
    ]  # fmt: skip
