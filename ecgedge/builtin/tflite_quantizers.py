"""SavedModel -> TFLite in four precisions, through TensorFlow's converter."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import Artifact, Context, Quantizer, TensorSpec, hookimpl
from ecgedge.builtin.saved_model_runtime import signature_of
from ecgedge.builtin.tflite_runtime import tensor_spec


class TfliteQuantizer(Quantizer):
    """Fixes the batch: with a free one LiteRT cannot hand the whole graph to its delegate."""

    needs = ("tensorflow", "ai_edge_litert")
    libraries = ("tensorflow", "ai-edge-litert")
    accepts = ("saved_model",)
    produces = "tflite"
    fixed_batch = True

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        converter = converter_of(source, context)
        self.configure(converter, calibration_of(source, context))
        return keep(convert(converter), source, out, self.precision)

    def configure(self, converter: Any, calibration: Callable[[], Iterator[list[np.ndarray]]]) -> None:
        """Set the converter's options; the default is float32."""


class TfliteFp32(TfliteQuantizer):
    name = "tflite-fp32"
    precision = "fp32"


class TfliteFp16(TfliteQuantizer):
    """Weights in half precision, computation in float32."""

    name = "tflite-fp16"
    precision = "fp16"

    def configure(self, converter: Any, calibration: Callable[[], Iterator[list[np.ndarray]]]) -> None:
        import tensorflow as tf  # heavy

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]


class TfliteDynamic(TfliteQuantizer):
    """Weights in int8, activations quantized while it runs (dynamic range)."""

    name = "tflite-dynamic"
    precision = "dynamic"

    def configure(self, converter: Any, calibration: Callable[[], Iterator[list[np.ndarray]]]) -> None:
        import tensorflow as tf  # heavy

        converter.optimizations = [tf.lite.Optimize.DEFAULT]


class TfliteFullInt8(TfliteQuantizer):
    """Weights, activations, input and output in int8; an operator that cannot is an error."""

    name = "tflite-full-int8"
    precision = "full-int8"
    calibrates = True

    def configure(self, converter: Any, calibration: Callable[[], Iterator[list[np.ndarray]]]) -> None:
        import tensorflow as tf  # heavy

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = calibration
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8


def fixed_input(source: Artifact, context: Context) -> TensorSpec:
    """The source's input with its batch, or that of the context where it is free; a free length is the beats'."""
    length = context.beats.shape[2]
    return replace(
        source.input, shape=(source.input.batch or context.batch, *(axis or length for axis in source.input.shape[1:]))
    )


def converter_of(source: Artifact, context: Context) -> Any:
    """TensorFlow's converter for a SavedModel with a fixed batch."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
    import tensorflow as tf  # heavy

    loaded = tf.saved_model.load(str(source.path))
    serving = signature_of(source.path, loaded)
    fixed = tf.function(lambda x: serving(**{source.input.name: x})).get_concrete_function(
        tf.TensorSpec(fixed_input(source, context).shape, tf.float32, name="input")
    )
    return tf.lite.TFLiteConverter.from_concrete_functions([fixed], loaded)


def calibration_of(source: Artifact, context: Context) -> Callable[[], Iterator[list[np.ndarray]]]:
    """Calibration beats as the converter wants them."""
    return lambda: ([batch] for batch in fixed_input(source, context).batches(context.beats))


def convert(converter: Any) -> bytes:
    """The file's content; what the converter prints goes to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        content: bytes = converter.convert()
    return content


def keep(
    content: bytes, source: Artifact, out: Path, precision: str, notes: Mapping[str, Any] | None = None
) -> Artifact:
    """Write a file with its record."""
    given, returned = io_specs(content, source)
    artifact = source.derive(
        out, format="tflite", precision=precision, input=given, output=returned, notes=notes or source.notes
    )
    out.write_bytes(with_record(content, artifact))
    return artifact


def io_specs(content: bytes, source: Artifact) -> tuple[TensorSpec, TensorSpec]:
    """Input and output as the file declares them; the axis orders are those of its source."""
    from ai_edge_litert.interpreter import Interpreter  # heavy

    interpreter = Interpreter(model_content=content)
    [given], [returned] = interpreter.get_input_details(), interpreter.get_output_details()
    return tensor_spec(given, source.input.layout), tensor_spec(returned, source.output.layout)


def with_record(content: bytes, artifact: Artifact) -> bytes:
    """The same model with the artifact's record as a metadata entry named ``ecgedge``."""
    import flatbuffers  # comes with LiteRT
    from ai_edge_litert import schema_py_generated as schema  # heavy

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    text = json.dumps(artifact.record()).encode()
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(text, dtype=np.uint8)
    entry.name, entry.buffer = "ecgedge", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(len(content) + len(text) + 1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@hookimpl
def ecgedge_quantizers() -> Iterable[Quantizer]:
    return TfliteFp32(), TfliteFp16(), TfliteDynamic(), TfliteFullInt8()
