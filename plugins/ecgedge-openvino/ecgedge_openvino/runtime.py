"""OpenVINO on the CPU, in a precision that is asked for and checked.

Left alone, OpenVINO computes float32 models in bfloat16 where the processor has it, and takes an
unsupported precision for another, without a word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import Artifact, EcgEdgeError, Graph, Precision, Runtime, Session
from ecgedge_openvino.graph import read_graph

CAPABILITIES = {"f32": "FP32", "bf16": "BF16"}  # precision hints, as OpenVINO lists what a device can
MODEL_FILE = "model.xml"
# What ecgedge holds the answers of bfloat16 to; ecgedge-ncnn declares the same. Measured on the 500 training beats of
# ECG5000: the five built-in models have a cosine of 0.99999 at least to the trained model's outputs, here and in ncnn,
# no beat below 0.9999; untrained ones in torch's bfloat16 0.9999. A reconstruction that is late by a sample has 0.951.
# What a processor multiplies in it at most is not measured: its products are held against no peak.
BF16_VALUES = Precision("bf16", "values of 8 significant bits in the range of float32", cosine=0.999)


class OpenVinoSession(Session):
    def __init__(self, compiled: Any, artifact: Artifact):
        self.compiled, self.artifact = compiled, artifact
        self.batch = artifact.input.batch
        self.request = compiled.create_infer_request()

    def bind(self, x: np.ndarray) -> None:
        import openvino  # heavy

        self.x = self.artifact.input.encode(x)  # kept: the tensor only points to it
        self.request.set_input_tensor(openvino.Tensor(self.x, shared_memory=True))

    def invoke(self) -> None:
        self.request.infer()

    def fetch(self) -> np.ndarray:
        return self.artifact.output.decode(np.array(self.request.get_output_tensor().data))

    def graph(self) -> Graph | None:
        return read_graph(self.compiled, read_model(file_of(self.artifact)), self.artifact)

    def close(self) -> None:
        self.request = self.compiled = None


class OpenVinoRuntime(Runtime):
    """Runs ONNX files, and OpenVINO's own: a folder with ``model.xml`` and ``model.bin``."""

    needs = ("openvino",)
    libraries = ("openvino",)
    environment = "openvino"
    accepts = ("onnx", "openvino_ir")
    wants = (  # conv_to_2d gains nothing here
        "fold_constants", "relu_into_concat", "fold_norms", "merge_convs", "drop_idle_relu", "crop_in_place",
        "upsample_into_conv", "drop_dead_ends",
    )  # fmt: skip

    def __init__(self, name: str, precision: str):
        self.name, self.precision = name, precision
        self.computes = None if precision == "f32" else precision
        self.precisions = () if precision == "f32" else (BF16_VALUES,)

    def available(self) -> str | None:
        import openvino  # heavy

        able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if CAPABILITIES[self.precision] not in able:
            return f"OpenVINO sees no {self.precision} in this processor, it has {', '.join(sorted(able))}"
        return None

    def load(self, artifact: Artifact, threads: int) -> Session:
        import openvino  # heavy

        compiled = openvino.Core().compile_model(
            read_model(file_of(artifact)),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": self.precision,
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                "PERFORMANCE_HINT": "LATENCY",
            },
        )
        if (used := precision_of(compiled)) != self.precision:
            raise RuntimeError(f"OpenVINO was asked for {self.precision} and took {used}")
        return OpenVinoSession(compiled, artifact)


def read_model(path: Path) -> Any:
    """An ``openvino.Model``. Raises EcgEdgeError where the file is missing or damaged."""
    import openvino  # heavy

    if not path.is_file() or not path.stat().st_size:
        raise EcgEdgeError(f"{path} is {'empty' if path.is_file() else 'missing'}", "convert it again")
    try:
        return openvino.Core().read_model(path)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise EcgEdgeError(f"{path} cannot be read by OpenVINO: {reason}", "convert it again") from error


def file_of(artifact: Artifact) -> Path:
    return artifact.path / MODEL_FILE if artifact.format == "openvino_ir" else artifact.path


def precision_of(compiled: Any) -> str:
    """What a compiled model says that it computes in: ``"f32"``, ``"bf16"``."""
    return compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
