"""Networks that torch saved whole: programs of ``torch.export`` (.pt2) and TorchScript. Torch runs them; ONNX follows.

Their code travels with them, so no model part is needed; ``pt2_archive`` tells whether that code may do harm.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ecgedge import (
    Artifact,
    Context,
    ConversionError,
    EcgEdgeError,
    Exporter,
    Runtime,
    Session,
    TensorSpec,
    check_parity,
    hookimpl,
    tell_artifact,
    write_record,
)
from ecgedge.builtin.onnx_exporter import OPSET
from ecgedge.builtin.pt2_archive import code_in, kind_of
from ecgedge.builtin.torch_file import load_export, load_program, one_of
from ecgedge.builtin.torch_file_session import ProgramSession
from ecgedge.builtin.torch_file_shapes import told_by_export, told_by_trial


class TorchProgram(Runtime):
    """Runs on the CPU what ``torch.export.save`` and ``torch.jit.save`` wrote; what a file is, its content tells."""

    name = "torch-program"
    needs = ("torch",)
    libraries = ("torch",)
    accepts = ("pt2", "torchscript")
    suffixes = (".pt2", ".pt", ".pth", ".torchscript", ".ckpt", ".safetensors")

    def code_in(self, path: Path) -> str | None:
        return code_in(path)

    def inspect(self, path: Path) -> Artifact:
        kind = kind_of(path)
        given, returned = told_by_export(path) if kind == "pt2" else told_by_trial(path)
        return tell_artifact(path, kind, given, returned)

    def load(self, artifact: Artifact, threads: int) -> Session:
        import torch  # heavy

        torch.set_num_threads(threads)
        return ProgramSession(load_program(artifact), artifact)


class ProgramExporter(Exporter):
    """Checked against torch through onnxruntime."""

    needs = ("torch", "onnx", "onnxscript", "onnxruntime")
    libraries = ("torch", "onnx", "onnxscript")
    produces = "onnx"

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        import onnx  # heavy, with the next two
        import onnxruntime
        import torch

        if source.input.dtype != "float32":
            raise EcgEdgeError(
                f"{source.path} computes in {source.input.dtype}, ONNX files here in float32",
                "save it after network.float()",
            )
        network = load_program(source)
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            self.export(network, source, out, context)
        graph = onnx.load(out)
        onnx.checker.check_model(graph, full_check=True)
        artifact = as_declared(graph, source.derive(out, format="onnx", precision="fp32"))
        write_record(artifact)
        for extra in out.parent.glob(f"{out.name}.data"):  # where torch put large weights; they are in the file now
            extra.unlink()
        session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
        for beats in source.input.batches(context.parity_beats):
            with torch.inference_mode():
                expected = one_of(network(torch.from_numpy(beats))).numpy()
            check_parity(expected, session.run(None, {artifact.input.name: beats})[0], f"{source.format} -> onnx")
        return artifact

    def export(self, network: Any, source: Artifact, out: Path, context: Context) -> None:
        """Write the ONNX file."""
        raise TypeError(self.name)


class ExportedToOnnx(ProgramExporter):
    """A program of ``torch.export``, through the exporter that is made for them."""

    name = "torch-export"
    accepts = ("pt2",)

    def export(self, network: Any, source: Artifact, out: Path, context: Context) -> None:
        import torch  # heavy

        try:
            program = torch.onnx.export(load_export(source.path), dynamo=True, external_data=False, verbose=False)
            program.save(str(out), external_data=False)
        except torch.onnx.errors.OnnxExporterError as error:
            raise ConversionError(f"torch cannot write it as ONNX: {last_line(error)}") from error


class ScriptToOnnx(ProgramExporter):
    """TorchScript, through the exporter that takes it."""

    name = "torchscript"
    accepts = ("torchscript",)
    options = (OPSET,)

    def export(self, network: Any, source: Artifact, out: Path, context: Context) -> None:
        import torch  # heavy

        axes = {"input": {0: "batch"}, "output": {0: "batch"}} if source.input.batch is None else {}
        beats = next(source.input.batches(context.beats, size=2))
        opset = context.options.get("opset", OPSET.default)
        options = {"dynamo": False, "opset_version": opset, "dynamic_axes": axes}
        names = {"input_names": ["input"], "output_names": ["output"]}
        try:
            torch.onnx.export(network, (torch.from_numpy(beats),), str(out), **options, **names)
        except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
            raise ConversionError(f"torch cannot write it as ONNX: {last_line(error)}") from error


def last_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


def as_declared(graph: Any, artifact: Artifact) -> Artifact:
    """An artifact with the names and shapes that its ONNX graph declares; axis orders stay."""

    def spec(value: Any, like: TensorSpec) -> TensorSpec:
        dims = value.type.tensor_type.shape.dim
        shape = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)
        return replace(like, name=value.name, shape=shape)

    [given], [returned] = graph.graph.input, graph.graph.output
    return replace(artifact, input=spec(given, artifact.input), output=spec(returned, artifact.output))


@hookimpl
def ecgedge_exporters() -> Iterable[Exporter]:
    return ExportedToOnnx(), ScriptToOnnx()


@hookimpl
def ecgedge_runtimes() -> Iterable[Runtime]:
    return (TorchProgram(),)
