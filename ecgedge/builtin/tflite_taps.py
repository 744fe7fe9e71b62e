"""Inner tensors of a TFLite file, by other outputs in its flatbuffer. Needs LiteRT only."""

from __future__ import annotations

import contextlib
import copy
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import Artifact, EcgEdgeError, Operation, Taps, Tensor, Wiring
from ecgedge.builtin.rounding import HALF, of_steps

BITS = ("int4", "int8", "uint8", "int16")  # in which weights may be rounded


@contextlib.contextmanager
def as_written(path: Path) -> Iterator[None]:
    """Read what a file says of its tensors, of which LiteRT itself needs less: it may be none of what it has to be."""
    try:
        yield
    except (ArithmeticError, LookupError, TypeError, ValueError, struct.error) as error:
        told = f"{path}: what it says of its tensors cannot be read: {error}"
        raise EcgEdgeError(told[:300], "convert it again") from error


class TfliteTaps(Taps):
    """Each reading is a file of its own: the shipped one with one more output, or with the operations of one piece."""

    def __init__(self, artifact: Artifact, threads: int, resolver: str = "AUTO"):
        from ai_edge_litert import schema_py_generated as schema  # heavy

        self.resolver = resolver
        self.artifact, self.threads, self.content = artifact, threads, artifact.path.read_bytes()
        with as_written(artifact.path):
            self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(self.content, 0))
        self.model.signatureDefs = []  # they would have to name the same outputs
        self.graph = self.model.subgraphs[0]
        types = {value: name.lower() for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
        codes = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
        self.types = [types.get(tensor.type, "unknown") for tensor in self.graph.tensors]
        self.batch = artifact.input.batch or 1
        self.names = self.unique_names()
        self.places = {name: place for place, name in enumerate(self.names)}
        with as_written(artifact.path):
            self.wiring = self.wired(codes)
        self.open: dict[tuple[tuple[str, ...], str], Any] = {}  # the piece that was run last

    def unique_names(self) -> list[str]:
        found: list[str] = []
        for place, tensor in enumerate(self.graph.tensors):
            name = tensor.name.decode(errors="replace") if isinstance(tensor.name, bytes) else str(tensor.name or "")
            found.append(name if name and name not in found else f"{name}#{place}")
        return found

    def wired(self, codes: Mapping[int, str]) -> Wiring:
        fixed = {place for place, tensor in enumerate(self.graph.tensors) if self.held(tensor) is not None}
        noise = {place: found for place in fixed if (found := self.rounding(place))}
        operations, computed = [], [int(self.graph.inputs[0])]
        for place, op in enumerate(self.graph.operators):
            code = self.model.operatorCodes[op.opcodeIndex]
            kind = codes.get(max(code.builtinCode, code.deprecatedBuiltinCode), "CUSTOM")
            reads, makes = ([int(i) for i in (given if given is not None else ()) if i >= 0]
                            for given in (op.inputs, op.outputs))  # fmt: skip
            rounding = max((noise.get(i, 0.0) for i in reads), default=0.0)
            if reads and all(i in fixed for i in reads):  # weights on their way to their operation
                fixed |= {*makes}
                noise |= dict.fromkeys(makes, rounding)
                continue
            computed += makes
            inputs, outputs = ([self.names[i] for i in those if i not in fixed] for those in (reads, makes))
            operations.append(Operation(f"{kind} {place}", kind, tuple(inputs), tuple(outputs), rounding))
        given, returned = self.names[int(self.graph.inputs[0])], self.names[int(self.graph.outputs[0])]
        return Wiring(given, returned, tuple(map(self.tensor, computed)), tuple(operations))

    def held(self, tensor: Any) -> Any:
        """The bytes of a constant; None of a tensor that is computed."""
        data = self.model.buffers[tensor.buffer].data
        return None if tensor.isVariable or data is None or not len(data) else data

    def rounding(self, place: int) -> float:
        tensor, kind = self.graph.tensors[place], self.types[place]
        if kind == "float16":
            return HALF
        scales = tensor.quantization.scale if tensor.quantization is not None else None
        if kind not in BITS or scales is None or not len(scales):
            return 0.0
        stored = np.asarray(self.held(tensor), np.uint8)
        if kind == "int4":
            return 0.1  # two in a byte: a seventh of the range is a step
        values = stored.view(kind).astype(np.int32).reshape(tensor.shape)
        zeros = np.asarray(tensor.quantization.zeroPoint if tensor.quantization.zeroPoint is not None else 0)
        values = values - (int(zeros.flat[0]) if zeros.size else 0)
        return of_steps(values, np.asarray(scales), int(tensor.quantization.quantizedDimension or 0))

    def tensor(self, place: int) -> Tensor:
        tensor, given = self.graph.tensors[place], self.graph.tensors[place].quantization
        scale = given.scale if given is not None else None
        scaled = scale is not None and len(scale) == 1 and float(scale[0]) != 0
        zero = given.zeroPoint if scaled else None
        shape = tuple(int(n) for n in (tensor.shape if tensor.shape is not None else ()))
        return Tensor(
            self.names[place],
            shape[1:] if shape[:1] == (self.batch,) else shape,
            self.types[place],
            float(scale[0]) if scaled and scale is not None else None,
            int(zero[0]) if zero is not None and len(zero) else 0 if scaled else None,
        )

    def packed(self, operators: Sequence[Any], inputs: Sequence[int], outputs: Sequence[int]) -> Any:
        """An interpreter of the file with these operations, inputs and outputs, and all else as it is."""
        import flatbuffers  # with the next: both come with LiteRT
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        model = copy.copy(self.model)
        graph = copy.copy(self.graph)
        model.subgraphs = [graph, *self.model.subgraphs[1:]]
        graph.operators = [*operators]
        graph.inputs, graph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        builder = flatbuffers.Builder(len(self.content))
        builder.Finish(model.Pack(builder), b"TFL3")
        try:
            interpreter = Interpreter(model_content=bytes(builder.Output()), num_threads=self.threads,
                                      experimental_op_resolver_type=OpResolverType[self.resolver])  # fmt: skip
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            what = ", ".join(self.names[i] for i in outputs)
            raise EcgEdgeError(f"{self.artifact.path}: {what} cannot be read: {error}"[:300]) from error
        return interpreter

    def read(self, tensor: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        place, given, returned = self.places[tensor], int(self.graph.inputs[0]), int(self.graph.outputs[0])
        outputs = [returned] if place in (given, returned) else [returned, place]
        interpreter = self.packed(self.graph.operators, [given], outputs)
        at = interpreter.get_input_details()[0]["index"]
        told = [each["index"] for each in interpreter.get_output_details()]
        values, answers = [], []
        for batch in self.artifact.input.batches(x, self.batch):
            interpreter.reset_all_variables()
            interpreter.set_tensor(at, batch)
            interpreter.invoke()
            found = interpreter.get_tensor(told[-1]) if place != given else batch
            values.append(self.decoded(found, place))
            answers.append(self.decoded(interpreter.get_tensor(told[0]), returned))
        return np.concatenate(values)[: len(x)], np.concatenate(answers)[: len(x)]

    def between(self, inputs: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        key, place = (tuple(inputs), output), self.places[output]
        if key not in self.open:
            self.open = {key: self.piece(inputs, place)}
        interpreter, ports = self.open[key], {}
        details = interpreter.get_input_details()
        for name, detail in zip((name for name in inputs if name in self.needed), details, strict=True):
            ports[name] = detail["index"]
        count, made = len(next(iter(inputs.values()))), []
        for start in range(0, count, self.batch):
            interpreter.reset_all_variables()
            for name, index in ports.items():
                values = np.resize(inputs[name][start : start + self.batch], (self.batch, *inputs[name].shape[1:]))
                interpreter.set_tensor(index, self.encoded(values, self.places[name]))
            interpreter.invoke()
            made.append(self.decoded(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), place))
        return np.concatenate(made)[:count]

    def piece(self, inputs: Mapping[str, np.ndarray], output: int) -> Any:
        """An interpreter of the operations between; ``needed`` then names the inputs that they read."""
        stop = {self.places[name] for name in inputs}
        wanted, kept = {output}, []
        for op in reversed(self.graph.operators):
            if wanted & {int(i) for i in op.outputs}:
                kept.append(op)
                wanted |= {int(i) for i in op.inputs if i >= 0} - stop
        made = {int(i) for op in kept for i in op.outputs}
        read = {int(i) for op in kept for i in op.inputs if i >= 0}
        loose = [i for i in read - made - stop if self.held(self.graph.tensors[i]) is None]
        if loose or not kept:
            told = f"{self.names[output]} depends on more than {', '.join(inputs)}"
            raise EcgEdgeError(f"{self.artifact.path}: {told}")
        self.needed = {self.names[i] for i in stop & read}
        given = [self.places[name] for name in inputs if name in self.needed]
        return self.packed(kept[::-1], given, [output])

    def decoded(self, stored: np.ndarray, place: int) -> np.ndarray:
        """Values ``(batch, ...)`` float32 of what a tensor holds."""
        spec = self.tensor(place)
        values = stored.astype(np.float32)
        if spec.scale is not None and spec.zero_point is not None:
            values = (values - spec.zero_point) * np.float32(spec.scale)
        return values if stored.shape[:1] == (self.batch,) else values.reshape(self.batch, *spec.shape)

    def encoded(self, values: np.ndarray, place: int) -> np.ndarray:
        """What a tensor is to hold of values ``(batch, ...)``."""
        spec, shape = self.tensor(place), tuple(int(n) for n in self.graph.tensors[place].shape)
        kind = np.dtype(spec.dtype)
        if spec.scale is not None and spec.zero_point is not None:
            limits = np.iinfo(kind)
            values = np.clip(np.rint(values / np.float32(spec.scale)) + spec.zero_point, limits.min, limits.max)
        return np.ascontiguousarray(values.reshape(shape).astype(kind))

    def close(self) -> None:
        self.open = {}
