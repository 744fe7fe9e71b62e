"""Does ``ecgedge diverge`` name the operation at fault? Faults are planted in files of all models, and looked for.

``python benchmarks/diverge.py FOLDER [--model NAME]... [--beats N] [--seed N]``

FOLDER holds, or gets, the files of each model in ONNX and TFLite, in float32 and full int8. Each fault is planted in a
copy of one, which is held against the float form: in ONNX of the same file, in TFLite float of the ONNX file, in TFLite
int8 of the float TFLite file. The clean pairs are those, and the int8 ONNX file against the float one. The seed says
which operation is taken: the limits of ``ecgedge.diverge`` were set on faults of seed 0, so others tell how well it
finds.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import helper, numpy_helper

import ecgedge
from ecgedge import Taps
from ecgedge.builtin.onnxruntime_runtimes import OnnxRuntime
from ecgedge.builtin.tflite_runtime import TfliteRuntime
from ecgedge.data import drawing, finding
from ecgedge.diverge.study import Study, study

MODELS = ("base-cnn", "tcn", "cnn-ae", "vgg", "inception")
FORMS = [(form, precision) for form in ("onnx", "tflite") for precision in ("none", "full-int8")]
CONVS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def opened(path: Path) -> Taps:
    runtime = TfliteRuntime() if path.suffix == ".tflite" else OnnxRuntime("cpu", "CPUExecutionProvider")
    taps = runtime.taps(runtime.inspect(path), 1)
    assert taps is not None
    return taps


def of_norm_one(array: np.ndarray) -> np.ndarray:
    """Weights of which each output's have the norm 1: what a weight norm becomes whose magnitudes were lost."""
    norms: np.ndarray = np.sqrt((array.astype(np.float64) ** 2).sum(axis=tuple(range(1, array.ndim)), keepdims=True))
    return (array / np.maximum(norms, 1e-12)).astype(array.dtype)


def without_first(array: np.ndarray) -> np.ndarray:
    array[0] = 0
    return array


def with_two_swapped(array: np.ndarray) -> np.ndarray:
    array[[0, 1]] = array[[1, 0]]
    return array


class PlantedFile:
    """A copy of a file, and one of its convolutions, in which faults are planted; each tells the operation at fault.

    Attributes:
        name: of the convolution.
        rng: draws what is random.
        outputs: channels that it makes.
        has_bias: it has one.
        is_int8: its weights are stored in integers.
    """

    name: str
    rng: np.random.Generator
    outputs: int
    has_bias: bool
    is_int8 = False

    def change(self, place: int, how: Callable[[np.ndarray], np.ndarray]) -> None:
        """Give the convolution other weights (1) or another bias (2)."""
        raise NotImplementedError

    def epsilon(self) -> str:
        if self.is_int8:
            raise LookupError  # less than a step of its weights
        variance = self.rng.uniform(0.01, 1, self.outputs)
        factor = np.sqrt((variance + 1e-5) / (variance + 1e-3)).astype(np.float32)
        self.change(1, lambda w: w * factor.reshape(-1, *[1] * (w.ndim - 1)))
        return self.name

    def bias(self) -> str:
        if not self.has_bias:
            raise LookupError
        self.change(2, lambda b: 0 * b)
        return self.name

    def dead(self) -> str:
        self.change(1, without_first)
        self.change(2, without_first)
        return self.name

    def norm(self) -> str:
        if self.is_int8:
            raise LookupError
        self.change(1, of_norm_one)
        return self.name


# -- ONNX


class OnnxFile(PlantedFile):
    """An ONNX file."""

    def __init__(self, path: Path, seed: int):
        self.model = onnx.load(path)
        self.rng = np.random.default_rng(seed)
        held = {each.name: each for each in self.model.graph.initializer}
        convs = [node for node in self.model.graph.node if node.op_type == "Conv" and node.input[1] in held]
        self.node = convs[int(self.rng.integers(len(convs)))]
        self.held = held
        self.name = self.node.name or f"{self.node.op_type} {self.node.output[0]}"
        self.outputs, self.has_bias = held[self.node.input[1]].dims[0], len(self.node.input) > 2

    def change(self, place: int, how: Callable[[np.ndarray], np.ndarray]) -> None:
        if len(self.node.input) > place:
            tensor = self.held[self.node.input[place]]
            tensor.CopyFrom(numpy_helper.from_array(how(numpy_helper.to_array(tensor).copy()), tensor.name))

    def scale(self) -> str:
        self.change(1, lambda w: w * 2)
        return self.name

    def negate(self) -> str:
        self.change(1, lambda w: -w)
        return self.name

    def padding(self) -> str:
        for each in self.node.attribute:
            if each.name == "pads" and any(each.ints):
                pads, half = [*each.ints], len(each.ints) // 2
                by = 1 if pads[-1] else -1
                pads[half - 1], pads[-1] = pads[half - 1] + by, pads[-1] - by
                each.ints[:] = pads
                return self.name
        raise LookupError

    def swap(self) -> str:
        self.change(1, with_two_swapped)
        self.change(2, with_two_swapped)
        return self.name

    def relu(self) -> str:
        nodes = [*self.model.graph.node]
        for place in self.rng.permutation(len(nodes)):
            relu = nodes[place]
            maker = next((node for node in self.model.graph.node if relu.input and relu.input[0] in node.output), None)
            readers = [node for node in self.model.graph.node if relu.input and relu.input[0] in node.input]
            if relu.op_type == "Relu" and maker is not None and len(readers) == 1:
                maker.output[0] = relu.output[0]
                self.model.graph.node.remove(relu)
                return maker.name or f"{maker.op_type} {maker.output[0]}"
        raise LookupError

    def crop(self) -> str:
        """Drop the last crop: the answers are longer."""
        graph = self.model.graph
        cut = next((n for n in graph.node if n.op_type == "Slice" and n.output[0] == graph.output[0].name), None)
        if cut is None:
            raise LookupError
        maker = next(node for node in graph.node if cut.input[0] in node.output)
        maker.output[0] = cut.output[0]
        graph.node.remove(cut)
        del graph.value_info[:]
        graph.output[0].type.tensor_type.shape.dim[-1].Clear()
        return cut.name or f"{cut.op_type} {cut.output[0]}"

    def insert(self, *made: tuple[str, dict[str, Any], list[str]]) -> str:
        """Put nodes behind the convolution, of which the last gives what it gave."""
        whole, at = self.node.output[0], [*self.model.graph.node].index(self.node)
        self.node.output[0] = last = f"{whole}_before"
        for place, (op, attributes, more) in enumerate(made):
            to = whole if place == len(made) - 1 else f"{whole}_{place}"
            node = helper.make_node(op, [last, *more], [to], name="planted" if to == whole else "turned", **attributes)
            self.model.graph.node.insert(at + 1 + place, node)
            last = to
        return "planted"

    def clip(self) -> str:
        self.model.graph.initializer.append(numpy_helper.from_array(np.float32(-0.2), "planted_low"))
        self.model.graph.initializer.append(numpy_helper.from_array(np.float32(0.2), "planted_high"))
        return self.insert(("Clip", {}, ["planted_low", "planted_high"]))

    def layout(self) -> str:
        inferred = onnx.shape_inference.infer_shapes(self.model).graph
        info = next(each for each in inferred.value_info if each.name == self.node.output[0])
        dims = [dim.dim_value for dim in info.type.tensor_type.shape.dim]
        order = [0, len(dims) - 1, *range(2, len(dims) - 1), 1]
        self.model.graph.initializer.append(numpy_helper.from_array(np.array([0, *dims[1:]]), "planted_shape"))
        return self.insert(("Transpose", {"perm": order}, []), ("Reshape", {}, ["planted_shape"]))

    def save(self, out: Path) -> Path:
        onnx.save(self.model, out)
        return out


# -- TFLite


class TfliteFile(PlantedFile):
    """A TFLite file."""

    def __init__(self, path: Path, seed: int):
        content = path.read_bytes()
        self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        self.graph, self.rng = self.model.subgraphs[0], np.random.default_rng(seed)
        codes = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
        kinds = [codes[max(self.model.operatorCodes[op.opcodeIndex].builtinCode,
                           self.model.operatorCodes[op.opcodeIndex].deprecatedBuiltinCode)]
                 for op in self.graph.operators]  # fmt: skip
        convs = [place for place, kind in enumerate(kinds) if kind in CONVS and self.array_of(place, 1) is not None]
        self.place = convs[int(self.rng.integers(len(convs)))]
        self.op, self.name = self.graph.operators[self.place], f"{kinds[self.place]} {self.place}"
        self.weights = self.graph.tensors[self.op.inputs[1]]
        self.is_int8 = self.weights.type == schema.TensorType.INT8
        self.outputs, self.has_bias = int(self.weights.shape[0]), self.array_of(self.place, 2) is not None
        self.activations = [(place, kinds[place]) for place in convs]

    def array_of(self, place: int, which: int) -> Any:
        tensor = self.graph.tensors[self.graph.operators[place].inputs[which]]
        return self.model.buffers[tensor.buffer].data

    def change(self, which: int, how: Callable[[np.ndarray], np.ndarray]) -> None:
        tensor = self.graph.tensors[self.op.inputs[which]]
        kinds = {schema.TensorType.INT8: np.int8, schema.TensorType.INT32: np.int32}
        kind, buffer = kinds.get(tensor.type, np.float32), self.model.buffers[tensor.buffer]
        array = np.asarray(buffer.data, np.uint8).view(kind).reshape(tensor.shape).copy()
        fresh = schema.BufferT()  # others may share the old one
        fresh.data = np.ascontiguousarray(how(array).astype(kind)).view(np.uint8).reshape(-1)
        tensor.buffer = len(self.model.buffers)
        self.model.buffers.append(fresh)

    def scale(self) -> str:
        if self.is_int8:
            self.weights.quantization.scale = np.asarray(self.weights.quantization.scale) * np.float32(2)
        else:
            self.change(1, lambda w: w * 2)
        return self.name

    def negate(self) -> str:
        self.change(1, lambda w: np.clip(-w.astype(np.float64), -127 if self.is_int8 else -np.inf, None))
        return self.name

    def padding(self) -> str:
        def moved(weights: np.ndarray) -> np.ndarray:
            if weights.shape[2] < 2:
                raise LookupError
            weights = np.roll(weights, 1, axis=2)
            weights[:, :, 0] = 0
            return weights

        self.change(1, moved)
        return self.name

    def swap(self) -> str:
        if self.weights.shape[0] < 2:
            raise LookupError
        self.change(1, with_two_swapped)
        if not self.is_int8:  # the bias has another scale in each channel
            self.change(2, with_two_swapped)
        return self.name

    def relu(self) -> str:
        if self.is_int8:
            raise LookupError  # the range of its output begins at 0 all the same
        for at in self.rng.permutation(len(self.activations)):
            place, kind = self.activations[at]
            op = self.graph.operators[place]
            if op.builtinOptions.fusedActivationFunction == schema.ActivationFunctionType.RELU:
                op.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.NONE
                return f"{kind} {place}"
        raise LookupError

    def crop(self) -> str:
        raise LookupError  # the passes did it in place

    def clip(self) -> str:
        if self.is_int8:
            given = self.graph.tensors[self.op.outputs[0]].quantization
            given.scale = np.asarray(given.scale) * np.float32(0.5)
        else:
            self.op.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.RELU_N1_TO_1
        return self.name

    def layout(self) -> str:
        if min(self.weights.shape[2:]) < 2:
            raise LookupError
        self.change(1, lambda w: w.transpose(0, 1, 3, 2).reshape(w.shape))
        return self.name

    def save(self, out: Path) -> Path:
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        out.write_bytes(bytes(builder.Output()))
        return out


FAULTS = ("scale", "negate", "padding", "swap", "clip", "relu", "layout", "epsilon", "bias", "dead")


def planted(path: Path, fault: str, seed: int, out: Path) -> str | None:
    """Write a copy of a file with a fault; the name of the operation, or None where this file has no place for it."""
    file = TfliteFile(path, seed) if path.suffix == ".tflite" else OnnxFile(path, seed)
    try:
        name = getattr(file, fault)()
    except LookupError:
        return None
    file.save(out)
    return name


def files_of(model: str, folder: Path) -> dict[tuple[str, str], Path]:
    found = {(form, precision): folder / f"{model}-{precision}.{form}" for form, precision in FORMS}
    for (form, precision), path in found.items():
        if not path.exists():
            ecgedge.convert(model, form, path, quantizer=precision)
    return found


def cases(
    model: str, files: dict[tuple[str, str], Path], folder: Path, seed: int
) -> Iterator[tuple[str, Path, Path, str | None]]:
    """What is looked into: a name, the form, the reference, and the operation at fault."""
    pairs = [("onnx", "none", "onnx", "none"), ("tflite", "none", "onnx", "none"),
             ("tflite", "full-int8", "tflite", "none")]  # fmt: skip
    for form, precision, other, of_other in pairs:
        for number, fault in enumerate(FAULTS):
            out = folder / f"planted.{form}"
            if (name := planted(files[form, precision], fault, 1000 * seed + number, out)) is not None:
                yield f"{model} {form} {precision} {fault}", out, files[other, of_other], name
    for form, precision, other, of_other in [*pairs[1:], ("onnx", "full-int8", "onnx", "none"),
                                             ("tflite", "full-int8", "onnx", "none")]:  # fmt: skip
        yield f"{model} {form} {precision} clean", files[form, precision], files[other, of_other], None


def rank_of(found: Study, name: str) -> int | None:
    """The place of an operation among those ranked, from 1; None where it is not among them."""
    if name in found.dropped:
        return 1
    ranked = found.ranked()
    return next((at for at, line in enumerate(ranked, 1) if name in (line.operation, *line.others)), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", action="append", choices=MODELS)
    parser.add_argument("--beats", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0, help="of the places in which faults are planted")
    asked = parser.parse_args()
    data, _ = finding.load(None)
    x = data.test.x[drawing.stratified(data.test.y, asked.beats, 0)]
    results = []
    for model in asked.model or MODELS:
        for name, form, reference, fault in cases(model, files_of(model, asked.folder), asked.folder, asked.seed):
            start = perf_counter()
            try:
                mine, theirs = opened(form), opened(reference)
            except ecgedge.EcgEdgeError as error:  # as a pooling whose input has another scale than its output
                print(json.dumps({"case": name, "refused": str(error)}), flush=True)
                continue
            found = study(mine, theirs, x)
            culprit = found.culprit.operation if found.culprit else None
            named = {found.culprit.operation, *found.culprit.others, *found.dropped} if found.culprit else {None}
            line = {"case": name, "at": fault, "culprit": culprit, "right": fault in named,
                    "rank": rank_of(found, fault) if fault else None, "matched": round(found.matched, 2),
                    "seconds": round(perf_counter() - start, 1)}  # fmt: skip
            results.append(copy.deepcopy(line))
            print(json.dumps(line), flush=True)
            mine.close()
            theirs.close()
    faults, clean = [each for each in results if each["at"]], [each for each in results if not each["at"]]
    named, first = sum(each["right"] for each in faults), sum(each["rank"] == 1 for each in faults)
    blamed = sum(not each["right"] for each in clean)
    print(f"{named} of {len(faults)} faults named, {first} at rank 1; {blamed} of {len(clean)} clean pairs blamed")


if __name__ == "__main__":
    main()
