"""TFLite -> C, and from a SavedModel through TFLite to C, in float32 and in int8."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgedge import (
    Artifact,
    Context,
    ConversionError,
    Exporter,
    Option,
    TfliteFp32,
    TfliteFullInt8,
    check_parity,
    write_sidecar,
)
from ecgedge_c import folder, tflite
from ecgedge_c.compiler import Library

FORMAT = "c"
LIBRARIES = ("ecgedge-c", "ai-edge-litert")
WHOLE = "there is C for int8 or float32 throughout; bring a full-int8 or fp32 file"
CMSIS_NN = Option(
    "cmsis_nn", bool, False, "Convolutions in int8 can be compiled to call CMSIS-NN; their weights are there twice."
)


class CExporter(Exporter):
    """A TFLite file in float32 or full int8 as C99, proved by the host's compiler."""

    name = "c"
    needs = ("ai_edge_litert",)
    libraries = LIBRARIES
    accepts = ("tflite",)
    produces = FORMAT
    options = (CMSIS_NN,)
    refuses = {"dynamic": WHOLE, "fp16": WHOLE, "mixed": WHOLE}

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        return convert(source, out, context)


class CFp32(TfliteFp32):
    """In float32, for comparison."""

    name = "c-fp32"
    libraries = (*TfliteFp32.libraries, "ecgedge-c")
    produces = FORMAT
    fixed_batch = False

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        return through_tflite(super().quantize, source, out, context)


class CFullInt8(TfliteFullInt8):
    """In int8: the graph that ``tflite-full-int8`` makes."""

    name = "c-full-int8"
    options = (*TfliteFullInt8.options, CMSIS_NN)
    libraries = (*TfliteFullInt8.libraries, "ecgedge-c")
    produces = FORMAT
    fixed_batch = False

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        return through_tflite(super().quantize, source, out, context)


def through_tflite(
    quantize: Callable[[Artifact, Path, Context], Artifact], source: Artifact, out: Path, context: Context
) -> Artifact:
    """The C of the TFLite file that ``quantize`` makes of a SavedModel."""
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        made = quantize(source, Path(scratch) / "model.tflite", replace(context, batch=1))
        written = convert(made, out, context)
    batch = source.input.batch  # the C takes one beat after another, as many as there are
    given, returned = (replace(spec, shape=(batch, *spec.shape[1:])) for spec in (written.input, written.output))
    derived = source.derive(
        out, format=FORMAT, precision=made.precision, input=given, output=returned, notes=dict(written.notes)
    )
    write_sidecar(derived)
    return derived


def convert(source: Artifact, out: Path, context: Context) -> Artifact:
    """Write the folder, and prove on its beats that it answers as LiteRT's reference kernels do: int8 bit for bit.

    Raises:
        EcgEdgeError: an operation cannot become C, or there is no compiler to prove it with.
        ConversionError: it answers otherwise.
    """
    beats = context.parity_beats
    net, made = folder.write(source, out, beats, bool(context.options.get(CMSIS_NN.name, CMSIS_NN.default)))
    given, returned = net.tensors[net.input], net.tensors[net.output]
    artifact = source.derive(
        out, format=FORMAT,
        input=tflite.spec_of(given, source.input.layout), output=tflite.spec_of(returned, source.output.layout),
        notes={"activations_bytes": made.arena},
    )  # fmt: skip
    stored = source.input.encode(beats).reshape(len(beats), -1)
    expected = tflite.answer(tflite.reference(source.path.read_bytes()), stored)
    found = Library(out).answer(stored)
    if net.is_float:
        check_parity(expected, found, "tflite -> c")
    elif not np.array_equal(expected, found):
        beats_off = int((expected != found).any(axis=1).sum())
        told = f"tflite -> c: {beats_off} of {len(beats)} beats have other answers than LiteRT's reference kernels give"
        raise ConversionError(told)
    write_sidecar(artifact)
    return artifact
