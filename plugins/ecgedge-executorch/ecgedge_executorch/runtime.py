"""ExecuTorch on the CPU: XNNPACK for what was handed to it, ExecuTorch's own kernels for the rest."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import Artifact, EcgEdgeError, Graph, Runtime, Session, TensorSpec, artifact_from, layout_of, tell_artifact
from ecgedge_executorch.graph import read_graph

ENVIRONMENT = "executorch"
LIBRARIES = ("executorch", "torch", "torchao")
RECORD = "ecgedge"  # the method of a file that gives its record
DTYPES = {0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64"}

open_sessions: weakref.WeakSet[ExecuTorchSession] = weakref.WeakSet()


class ExecuTorchSession(Session):
    def __init__(self, method: Any, artifact: Artifact):
        self.method, self.artifact = method, artifact
        self.batch = artifact.input.batch
        # an input that has its place among the intermediate values is overwritten by them
        self.is_lost = method.method_meta().input_tensor_meta(0).is_memory_planned()

    def bind(self, x: np.ndarray) -> None:
        import torch  # heavy

        self.x = [torch.from_numpy(self.artifact.input.encode(x))]  # kept: the method only points to it
        self.method.set_inputs(self.x)

    def invoke(self) -> None:
        if self.is_lost:
            self.method.set_inputs(self.x)
        self.method.execute()

    def fetch(self) -> np.ndarray:
        return self.artifact.output.decode(self.method.get_outputs()[0].numpy())

    def graph(self) -> Graph | None:
        return read_graph(self.artifact)

    def close(self) -> None:
        self.method = None
        open_sessions.discard(self)


class ExecuTorchRuntime(Runtime):
    """Runs the method ``forward`` of ``.pte`` files."""

    name = "executorch"
    needs = ("executorch", "torch", "torchao")  # the last to read what is in a file
    libraries = LIBRARIES
    environment = ENVIRONMENT
    accepts = ("executorch",)
    suffixes = (".pte", ".executorch")  # the second by ``ecgedge convert`` without ``--out``

    def available(self) -> str | None:
        return None if library()._is_available("XnnpackBackend") else "this ExecuTorch was built without XNNPACK"

    def inspect(self, path: Path) -> Artifact:
        program = open_program(path)
        meta = program.method_meta("forward")
        if meta.num_inputs() != 1 or meta.num_outputs() != 1:
            told = (
                f"{path} has {meta.num_inputs()} inputs and {meta.num_outputs()} outputs: a beat and its answer are one"
            )
            raise EcgEdgeError(told, "export it with one of each")
        given, returned = meta.input_tensor_meta(0), meta.output_tensor_meta(0)
        wanted = tensor_spec("input", given, layout_of(given.sizes()) or "?")
        found = tensor_spec("output", returned, "NC" if len(returned.sizes()) == 2 else "NCL")
        if RECORD in names_of(program):
            return artifact_from(path, program.load_method(RECORD)()[0], wanted, found)
        return tell_artifact(path, "executorch", wanted, found)

    def load(self, artifact: Artifact, threads: int) -> Session:
        use_threads(threads)
        try:
            method = open_program(artifact.path).load_method("forward")
        except RuntimeError as error:
            told = f"{artifact.path} cannot be run by this ExecuTorch: {first_line(error)}"
            raise EcgEdgeError(told, "export it for XNNPACK") from error
        session = ExecuTorchSession(method, artifact)
        open_sessions.add(session)
        return session


def library() -> Any:
    """ExecuTorch's bindings. Its ``portable_lib`` hands the same names on, and imports the exporters: 140 MB."""
    import torch  # noqa: F401  (heavy; the bindings are linked to it)
    from executorch.extension.pybindings import _C

    return _C


def use_threads(count: int) -> None:
    """The threads of this process, which all sessions share. Raises RuntimeError where one is open with others."""
    if library()._threadpool_get_thread_count() == count:
        return
    if open_sessions:
        raise RuntimeError("ExecuTorch has one number of threads a process, and a session is open: close it first")
    library()._unsafe_reset_threadpool(count)


def open_program(path: Path) -> Any:
    """Raises EcgEdgeError where the file is missing, damaged, or has no method ``forward``."""
    if not path.is_file() or not path.stat().st_size:
        raise EcgEdgeError(f"{path} is {'empty' if path.is_file() else 'missing'}", "name a file of ExecuTorch")
    try:
        program = library()._load_program(str(path), program_verification=library().Verification.InternalConsistency)
    except RuntimeError as error:
        told = f"{path} cannot be read by ExecuTorch: {first_line(error)}"
        raise EcgEdgeError(told, "convert it again") from error
    if "forward" not in names_of(program):
        raise EcgEdgeError(f"{path} has no method named forward", "export it again")
    return program


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def names_of(program: Any) -> list[str]:
    """Of the methods."""
    return [program.get_method_name(index) for index in range(program.num_methods())]


def tensor_spec(name: str, meta: Any, layout: str) -> TensorSpec:
    """An input or output by ExecuTorch's description, which has no names."""
    return TensorSpec(name, tuple(meta.sizes()), DTYPES.get(meta.dtype(), "unknown"), layout)
