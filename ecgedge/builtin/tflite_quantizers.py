"""SavedModel -> TFLite in four precisions, through TensorFlow's converter."""

from __future__ import annotations

import contextlib
import copy
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import Artifact, Context, ConversionError, Quantizer, TensorSpec, hookimpl, write_record
from ecgedge.builtin.saved_model_runtime import signature_of
from ecgedge.builtin.tflite_calibration import is_known, kept_ranges
from ecgedge.builtin.tflite_file import reason_in
from ecgedge.builtin.tflite_runtime import tensor_spec

# What TensorFlow's converter calls operations that it cannot translate, and where they are.
REFUSED = re.compile(r"^(?:TF Select|Flex|Custom) ops: (.+)$", re.MULTILINE)
NAMED = re.compile(r"'tfl?\.(\w+)'")
PLACES = re.compile(r'fused\["(\w+):", "([^"@]+)')
COMMON = ("PartitionedCall", "StatefulPartitionedCall")

WRITE = "_convert_concrete_functions_to_saved_model"  # of TensorFlow's converter, its first step and half of its time
KEPT = 2  # models of which the converter is kept: the forms of one are made one after the other
PREPARED: dict[tuple[object, ...], Any] = {}  # converters that have done that step, by path, digest and input


class TfliteQuantizer(Quantizer):
    """Fixes the batch: with a free one LiteRT cannot hand the whole graph to its delegate."""

    needs = ("tensorflow", "ai_edge_litert")
    libraries: tuple[str, ...] = ("tensorflow", "ai-edge-litert")
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

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        """Calibrated with one beat a call, whatever the file is for: so all batches have the same ranges."""
        return keep(self.convert_calibrated(source, context), source, out, self.precision)

    def convert_calibrated(self, source: Artifact, context: Context) -> bytes:
        """The file's content."""
        single = fixed_input(source, context).batch == 1
        if not single and source.input.batch is None and not is_known(source, context):
            self.convert_calibrated(source, replace(context, batch=1))
        with kept_ranges(source, context, note=single):
            converter = converter_of(source, context)
            self.configure(converter, calibration_of(source, context))
            return convert(converter)

    def configure(self, converter: Any, calibration: Callable[[], Iterator[list[np.ndarray]]]) -> None:
        import tensorflow as tf  # heavy

        refuse_loops(converter)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = calibration
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8


def refuse_loops(converter: Any) -> None:
    """Raise ConversionError where a model holds a loop: TensorFlow's quantizer does not refuse it, it crashes."""
    for function in converter._funcs:
        definition = function.graph.as_graph_def()
        nodes = [*definition.node, *(node for inner in definition.library.function for node in inner.node_def)]
        loops = [node.name for node in nodes if node.op in ("While", "StatelessWhile")]
        if loops:
            raise ConversionError(
                f"TensorFlow's quantizer has no int8 for the loop of a recurrent layer, While ({loops[0]})"
            )


def fixed_input(source: Artifact, context: Context) -> TensorSpec:
    """The source's input with its batch, or that of the context where it is free; so with leads and length of beats."""
    return source.input.settled(context.beats, source.input.batch or context.batch)


def converter_of(source: Artifact, context: Context) -> Any:
    """TensorFlow's converter for a SavedModel with a fixed batch.

    What it does first, which is the same for all precisions, is done once for those that are made one after the other.
    """
    if not source.digest:
        return new_converter(source, context)
    key = str(source.path), source.digest, source.input.name, fixed_input(source, context).shape
    if key not in PREPARED:
        PREPARED[key] = prepared(new_converter(source, context))
        while len(PREPARED) > KEPT:
            del PREPARED[next(iter(PREPARED))]
    return PREPARED[key]()


def new_converter(source: Artifact, context: Context) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
    import tensorflow as tf  # heavy

    loaded = tf.saved_model.load(str(source.path))
    serving = signature_of(source.path, loaded)
    fixed = tf.function(lambda x: serving(**{source.input.name: x})).get_concrete_function(
        tf.TensorSpec(fixed_input(source, context).shape, tf.float32, name="input")
    )
    return tf.lite.TFLiteConverter.from_concrete_functions([fixed], loaded)


def prepared(converter: Any) -> Callable[[], Any]:
    """Have a converter write the SavedModel that it converts; returns what gives converters that find it written.

    It is kept in memory, since who ends a worker leaves it no time to take a folder away.
    """
    write = getattr(converter, WRITE, lambda _: (None,))  # another TensorFlow may have no such step
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr), told_shortly():
        told = write(folder)
        files = {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
    is_written = told[0] is not None  # else each is converted in another way, whatever was begun there

    def another() -> Any:
        made = copy.copy(converter)
        made.target_spec = copy.deepcopy(made.target_spec)
        if is_written:
            setattr(made, WRITE, lambda folder: restore(made, folder))
        return made

    def restore(made: Any, folder: str) -> Any:
        for name, content in files.items():
            (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / name).write_bytes(content)
        made.saved_model_dir = folder
        return told

    return another


def calibration_of(source: Artifact, context: Context) -> Callable[[], Iterator[list[np.ndarray]]]:
    """Calibration beats as the converter wants them."""
    return lambda: ([batch] for batch in fixed_input(source, context).batches(context.beats))


def convert(converter: Any) -> bytes:
    """The file's content; what the converter prints goes to stderr.

    Raises:
        ConversionError: TensorFlow's converter refuses; names the operations.
    """
    with contextlib.redirect_stdout(sys.stderr), told_shortly():
        content: bytes = converter.convert()
    return content


@contextlib.contextmanager
def told_shortly() -> Iterator[None]:
    """Turn what TensorFlow's converter raises, pages of a compiler's text, into a ConversionError of one line."""
    try:
        yield
    except OSError:  # a full disk
        raise
    except Exception as error:  # ConverterError, RuntimeError and others of its own
        print(error, file=sys.stderr)
        raise ConversionError(f"TensorFlow's converter {refusal(str(error))}") from error


def refusal(text: str) -> str:
    """What a compiler's text is about: the operations that it names, by type and, where it says so, by name."""
    listed = [name for line in REFUSED.findall(text) for name in line.replace(" ", "").split(",")]
    kinds = list(dict.fromkeys([*listed, *(kind for kind in NAMED.findall(text) if kind not in COMMON)]))
    places = dict(reversed(PLACES.findall(text)))
    if not kinds:
        return f"fails: {reason_in(' '.join(text.split()))[:200]}"
    told = [f"{kind} ({places[kind]})" if kind in places else kind for kind in kinds[:3]]
    return f"has no TFLite operation for {', '.join(told)}"


def keep(
    content: bytes, source: Artifact, out: Path, precision: str, notes: Mapping[str, Any] | None = None
) -> Artifact:
    """Write a file with its record."""
    given, returned = io_specs(content, source)
    artifact = source.derive(out, format="tflite", precision=precision, input=given, output=returned, notes=notes or {})
    out.write_bytes(content)
    write_record(artifact)
    return artifact


def check_loads(content: bytes) -> None:
    """Raise ConversionError where LiteRT cannot load a model; names the first operation that it stumbles on."""
    from ai_edge_litert import schema_py_generated as schema  # heavy

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    if not (reason := refused(model)):
        return
    [graph] = model.subgraphs[:1]
    operators, graph.outputs, model.signatureDefs = graph.operators, [], None
    for count, operator in enumerate(operators, start=1):
        graph.operators, graph.outputs = operators[:count], operator.outputs
        if refused(model):
            kinds = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
            kind = kinds.get(model.operatorCodes[operator.opcodeIndex].builtinCode, "CUSTOM")
            name = graph.tensors[operator.outputs[0]].name.decode()
            raise ConversionError(f"LiteRT's delegate refuses operation {kind} ({name})")
    raise ConversionError(f"LiteRT cannot load the result: {reason}")


def refused(model: Any) -> str:
    """Why LiteRT cannot load a model, one line; empty where it can."""
    import flatbuffers  # comes with LiteRT
    from ai_edge_litert.interpreter import Interpreter  # heavy

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    try:
        Interpreter(model_content=bytes(builder.Output())).allocate_tensors()
    except (RuntimeError, ValueError) as error:
        return reason_in(str(error))
    return ""


def io_specs(content: bytes, source: Artifact) -> tuple[TensorSpec, TensorSpec]:
    """Input and output as the file declares them; the axis orders are those of its source."""
    from ai_edge_litert.interpreter import Interpreter  # heavy

    interpreter = Interpreter(model_content=content)
    [given], [returned] = interpreter.get_input_details(), interpreter.get_output_details()
    return tensor_spec(given, source.input.layout), tensor_spec(returned, source.output.layout)


@hookimpl
def ecgedge_quantizers() -> Iterable[Quantizer]:
    return TfliteFp32(), TfliteFp16(), TfliteDynamic(), TfliteFullInt8()
