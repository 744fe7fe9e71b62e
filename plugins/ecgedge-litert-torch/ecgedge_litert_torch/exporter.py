"""torch -> TFLite, through LiteRT Torch: no ONNX, no TensorFlow."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import numpy as np

from ecgedge import Artifact, Context, ConversionError, Exporter, check_parity, load_network, write_record
from ecgedge_litert_torch import tflite

ENVIRONMENT = "litert-torch"


class LitertTorchExporter(Exporter):
    """Keeps the input's axis order and fixes the batch, which it cannot leave free."""

    name = "litert-torch"
    needs = ("torch", "safetensors", "litert_torch", "ai_edge_litert")
    libraries = ("torch", "litert-torch", "litert-converter", "ai-edge-litert")
    environment = ENVIRONMENT
    accepts = ("torch",)
    produces = "tflite"
    fixed_batch = True

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        import litert_torch  # heavy, with the next
        import torch

        network = load_network(source)
        example = np.resize(context.beats, (context.batch, *context.beats.shape[1:]))
        with contextlib.redirect_stdout(sys.stderr):  # its progress lines
            try:
                litert_torch.convert(network, (torch.from_numpy(example),)).export(str(out))
            except Exception as error:  # of an operation that it does not know: many kinds
                raise ConversionError(f"LiteRT Torch gave up: {' '.join(str(error).split())[:300]}") from error
        content = out.read_bytes()
        given, returned = tflite.specs_of(content, source.input.layout, source.output.layout)
        artifact = source.derive(out, format="tflite", precision="fp32", input=given, output=returned)
        write_record(artifact)

        with torch.inference_mode():
            expected = network(torch.from_numpy(context.parity_beats)).numpy()
        check_parity(expected, tflite.answers(artifact, context.parity_beats), "torch -> tflite")
        return artifact
