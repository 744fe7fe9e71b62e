"""LiteRT with its XNNPACK delegate. Needs numpy and ai-edge-litert only, so it runs on a board."""

from __future__ import annotations

import contextlib
import os
import re
import struct
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import (
    Artifact,
    EcgEdgeError,
    Family,
    Graph,
    Option,
    Profile,
    Runtime,
    Session,
    Taps,
    TensorSpec,
    artifact_from,
    hookimpl,
    layout_of,
    tell_artifact,
)
from ecgedge.builtin.onnx_file import ONE_INPUT, choose_output
from ecgedge.builtin.tflite_file import make_single, reason_in, refused_by_delegate, scores_of, shape_of, usable_outputs
from ecgedge.builtin.tflite_graph import DELEGATE, keeps_resources, read_graph, read_partitions
from ecgedge.builtin.tflite_profile import profile_of
from ecgedge.builtin.tflite_taps import TfliteTaps

KERNELS = Option(
    "kernels", str, "xnnpack", "Whose kernels run a file: XNNPACK's where it has them, LiteRT's own, its reference.",
    ("xnnpack", "builtin", "reference"),
)  # fmt: skip
RESOLVERS = {"builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}
BUILTIN = "convert it with LiteRT's own operations alone (TFLITE_BUILTINS)"
INFORMS = (b"INFO:", b"I0000 ", b"WARNING: All log messages before absl")  # how lines begin that tell nothing


class TfliteSession(Session):
    """Each call starts from the state of a fresh file: what an LSTM remembers of a beat is no business of the next.

    Putting the state back is the host's work, in ``bind``; who invokes again without it pays for it there.
    """

    def __init__(self, interpreter: Any, artifact: Artifact, threads: int, kernels: str = "xnnpack"):
        self.interpreter, self.artifact, self.threads, self.kernels = interpreter, artifact, threads, kernels
        self.batch = artifact.input.batch
        self.given = interpreter.get_input_details()[0]["index"]
        self.returned = interpreter.get_output_details()[0]["index"]
        self.is_fresh, self.needs_new = True, keeps_resources(interpreter, artifact.path)

    def bind(self, x: np.ndarray) -> None:
        self.x = self.artifact.input.encode(x)
        self.refresh()

    def invoke(self) -> None:
        if not self.is_fresh:
            self.refresh()
        self.is_fresh = False
        try:
            self.interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            told = f"LiteRT cannot run {self.artifact.path}: {reason_in(str(error))}"
            raise EcgEdgeError(told, "make it anew without that operation, or in another precision") from error

    def refresh(self) -> None:
        """Forget earlier calls, and take what is bound."""
        if self.needs_new and not self.is_fresh:
            self.interpreter = open_interpreter(self.artifact.path, self.threads, self.kernels)
        self.interpreter.reset_all_variables()
        self.interpreter.set_tensor(self.given, self.x)
        self.is_fresh = True

    def fetch(self) -> np.ndarray:
        return self.artifact.output.decode(self.interpreter.get_tensor(self.returned))

    def graph(self) -> Graph:
        return read_graph(self.interpreter, self.artifact)

    def profile(self, calls: int) -> Profile:
        """By the profiler of LiteRT's C API.

        Raises:
            RuntimeError: this LiteRT has none, the batch is free, or the kernels are none that it profiles.
        """
        if self.kernels != "xnnpack":
            raise RuntimeError("LiteRT's profiler takes files with XNNPACK's kernels")
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
    options = (KERNELS,)
    families = (
        Family("xnnpack", "LiteRT with XNNPACK's kernels"),
        Family("builtin", "LiteRT's own kernels", {"kernels": "builtin"}),
        Family("reference", "LiteRT's reference kernels", {"kernels": "reference"}),
    )

    def make_whole(self, path: Path, output: str | None, out: Path) -> Path:
        with in_utf8(path):
            return make_single(open_interpreter(path, 1), path, output, out)

    def inspect(self, path: Path) -> Artifact:
        with in_utf8(path):
            return self.told(path, open_interpreter(path, 1))

    def told(self, path: Path, interpreter: Any) -> Artifact:
        """As ``inspect``, of a file that is open."""
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        if len(inputs) != 1 or not outputs:
            named = ", ".join(f"{told['name']} {shape_of(told)}" for told in inputs)
            raise EcgEdgeError(f"{path} takes {len(inputs)} inputs ({named}), and a beat fills one", ONE_INPUT)
        chosen = choose_output(path, usable_outputs(interpreter), None) or outputs[0]["name"]
        answer = next(told for told in outputs if told["name"] == chosen)
        shape = tuple(int(n) for n in inputs[0]["shape"])
        given = tensor_spec(inputs[0], layout_of(shape, leads_last=True) or "?")
        returned = tensor_spec(answer, "NC" if len(answer["shape"]) == 2 else "NCL")
        scores = scores_of(interpreter) if len(outputs) == 1 else None
        if record := embedded_record(path):
            return artifact_from(path, record, given, returned, scores)
        return tell_artifact(path, "tflite", given, returned, scores)

    def load(self, artifact: Artifact, threads: int, kernels: str = "xnnpack") -> Session:
        return TfliteSession(open_interpreter(artifact.path, threads, kernels), artifact, threads, kernels)

    def taps(self, artifact: Artifact, threads: int, kernels: str = "xnnpack") -> Taps:
        return TfliteTaps(artifact, threads, RESOLVERS.get(kernels, "AUTO"))


@contextlib.contextmanager
def in_utf8(path: Path) -> Iterator[None]:
    """Raise EcgEdgeError where a name in a file, which LiteRT hands on as it is, is no text."""
    try:
        yield
    except UnicodeDecodeError as error:
        told = f"{path} is not a readable TFLite model: a name in it is not UTF-8"
        raise EcgEdgeError(told, "convert it again") from error


def open_interpreter(path: Path, threads: int, kernels: str = "xnnpack") -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType  # heavy

    if not path.is_file() or not path.stat().st_size:
        raise EcgEdgeError(f"{path} is {'empty' if path.is_file() else 'missing'}", "name a TFLite file")
    try:
        with without_info_lines():
            chosen = OpResolverType[RESOLVERS.get(kernels, "AUTO")]
            interpreter = Interpreter(model_path=str(path), num_threads=threads, experimental_op_resolver_type=chosen)
            interpreter.allocate_tensors()
        return interpreter
    except (ValueError, RuntimeError) as error:
        raise refusal(path, str(error).strip()) from error


def refusal(path: Path, said: str) -> EcgEdgeError:
    """Why LiteRT does not open a file: an operation that it lacks, one that its delegate refuses, or the file itself.

    Args:
        said: by LiteRT.
    """
    if missing := re.search(r"unresolved custom op: (\S+?)\.?(?:See|\s|$)", said):
        return EcgEdgeError(f"{path} needs the operation {missing[1]}, which LiteRT does not have", BUILTIN)
    if flex := re.search(r"Node number \d+ \((Flex\w+)\)", said):
        return EcgEdgeError(f"{path} needs the operation {flex[1]} of TensorFlow, which LiteRT does not have", BUILTIN)
    with without_info_lines():
        refused = refused_by_delegate(path)
    if refused:
        told = f"{path}: LiteRT's delegate {DELEGATE} refuses {refused}, without it LiteRT runs the file"
        return EcgEdgeError(told, "make it anew without that operation, or in another precision")
    return EcgEdgeError(f"{path} is not a readable TFLite model: {reason_in(said)}", "convert it again")


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


def embedded_record(path: Path) -> bytes | None:
    """The metadata entry that ecgedge's quantizers write, if the file has one. Raises EcgEdgeError where it is cut."""
    from ai_edge_litert import schema_py_generated as schema  # heavy

    try:
        model = schema.Model.GetRootAs(path.read_bytes(), 0)
        for i in range(model.MetadataLength()):
            if (entry := model.Metadata(i)).Name() == b"ecgedge":
                return np.asarray(model.Buffers(entry.Buffer()).DataAsNumpy(), np.uint8).tobytes()
    except (AttributeError, IndexError, TypeError, ValueError, struct.error) as error:  # LiteRT looks at no metadata
        raise EcgEdgeError(
            f"{path} is not a readable TFLite model: its metadata is damaged", "convert it again"
        ) from error
    return None


def tensor_spec(details: dict[str, Any], layout: str) -> TensorSpec:
    """An input or output by LiteRT's description of it."""
    scale, zero_point = details["quantization"]
    quantized = np.issubdtype(details["dtype"], np.integer) and scale != 0  # 0: the file has none
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
