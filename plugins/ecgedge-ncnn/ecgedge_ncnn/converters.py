"""ONNX -> ncnn through pnnx, with weights in float32, and in float16."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgedge import (
    Artifact,
    Context,
    ConversionError,
    EcgEdgeError,
    Exporter,
    Quantizer,
    check_parity,
    copy_to,
    infer,
    write_sidecar,
)
from ecgedge_ncnn.model_file import BIN_FILE, PARAM_FILE
from ecgedge_ncnn.runtime import NcnnSession, load_net

ENVIRONMENT = "pnnx"
NEEDS = ("pnnx", "ncnn", "onnxruntime")
LIBRARIES = ("pnnx", "ncnn")
WANTS = (  # ncnn's quick kernels are for two dimensions
    "fold_constants", "sink_transposes", "mean_to_pool", "relu_into_concat", "fold_norms", "merge_convs",
    "drop_idle_relu", "crop_in_place", "upsample_into_conv", "conv_to_2d", "drop_dead_ends",
)  # fmt: skip


class NcnnExporter(Exporter):
    """The batch stays as it is. Checked against the ONNX file on real beats."""

    name = "ncnn"
    needs = NEEDS
    libraries = LIBRARIES
    environment = ENVIRONMENT
    accepts = ("onnx",)
    produces = "ncnn"
    wants = WANTS

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        artifact = convert(source, out, context, "fp32")
        beats = context.parity_beats
        expected, found = answers_of_onnx(source, beats), answers(artifact, beats)
        check_parity(expected, found, "onnx -> ncnn")
        return artifact


class NcnnFp16(Quantizer):
    """Weights of convolutions and dense layers in float16: half the file. ncnn turns them back when it loads them."""

    name = "ncnn-fp16"
    precision = "fp16"
    needs = NEEDS
    libraries = LIBRARIES
    environment = ENVIRONMENT
    accepts = ("onnx",)
    wants = WANTS
    produces = "ncnn"

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        artifact = convert(source, out, context, self.precision)
        if not np.isfinite(answers(artifact, context.beats)).all():
            raise ConversionError("onnx -> ncnn: in float16 the output is not finite")
        return artifact


def convert(source: Artifact, out: Path, context: Context, precision: str) -> Artifact:
    """Make the folder ``out`` of an ONNX file; not compared with it yet.

    Args:
        precision: of the weights, ``"fp32"`` or ``"fp16"``.

    Raises:
        ConversionError: pnnx gave up, or ncnn cannot load what it made, or has not one input and one output.
    """
    if source.input.dtype != "float32":
        raise ConversionError(f"onnx -> ncnn: the input is {source.input.dtype}, ncnn takes float32")
    shape = source.input.encode(context.beats[: source.input.batch or 1]).shape
    out.mkdir()
    run_pnnx(source.path, out, shape, precision)
    try:
        net = load_net(out, "fp32", 1)
    except EcgEdgeError as error:
        raise ConversionError(f"onnx -> ncnn: {error.message}") from error
    inputs, outputs = net.input_names(), net.output_names()
    if len(inputs) != 1 or len(outputs) != 1:
        told = f"{len(inputs)} inputs and {len(outputs)} outputs, a beat fills one and so does its answer"
        raise ConversionError(f"onnx -> ncnn: {told}")
    artifact = source.derive(
        out,
        format="ncnn",
        precision=precision,
        input=replace(source.input, name=inputs[0], shape=(source.input.batch, *shape[1:])),
        output=replace(source.output, name=outputs[0]),
    )
    write_sidecar(artifact)
    return artifact


def run_pnnx(source: Path, out: Path, shape: tuple[int, ...], precision: str) -> None:
    """Write ``model.param`` and ``model.bin``. Raises ConversionError, with pnnx's last line, where it gives up."""
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        copy_to(source, Path(folder) / "model.onnx")  # it writes a dozen files beside it
        options = [f"inputshape={list(shape)}".replace(" ", ""), f"fp16={int(precision == 'fp16')}"]
        done = subprocess.run([program(), "model.onnx", *options], cwd=folder, capture_output=True, check=False)
        made = [Path(folder) / f"model.ncnn.{suffix}" for suffix in ("param", "bin")]
        if done.returncode or not all(file.is_file() for file in made):
            lines = (done.stdout + done.stderr).decode(errors="replace").split("\n")
            said = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
            raise ConversionError(f"onnx -> ncnn: pnnx gave up with exit code {done.returncode}: {said[:200]}")
        for file, name in zip(made, (PARAM_FILE, BIN_FILE), strict=True):
            shutil.move(file, out / name)


def program() -> Path:
    """The program in the package pnnx, whose import would bring torch: it does without."""
    spec = importlib.util.find_spec("pnnx")
    places = spec.submodule_search_locations if spec else None
    found = Path(places[0]) / ("pnnx.exe" if os.name == "nt" else "pnnx") if places else None
    if found is None or not found.is_file():
        raise EcgEdgeError("pnnx is not installed here", "ecgedge env create pnnx")
    return found


def answers(artifact: Artifact, beats: np.ndarray) -> np.ndarray:
    """What the new file answers to beats ``(N, 1, L)``."""
    return infer(NcnnSession(load_net(artifact.path, "fp32", 1), artifact), beats)


def answers_of_onnx(source: Artifact, beats: np.ndarray) -> np.ndarray:
    """What its source answers, through onnxruntime."""
    import onnxruntime  # heavy

    session = onnxruntime.InferenceSession(str(source.path), providers=["CPUExecutionProvider"])
    batches = source.input.batches(beats)
    found = [session.run([source.output.name], {source.input.name: batch})[0] for batch in batches]
    return source.output.decode(np.concatenate(found)[: len(beats)])
