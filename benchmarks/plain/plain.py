"""Conversions as one finds them in scripts, as rivals of ours in one matrix; for benchmarks/artifacts.py.

The same weights through ``torch.onnx.export`` with a free batch into onnxruntime, and on through onnx2tf
and ``TFLiteConverter`` with their default options into LiteRT. Formats of their own (``plain_onnx``, ...)
keep graph passes and our quantizers away from them.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ecgedge import Artifact, Context, Exporter, Quantizer, Runtime, Session, copy_to, hookimpl
from ecgedge.plugins import load


class PlainOnnx(Exporter):
    """torch.onnx.export with a free batch: what the built-in exporter gives before any pass."""

    name = "plain-export"
    needs = ("torch", "onnx", "onnxruntime")
    accepts = ("torch",)
    produces = "plain_onnx"

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        load().find("exporter", "onnx").convert(source, out, context)
        return source.derive(out, format="plain_onnx", precision="fp32")


class PlainOnnx2tf(Exporter):
    """onnx2tf with its default options, but for the signature, without which the converter reads nothing."""

    name = "plain-onnx2tf"
    needs = ("onnx2tf", "tensorflow", "tf_keras")
    accepts = ("plain_onnx",)
    produces = "plain_saved_model"

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import onnx2tf

        scratch = out.with_name("source.onnx")  # it writes to the file that it is given
        copy_to(source.path, scratch)
        with contextlib.redirect_stdout(sys.stderr):
            onnx2tf.convert(
                input_onnx_file_path=str(scratch),
                output_folder_path=str(out),
                output_signaturedefs=True,
                non_verbose=True,
            )
        return source.derive(out, format="plain_saved_model")


class PlainTflite(Quantizer):
    """TFLiteConverter with its default options: float32, the batch as it comes."""

    name = "plain-tflite"
    precision = "fp32"
    needs = ("tensorflow",)
    accepts = ("plain_saved_model",)
    produces = "plain_tflite"

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import tensorflow as tf

        with contextlib.redirect_stdout(sys.stderr):
            out.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(source.path)).convert())
        seen = load().find("runtime", "tflite").inspect(out)
        return source.derive(
            out, format="plain_tflite", input=seen.input, output=replace(seen.output, layout=source.output.layout)
        )


class PlainRuntime(Runtime):
    """A built-in runtime that takes a plain file."""

    def __init__(self, name: str, format: str, needs: str):
        self.name, self.accepts, self.needs, self.real = f"plain-{name}", (format,), (needs,), name

    def load(self, artifact: Artifact, threads: int) -> Session:
        return load().find("runtime", self.real).load(artifact, threads)


@hookimpl
def ecgedge_exporters() -> Iterable[Exporter]:
    return PlainOnnx(), PlainOnnx2tf()


@hookimpl
def ecgedge_quantizers() -> Iterable[Quantizer]:
    return (PlainTflite(),)


@hookimpl
def ecgedge_runtimes() -> Iterable[Runtime]:
    return PlainRuntime("cpu", "plain_onnx", "onnxruntime"), PlainRuntime("tflite", "plain_tflite", "ai_edge_litert")
