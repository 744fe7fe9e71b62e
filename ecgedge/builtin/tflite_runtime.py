"""LiteRT with its XNNPACK delegate. Needs numpy and ai-edge-litert only, so it runs on a board."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import (
    Artifact,
    EcgEdgeError,
    Graph,
    Profile,
    Runtime,
    Session,
    TensorSpec,
    artifact_from,
    hookimpl,
    layout_of,
    tell_artifact,
)
from ecgedge.builtin.tflite_graph import read_graph, read_partitions
from ecgedge.builtin.tflite_profile import profile_of

INFORMS = (b"INFO:", b"I0000 ", b"WARNING: All log messages before absl")  # how lines begin that tell nothing


class TfliteSession(Session):
    def __init__(self, interpreter: Any, artifact: Artifact, threads: int):
        self.interpreter, self.artifact, self.threads = interpreter, artifact, threads
        self.batch = artifact.input.batch
        self.given = interpreter.get_input_details()[0]["index"]
        self.returned = interpreter.get_output_details()[0]["index"]

    def bind(self, x: np.ndarray) -> None:
        self.interpreter.set_tensor(self.given, self.artifact.input.encode(x))

    def invoke(self) -> None:
        self.interpreter.invoke()

    def fetch(self) -> np.ndarray:
        return self.artifact.output.decode(self.interpreter.get_tensor(self.returned))

    def graph(self) -> Graph:
        return read_graph(self.interpreter, self.artifact)

    def profile(self, calls: int) -> Profile:
        """By the profiler of LiteRT's C API. Raises RuntimeError where this LiteRT has none, or the batch is free."""
        content = self.interpreter.get_tensor(self.given).tobytes()
        graph, pieces = self.graph(), read_partitions(self.interpreter)
        if graph.free_batch:
            raise RuntimeError("LiteRT's profiler takes files of a fixed batch")
        return profile_of(graph, pieces, self.artifact.path, content, self.threads, calls)

    def close(self) -> None:
        self.interpreter = None


class TfliteRuntime(Runtime):
    name = "tflite"
    needs = ("ai_edge_litert",)
    libraries = ("ai-edge-litert",)
    accepts = ("tflite",)
    suffixes = (".tflite",)

    def inspect(self, path: Path) -> Artifact:
        interpreter = open_interpreter(path, 1)
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        if len(inputs) != 1 or not outputs:
            raise EcgEdgeError(f"{path} has {len(inputs)} inputs, a beat is one", "use another file")
        shape = tuple(int(n) for n in inputs[0]["shape"])
        given = tensor_spec(inputs[0], layout_of(shape) or "?")
        returned = tensor_spec(outputs[0], "NC" if len(outputs[0]["shape"]) == 2 else "NCL")
        if record := embedded_record(path.read_bytes()):
            return artifact_from(path, record, given, returned)
        return tell_artifact(path, "tflite", given, returned)

    def load(self, artifact: Artifact, threads: int) -> Session:
        return TfliteSession(open_interpreter(artifact.path, threads), artifact, threads)


def open_interpreter(path: Path, threads: int) -> Any:
    from ai_edge_litert.interpreter import Interpreter  # heavy

    if not path.is_file() or not path.stat().st_size:
        raise EcgEdgeError(f"{path} is {'empty' if path.is_file() else 'missing'}", "name a TFLite file")
    try:
        with without_info_lines():
            interpreter = Interpreter(model_path=str(path), num_threads=threads)
            interpreter.allocate_tensors()
        return interpreter
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise EcgEdgeError(f"{path} is not a readable TFLite model: {reason}", "convert it again") from error


@contextlib.contextmanager
def without_info_lines() -> Iterator[None]:
    """Keep INFO lines of LiteRT's and TensorFlow's C++ code off the terminal; the others are passed on."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        said.seek(0)
        for line in said.read().splitlines(keepends=True):
            if not line.startswith(INFORMS):
                os.write(2, line)


def embedded_record(content: bytes) -> bytes | None:
    """The metadata entry that ecgedge's quantizers write, if the file has one."""
    from ai_edge_litert import schema_py_generated as schema  # heavy

    model = schema.Model.GetRootAs(content, 0)
    for i in range(model.MetadataLength()):
        if (entry := model.Metadata(i)).Name() == b"ecgedge":
            return model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    return None


def tensor_spec(details: dict[str, Any], layout: str) -> TensorSpec:
    """An input or output by LiteRT's description of it."""
    quantized = np.issubdtype(details["dtype"], np.integer)
    scale, zero_point = details["quantization"]
    return TensorSpec(
        name=details["name"],
        shape=tuple(int(n) for n in details["shape"]),
        dtype=np.dtype(details["dtype"]).name,
        layout=layout,
        scale=float(scale) if quantized else None,
        zero_point=int(zero_point) if quantized else None,
    )


@hookimpl
def ecgedge_runtimes() -> Iterable[Runtime]:
    return (TfliteRuntime(),)
