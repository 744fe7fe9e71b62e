"""ncnn on the CPU, in a precision that is asked for.

Left alone, ncnn stores what layers hand on in float16 where the processor can, without a word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import Artifact, EcgEdgeError, Graph, Precision, Runtime, Session
from ecgedge_ncnn.graph import read_graph
from ecgedge_ncnn.model_file import checked_files, read_layers

HALVES = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage")
ASKED = {"fp32": (), "bf16": ("use_bf16_packed", "use_bf16_storage")}  # of these, by precision

# What ecgedge holds the answers of bfloat16 to; ecgedge-openvino declares the same. Measured on the 500 training beats
# of ECG5000: the five built-in models have a cosine of 0.99999 at least to the trained model's outputs, here, also with
# weights in float16, and in OpenVINO, no beat below 0.9999; untrained ones in torch's bfloat16 0.9999. A reconstruction
# that is late by one sample has 0.951. Its products are held against no peak: on some processors ncnn multiplies in
# float32, on others in bfloat16.
BF16_VALUES = Precision("bf16", "values of 8 significant bits in the range of float32", cosine=0.999)


class NcnnSession(Session):
    """Any number of beats a call: ncnn computes them one by one inside it."""

    def __init__(self, net: Any, artifact: Artifact):
        self.net, self.artifact = net, artifact
        self.batch = artifact.input.batch

    def bind(self, x: np.ndarray) -> None:
        import ncnn  # heavy

        self.x = ncnn.Mat(self.artifact.input.encode(x), batch_index=0).clone()  # it would only point to them

    def invoke(self) -> None:
        extractor = self.net.create_extractor()  # one a call: it keeps all that it has computed
        extractor.input(self.artifact.input.name, self.x)
        status, self.y = extractor.extract(self.artifact.output.name)
        if status:
            raise RuntimeError(f"ncnn gave up with status {status}: see the log")

    def fetch(self) -> np.ndarray:
        return self.artifact.output.decode(np.array(self.y.numpy(batch_index=0)))

    def graph(self) -> Graph | None:
        return read_graph(self.net, self.artifact, self.x)

    def close(self) -> None:
        self.net = self.x = self.y = None


class NcnnRuntime(Runtime):
    """Runs ncnn's files: a folder with ``model.param`` and ``model.bin``."""

    needs = ("ncnn",)
    libraries = ("ncnn",)
    environment = "ncnn"
    accepts = ("ncnn",)

    def __init__(self, name: str, precision: str):
        self.name, self.precision = name, precision
        self.computes = None if precision == "fp32" else precision
        self.precisions = () if precision == "fp32" else (BF16_VALUES,)

    def load(self, artifact: Artifact, threads: int) -> Session:
        return NcnnSession(load_net(artifact.path, self.precision, threads), artifact)


def load_net(folder: Path, precision: str, threads: int) -> Any:
    """An ``ncnn.Net`` that computes in ``"fp32"`` or ``"bf16"``.

    Raises:
        EcgEdgeError: a file is missing or damaged, or has layers that this ncnn does not know.
    """
    import ncnn  # heavy

    param, weights = checked_files(folder)
    kinds = {layer.type for layer in read_layers(param)}
    if unknown := sorted(kind for kind in kinds if ncnn.layer_to_index(kind) < 0):
        raise EcgEdgeError(f"{param}: ncnn {ncnn.__version__} has no layer {', '.join(unknown)}", "convert it again")
    net = ncnn.Net()
    net.opt.num_threads = threads
    for option in HALVES:
        setattr(net.opt, option, option in ASKED[precision])
    for file, load in ((param, net.load_param), (weights, net.load_model)):
        if load(str(file)):
            raise EcgEdgeError(f"{file} cannot be read by ncnn {ncnn.__version__}", "convert it again")
    return net
