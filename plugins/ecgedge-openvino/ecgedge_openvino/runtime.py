"""OpenVINO on the CPU, in a precision that is asked for and checked.

Left alone, OpenVINO computes float32 models in bfloat16 where the processor has it, and takes an
unsupported precision for another, without a word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import Artifact, EcgEdgeError, Graph, Node, Runtime, Session, Weight

CAPABILITIES = {"f32": "FP32", "bf16": "BF16"}  # precision hints, as OpenVINO lists what a device can
MODEL_FILE = "model.xml"
NUMPY = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "boolean": "bool", "i4": "int4",
    "i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64", "u4": "uint4", "u8": "uint8", "u16": "uint16",
}  # fmt: skip


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
        """The layers of the compiled model, and the constants of the file."""
        layers = self.compiled.get_runtime_model().get_ordered_ops()
        nodes = tuple(node_of(layer) for layer in layers if type_of(layer) not in ("Input", "Output", "Const"))
        given, returned = self.artifact.input, self.artifact.output
        return Graph(nodes, tuple(weights_of(self.artifact)), input=given.dtype, output=returned.dtype)

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


def node_of(layer: Any) -> Node:
    """A layer of a compiled model, whose inputs include the constants; optional ones that are absent do not count."""
    sources = [value.get_source_output() for value in layer.inputs()]
    told = [(dtype_of(value), size_of(value)) for value in sources if dtype_of(value) != "dynamic"]
    takes, constants = tuple(dtype for dtype, _ in told), tuple(size for _, size in told)
    gives = tuple(map(dtype_of, layer.outputs()))
    op = "Dequantize" if dequantizes(layer) else type_of(layer)
    return Node(layer.get_friendly_name(), op, "OpenVINO", "cpu", takes, gives, constants)


def dequantizes(layer: Any) -> bool:
    """Whether it turns 8 bits into float by a scale and a shift, as OpenVINO does at the end of an ONNX file."""
    computed = [value.get_source_output() for value in layer.inputs() if not size_of(value.get_source_output())]
    if type_of(layer) != "Eltwise" or len(computed) != 1 or dtype_of(layer.output(0)) != "float32":
        return False
    source = computed[0].get_node()
    return dtype_of(source.input(0) if type_of(source) == "Convert" else computed[0]) in ("int8", "uint8")


def type_of(layer: Any) -> str:
    return layer.get_rt_info()["layerType"].astype(str)


def dtype_of(value: Any) -> str:
    """By numpy's name; ``"dynamic"`` for an input that is absent."""
    name = value.get_element_type().get_type_name()
    return NUMPY.get(name, name)


def size_of(value: Any) -> int:
    """Elements of a constant, or of what is made of constants alone; 0 for what is computed of the beats."""
    layer = value.get_node()
    sources = [source.get_source_output() for source in layer.inputs()]
    is_constant = type_of(layer) == "Const" or (sources and all(size_of(source) for source in sources))
    return int(np.prod(value.get_shape())) if is_constant else 0


def weights_of(artifact: Artifact) -> Iterator[Weight]:
    for node in read_model(file_of(artifact)).get_ops():
        if node.get_type_name() == "Constant":
            content = node.data.tobytes()
            digest = hashlib.sha256(content).hexdigest()[:16]
            yield Weight(node.get_friendly_name(), dtype_of(node.output(0)), len(content), digest)


def precision_of(compiled: Any) -> str:
    """What a compiled model says that it computes in: ``"f32"``, ``"bf16"``."""
    return compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
