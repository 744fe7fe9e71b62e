"""A TFLite file that somebody brought: with one output, and what that output is. Needs LiteRT only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import EcgEdgeError
from ecgedge.builtin.onnx_file import choose_output
from ecgedge.builtin.tflite_graph import DELEGATED, name_of, operations

SEARCHED = 500  # operations, for the one that is refused
HANDS_ON = {"DEQUANTIZE", "EXPAND_DIMS", "QUANTIZE", "RESHAPE", "SQUEEZE"}
SHARES = {"LOGISTIC", "SOFTMAX"}
LOGITS = {"BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "LOG_SOFTMAX"}
# the scale and zero point that LiteRT's softmax and logistic have to give, by type
OF_SHARES = {"int8": (1 / 256, -128), "uint8": (1 / 256, 0), "int16": (1 / 32768, 0)}


PLACE = re.compile(r"(?:\S+/)?\w+\.(?:cc|h):\d+:? ")  # in LiteRT's own code
FAILED = re.compile(r"\.?\s*Node number \d+ \((\w+)\) (failed to \w+)\.?")


def reason_in(said: str) -> str:
    """What LiteRT says of a failure as one line, the operation first where it names one, without places in its code."""
    line = PLACE.sub("", (said.strip().splitlines() or [""])[0])
    if failed := FAILED.search(line):
        return f"{failed[1]} {failed[2]}: {FAILED.sub('', line)}".removesuffix(": ")
    return line


def usable_outputs(interpreter: Any) -> dict[str, str]:
    """Shapes, as they are told, of the outputs that may be class scores or a reconstruction, by name."""
    return {told["name"]: shape_of(told) for told in interpreter.get_output_details() if usable(told)}


def usable(details: Mapping[str, Any]) -> bool:
    dtype, (scale, _) = np.dtype(details["dtype"]), details["quantization"]
    return len(details["shape"]) in (2, 3) and (dtype.kind == "f" or (dtype.kind in "iu" and scale != 0))


def shape_of(details: Mapping[str, Any]) -> str:
    shape = ", ".join("N" if axis < 0 else str(axis) for axis in details["shape_signature"])
    return f"({shape}) {np.dtype(details['dtype']).name}"


def make_single(interpreter: Any, path: Path, output: str | None, out: Path) -> Path:
    """Write a file to ``out`` with one output; ``path`` where it has no other.

    Raises:
        EcgEdgeError: several outputs may be the answer and none is named, or there is none of that name.
    """
    details = interpreter.get_output_details()
    chosen = choose_output(path, usable_outputs(interpreter), output)
    if chosen is None or len(details) == 1:
        return path
    index = next(int(each["index"]) for each in details if each["name"] == chosen)
    out.write_bytes(cut(path, index))
    return out


def cut(path: Path, output: int) -> bytes:
    """The file with one output, by its tensor, and without the operations that only others need."""
    import flatbuffers  # with the next: both come with LiteRT
    from ai_edge_litert import schema_py_generated as schema

    content = path.read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    if any(buffer.offset > 1 for buffer in model.buffers):
        raise EcgEdgeError(f"{path} is too large to be cut to one of its outputs", "export it with that one alone")
    graph = model.subgraphs[0]
    wanted, kept = {output}, []
    for op in reversed(graph.operators):
        if wanted & set(op.outputs) or not len(op.outputs):  # one without outputs writes a variable
            kept.append(op)
            wanted |= set(op.inputs)
    graph.operators, graph.outputs = kept[::-1], np.array([output], dtype=np.int32)
    model.signatureDefs = []
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def refused_by_delegate(path: Path) -> str:
    """What LiteRT runs and its delegate refuses: ``the operation MAX_POOL_2D 3``, the first; empty where nothing is.

    Told by opening the file up to each of its operations, with the delegate and without.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType  # heavy

    def opens(content: bytes, resolver: OpResolverType) -> bool:
        try:
            Interpreter(model_content=content, experimental_op_resolver_type=resolver).allocate_tensors()
        except (ValueError, RuntimeError):
            return False
        return True

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    if not opens(path.read_bytes(), plain):
        return ""
    whole = Interpreter(model_path=str(path), experimental_op_resolver_type=plain)
    for op in operations(whole)[:SEARCHED]:
        if op["outputs"] and not opens(cut(path, op["outputs"][0]), OpResolverType.AUTO):
            return f"the operation {name_of(op)}"
    return "an operation"


def scores_of(interpreter: Any) -> str | None:
    """What class scores are, by the last operation, or by the scale that an integer output has.

    Returns:
        ``"logits"`` or ``"probabilities"``, as in ``Classification``; None where neither tells.
    """
    details = interpreter.get_output_details()[0]
    makers = {tensor: op for op in operations(interpreter) for tensor in op["outputs"] if op["op_name"] != DELEGATED}
    op = makers.get(details["index"])
    for _ in range(len(makers)):  # LiteRT takes files whose operations go round in a circle
        if op is None or op["op_name"] not in HANDS_ON or not len(op["inputs"]):
            break
        op = makers.get(op["inputs"][0])
    if op is not None and op["op_name"] in SHARES | LOGITS:
        return "probabilities" if op["op_name"] in SHARES else "logits"
    scale, zero_point = details["quantization"]
    fixed = OF_SHARES.get(np.dtype(details["dtype"]).name)
    return "probabilities" if fixed and np.float32(fixed[0]) == scale and fixed[1] == zero_point else None
