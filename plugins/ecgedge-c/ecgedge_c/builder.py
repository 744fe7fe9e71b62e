"""Small TFLite files made from scratch: for tables of single operations, and for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ecgedge_c.net import Tensor


@dataclass(frozen=True)
class Call:
    """An operation to be written: ``inputs`` and ``outputs`` are places among the tensors of the file."""

    kind: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    options: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1


OPTIONS = {  # the table of the schema for the options of an operation
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "MEAN": "ReducerOptions",
    "CONCATENATION": "ConcatenationOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "SOFTMAX": "SoftmaxOptions",
    "GELU": "GeluOptions",
}


def build(tensors: Sequence[Tensor], calls: Sequence[Call], input: int, output: int) -> bytes:
    """The bytes of a TFLite file with these tensors and operations, one input and one output."""
    import flatbuffers  # with the next: both come with LiteRT
    from ai_edge_litert import schema_py_generated as schema

    types = vars(schema.TensorType)
    buffers, made = [schema.BufferT()], []
    for tensor in tensors:
        one = schema.TensorT()
        one.name, one.shape, one.type = tensor.name.encode(), list(tensor.shape), types[tensor.dtype.upper()]
        if tensor.data is None:
            one.buffer = 0
        else:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(tensor.data, tensor.dtype).tobytes(), np.uint8)
            one.buffer = len(buffers)
            buffers.append(buffer)
        if tensor.scales:
            one.quantization = schema.QuantizationParametersT()
            one.quantization.scale = np.array(tensor.scales, np.float32)
            one.quantization.zeroPoint = np.array(tensor.zeros, np.int64)
            one.quantization.quantizedDimension = tensor.axis
        made.append(one)

    model, graph = schema.ModelT(), schema.SubGraphT()
    kinds = sorted({(call.kind, call.version) for call in calls})
    model.operatorCodes = [code_of(schema, kind, version) for kind, version in kinds]
    graph.tensors, graph.inputs, graph.outputs, graph.name = made, [input], [output], b"main"
    graph.operators = []
    for call in calls:
        op = schema.OperatorT()
        op.opcodeIndex = kinds.index((call.kind, call.version))
        op.inputs, op.outputs = list(call.inputs), list(call.outputs)
        if table := OPTIONS.get(call.kind):
            op.builtinOptionsType = getattr(schema.BuiltinOptions, table)
            op.builtinOptions = getattr(schema, f"{table}T")()
            for key, value in call.options.items():
                setattr(op.builtinOptions, key, value)
        graph.operators.append(op)
    model.version, model.subgraphs, model.buffers = 3, [graph], buffers
    writer = flatbuffers.Builder(1024)
    writer.Finish(model.Pack(writer), b"TFL3")
    return bytes(writer.Output())


def code_of(schema: Any, kind: str, version: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, kind)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = version
    return code
