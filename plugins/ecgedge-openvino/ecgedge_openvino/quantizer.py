"""ONNX -> OpenVINO's format in int8, through NNCF's post-training quantization.

Ranges reach from the smallest to the largest value of all calibration beats. NNCF's default, the mean of each
beat's extremes, cuts off what a peak needs: answers move ten times as far (on training beats held out of calibration).
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from ecgedge import Artifact, Context, ConversionError, Quantizer, write_sidecar
from ecgedge_openvino.runtime import MODEL_FILE, read_model


class OpenVinoInt8(Quantizer):
    """Weights and activations in 8 bits, input and output in float32; the batch stays free."""

    name = "openvino-full-int8"
    precision = "full-int8"
    needs = ("openvino", "nncf")
    libraries = ("openvino", "nncf")
    environment = "openvino"
    accepts = ("onnx",)
    wants = (  # an upsampling that is left becomes a Concat: OpenVINO computes Resize in float
        "fold_constants", "relu_into_concat", "fold_norms", "merge_convs", "drop_idle_relu", "crop_in_place",
        "upsample_into_conv", "upsample_to_concat", "drop_dead_ends",
    )  # fmt: skip
    produces = "openvino_ir"
    calibrates = True

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        import nncf  # heavy, with the others
        import openvino
        from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet

        size = source.input.batch or 1
        usable = context.beats[: len(context.beats) // size * size]
        batches = [source.input.encode(usable[i : i + size]) for i in range(0, len(usable), size)]
        with contextlib.redirect_stdout(sys.stderr):  # its progress bars
            model = nncf.quantize(
                read_model(source.path),
                nncf.Dataset(batches),
                preset=nncf.QuantizationPreset.PERFORMANCE,  # symmetric: no worse here, and better on cnn-ae
                subset_size=len(batches),
                advanced_parameters=AdvancedQuantizationParameters(
                    activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
                ),
            )
        if not any(operator.get_type_name() == "FakeQuantize" for operator in model.get_ops()):
            raise ConversionError("NNCF quantized nothing in this model")
        out.mkdir()
        openvino.save_model(model, out / MODEL_FILE, compress_to_fp16=False)
        artifact = source.derive(out, format="openvino_ir", precision=self.precision)
        write_sidecar(artifact)
        return artifact
