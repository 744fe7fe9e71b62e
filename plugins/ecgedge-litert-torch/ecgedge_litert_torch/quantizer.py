"""TFLite -> TFLite in int8, through AI Edge Quantizer."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import Artifact, Context, ConversionError, Quantizer, write_record
from ecgedge_litert_torch import tflite
from ecgedge_litert_torch.exporter import ENVIRONMENT


class LitertFullInt8(Quantizer):
    """Weights per channel, activations, input and output in int8.

    Left alone it calibrates with a moving average of the limits: rare beats are cut off, and the order of
    the beats matters. Here the limits are those of all beats.
    """

    name = "litert-full-int8"
    precision = "full-int8"
    needs = ("ai_edge_quantizer", "ai_edge_litert")
    libraries = ("ai-edge-quantizer", "ai-edge-litert")
    environment = ENVIRONMENT
    accepts = ("tflite",)
    calibrates = True

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        from ai_edge_quantizer import quantizer, recipe  # heavy

        content, rules = source.path.read_bytes(), recipe.static_wi8_ai8()
        with contextlib.redirect_stdout(sys.stderr):  # its progress and sizes
            limits = limits_of(content, rules, source, context.beats)
            made = bytes(quantizer.Quantizer(bytearray(content), rules).quantize(limits).quantized_model)
        given, returned = tflite.specs_of(made, source.input.layout, source.output.layout)
        artifact = source.derive(out, precision=self.precision, input=given, output=returned)
        out.write_bytes(made)
        write_record(artifact)
        tflite.open_interpreter(out.read_bytes(), out)  # raises where it cannot run
        return artifact


def limits_of(content: bytes, rules: Any, source: Artifact, beats: np.ndarray) -> dict[str, Any]:
    """The smallest and largest value of each tensor over all beats, by its name. Raises ConversionError."""
    from ai_edge_quantizer import calibrator, recipe_manager  # heavy
    from ai_edge_quantizer.utils import qsv_utils

    signatures = tflite.open_interpreter(content, source.path).get_signature_list()
    if not signatures:
        raise ConversionError("it has no signature, by which AI Edge Quantizer feeds it")
    signature, names = next(iter(signatures.items()))
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(rules)
    worker = calibrator.Calibrator(content, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    worker.calibrate({signature: [{names["inputs"][0]: x} for x in source.input.batches(beats)]}, manager)
    limits: dict[str, Any] = worker.get_model_qsvs()
    return limits
