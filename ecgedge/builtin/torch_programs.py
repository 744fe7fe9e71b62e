"""Networks that torch saved whole: programs of ``torch.export`` (.pt2) and TorchScript. Torch runs them; ONNX follows.

Their code travels with them, so no model part is needed; ``pt2_archive`` tells whether that code may do harm.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

from ecgedge import (
    Artifact,
    Context,
    ConversionError,
    EcgEdgeError,
    Exporter,
    Graph,
    Node,
    Profile,
    Runtime,
    Session,
    Step,
    TensorSpec,
    Weight,
    check_parity,
    hookimpl,
    layout_of,
    tell_artifact,
    write_record,
)
from ecgedge.builtin.onnx_exporter import OPSET
from ecgedge.builtin.onnx_file import ONE_INPUT
from ecgedge.builtin.pt2_archive import code_in, damaged, kind_of
from ecgedge.builtin.torch_runtime import dtype_of, weights_of

LENGTHS = (140, *range(1, 4097))  # of beats, tried on a program that does not tell which it takes; usual ones first
BATCHES = (3, 1, 2, *range(4, 65))  # likewise
MOST_LEADS = 64  # that are tried, where a weight tells so many


@dataclass(frozen=True)
class Call:
    """What one operation of a program took and gave, and for how long it ran."""

    op: str
    takes: tuple[Any, ...]
    gives: tuple[Any, ...]
    microseconds: float


class ProgramSession(Session):
    def __init__(self, network: Any, artifact: Artifact):
        self.network, self.given, self.returned = network, artifact.input, artifact.output
        self.batch = artifact.input.batch

    def bind(self, x: np.ndarray) -> None:
        import torch  # heavy

        self.x = torch.from_numpy(np.ascontiguousarray(self.given.encode(x)))

    def invoke(self) -> None:
        import torch  # heavy

        with torch.inference_mode():
            self.y = self.network(self.x)

    def fetch(self) -> np.ndarray:
        return self.returned.decode(one_of(self.y).cpu().numpy())

    def graph(self) -> Graph:
        """The operations of aten that one call came down to."""
        known = {tensor.data_ptr(): tensor.numel() for tensor in self.network.state_dict().values()}
        nodes = tuple(node_of(number, call, known) for number, call in enumerate(self.calls()))
        given, returned = dtype_of(self.x), dtype_of(one_of(self.y))
        weights: tuple[Weight, ...] = tuple(weights_of(self.network))
        return Graph(nodes, weights, input=given, output=returned)

    def profile(self, calls: int) -> Profile | None:
        """The time of each operation between its start and its end in torch's dispatcher; None where calls differ."""
        whole, taken = [], []
        for _ in range(calls):
            start = perf_counter_ns()
            taken.append(self.calls())
            whole.append((perf_counter_ns() - start) / 1e3)
        ops = [call.op for call in taken[0]]
        if any([call.op for call in other] != ops for other in taken):
            return None
        steps = (
            Step(op, name_of(number, op), (name_of(number, op),), tuple(each[number].microseconds for each in taken))
            for number, op in enumerate(ops)
        )
        return Profile(tuple(steps), tuple(whole))

    def calls(self) -> list[Call]:
        """The operations of one call, in order."""
        from torch.utils._python_dispatch import TorchDispatchMode  # heavy

        found: list[Call] = []

        class Recorder(TorchDispatchMode):
            def __torch_dispatch__(self, op: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
                start = perf_counter_ns()
                made = op(*args, **(kwargs or {}))
                found.append(Call(word_of(op), tensors(args), tensors(made), (perf_counter_ns() - start) / 1e3))
                return made

        with Recorder():
            self.invoke()
        return found


def word_of(op: Any) -> str:
    """An operation's name as aten has it, without its overload; products of matrices by the name that others know."""
    word = op.overloadpacket.__name__
    return {"mm": "matmul", "bmm": "matmul", "_convolution": "convolution", "addmm": "gemm"}.get(word, word)


def name_of(number: int, op: str) -> str:
    return f"{op}_{number}"


def node_of(number: int, call: Call, known: dict[int, int]) -> Node:
    """A call as a node; ``known`` has the sizes of the weights by their address."""
    return Node(
        name_of(number, call.op),
        call.op,
        "torch",
        "cpu",
        tuple(map(dtype_of, call.takes)),
        tuple(map(dtype_of, call.gives)),
        tuple(known.get(tensor.data_ptr(), 0) for tensor in call.takes),
        tuple(tuple(tensor.shape) for tensor in call.takes),
        tuple(tuple(tensor.shape) for tensor in call.gives),
    )


def tensors(values: Any) -> tuple[Any, ...]:
    """All tensors among values, in order."""
    import torch  # heavy

    if isinstance(values, torch.Tensor):
        return (values,)
    if isinstance(values, dict):
        values = values.values()
    elif not isinstance(values, list | tuple):
        return ()
    return tuple(tensor for value in values for tensor in tensors(value))


def one_of(answer: Any) -> Any:
    """The one tensor that a program answers with, be it in a tuple or a dict."""
    [tensor] = tensors(answer)
    return tensor


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


def load_program(artifact: Artifact) -> Any:
    """The network in a file, ready to be called.

    Raises:
        EcgEdgeError: it brings code that nobody vouched for.
    """
    if not artifact.trusted and (code := code_in(artifact.path)):
        raise EcgEdgeError(f"{artifact.path} holds {code}", "--trust runs it")
    if artifact.format == "torchscript":
        return load_script(artifact.path)
    return load_export(artifact.path).module(check_guards=False)


def load_export(path: Path) -> Any:
    """A ``torch.export.ExportedProgram``."""
    import torch  # heavy

    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            return torch.export.load(file)
    except Exception as error:  # of json, zipfile, struct, torch: whatever is wrong with the archive
        raise damaged(path, error) from error


def load_script(path: Path) -> Any:
    """A ``torch.jit.ScriptModule`` in evaluation mode."""
    import torch  # heavy

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch prefers torch.export
            return torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise EcgEdgeError(f"{path} is not readable TorchScript: {reason}"[:300], "save it again") from error


def told_by_export(path: Path) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of an exported program, as it declares them."""
    program = load_export(path)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    inputs, outputs = program.graph_signature.user_inputs, program.graph_signature.user_outputs
    check_count(path, inputs, outputs)
    check_mode(path, program)
    given, returned = (spec_of(name, values[name]) for name in (inputs[0], outputs[0]))
    return replace(given, layout=layout_of(given.shape) or "?"), returned


def check_count(path: Path, inputs: Iterable[Any], outputs: Iterable[Any]) -> None:
    """Raise EcgEdgeError where a beat does not go in alone, or more than one answer comes out."""
    inputs, outputs = [*inputs], [*outputs]
    if len(inputs) != 1:
        raise EcgEdgeError(f"{path} has {len(inputs)} inputs, a beat is one", ONE_INPUT)
    if len(outputs) != 1:
        raise EcgEdgeError(
            f"{path} has {len(outputs)} outputs, one is used", "save a network that gives that one alone"
        )


def check_mode(path: Path, program: Any) -> None:
    """Raise EcgEdgeError where a program was exported in training mode: its answers hang on chance or neighbours."""
    places = {"batch_norm": 5, "dropout": 2, "dropout_": 2, "feature_dropout": 2, "instance_norm": -1}
    for node in program.graph.nodes:
        word = getattr(getattr(node.target, "overloadpacket", None), "__name__", "")
        place = places.get(word, -1)
        if place >= 0 and len(node.args) > place and node.args[place] is True:
            raise EcgEdgeError(f"{path} was exported in training mode ({word})", "export it after network.eval()")


def spec_of(name: str, value: Any) -> TensorSpec:
    """A tensor as a program declares it, with symbolic sizes; scores, or what looks like a beat."""
    shape = tuple(axis if isinstance(axis, int) else None for axis in value.shape)
    layout = "NC" if len(shape) == 2 else "NCL"
    return TensorSpec(name, shape, dtype_of(value), layout)


def told_by_trial(path: Path) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of TorchScript, which declares no shapes: what it takes is tried.

    Raises:
        EcgEdgeError: it takes nothing that looks like beats.
    """
    network = load_script(path)
    check_count(path, list(network.forward.schema.arguments)[1:], [None])
    dtype = next((tensor.dtype for tensor in network.parameters() if tensor.is_floating_point()), None)
    trial = Trial(path, network, dtype)
    layout, length = trial.find()  # and the leads
    lengths = [n for n in (length, length + 1, length + 8) if trial.answer(layout, trial.batch, n) is not None]
    shape, made = trial.shape(layout, trial.batch, length), trial.answer(layout, trial.batch, length)
    check_count(path, [None], tensors(made))
    returned = one_of(made)
    free_length, axis = len(lengths) == 3, layout.index("L")
    free_batch = all(trial.answer(layout, n, length) is not None for n in (2, 3))
    batch = None if free_batch else trial.batch
    if free_length and one_of(trial.answer(layout, trial.batch, length + 8)).shape != returned.shape:
        raise EcgEdgeError(
            f"{path} gives as many values as a beat has samples, and does not say how many that are",
            "save it for one length: torch.export.save (.pt2)",
        )
    sizes: list[int | None] = [batch, *shape[1:]]
    sizes[axis] = None if free_length else length
    given = TensorSpec("input", tuple(sizes), dtype_of(returned) if dtype is None else str(dtype)[6:], layout)
    answer = (batch, *(int(axis) for axis in returned.shape[1:]))
    return given, TensorSpec("output", answer, dtype_of(returned), "NC" if len(answer) == 2 else "NCL")


class Trial:
    """Calls of a program that may fail."""

    def __init__(self, path: Path, network: Any, dtype: Any):
        self.path, self.network, self.dtype, self.reason = path, network, dtype, ""
        self.batch = self.leads = 1

    def find(self) -> tuple[str, int]:
        """The first layout, batch and length that the program takes; the batch is kept, and the leads."""
        tries = self.tries()
        for length in LENGTHS:
            for layout, self.leads in tries:
                for self.batch in BATCHES[:2]:
                    if self.answer(layout, self.batch, length) is not None:
                        return layout, length
        raise EcgEdgeError(f"{self.path} takes no beats: {self.reason}"[:300], "only models of beats can be used")

    def tries(self) -> list[tuple[str, int]]:
        """Layouts, each with a number of leads: of one lead, and of as many as the first weight tells."""
        found, first = [("NCL", 1), ("NLC", 1), ("NL", 1)], self.first_weight()
        if first is None:
            return found
        sizes = dict.fromkeys(int(size) for size in first.shape[1 : first.dim() - 1] if size <= MOST_LEADS)
        if first.dim() == 2:
            sizes = {int(first.shape[1]): None}
        found += [(layout, leads) for leads in sizes if leads > 1 for layout in ("NCL", "NLC")]
        if first.dim() == 4:
            found += [(layout, leads) for leads in [1, *sizes] for layout in ("NC1L", "N1CL", "NCL1", "NLC1")]
        return found

    def first_weight(self) -> Any:
        """The first weight of a convolution ``(O, C, ...)`` or a recurrent layer ``(O, C)``; None: there is none."""
        named = self.network.state_dict().items()
        return next((each for name, each in named if each.dim() in (3, 4) or "weight_ih" in name), None)

    def shape(self, layout: str, batch: int, length: int) -> tuple[int, ...]:
        sizes = {"N": batch, "C": self.leads, "L": length, "1": 1}
        return tuple(sizes[letter] for letter in layout)

    def answer(self, layout: str, batch: int, length: int) -> Any:
        """What the program answers for zeros of that shape, where that is an answer for each of them; else None."""
        import torch  # heavy

        try:
            # oneDNN's LSTM checks no sizes; torch warns that it has no Intel GPU when it is switched off
            quiet, plain = warnings.catch_warnings(action="ignore"), torch.backends.mkldnn.flags(enabled=False)
            with torch.inference_mode(), quiet, plain:
                made = self.network(torch.zeros(self.shape(layout, batch, length), dtype=self.dtype))
        except (RuntimeError, ValueError, IndexError, torch.jit.Error) as error:
            self.reason = self.reason or (str(error).strip().splitlines() or ["it fails"])[-1]
            return None
        found = tensors(made)
        fits = found and all(value.dim() in (2, 3, 4) and value.shape[0] == batch and value.numel() for value in found)
        return made if fits else None


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
