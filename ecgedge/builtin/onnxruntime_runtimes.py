"""onnxruntime on the CPU (``cpu``) and on an NVIDIA GPU: ``cuda`` in float32, ``cuda-tf32`` as it comes."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
from ecgedge.builtin.onnx_file import ONE_INPUT, choose_output, make_whole, read_model, scores_of, wide_type
from ecgedge.builtin.onnx_graph import DTYPES, read_profile, read_times, weights_of
from ecgedge.builtin.onnx_taps import OnnxTaps
from ecgedge.builtin.torch_runtime import nvidia_driver

CUDA = "CUDAExecutionProvider"
BLOCKING = "CUDA_LAUNCH_BLOCKING"  # with "1" a kernel is done when the call that launches it returns
CUDA_GRAPH = Option("cuda_graph", bool, False, "Capture the file's kernels as one CUDA graph, and replay it.")
OPTIMIZE = Option("optimize", bool, True, "onnxruntime may change the graph: fuse, fold, reorder.")
PRECISE = Option(
    "quant_precision", bool, False, "On x86-64 without VNNI: sums of int8 products in 32 bits (x64quantprecision)."
)
NO_INT8 = (
    "onnxruntime's CUDA provider multiplies no 8-bit integers: it would compute in float, or on the CPU; TensorRT does"
)

Provider = str | tuple[str, dict[str, str]]  # a provider's name, or also its options
FLOATS = ("tensor(float)", "tensor(double)", "tensor(float16)")
UNREADABLE = ("InvalidProtobuf", "NoSuchFile", "NoModel")


class OnnxSession(Session):
    """Input and output are bound once a call, so that ``invoke`` is onnxruntime's time alone."""

    def __init__(
        self,
        artifact: Artifact,
        providers: Sequence[Provider],
        threads: int,
        optimize: bool = True,
        precise: bool = False,
    ):
        self.artifact, self.providers, self.threads = artifact, providers, threads
        self.open = partial(open_session, optimize=optimize, precise=precise)
        self.session = self.open(artifact.path, providers, threads)
        self.batch = artifact.input.batch
        self.binding = self.session.io_binding()

    def bind(self, x: np.ndarray) -> None:
        self.x = self.artifact.input.encode(x)  # kept: the binding only points to it
        self.binding.bind_cpu_input(self.artifact.input.name, self.x)
        self.binding.bind_output(self.artifact.output.name)

    def invoke(self) -> None:
        try:
            self.session.run_with_iobinding(self.binding)
        except Exception as error:
            if not is_its_own(error):
                raise
            raise refusal(self.artifact.path, error) from error

    def fetch(self) -> np.ndarray:
        return self.artifact.output.decode(self.binding.copy_outputs_to_cpu()[0])

    def graph(self) -> Graph:
        """By the profile of a second session that runs zeros in the place of what is bound."""
        given, returned = self.artifact.input, self.artifact.output
        with tempfile.TemporaryDirectory() as folder:
            profile = Path(folder) / "profile"
            session = self.open(self.artifact.path, self.providers, self.threads, profile, pack=False)
            with told_shortly(self.artifact.path):
                session.run([returned.name], {given.name: np.zeros_like(self.x)})
            nodes = read_profile(Path(session.end_profiling()))
        return Graph(nodes, weights_of(self.artifact.path), input=given.dtype, output=returned.dtype)

    def profile(self, calls: int) -> Profile | None:
        """By the profile of a second session, with its weights packed as in the first."""
        with tempfile.TemporaryDirectory() as folder:
            profile = Path(folder) / "profile"
            session = self.open(self.artifact.path, self.providers, self.threads, profile)
            with told_shortly(self.artifact.path):
                for _ in range(calls + calls // 5 + 1):  # the first ones warm it up
                    session.run([self.artifact.output.name], {self.artifact.input.name: self.x})
            return read_times(Path(session.end_profiling()), calls, self.graph().nodes)


@dataclass(frozen=True)
class Buffers:
    """What is bound for one shape of the input, and the options of its runs."""

    binding: Any
    given: Any
    options: Any


class DeviceSession(OnnxSession):
    """A session whose input and output lie in the memory of a device.

    ``bind`` copies to it and ``fetch`` from it; ``invoke`` returns when the device is done.

    Args:
        memory: the device as onnxruntime calls it.
        captured: a CUDA graph is captured in the first run of each shape and replayed in all others, which wants each
            tensor at one address: buffers are then kept for every shape.
    """

    copies = "outside"

    def __init__(
        self, artifact: Artifact, providers: Sequence[Provider], threads: int, memory: str, captured: bool = False
    ):
        super().__init__(artifact, providers, threads)
        self.memory, self.captured = memory, captured
        self.known: dict[tuple[int, ...], Buffers] = {}
        if captured:  # what is looked at besides is launched piece by piece
            self.providers = [without_graph(provider) for provider in providers]

    def bind(self, x: np.ndarray) -> None:
        self.x = self.artifact.input.encode(x)
        if self.x.shape not in self.known:
            kept = self.known if self.captured else {}
            self.known = kept | {self.x.shape: self.buffers(self.x)}
        self.bound = self.known[self.x.shape]
        self.bound.given.update_inplace(self.x)

    def buffers(self, x: np.ndarray) -> Buffers:
        """Memory on the device for an input like ``x`` and for what comes of it, where its shape is known."""
        import onnxruntime  # heavy

        make = onnxruntime.OrtValue.ortvalue_from_shape_and_type
        given, returned = self.artifact.input, self.artifact.output
        options, binding = onnxruntime.RunOptions(), self.session.io_binding()
        value = make(x.shape, x.dtype, self.memory, 0)
        binding.bind_ortvalue_input(given.name, value)
        shape = (len(x), *returned.shape[1:])
        if None not in shape:
            binding.bind_ortvalue_output(returned.name, make(shape, np.dtype(returned.dtype), self.memory, 0))
        elif self.captured:
            raise EcgEdgeError(f"{self.artifact.path}: a CUDA graph wants an output of known shape, not {shape}")
        else:
            binding.bind_output(returned.name, self.memory)
        if self.captured:
            options.add_run_config_entry("gpu_graph_id", str(1 + len(self.known)))
        return Buffers(binding, value, options)

    def invoke(self) -> None:
        self.session.run_with_iobinding(self.bound.binding, self.bound.options)
        self.bound.binding.synchronize_outputs()

    def fetch(self) -> np.ndarray:
        return self.artifact.output.decode(self.bound.binding.copy_outputs_to_cpu()[0])

    def profile(self, calls: int) -> Profile | None:
        """None where launching a kernel does not wait for it: onnxruntime then tells how long launching takes."""
        return super().profile(calls) if os.environ.get(BLOCKING) == "1" else None


def without_graph(provider: Provider) -> Provider:
    if isinstance(provider, str):
        return provider
    name, options = provider
    return name, {key: value for key, value in options.items() if key != "enable_cuda_graph"}


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
    options: tuple[Option, ...] = (OPTIMIZE, PRECISE)
    families: tuple[Family, ...] = (
        Family("optimized", "onnxruntime, the graph optimized"),
        Family("precise", "onnxruntime with session.x64quantprecision", {"quant_precision": True}),
        Family("plain", "onnxruntime, the graph as it is", {"optimize": False}),
    )

    def __init__(self, name: str, provider: str):
        self.name, self.device, self.provider = name, name, provider

    def available(self) -> str | None:
        import onnxruntime  # heavy

        if self.provider not in onnxruntime.get_available_providers():
            return f"this onnxruntime has no {self.provider}"
        return None

    def make_whole(self, path: Path, output: str | None, out: Path) -> Path:
        model = read_model(path)
        if model is not None:
            return make_whole(model, path, output, out)
        if output is not None and path.is_file():
            raise EcgEdgeError(f"{path}: --output-name needs the package onnx", "pip install onnx")
        return path

    def inspect(self, path: Path) -> Artifact:
        session = open_session(path, ["CPUExecutionProvider"], 1)
        try:
            return self.told(path, session)
        except UnicodeDecodeError as error:
            told = f"{path} is not a readable ONNX model: a name in it, or its record, is not UTF-8"
            raise EcgEdgeError(told, "export it again") from error

    def told(self, path: Path, session: Any) -> Artifact:
        """As ``inspect``, of a file that is open."""
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1:
            named = ", ".join(f"{value.name} {shape_told(value)}" for value in inputs)
            raise EcgEdgeError(f"{path} takes {len(inputs)} inputs ({named}), and a beat fills one", ONE_INPUT)
        scores = [value for value in outputs if value.type in FLOATS]
        if not scores:
            types = ", ".join(value.type for value in outputs)
            raise EcgEdgeError(f"{path} gives {types}: no float tensor", "export scores (skl2onnx: zipmap=False)")
        choose_output(path, {value.name: shape_told(value) for value in scores}, None)
        given = told(inputs[0], layout_of(free_axes(inputs[0])) or "?")
        returned = told(scores[0], "NC" if len(scores[0].shape) == 2 else "NCL")
        model = read_model(path)
        shares = None if model is None else scores_of(model, returned.name)
        if record := session.get_modelmeta().custom_metadata_map.get("ecgedge"):
            return artifact_from(path, record, given, returned, shares)
        return tell_artifact(path, "onnx", given, returned, shares, partial(run_once, path, session))

    def load(self, artifact: Artifact, threads: int, **options: Any) -> Session:
        providers = [self.provider, "CPUExecutionProvider"]
        optimize, precise = options.get("optimize", True), options.get("quant_precision", False)
        return self.put(OnnxSession(artifact, providers, threads, optimize, precise))

    def taps(self, artifact: Artifact, threads: int, **options: Any) -> Taps | None:
        if read_model(artifact.path) is None:  # without the package onnx
            return None
        optimize, precise = options.get("optimize", True), options.get("quant_precision", False)
        return OnnxTaps(artifact, [self.provider, "CPUExecutionProvider"], threads, optimize, precise)

    def put(self, session: OnnxSession) -> OnnxSession:
        """A session that is where it should be. Raises RuntimeError where onnxruntime fell back without a word."""
        used = session.session.get_providers()
        if used[0] != self.provider:
            raise RuntimeError(f"onnxruntime could not use {self.provider} and put the model on {used}")
        return session


class CudaRuntime(OnnxRuntime):
    """The CUDA provider: float32 files in float32, or in TF32 as it does by default."""

    refuses: Mapping[str, str] = {"dynamic": NO_INT8, "full-int8": NO_INT8, "mixed": NO_INT8}
    options = (CUDA_GRAPH,)
    families = ()

    def __init__(self, name: str, tf32: bool = False):
        super().__init__(name, CUDA)
        self.device, self.tf32 = "cuda", tf32
        if tf32:  # all but float32 is computed as by the other
            self.computes = "tf32"
            self.refuses = dict.fromkeys(("fp16", *self.refuses), "")

    def available(self) -> str | None:
        if told := super().available():
            return told
        return None if nvidia_driver() else "no NVIDIA GPU or driver here"

    def load(self, artifact: Artifact, threads: int, **options: Any) -> Session:
        preload_cuda()
        cuda_graph = bool(options.get("cuda_graph"))
        settings = {"use_tf32": "1" if self.tf32 else "0"} | ({"enable_cuda_graph": "1"} if cuda_graph else {})
        providers: list[Provider] = [(self.provider, settings), "CPUExecutionProvider"]
        return self.put(DeviceSession(artifact, providers, threads, "cuda", cuda_graph))


def open_session(
    path: Path,
    providers: Sequence[Provider],
    threads: int,
    profile: Path | None = None,
    pack: bool = True,
    optimize: bool = True,
    precise: bool = False,
) -> Any:
    """An ``InferenceSession``.

    Args:
        providers: by name; one that this onnxruntime lacks, or names again, is left out.
        profile: where to write what runs, the start of a file name.
        pack: whether weights are packed for their kernels. The profile tells nothing of inputs that are; the
            nodes stay the same.
        optimize, precise: as the options of the runtime, ``OPTIMIZE`` and ``PRECISE``.

    Raises:
        EcgEdgeError: the file is missing or damaged.
    """
    import onnxruntime  # heavy

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    options.log_severity_level = 3  # errors
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    if precise:
        options.add_session_config_entry("session.x64quantprecision", "1")
    if not pack:
        options.add_session_config_entry("session.disable_prepacking", "1")
    if not path.is_file() or not path.stat().st_size:
        raise EcgEdgeError(f"{path} is {'empty' if path.is_file() else 'missing'}", "name an ONNX file")
    named = {provider if isinstance(provider, str) else provider[0]: provider for provider in reversed(providers)}
    known = [named[name] for name in reversed(named) if name in onnxruntime.get_available_providers()]
    with told_shortly(path):
        return onnxruntime.InferenceSession(str(path), options, providers=known)


def run_once(path: Path, session: Any, x: np.ndarray) -> np.ndarray:
    """The first output that holds floats, of the one input. Raises EcgEdgeError where onnxruntime cannot."""
    [given], returned = session.get_inputs(), next(value for value in session.get_outputs() if value.type in FLOATS)
    with told_shortly(path):
        answer: np.ndarray = session.run([returned.name], {given.name: x})[0]
        return answer


@contextlib.contextmanager
def told_shortly(path: Path) -> Iterator[None]:
    """Turn what onnxruntime raises of a file into an EcgEdgeError of one line."""
    try:
        yield
    except Exception as error:
        if not is_its_own(error):
            raise
        raise refusal(path, error) from error


def is_its_own(error: Exception) -> bool:
    """Whether an error is onnxruntime's: its classes are many, and share a module only."""
    return type(error).__module__.startswith("onnxruntime") or type(error) in (RuntimeError, ValueError)


def refusal(path: Path, error: Exception) -> EcgEdgeError:
    """Why onnxruntime does not open or run a file, one line."""
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip().splitlines()[0])
    kind = type(error).__name__
    if kind in UNREADABLE:
        return EcgEdgeError(f"{path} is not a readable ONNX model: {said}"[:300], "export it again")
    model = read_model(path)
    if model is not None and (dtype := wide_type(model)):
        told = f"{path} computes in {dtype}, for which onnxruntime lacks an operation: {said}"
        return EcgEdgeError(told[:300], "export it in float32 (in torch: model.float())")
    return EcgEdgeError(
        f"onnxruntime cannot run {path}: {said}"[:300], "export it with other operations, or another opset"
    )


def shape_told(value: Any) -> str:
    """``(N, 5)``, with the file's own names of free axes."""
    return f"({', '.join(map(str, value.shape))})"


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
    return OnnxRuntime("cpu", "CPUExecutionProvider"), CudaRuntime("cuda"), CudaRuntime("cuda-tf32", tf32=True)
