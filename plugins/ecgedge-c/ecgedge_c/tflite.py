"""TFLite files: read into a ``Net``, and answered by LiteRT's reference kernels."""

from __future__ import annotations

import hashlib
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import Artifact, EcgEdgeError, TensorSpec, artifact_from, layout_of, tell_artifact
from ecgedge_c.net import Net, Op, Tensor

RECORD = b"ecgedge"  # the metadata entry that ecgedge writes
DTYPES = {"FLOAT32": "float32", "INT8": "int8", "INT32": "int32", "INT64": "int64", "UINT8": "uint8", "INT16": "int16"}


def read(path: Path) -> Net:
    """The network in a file. Raises EcgEdgeError where it is damaged, or has not one input and one output."""
    if not path.is_file() or not path.stat().st_size:
        raise EcgEdgeError(f"{path} is {'empty' if path.is_file() else 'missing'}", "name a TFLite file")
    content = path.read_bytes()
    try:
        return parse(content)
    except EcgEdgeError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        raise EcgEdgeError(f"{path} is not a readable TFLite model: {error}"[:300], "convert it again") from error


def parse(content: bytes) -> Net:
    """The network in a file's bytes. Raises EcgEdgeError where it is of a kind that the exporter does not take."""
    from ai_edge_litert import schema_py_generated as schema  # heavy

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    graph = model.subgraphs[0]
    if len(model.subgraphs) > 1:
        raise EcgEdgeError("the file holds several graphs, as of a loop", "a network without loops can become C")
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        told = f"the file has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs"
        raise EcgEdgeError(told, "a network with one of each can become C")
    tensors = tuple(tensor_of(index, tensor, model) for index, tensor in enumerate(graph.tensors))
    ops = tuple(op_of(number, op, model) for number, op in enumerate(graph.operators))
    return Net(tensors, ops, int(graph.inputs[0]), int(graph.outputs[0]), hashlib.sha256(content).hexdigest())


def tensor_of(index: int, tensor: Any, model: Any) -> Tensor:
    shape = tuple(int(axis) for axis in (tensor.shape if tensor.shape is not None else ()))
    name = names_of("TensorType")[tensor.type]
    dtype = DTYPES.get(name, name.lower())
    content = model.buffers[tensor.buffer].data
    data = None
    if content is not None and dtype in DTYPES.values():
        data = np.frombuffer(bytes(content), dtype).reshape(shape)
    scaled = tensor.quantization
    scales = () if scaled is None or scaled.scale is None else tuple(float(scale) for scale in scaled.scale)
    zeros = tuple(int(zero) for zero in scaled.zeroPoint) if scales else ()
    axis = int(scaled.quantizedDimension) if scales else 0
    return Tensor(index, (tensor.name or b"").decode(errors="replace"), shape, dtype, scales, zeros, axis, data)


def op_of(number: int, op: Any, model: Any) -> Op:
    code = model.operatorCodes[op.opcodeIndex]
    kind = names_of("BuiltinOperator").get(max(code.builtinCode, code.deprecatedBuiltinCode), "unknown")
    if kind == "CUSTOM":
        kind = (code.customCode or b"CUSTOM").decode(errors="replace")
    options = vars(op.builtinOptions) if op.builtinOptions is not None else {}
    plain = {key: value for key, value in options.items() if isinstance(value, bool | int | float)}
    return Op(number, kind, tuple(map(int, op.inputs)), tuple(map(int, op.outputs)), plain)


@cache
def names_of(enumeration: str) -> dict[int, str]:
    """The names of an enumeration of the schema by value."""
    from ai_edge_litert import schema_py_generated as schema  # heavy

    return {value: name for name, value in vars(getattr(schema, enumeration)).items() if not name.startswith("_")}


def reference(content: bytes) -> Any:
    """An interpreter with LiteRT's reference kernels. Raises EcgEdgeError where it does not take the file."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType  # heavy

    try:
        interpreter = Interpreter(
            model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
        )
        interpreter.allocate_tensors()
        return interpreter
    except (ValueError, RuntimeError) as error:
        told = f"LiteRT's reference kernels do not take it: {str(error).splitlines()[0]}"
        raise EcgEdgeError(told[:300], "convert it again") from error


def answer(interpreter: Any, stored: np.ndarray) -> np.ndarray:
    """What it gives for inputs ``(N, ...)`` as the file stores them, one after another, ``(N, values)``."""
    [given], [returned] = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for one in stored:
        interpreter.set_tensor(given["index"], one.reshape(given["shape"]))
        interpreter.invoke()
        found.append(interpreter.get_tensor(returned["index"]).reshape(-1))
    return np.stack(found)


def spec_of(tensor: Tensor, layout: str) -> TensorSpec:
    """An input or output as the file declares it."""
    scaled = len(tensor.scales) == 1 and tensor.scale != 0 and not tensor.dtype.startswith("float")
    scale, zero = (tensor.scale, tensor.zero) if scaled else (None, None)
    return TensorSpec(tensor.name, tensor.shape, tensor.dtype, layout, scale, zero)


def inspect(path: Path) -> Artifact:
    """The artifact in a file, by the record that it carries, else told from its input and output."""
    from ai_edge_litert import schema_py_generated as schema  # heavy

    net = read(path)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    given, returned = net.tensors[net.input], net.tensors[net.output]
    takes = spec_of(given, layout_of(given.shape) or "?")
    gives = spec_of(returned, "NC" if len(returned.shape) == 2 else "NCL")
    for entry in model.metadata or []:
        if entry.name == RECORD:
            return artifact_from(path, bytes(model.buffers[entry.buffer].data), takes, gives)
    return tell_artifact(path, "tflite", takes, gives)
