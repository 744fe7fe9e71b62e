"""ONNX -> TensorFlow SavedModel, through onnx2tf."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgedge import (
    Artifact,
    Context,
    ConversionError,
    Exporter,
    check_parity,
    copy_to,
    hookimpl,
    layout_of,
    write_sidecar,
)


class Onnx2tfExporter(Exporter):
    """Keeps the dynamic batch and the input's axis order; the TFLite quantizers fix the batch.

    onnx2tf is known to drop a crop or a padding silently, so the SavedModel is run on real beats
    and compared with the ONNX file.
    """

    name = "onnx2tf"
    needs = ("onnx2tf", "tensorflow", "tf_keras", "onnx", "onnxruntime")
    libraries = ("onnx2tf", "tensorflow", "tf-keras", "onnx")
    accepts = ("onnx",)
    produces = "saved_model"
    wants = (  # in two dimensions: without a reshape around each convolution
        "fold_constants", "relu_into_concat", "fold_norms", "merge_convs", "drop_idle_relu", "upsample_into_conv",
        "conv_to_2d", "ceil_to_repeat", "upsample_to_concat", "drop_dead_ends",
    )  # fmt: skip

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
        import onnx2tf  # heavy, with the next two
        import onnxruntime
        import tensorflow as tf

        scratch = out.with_name("source.onnx")  # it writes to the file that it is given
        copy_to(source.path, scratch)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                onnx2tf.convert(
                    input_onnx_file_path=str(scratch),
                    output_folder_path=str(out),
                    output_signaturedefs=True,
                    keep_ncw_or_nchw_or_ncdhw_input_names=[source.input.name] if len(source.input.shape) == 3 else None,
                    non_verbose=True,
                )
        except SystemExit as error:  # its way of giving up
            raise ConversionError("onnx2tf gave up: see the log") from error
        for extra in out.glob("*.tflite"):  # it always makes two; those are the quantizers' work
            extra.unlink()

        function = tf.saved_model.load(str(out)).signatures["serving_default"]
        [(input_name, signature)] = function.structured_input_signature[1].items()
        shape = tuple(signature.shape)
        artifact = source.derive(
            out,
            format="saved_model",
            input=replace(source.input, name=input_name, shape=shape, layout=layout_of(shape) or source.input.layout),
            output=replace(source.output, name=next(iter(function.structured_outputs))),
        )
        beats = context.beats[: source.input.batch]  # all, where the batch is free
        session = onnxruntime.InferenceSession(str(source.path), providers=["CPUExecutionProvider"])
        expected = session.run(None, {source.input.name: source.input.encode(beats)})[0]
        [found] = function(**{input_name: tf.constant(artifact.input.encode(beats))}).values()
        check_parity(np.asarray(expected), found.numpy(), "onnx -> saved_model")
        write_sidecar(artifact)
        return artifact


@hookimpl
def ecgedge_exporters() -> Iterable[Exporter]:
    return (Onnx2tfExporter(),)
