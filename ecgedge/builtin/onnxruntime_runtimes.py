"""onnxruntime on the CPU (``cpu``) and on an NVIDIA GPU (``cuda``)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
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
from ecgedge.builtin.onnx_graph import DTYPES, read_profile, read_times, weights_of
from ecgedge.builtin.torch_runtime import nvidia_driver


class OnnxSession(Session):
    """Input and output are bound once a call, so that ``invoke`` is onnxruntime's time alone."""

    def __init__(self, artifact: Artifact, providers: list[str], threads: int):
        self.artifact, self.providers, self.threads = artifact, providers, threads
        self.session = open_session(artifact.path, providers, threads)
        self.batch = artifact.input.batch
        self.binding = self.session.io_binding()

    def bind(self, x: np.ndarray) -> None:
        self.x = self.artifact.input.encode(x)  # kept: the binding only points to it
        self.binding.bind_cpu_input(self.artifact.input.name, self.x)
        self.binding.bind_output(self.artifact.output.name)

    def invoke(self) -> None:
        self.session.run_with_iobinding(self.binding)

    def fetch(self) -> np.ndarray:
        return self.artifact.output.decode(self.binding.copy_outputs_to_cpu()[0])

    def graph(self) -> Graph:
        """By the profile of a second session that runs zeros in the place of what is bound."""
        given, returned = self.artifact.input, self.artifact.output
        with tempfile.TemporaryDirectory() as folder:
            profile = Path(folder) / "profile"
            session = open_session(self.artifact.path, self.providers, self.threads, profile, pack=False)
            session.run([returned.name], {given.name: np.zeros_like(self.x)})
            nodes = read_profile(Path(session.end_profiling()))
        return Graph(nodes, weights_of(self.artifact.path), input=given.dtype, output=returned.dtype)

    def profile(self, calls: int) -> Profile:
        """By the profile of a second session, with its weights packed as in the first."""
        with tempfile.TemporaryDirectory() as folder:
            profile = Path(folder) / "profile"
            session = open_session(self.artifact.path, self.providers, self.threads, profile)
            for _ in range(calls + calls // 5 + 1):  # the first ones warm it up
                session.run([self.artifact.output.name], {self.artifact.input.name: self.x})
            return read_times(Path(session.end_profiling()), calls, self.graph().nodes)


class OnnxRuntime(Runtime):
    """One execution provider of onnxruntime; a session that got another one is an error."""

    needs = ("onnxruntime",)
    libraries = ("onnxruntime-gpu", "onnxruntime")
    accepts = ("onnx",)
    suffixes = (".onnx",)
    wants = (
        "fold_constants", "sink_transposes", "mean_to_pool", "relu_into_concat", "fold_norms", "merge_convs",
        "drop_idle_relu", "crop_in_place", "crop_into_conv", "upsample_into_conv", "conv_to_2d", "drop_dead_ends",
    )  # fmt: skip

    def __init__(self, name: str, provider: str):
        self.name, self.device, self.provider = name, name, provider

    def available(self) -> str | None:
        import onnxruntime  # heavy

        if self.provider not in onnxruntime.get_available_providers():
            return f"this onnxruntime has no {self.provider}"
        if self.device == "cuda" and not nvidia_driver():
            return "no NVIDIA GPU or driver on this machine"
        return None

    def inspect(self, path: Path) -> Artifact:
        session = open_session(path, ["CPUExecutionProvider"], 1)
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1:
            raise EcgEdgeError(f"{path} has {len(inputs)} inputs, a beat is one", "use another file")
        scores = [value for value in outputs if value.type in ("tensor(float)", "tensor(double)", "tensor(float16)")]
        if not scores:
            types = ", ".join(value.type for value in outputs)
            raise EcgEdgeError(f"{path} gives {types}: no float tensor", "export scores (skl2onnx: zipmap=False)")
        given = told(inputs[0], layout_of(free_axes(inputs[0])) or "?")
        returned = told(scores[0], "NC" if len(scores[0].shape) == 2 else "NCL")
        if record := session.get_modelmeta().custom_metadata_map.get("ecgedge"):
            return artifact_from(path, record, given, returned)
        return tell_artifact(path, "onnx", given, returned)

    def load(self, artifact: Artifact, threads: int) -> Session:
        if self.device == "cuda":
            preload_cuda()
        session = OnnxSession(artifact, [self.provider, "CPUExecutionProvider"], threads)
        used = session.session.get_providers()
        if used[0] != self.provider:  # it falls back without a word
            raise RuntimeError(f"onnxruntime could not use {self.provider} and put the model on {used}")
        return session


def open_session(path: Path, providers: list[str], threads: int, profile: Path | None = None, pack: bool = True) -> Any:
    """An ``InferenceSession``.

    Args:
        profile: where to write what runs, the start of a file name.
        pack: whether weights are packed for their kernels. The profile tells nothing of inputs that are; the
            nodes stay the same.

    Raises:
        EcgEdgeError: the file is missing or damaged.
    """
    import onnxruntime  # heavy

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    if not pack:
        options.add_session_config_entry("session.disable_prepacking", "1")
    if not path.is_file() or not path.stat().st_size:
        raise EcgEdgeError(f"{path} is {'empty' if path.is_file() else 'missing'}", "name an ONNX file")
    known = [p for p in dict.fromkeys(providers) if p in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=known)
    except Exception as error:  # its own classes, which cannot be named without importing it
        if type(error).__name__ not in ("InvalidProtobuf", "InvalidGraph", "InvalidArgument", "Fail", "NoSuchFile"):
            raise
        reason = str(error).splitlines()[0]
        raise EcgEdgeError(f"{path} is not a readable ONNX model: {reason}", "export it again") from error


def free_axes(value: Any) -> tuple[int | None, ...]:
    return tuple(axis if isinstance(axis, int) else None for axis in value.shape)


def told(value: Any, layout: str) -> TensorSpec:
    dtype = value.type.removeprefix("tensor(").removesuffix(")")
    return TensorSpec(value.name, free_axes(value), DTYPES.get(dtype, dtype), layout)


def preload_cuda() -> None:
    """Load the CUDA libraries that pip put beside torch, where this onnxruntime can."""
    import onnxruntime  # heavy

    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()


@hookimpl
def ecgedge_runtimes() -> Iterable[Runtime]:
    return OnnxRuntime("cpu", "CPUExecutionProvider"), OnnxRuntime("cuda", "CUDAExecutionProvider")
