"""What ``ecgedge convert`` gives a user, and whether it is right: judged by onnxruntime and LiteRT themselves."""

from __future__ import annotations

import functools
import importlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.full.kept import Told, run_here

ATOL, COSINE = 1e-4, 0.8  # the project's promises: of float32, relative to the largest output, and of coarser forms
DECIDED, RIGHT = 10, 5  # a class that was decided and right so often must not vanish
QUANTIZED = 0.5  # of the elements of weights must be integers
REJECTED = "the result is wrong and was not kept"
TENSORFLOW = {"Erf", "TensorListReserve", "TensorListFromTensor", "TensorListStack"}  # of those that TFLite has not
FITTED = re.compile(r"\S+: threshold [-+.\de]+, quantile [.\d]+ of normal training scores")  # of an autoencoder
LONG = 400  # characters: what is longer is no line that anybody reads


@dataclass(frozen=True)
class Verdict:
    """Whether a conversion came out right.

    Attributes:
        status: ``right``; ``unquantized``: right, its weights still float; ``wrong``: a file with other answers;
            ``refused``: one line that names the operation; ``rejected``: one line that says how far its answers are
            from right; ``unclear``: one line that does neither; ``crashed``: a traceback, compiler text, a signal or
            no end.
        text: why.
        difference, cosine: to the network's own outputs, where there is a file.
        quantized: the share of integers among the elements of its weights.
    """

    status: str
    text: str = ""
    difference: float | None = None
    cosine: float | None = None
    quantized: float | None = None


# -- the command


def convert(file: Path, made: Path, precision: str, dataset: str, gives: str = "scores") -> Told:
    """``ecgedge convert`` as its command line runs it, in this process, with a worker that is kept.

    Left out is only the timing with and without graph passes, which ends its work on ONNX files.
    """
    command = ["convert", str(file), "--to", made.suffix[1:], "--dataset", dataset, "-o", str(made), "--force"]
    command += [] if precision == "fp32" else ["--quantize", precision]
    command += ["--task", "anomaly"] if gives == "beats" else []
    module = importlib.import_module("ecgedge.commands.convert")
    with mock.patch.object(module, "measure_gain", lambda *_: None):
        return run_here(*command)


def judge_refusal(told: Told) -> Verdict:
    """Whether a command that made no file said in one line which operation it was."""
    said = [line for line in told.err.splitlines() if line and not FITTED.fullmatch(line)]
    lines = [line for line in said if not line.startswith(("Warning:", "Note:", "  "))]
    if told.code not in (1, 2) or "Traceback" in told.err or len(lines) != 1 or len(lines[0]) > LONG or noisy(lines[0]):
        return Verdict("crashed", told.err[-1500:])
    if REJECTED in lines[0]:
        return Verdict("rejected", told.err[-1500:])
    return Verdict("refused" if names_operation(lines[0]) else "unclear", told.err[-1500:])


def noisy(line: str) -> bool:
    """Whether a line is a compiler's or a library's own: places in code, types of exceptions."""
    return bool(re.search(r"loc\(|error: |\.py\b|\.cc:\d|<unknown>|<frozen|\b[A-Z]\w*(Error|Exception|Fail): ", line))


def names_operation(line: str) -> bool:
    """Whether a line names an operation of ONNX or TFLite."""
    return bool(operations() & set(re.findall(r"\w+", line)))


@functools.cache
def operations() -> set[str]:
    """Names of ONNX's operators and of TFLite's, but for those that are everyday words, too."""
    import onnx
    from ai_edge_litert import schema_py_generated as schema

    names = {found.name for found in onnx.defs.get_all_schemas()} | {*vars(schema.BuiltinOperator)}
    names |= {name.title().replace("_", "") for name in names if name.isupper()} | TENSORFLOW
    return names - {"If", "And", "Or", "Not", "Shape", "Size", "Constant", "Identity", "Where", "Loop"}


# -- the file


def judge(file: Path, precision: str, expected: np.ndarray, x: np.ndarray, y: np.ndarray) -> Verdict:
    """Whether a file answers as its network does: run by its own runtime, one beat a call.

    Args:
        expected: the network's own outputs, (N, C) or (N, 140).
        x, y: beats, (N, 1, 140), and their classes, (N,).
    """
    run, share = (run_onnx, onnx_share) if file.suffix == ".onnx" else (run_tflite, tflite_share)
    found = run(file, x)
    if found.shape != expected.shape:
        return Verdict("wrong", f"{found.shape[1]} values a beat instead of {expected.shape[1]}")
    if not np.isfinite(found).all():
        return Verdict("wrong", "not finite")
    difference, near, quantized = float(np.abs(found - expected).max()), cosine(found, expected), share(file)
    status, text = "right", ""
    if precision == "fp32":
        if difference > ATOL * max(1, np.abs(expected).max()):
            status, text = "wrong", f"differs by {difference:.2g}"
    elif near < COSINE:
        status, text = "wrong", f"cosine {near:.2f}"
    elif expected.shape[1] != x.shape[2] and (lost := vanished(found, expected, y)):
        status, text = "wrong", lost
    elif quantized < QUANTIZED:
        status, text = "unquantized", f"{quantized:.0%} of its weights are integers"
    return Verdict(status, text, difference, near, quantized)


def cosine(found: np.ndarray, expected: np.ndarray) -> float:
    """Of all outputs as one vector, class scores without the mean of each beat."""
    found, expected = found.astype(float), expected.astype(float)
    if found.shape[1] < 10:
        found, expected = (each - each.mean(axis=1, keepdims=True) for each in (found, expected))
    norms = np.linalg.norm(found) * np.linalg.norm(expected)
    return float((found * expected).sum() / norms) if norms else 0.0


def vanished(found: np.ndarray, expected: np.ndarray, y: np.ndarray) -> str:
    """Names the first class that the network decides and that the file never does."""
    here, was = found.argmax(axis=1), expected.argmax(axis=1)
    for c in np.unique(was):
        if (was == c).sum() >= DECIDED and ((was == c) & (y == c)).sum() >= RIGHT and not (here == c).any():
            return f"class {c} is never decided"
    return ""


def run_onnx(file: Path, x: np.ndarray) -> np.ndarray:
    from onnxruntime import InferenceSession

    session = InferenceSession(str(file), providers=["CPUExecutionProvider"])
    [given] = session.get_inputs()
    fed = x.transpose(0, 2, 1) if given.shape[-1] == 1 else x
    return np.stack([session.run(None, {given.name: beat[None]})[0].ravel() for beat in fed])


def run_tflite(file: Path, x: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file))
    [given], [returned] = interpreter.get_input_details(), interpreter.get_output_details()
    fed = x.transpose(0, 2, 1) if given["shape"][-1] == 1 else x
    if given["shape_signature"][0] < 0:
        interpreter.resize_tensor_input(given["index"], [1, *fed.shape[1:]])
    interpreter.allocate_tensors()
    answers = []
    for beat in fed:
        interpreter.reset_all_variables()
        interpreter.set_tensor(given["index"], encode(beat[None], given))
        interpreter.invoke()
        answers.append(decode(interpreter.get_tensor(returned["index"]), returned).ravel())
    return np.stack(answers)


def encode(values: np.ndarray, spec: Mapping[str, Any]) -> np.ndarray:
    if spec["dtype"] == np.float32:
        return values
    scale, zero = spec["quantization"]
    limits = np.iinfo(spec["dtype"])
    return np.clip(np.round(values / scale) + zero, limits.min, limits.max).astype(spec["dtype"])


def decode(values: np.ndarray, spec: Mapping[str, Any]) -> np.ndarray:
    scale, zero = spec["quantization"]
    return values if spec["dtype"] == np.float32 else (values.astype(np.float32) - zero) * scale


def share_of(weights: Iterator[tuple[tuple[int, ...], bool]]) -> float:
    """The share of integers among the elements of weights (shape, whether integers) of two axes and more."""
    counts: Counter[bool] = Counter()
    for shape, integers in weights:
        if len(shape) >= 2:
            counts[integers] += int(np.prod(shape))
    return counts[True] / max(1, counts.total())


def onnx_share(file: Path) -> float:
    import onnx

    kinds = {onnx.TensorProto.FLOAT: False, onnx.TensorProto.INT8: True, onnx.TensorProto.UINT8: True}
    graph = onnx.load(file).graph
    constants = [attribute.t for node in graph.node if node.op_type == "Constant" for attribute in node.attribute]
    found = [tensor for tensor in (*graph.initializer, *constants) if tensor.data_type in kinds]
    return share_of((tuple(tensor.dims), kinds[tensor.data_type]) for tensor in found)


def tflite_share(file: Path) -> float:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(file.read_bytes(), 0)
    kinds = {schema.TensorType.FLOAT32: False, schema.TensorType.INT8: True}
    return share_of(
        (tuple(tensor.shape), kinds[tensor.type])
        for part in model.subgraphs
        for tensor in part.tensors
        if tensor.type in kinds and tensor.shape is not None and model.buffers[tensor.buffer].data is not None
    )
