"""What lies in a TFLite file, by the schema that comes with TFLM: LiteRT is not needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import Artifact, EcgEdgeError, Graph, Node, TensorSpec, Weight, artifact_from, layout_of, tell_artifact

RECORD = b"ecgedge"  # the metadata entry that ecgedge's quantizers write


def read(path: Path) -> bytes:
    """Raises EcgEdgeError where there is no such file."""
    if not path.is_file():
        raise EcgEdgeError(f"{path} is missing", "name a TFLite file")
    return path.read_bytes()


def parse(content: bytes, path: Path) -> Any:
    """The file as the schema's ``ModelT``. Raises EcgEdgeError where it is damaged; ``path`` is for the message."""
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema  # heavy

    try:
        if content[4:8] != b"TFL3":
            raise ValueError("it is no TFLite file")
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        if not model.subgraphs or not model.subgraphs[0].outputs.size:
            raise ValueError("it holds no graph")
        if any(buffer.offset > 1 for buffer in model.buffers):
            raise ValueError("its weights lie behind the model, where TFLM does not look")
        return model
    except Exception as error:  # of a damaged file: many kinds
        raise EcgEdgeError(f"{path} is not a readable TFLite model: {error}"[:300], "convert it again") from error


def artifact_of(model: Any, path: Path) -> Artifact:
    """By the record that the file carries, else told from its input and output. Raises EcgEdgeError."""
    try:
        return told_of(model, path)
    except (
        AttributeError,
        IndexError,
        TypeError,
        ValueError,
    ) as error:  # to what is not there, or to no text
        told = f"{path} is not a readable TFLite model: {error}"
        raise EcgEdgeError(told[:300], "convert it again") from error


def told_of(model: Any, path: Path) -> Artifact:
    """As ``artifact_of``, of a model whose parts are all there."""
    graph = model.subgraphs[0]
    if len(graph.inputs) != 1:
        raise EcgEdgeError(f"{path} has {len(graph.inputs)} inputs, a beat fills one", "use another file")
    if len(graph.outputs) != 1:
        told = f"{path} gives {len(graph.outputs)} outputs, and which is the answer cannot be told to TFLM"
        raise EcgEdgeError(told, "export it with one output")
    given, returned = (graph.tensors[index[0]] for index in (graph.inputs, graph.outputs))
    takes = spec_of(given, layout_of(tuple(given.shape), leads_last=True) or "?")
    gives = spec_of(returned, "NC" if len(returned.shape) == 2 else "NCL")
    for entry in model.metadata or []:
        if entry.name == RECORD:
            return artifact_from(path, bytes(model.buffers[entry.buffer].data), takes, gives)
    return tell_artifact(path, "tflite", takes, gives)


def spec_of(tensor: Any, layout: str) -> TensorSpec:
    """An input or output as the file declares it."""
    shape, dtype, scaled = tuple(map(int, tensor.shape)), dtype_of(tensor), tensor.quantization
    if dtype.startswith("float") or scaled is None or scaled.scale is None or not scaled.scale.size:
        return TensorSpec(tensor.name.decode(), shape, dtype, layout)
    scale, zero_point = float(scaled.scale[0]), int(scaled.zeroPoint[0])
    return TensorSpec(tensor.name.decode(), shape, dtype, layout, scale, zero_point)


def kernels_of(model: Any) -> set[str]:
    """The kernels that a firmware needs for it, by name."""
    return {op_name(model, op) for graph in model.subgraphs for op in graph.operators}


def graph_of(model: Any, artifact: Artifact, device: str) -> Graph:
    """Its operations in order, all run by TFLM, and its constants.

    What they do is looked up by their names: they are LiteRT's, which ecgedge knows.
    """
    tensors, ops = model.subgraphs[0].tensors, model.subgraphs[0].operators
    dtypes = list(map(dtype_of, tensors))
    shapes = [tuple(map(int, tensor.shape)) for tensor in tensors]
    constants = [int(np.prod(tensor.shape)) if content_of(model, tensor) else 0 for tensor in tensors]

    def node(number: int, op: Any) -> Node:
        name, used = op_name(model, op), [i for i in op.inputs if i >= 0]
        takes, gives = tuple(dtypes[i] for i in used), tuple(dtypes[i] for i in op.outputs)
        sizes, makes = tuple(constants[i] for i in used), tensors[op.outputs[0]].name.decode()
        read, made = tuple(shapes[i] for i in used), tuple(shapes[i] for i in op.outputs)
        return Node(f"{name} {number}", name, "TFLM", device, takes, gives, sizes, read, made, makes)

    nodes = tuple(node(number, op) for number, op in enumerate(ops))
    return Graph(nodes, tuple(weights_of(model)), input=artifact.input.dtype, output=artifact.output.dtype)


def weights_of(model: Any) -> Iterator[Weight]:
    """The constants, but for 32-bit integers without a scale, which are shapes and axes."""
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            content, dtype, scaled = content_of(model, tensor), dtype_of(tensor), tensor.quantization
            if content and (dtype != "int32" or (scaled is not None and scaled.scale is not None)):
                yield Weight(tensor.name.decode(), dtype, len(content), hashlib.sha256(content).hexdigest()[:16])


def content_of(model: Any, tensor: Any) -> bytes:
    """A tensor's constant value; empty for one that is computed."""
    data = model.buffers[tensor.buffer].data
    return b"" if data is None else bytes(data)


def dtype_of(tensor: Any) -> str:
    return names_of("TensorType").get(tensor.type, "unknown").lower()


def op_name(model: Any, op: Any) -> str:
    code = model.operatorCodes[op.opcodeIndex]
    return names_of("BuiltinOperator").get(max(code.builtinCode, code.deprecatedBuiltinCode), "unknown")


@cache
def names_of(enumeration: str) -> dict[int, str]:
    """The names of an enumeration of the schema by value."""
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema  # heavy

    return {value: name for name, value in vars(getattr(schema, enumeration)).items() if not name.startswith("_")}
