"""SavedModel -> TFLite in int8, but for the layers that cost too much."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import ENDS, Artifact, Context, Quantizer, hookimpl, infer
from ecgedge.builtin.mixed import DROP, MAX_DROP, Step, Trial, in_float, search_mixed
from ecgedge.builtin.tflite_quantizers import (
    TfliteFp32,
    TfliteFullInt8,
    calibration_of,
    convert,
    converter_of,
    io_specs,
    keep,
    told_shortly,
)
from ecgedge.builtin.tflite_runtime import TfliteRuntime

LAYERS = (
    "BATCH_MATMUL", "CONV_2D", "CONV_3D", "CONV_3D_TRANSPOSE", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV",
)  # fmt: skip


class TfliteMixed(TfliteFullInt8):
    """As ``tflite-full-int8``; what does the most damage stays in float32, until the loss is within ``max_drop``.

    A calibrated model is quantized anew in some 20 ms, with a list of what to leave out, as TensorFlow's
    QuantizationDebugger does. The debugger's own statistics tell how far each operation alone is off, not what that
    does to the answers, so they are not used.
    """

    name = "tflite-mixed"
    precision = "mixed"
    judges = True
    on_request = True
    options = (MAX_DROP,)

    def settle(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {**DROP, **options}

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        """The search is made in files for one beat a call, so that those for more leave out the same."""
        single = replace(context, batch=1)
        tried = out.with_name("tried.tflite")
        quantized = Quantized(self, source, single)

        def outputs(left: tuple[str, ...]) -> np.ndarray:
            return answers(quantized.content(left), source, tried, trial.x)

        trial = Trial(source, single, lambda beats: answers(fp32(source, single), source, tried, beats))
        found = search_mixed(quantized.layers, outputs, trial, self.settle(context.options)["max_drop"])
        final = quantized if context.batch == 1 else Quantized(self, source, context)
        return keep(final.content(found.left), source, out, self.precision, found.notes(final.names(found.left)))


class Quantized:
    """A SavedModel in int8, calibrated once, with any of its layers left in float."""

    def __init__(self, part: TfliteFullInt8, source: Artifact, context: Context):
        self.part, self.source, self.context = part, source, context
        self.calibrated = calibrate(self.configured())
        self.given, self.steps, operations = read_steps(self.calibrated)
        self.layers = [ENDS, *(step.name for step in self.steps if operations[step.name] in LAYERS)]

    def configured(self) -> Any:
        converter = converter_of(self.source, self.context)
        self.part.configure(converter, calibration_of(self.source, self.context))
        return converter

    def floats(self, left: tuple[str, ...]) -> list[str]:
        """The operations that are in float then, by the name of what they give."""
        return in_float(self.steps, self.layers, left, self.given if ENDS in left else ())

    def names(self, left: tuple[str, ...]) -> list[tuple[str, ...]]:
        """What they give, as the file names it: before an int8 output, the value that is quantized has a 1 added."""
        taken = {value for step in self.steps for value in step.takes}
        return [(name,) if name in taken else (name, f"{name}1") for name in self.floats(left)]

    @cached_property
    def full(self) -> bytes:
        """The content of ``tflite-full-int8``."""
        return convert(self.configured())

    def content(self, left: tuple[str, ...]) -> bytes:
        """Of the file with those layers left in float."""
        if not left:
            return self.full
        from tensorflow.lite.python.convert import mlir_quantize  # heavy

        with contextlib.redirect_stdout(sys.stderr), told_shortly():
            content: bytes = mlir_quantize(
                self.calibrated, fully_quantize=ENDS not in left, denylisted_nodes=self.floats(left)
            )
        return content


def calibrate(converter: Any) -> bytes:
    """A float model in which the range of each value is noted."""
    import tensorflow as tf  # heavy

    with contextlib.redirect_stdout(sys.stderr), told_shortly():
        return bytes(tf.lite.experimental.QuantizationDebugger(converter=converter).calibrated_model)


def read_steps(content: bytes) -> tuple[list[str], list[Step], dict[str, str]]:
    """Of a TFLite model: its inputs, its operations named by what they give, and of which kind each is."""
    from ai_edge_litert import schema_py_generated as schema  # heavy

    kinds = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    [graph] = model.subgraphs
    names = [tensor.name.decode() for tensor in graph.tensors]
    steps, operations = [], {}
    for operator in graph.operators:
        takes, gives = (tuple(names[i] for i in of if i >= 0) for of in (operator.inputs, operator.outputs))
        steps.append(Step(gives[0], takes, gives))
        operations[gives[0]] = kinds.get(model.operatorCodes[operator.opcodeIndex].builtinCode, "CUSTOM")
    return [names[i] for i in graph.inputs], steps, operations


def fp32(source: Artifact, context: Context) -> bytes:
    converter = converter_of(source, context)
    TfliteFp32().configure(converter, calibration_of(source, context))
    return convert(converter)


def answers(content: bytes, source: Artifact, scratch: Path, beats: np.ndarray) -> np.ndarray:
    """Outputs of a file with that content."""
    given, returned = io_specs(content, source)
    scratch.write_bytes(content)
    session = TfliteRuntime().load(source.derive(scratch, format="tflite", input=given, output=returned), 1)
    try:
        return infer(session, beats)
    finally:
        session.close()


@hookimpl
def ecgedge_quantizers() -> Iterable[Quantizer]:
    return (TfliteMixed(),)
