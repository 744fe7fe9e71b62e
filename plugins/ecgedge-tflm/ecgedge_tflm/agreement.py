"""TFLM against LiteRT, same file and beats: how many output values are equal, and how far apart the others are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgedge import Artifact
from ecgedge_tflm.interpreter import open_interpreter, said

KERNELS = {  # of LiteRT, by the names of its op resolvers
    "reference kernels": "BUILTIN_REF",
    "own kernels": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "XNNPACK": "AUTO",
}


@dataclass(frozen=True)
class Agreement:
    """Attributes:
    kernels: LiteRT's, a key of ``KERNELS``.
    values: share of the output values that are equal bit by bit.
    beats: share of the beats of which all are.
    largest: largest difference of two values, in the file's own units: steps of an int8 output (LSB).
    """

    kernels: str
    values: float
    beats: float
    largest: float


def compare(content: bytes, artifact: Artifact, beats: np.ndarray) -> Iterator[Agreement]:
    """With each of LiteRT's kernels, on beats ``(N, 1, L)``. Raises ImportError where LiteRT is not installed."""
    from ai_edge_litert import interpreter as litert  # heavy

    ours = run_tflm(content, artifact, beats)
    for name, resolver in KERNELS.items():
        with said():  # LiteRT's INFO lines
            other = litert.Interpreter(
                model_content=content, experimental_op_resolver_type=litert.OpResolverType[resolver], num_threads=1
            )
            other.allocate_tensors()
        yield agreement(name, ours, run_litert(other, artifact, beats))


def agreement(kernels: str, ours: np.ndarray, theirs: np.ndarray) -> Agreement:
    """Of outputs ``(N, ...)`` as the file stores them."""
    equal = ours == theirs
    apart = np.abs(ours.astype(np.float64) - theirs)
    each = equal.reshape(len(equal), -1).all(axis=1)
    return Agreement(kernels, float(equal.mean()), float(each.mean()), float(apart.max()))


def run_tflm(content: bytes, artifact: Artifact, beats: np.ndarray) -> np.ndarray:
    interpreter = open_interpreter(content)

    def call(x: np.ndarray) -> np.ndarray:
        interpreter.set_input(x, 0)
        interpreter.invoke()
        return np.array(interpreter.get_output(0))

    return run(call, artifact, beats)


def run_litert(interpreter: Any, artifact: Artifact, beats: np.ndarray) -> np.ndarray:
    [given], returned = interpreter.get_input_details(), interpreter.get_output_details()[0]

    def call(x: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(given["index"], x)
        interpreter.invoke()
        return interpreter.get_tensor(returned["index"])

    return run(call, artifact, beats)


def run(call: Callable[[np.ndarray], np.ndarray], artifact: Artifact, beats: np.ndarray) -> np.ndarray:
    """What the file stores as its outputs for all beats."""
    return np.concatenate([call(x) for x in artifact.input.batches(beats)])[: len(beats)]
