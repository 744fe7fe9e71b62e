"""Tiny real files, of the fuzzer's corpus, with any record in them; and what their own libraries tell of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.mutation import File, Tensor

CORPUS = Path(__file__).with_name("fuzz") / "corpus"
SEEDS = {path.name: path.read_bytes() for path in (CORPUS / "onnx" / "record.onnx", CORPUS / "tflite" / "int8.tflite")}
TYPES = {"tensor(float)": "float32", "tensor(int8)": "int8"}


def runtime_of(path: Path) -> Any:
    """The runtime that reads such a file."""
    from ecgedge.builtin.onnxruntime_runtimes import OnnxRuntime
    from ecgedge.builtin.tflite_runtime import TfliteRuntime

    return OnnxRuntime("cpu", "CPUExecutionProvider") if path.suffix == ".onnx" else TfliteRuntime()


def onnx_with(content: bytes, record: bytes) -> bytes:
    """An ONNX file with another record: protobuf by hand, since its library takes text alone."""
    import onnx

    model = onnx.ModelProto.FromString(content)
    del model.metadata_props[:]
    entry = field(1, b"ecgedge") + field(2, record)
    return model.SerializeToString() + field(14, entry)  # ModelProto.metadata_props, StringStringEntryProto


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of protobuf."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def tflite_with(content: bytes, record: bytes) -> bytes:
    """A TFLite file with another record."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    [entry] = [entry for entry in model.metadata if entry.name == b"ecgedge"]
    model.buffers[entry.buffer].data = np.frombuffer(record, np.uint8)
    builder = flatbuffers.Builder(len(content) + len(record))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def tensors_of(content: bytes, path: Path) -> File:
    """Input and output as onnxruntime or LiteRT tell them."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        values = (session.get_inputs()[0], session.get_outputs()[0])
        return File(*(Tensor(v.name, tuple(free(axis) for axis in v.shape), TYPES[v.type]) for v in values))
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    told = (interpreter.get_input_details()[0], interpreter.get_output_details()[0])
    return File(
        *(
            Tensor(
                each["name"], tuple(map(int, each["shape"])), np.dtype(each["dtype"]).name,
                float(each["quantization"][0]), int(each["quantization"][1]),
            )
            for each in told
        )
    )  # fmt: skip


def free(axis: Any) -> int | None:
    return axis if isinstance(axis, int) else None
