"""ONNX -> ONNX of another precision, and those that keep any file as it is: ``none`` and ``as-it-came``."""

from __future__ import annotations

import contextlib
import logging
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import (
    ANY,
    Artifact,
    Context,
    ConversionError,
    EcgEdgeError,
    Option,
    Quantizer,
    copy_to,
    hookimpl,
    int8_products,
    write_record,
)

NORMS = ("LayerNormalization", "InstanceNormalization", "GroupNormalization")
UNWRITTEN = re.compile(r"SystemError : \d+|Protobuf serialization failed")  # of a full disk, or one that fails
REDUCE_RANGE = Option(
    "reduce_range", bool, None, "Weights in 7 bits. Where nothing is chosen: if this processor lacks VNNI or dotprod."
)
SEVEN_BITS = "weights have 7 bits, for processors without VNNI or dotprod"


class Keep(Quantizer):
    """No quantization: a copy."""

    name = "none"
    precision = "fp32"
    accepts = (ANY,)

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        copy_to(source.path, out)
        return source.derive(out)


class AsItCame(Keep):
    """A user's file, byte for byte: no graph pass touches it. The matrix has it beside ``none`` where one would."""

    name = "as-it-came"


class OnnxQuantizer(Quantizer):
    needs = ("onnx", "onnxruntime")
    libraries = ("onnx", "onnxruntime-gpu", "onnxruntime")
    accepts = ("onnx",)

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        with told_shortly():
            graph = self.rewrite(source, out, context)
            return keep(graph, source.derive(out, precision=self.precision, notes=self.notes(context)))

    def rewrite(self, source: Artifact, out: Path, context: Context) -> Any:
        """The quantized ``onnx.ModelProto``; ``out`` may be used as scratch."""
        raise TypeError(self.name)

    def notes(self, context: Context) -> dict[str, Any]:
        """For the artifact."""
        return {}


@contextlib.contextmanager
def told_shortly() -> Iterator[None]:
    """Turn whatever onnxruntime's quantizers raise into a ConversionError of one line."""
    try:
        yield
    except (ConversionError, EcgEdgeError, OSError):  # ours, and a full disk
        raise
    except Exception as error:  # classes of its own, and whatever its code runs into
        traceback.print_exc()
        told = " ".join(str(error).split())[:200]
        raise ConversionError(f"onnxruntime's quantizer fails: {told}") from error


def keep(graph: Any, artifact: Artifact) -> Artifact:
    """Write an ``onnx.ModelProto`` with its record, and prove that it can be loaded."""
    import onnx  # heavy
    import onnxruntime

    onnx.save(graph, artifact.path)
    write_record(artifact)
    onnxruntime.InferenceSession(str(artifact.path), providers=["CPUExecutionProvider"])  # raises where it cannot run
    return artifact


class OnnxFp16(OnnxQuantizer):
    """Weights and computation in half precision, inputs and outputs in float32."""

    name = "onnx-fp16"
    precision = "fp16"

    def rewrite(self, source: Artifact, out: Path, context: Context) -> Any:
        import onnx  # heavy
        from onnxruntime.transformers.float16 import convert_float_to_float16

        return convert_float_to_float16(onnx.load(source.path), keep_io_types=True)


class OnnxDynamic(OnnxQuantizer):
    """Weights in 8 bits, activations quantized while it runs. u8 weights: s8 ones run 2-3 times slower."""

    name = "onnx-dynamic"
    precision = "dynamic"

    def rewrite(self, source: Artifact, out: Path, context: Context) -> Any:
        import onnx  # heavy
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(prepare(source, out), out, weight_type=QuantType.QUInt8)
        return onnx.load(out)


class OnnxFullInt8(OnnxQuantizer):
    """Weights s8 per channel, activations u8, as QDQ pairs inside a graph with float inputs and outputs.

    onnxruntime has no int8 kernel for ReduceMean and BatchNormalization: between int8 neighbours it goes
    to float32 and back for them. Its int8 convolutions are as fast in one dimension as in two, and lie
    channels last, where a concatenation with itself is faster than a Resize.

    The option ``reduce_range`` gives weights 7 bits. None: where the processor lacks VNNI or dotprod, without which
    sums of products of u8 and s8 are cut off.
    """

    name = "onnx-full-int8"
    precision = "full-int8"
    calibrates = True
    options: tuple[Option, ...] = (REDUCE_RANGE,)
    wants = (
        "fold_constants", "sink_transposes", "mean_to_pool", "relu_into_concat", "fold_norms", "norm_to_conv",
        "merge_convs", "drop_idle_relu", "crop_in_place", "crop_into_conv", "upsample_into_conv", "upsample_to_concat",
        "drop_dead_ends",
    )  # fmt: skip

    def settle(self, options: Mapping[str, Any]) -> dict[str, Any]:
        if options.get("reduce_range") is not None:
            return dict(options)
        found = int8_products()
        return {**options, "reduce_range": found is None, "isa": found}

    def rewrite(self, source: Artifact, out: Path, context: Context) -> Any:
        return static(prepare(source, out), out, source, context, self.settle(context.options)["reduce_range"])

    def notes(self, context: Context) -> dict[str, Any]:
        settled = self.settle(context.options)
        told = {"reduce_range": settled["reduce_range"]} | ({"isa": settled["isa"]} if "isa" in settled else {})
        return told | ({"text": SEVEN_BITS} if settled["reduce_range"] else {})


@told_shortly()
def static(
    prepared: Path,
    out: Path,
    source: Artifact,
    context: Context,
    reduce_range: bool,
    floats: Sequence[str] = (),
    ranges: Path | None = None,
) -> Any:
    """A prepared graph with QDQ pairs, as an ``onnx.ModelProto``.

    Args:
        out: used as scratch.
        floats: names of nodes that stay as they are.
        ranges: a file that keeps what calibration found for the next time.
    """
    import onnx  # heavy
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Beats(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = source.input.batches(context.beats)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.left, None)
            return None if batch is None else {source.input.name: batch}

    quantize_static(
        prepared,
        out,
        Beats(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=reduce_range,
        nodes_to_exclude=list(floats),
        extra_options={"TensorQuantOverrides": of_norms(onnx.load(prepared))},
        calibration_cache_path=ranges,
    )
    return onnx.load(out)


def of_norms(model: Any) -> dict[str, list[dict[str, Any]]]:
    """The scales of norms are quantized per tensor: onnxruntime 1.31 takes the wrong axis of them for channels."""
    from onnxruntime.quantization import QuantType  # heavy

    known = {tensor.name for tensor in model.graph.initializer}
    norms = [node for node in model.graph.node if node.op_type in NORMS]
    scales = {node.input[1] for node in norms} & known
    return {name: [{"quant_type": QuantType.QInt8, "symmetric": True}] for name in sorted(scales)}


@told_shortly()
def prepare(source: Artifact, out: Path) -> Path:
    """Shapes inferred and batch norms folded, as onnxruntime's quantizers want it, beside ``out``.

    Where it cannot be written that only logs an error, and goes on with a graph that is not folded.

    Raises:
        ConversionError: so it was.
    """
    from onnxruntime.quantization import shape_inference  # heavy

    prepared = out.with_name("prepared.onnx")
    said: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: said.extend(record.getMessage().splitlines())  # type: ignore[method-assign]
    shape_inference.logger.addHandler(handler)
    try:
        shape_inference.quant_pre_process(str(source.path), str(prepared), skip_symbolic_shape=True)
    finally:
        shape_inference.logger.removeHandler(handler)
    if unwritten := [line.strip() for line in said if UNWRITTEN.search(line)]:
        raise ConversionError(unwritten[-1])
    drop_shapes_of_constants(prepared)
    return prepared


def drop_shapes_of_constants(file: Path) -> None:
    """Take out of a file's ``value_info`` what it says of constants, which tell their shapes themselves.

    torch's newer exporter lists them there. onnxruntime's dynamic quantizer turns a Gemm into a MatMul, transposes
    its weight, and leaves that list as it was: its next shape inference then finds two shapes of one tensor.
    """
    import onnx  # heavy

    model = onnx.load(file)
    constants = {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.value_info if value.name not in constants]
    if len(kept) < len(model.graph.value_info):
        del model.graph.value_info[:]
        model.graph.value_info.extend(kept)
        onnx.save(model, file)


@hookimpl
def ecgedge_quantizers() -> Iterable[Quantizer]:
    return Keep(), AsItCame(), OnnxFp16(), OnnxDynamic(), OnnxFullInt8()
