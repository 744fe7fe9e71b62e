"""Inner tensors of an ONNX file, by one more output in a copy of it. Needs onnx beside onnxruntime."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import Artifact, EcgEdgeError, Operation, Taps, Tensor, Wiring
from ecgedge.builtin.rounding import HALF, of_steps

STEPS = {"QuantizeLinear", "DequantizeLinear"}
FUSED = {"Relu", "Clip", "LeakyRelu"}  # what onnxruntime puts into the integer operation before it
BULK = 64  # beats a call, where the batch is free


class OnnxTaps(Taps):
    """Each reading is a session of its own, of the shipped file with one more output, or of one piece.

    What a QuantizeLinear makes stands for the float tensor that it takes: that is what runs.
    """

    def __init__(
        self, artifact: Artifact, providers: Sequence[Any], threads: int, optimize: bool = True, precise: bool = False
    ):
        import onnx  # heavy

        self.artifact, self.providers, self.threads = artifact, providers, threads
        self.optimize, self.precise = optimize, precise
        self.model = onnx.load(artifact.path)
        self.nodes = [*self.model.graph.node]
        self.constants = {each.name: each for each in self.model.graph.initializer} | {
            node.output[0]: node.attribute[0].t
            for node in self.nodes
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value"
        }
        self.maker = {name: node for node in self.nodes for name in node.output if name}
        inferred = onnx.shape_inference.infer_shapes(self.model).graph
        self.infos = {each.name: each for part in (inferred.value_info, inferred.input, inferred.output)
                      for each in part}  # fmt: skip
        self.scratch = tempfile.TemporaryDirectory()
        self.input, self.output = artifact.input.name, artifact.output.name
        self.tensors = {each.name: each for each in self.listed()}
        self.wiring = Wiring(self.input, self.output, tuple(self.tensors.values()), tuple(self.operations()))
        self.open: dict[tuple[tuple[str, ...], str], Any] = {}

    # -- what there is

    def listed(self) -> Iterator[Tensor]:
        """The tensors that can be read: float ones that exist as the file runs, and what is stored in steps."""
        readers: dict[str, list[Any]] = {}
        for node in self.nodes:
            for name in node.input:
                readers.setdefault(name, []).append(node)
        fixed = {*self.constants}
        yield self.tensor(self.input)
        for node in self.nodes:
            if all(name in fixed for name in node.input if name):
                fixed |= {*node.output}
                continue
            statistics = node.output[1:] if node.op_type == "BatchNormalization" else ()  # in training mode: of no beat
            for name in (each for each in node.output if each and each not in statistics):
                if name == self.output:
                    yield self.tensor(name)
                elif node.op_type == "QuantizeLinear":
                    yield self.tensor(name, node)
                elif node.op_type != "DequantizeLinear" and self.is_float(name) and not is_inner(name, readers):
                    yield self.tensor(name)
        self.fixed = fixed

    def is_float(self, name: str) -> bool:
        kind = self.infos[name].type.tensor_type.elem_type if name in self.infos else 0
        return kind in (1, 10, 11)

    def tensor(self, name: str, quantize: Any = None) -> Tensor:
        import onnx  # heavy

        info = self.infos.get(name)
        dims = info.type.tensor_type.shape.dim if info is not None else ()
        shape = tuple(dim.dim_value or None for dim in dims)[1:]
        kind = info.type.tensor_type.elem_type if info is not None else 1
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)).name if kind else "float32"
        if quantize is None:
            return Tensor(name, shape, dtype)
        scale = self.constant(quantize.input[1])
        zero = self.constant(quantize.input[2]) if len(quantize.input) > 2 else np.zeros(1, np.uint8)
        if scale.size != 1:  # an axis of its own: its steps differ
            return Tensor(name, shape, dtype, also=(quantize.input[0],))
        return Tensor(name, shape, zero.dtype.name, float(scale.flat[0]), int(zero.flat[0]), (quantize.input[0],))

    def constant(self, name: str) -> np.ndarray:
        import onnx  # heavy

        array: np.ndarray = onnx.numpy_helper.to_array(self.constants[name])
        return array

    def operations(self) -> Iterator[Operation]:
        """One for each tensor that can be read: what lies between it and those before it."""
        for name in [*self.tensors][1:]:
            inside, sources = self.back(name)
            main = inside[0]
            if main.op_type == "QuantizeLinear" and len(inside) > 1 and inside[1].op_type != "DequantizeLinear":
                main = inside[1]
            if main.op_type in FUSED and len(inside) > 2:
                main = next((node for node in inside[1:] if node.op_type not in FUSED | STEPS), main)
            title = main.name or f"{main.op_type} {main.output[0]}"
            yield Operation(title, main.op_type, tuple(sources), (name,), self.rounding(inside))

    def back(self, output: str, stop: frozenset[str] | None = None) -> tuple[list[Any], list[str]]:
        """The nodes between a tensor and those before it, the last first, and these tensors."""
        ends = self.tensors.keys() if stop is None else stop
        inside: list[Any] = []
        sources: list[str] = []
        left, seen = [output], {output}
        while left:
            node = self.maker.get(left.pop(0))
            if node is None or node in inside:
                continue
            inside.append(node)
            for name in filter(None, node.input):
                if name in ends:
                    sources += [name] if name not in sources else []
                elif name not in seen and name not in self.constants:
                    seen.add(name)
                    left.append(name)
        return inside, sources

    def rounding(self, inside: Sequence[Any]) -> float:
        """Of the weights that these nodes read, as ``Operation`` has it."""
        found = [0.0]
        for node in inside:
            for name in node.input:
                tensor = self.constants.get(name)
                if tensor is None or len(tensor.dims) < 2:
                    continue
                array = self.constant(name)
                if array.dtype == np.float16:
                    found.append(HALF)
                elif array.dtype in (np.int8, np.uint8) and node.op_type == "DequantizeLinear":
                    zero = self.constant(node.input[2]) if len(node.input) > 2 else np.zeros(1, array.dtype)
                    axis = next((each.i for each in node.attribute if each.name == "axis"), 1)
                    shifted = array.astype(np.int32) - int(zero.flat[0])
                    found.append(of_steps(shifted, self.constant(node.input[1]), axis))
                elif array.dtype in (np.int8, np.uint8):
                    middle = 0 if array.dtype == np.int8 else 128
                    found.append(of_steps(array.astype(np.int32) - middle, np.ones(1)))
        return max(found)

    # -- what they hold

    def session(self, model: Any) -> Any:
        from ecgedge.builtin.onnxruntime_runtimes import open_session

        path = Path(self.scratch.name) / "tapped.onnx"
        path.write_bytes(model.SerializeToString())
        return open_session(path, self.providers, self.threads, optimize=self.optimize, precise=self.precise)

    def read(self, tensor: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import onnx  # heavy

        wanted = [self.output] if tensor in (self.input, self.output) else [self.output, tensor]
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        if len(wanted) > 1:
            model.graph.output.append(self.value(tensor, None))
        del model.graph.output[: len(model.graph.output) - len(wanted)]
        if len(wanted) > 1:
            model.graph.output.insert(0, self.infos[self.output])
            del model.graph.output[1:-1]
        session = self.session(model)
        values, answers = [], []
        for batch in self.artifact.input.batches(x, BULK):
            returned = session.run(wanted, {self.input: batch})
            held = batch if tensor == self.input else returned[-1]
            values.append(self.decoded(held, tensor, len(batch)))
            answers.append(self.decoded(returned[0], self.output, len(batch)))
        return np.concatenate(values)[: len(x)], np.concatenate(answers)[: len(x)]

    def value(self, name: str, shape: Sequence[int] | None) -> Any:
        """The declaration of a tensor as an input or output, with a free batch."""
        import onnx  # heavy

        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(self.tensors[name].dtype))
        return onnx.helper.make_tensor_value_info(name, kind, None if shape is None else ["", *shape])

    def between(self, inputs: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        key = tuple(inputs), output
        if key not in self.open:
            self.open = {key: self.piece(inputs, output)}
        session = self.open[key]
        needed = {each.name for each in session.get_inputs()}
        count, step, made = len(next(iter(inputs.values()))), self.artifact.input.batch or BULK, []
        for start in range(0, count, step):
            given = {name: values[start : start + step] for name, values in inputs.items() if name in needed}
            if self.artifact.input.batch:
                given = {name: np.resize(values, (step, *values.shape[1:])) for name, values in given.items()}
            encoded = {name: self.encoded(values, name) for name, values in given.items()}
            made.append(self.decoded(session.run([output], encoded)[0], output, len(next(iter(encoded.values())))))
        return np.concatenate(made)[:count]

    def piece(self, inputs: Mapping[str, np.ndarray], output: str) -> Any:
        """A session of the nodes between."""
        import onnx  # heavy

        inside, sources = self.back(output, frozenset(inputs))
        read = {name for node in inside for name in node.input if name}
        made = {name for node in inside for name in node.output}
        if not sources or read - made - {*sources} - self.constants.keys():
            raise EcgEdgeError(f"{self.artifact.path}: {output} depends on more than {', '.join(inputs)}")
        kept = [node for node in self.nodes if node in inside]
        held = [each for each in self.model.graph.initializer if each.name in read]
        kept = [node for node in self.nodes
                if node.op_type == "Constant" and node.output[0] in read and node not in kept] + kept  # fmt: skip
        given = [self.value(name, inputs[name].shape[1:]) for name in sources]
        graph = onnx.helper.make_graph(kept, "piece", given, [self.value(output, None)], held)
        model = onnx.helper.make_model(graph, opset_imports=self.model.opset_import,
                                       ir_version=self.model.ir_version)  # fmt: skip
        return self.session(model)

    def decoded(self, stored: np.ndarray, name: str, beats: int) -> np.ndarray:
        spec, values = self.tensors[name], stored.astype(np.float32)
        if spec.scale is not None and spec.zero_point is not None:
            values = (values - spec.zero_point) * np.float32(spec.scale)
        if values.size % beats:
            raise EcgEdgeError(f"{self.artifact.path}: {name} holds no values of its own for each beat")
        return values if values.shape[:1] == (beats,) else values.reshape(beats, -1)

    def encoded(self, values: np.ndarray, name: str) -> np.ndarray:
        spec = self.tensors[name]
        kind = np.dtype(spec.dtype)
        if spec.scale is not None and spec.zero_point is not None:
            limits = np.iinfo(kind)
            values = np.clip(np.rint(values / np.float32(spec.scale)) + spec.zero_point, limits.min, limits.max)
        return np.ascontiguousarray(values.astype(kind))

    def close(self) -> None:
        self.open = {}
        self.scratch.cleanup()


def is_inner(name: str, readers: Mapping[str, Sequence[Any]]) -> bool:
    """Whether a float tensor is only there for integers: what reads it rounds it, or cuts it off and then rounds it."""
    mine = readers.get(name, ())
    if not mine:
        return False
    kinds = {node.op_type for node in mine}
    if kinds == {"QuantizeLinear"}:
        return True
    return (
        len(mine) == 1
        and kinds <= FUSED
        and {node.op_type for node in readers.get(mine[0].output[0], ())} == {"QuantizeLinear"}
    )
