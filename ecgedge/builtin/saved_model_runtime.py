"""TensorFlow's SavedModel on TensorFlow itself: what its other forms are compared with."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import (
    Artifact,
    EcgEdgeError,
    Graph,
    Node,
    Runtime,
    Session,
    TensorSpec,
    Weight,
    check_tensors,
    hookimpl,
    layout_of,
    tell_artifact,
)
from ecgedge.builtin.onnx_file import ONE_INPUT
from ecgedge.builtin.tflite_runtime import without_info_lines

GRAPH = "saved_model.pb"
SERVING = "serving_default"
OUTSIDE = (
    "PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles", "FixedLengthRecordReaderV2",
    "TextLineReaderV2", "WholeFileReaderV2", "TFRecordReaderV2", "PrintV2", "DebugIdentityV2", "DebugIdentityV3",
)  # fmt: skip  # operations that reach beyond the model: Python, files


class FunctionSession(Session):
    """A function of TensorFlow; one output, a tensor."""

    def __init__(self, function: Callable[..., Any], artifact: Artifact, owner: Any):
        import tensorflow as tf  # heavy

        self.tf, self.owner, self.given, self.returned = tf, owner, artifact.input, artifact.output
        self.batch = artifact.input.batch
        shape = tf.TensorSpec(artifact.input.shape, artifact.input.dtype)
        self.function = tf.function(function, autograph=False).get_concrete_function(shape)

    def bind(self, x: np.ndarray) -> None:
        self.x = self.tf.constant(self.given.encode(x))

    def invoke(self) -> None:
        self.y = self.function(self.x)

    def fetch(self) -> np.ndarray:
        [tensor] = self.tf.nest.flatten(self.y)
        return self.returned.decode(tensor.numpy())

    def graph(self) -> Graph:
        """The graph with its weights as constants, before TensorFlow's own changes."""
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2  # heavy

        tf = self.tf
        frozen = convert_variables_to_constants_v2(
            tf.function(self.function, autograph=False).get_concrete_function(tf.TensorSpec(self.x.shape, self.x.dtype))
        )
        operations = frozen.graph.get_operations()
        constants = {op.outputs[0].name for op in operations if op.type == "Const"}
        for op in operations:  # what only passes on a constant is one
            if op.type in ("Identity", "Reshape", "ExpandDims") and op.inputs[0].name in constants:
                constants.add(op.outputs[0].name)
        nodes = tuple(
            node_of(op, constants)
            for op in operations
            if op.type not in ("Const", "Placeholder", "NoOp", "Identity") and op.outputs[0].name not in constants
        )
        weights = tuple(weight for op in operations if op.type == "Const" for weight in weight_of(op))
        return Graph(nodes, weights, input=self.x.dtype.name, output=frozen.outputs[0].dtype.name)


def node_of(op: Any, constants: set[str]) -> Node:
    """An operation of a graph of TensorFlow; products by the names that they have elsewhere."""
    word = op.type.removesuffix("Native").removesuffix("V2")
    return Node(
        op.name,
        word,
        "TensorFlow",
        "cpu",
        tuple(tensor.dtype.name for tensor in op.inputs),
        tuple(tensor.dtype.name for tensor in op.outputs),
        tuple(size_of(tensor) if tensor.name in constants else 0 for tensor in op.inputs),
    )


def size_of(tensor: Any) -> int:
    return int(tensor.shape.num_elements() or 0)


def weight_of(op: Any) -> Iterable[Weight]:
    """A constant; shapes and axes are none of the weights."""
    tensor = op.outputs[0]
    if tensor.dtype.name.startswith(("float", "bfloat", "int8", "uint8")):
        yield Weight(op.name, tensor.dtype.name, size_of(tensor) * tensor.dtype.size)


class SavedModel(Runtime):
    """Its signature ``serving_default``, or the one signature that takes a beat."""

    name = "saved_model"
    needs = ("tensorflow",)
    libraries = ("tensorflow",)
    accepts = ("saved_model",)
    folders = (GRAPH,)
    on_request = True  # each route to TFLite passes through its format

    def code_in(self, path: Path) -> str | None:
        try:
            content = (path / GRAPH).read_bytes()
        except OSError as error:
            raise EcgEdgeError(f"{path} cannot be read: {error.strerror}", "name a SavedModel's folder") from error
        found = [op for op in OUTSIDE if bytes([0x12, len(op)]) + op.encode() in content]  # field 2 of a NodeDef
        return f"{', '.join(found)}: operations that reach beyond the model" if found else None

    def inspect(self, path: Path) -> Artifact:
        prepare_tensorflow(None)
        import tensorflow as tf  # heavy

        loaded = load_saved_model(path)  # has the variables, so it has to live as long as the function
        function = signature_of(path, loaded)
        given, returned = specs_of(path, function)

        def answer(x: np.ndarray) -> np.ndarray:
            found: np.ndarray = function(**{given.name: tf.constant(x)})[returned.name].numpy()
            return found

        return tell_artifact(path, "saved_model", given, returned, answer=answer)

    def load(self, artifact: Artifact, threads: int) -> Session:
        if not artifact.trusted and (code := self.code_in(artifact.path)):
            raise EcgEdgeError(f"{artifact.path} holds {code}", "--trust runs it")
        prepare_tensorflow(threads)
        loaded = load_saved_model(artifact.path)  # has the variables, so it has to live as long as the session
        function = signature_of(artifact.path, loaded)
        check_tensors(artifact, *specs_of(artifact.path, function))
        given, returned = artifact.input.name, artifact.output.name
        return FunctionSession(lambda x: function(**{given: x})[returned], artifact, loaded)


def prepare_tensorflow(threads: int | None) -> None:
    """Import TensorFlow, quiet, on the CPU; ``threads`` where it has not begun to work yet."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
    with without_info_lines():
        import tensorflow as tf  # heavy

    with contextlib.suppress(RuntimeError):  # it has begun, in this process
        tf.config.set_visible_devices([], "GPU")
        if threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)


def load_saved_model(path: Path) -> Any:
    """A SavedModel. Raises EcgEdgeError where it is damaged."""
    import tensorflow as tf  # heavy

    try:
        return tf.saved_model.load(str(path))
    except Exception as error:  # of TensorFlow's many kinds
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EcgEdgeError(f"{path} is not a readable SavedModel: {told}"[:300], "save it again") from error


def signature_of(path: Path, loaded: Any) -> Any:
    """The signature that is used: ``serving_default``, or the only one that takes a single tensor.

    Raises:
        EcgEdgeError: there is none, or it cannot be told which.
    """
    found = dict(loaded.signatures)
    if SERVING in found:
        return found[SERVING]
    single = {name: function for name, function in found.items() if len(function.structured_input_signature[1]) == 1}
    if len(single) == 1:
        return next(iter(single.values()))
    told = f"none takes one tensor ({', '.join(found)})" if found else "it has none"
    if single:
        told = f"{', '.join(single)} take one tensor each"
    raise EcgEdgeError(f"{path} has no signature {SERVING!r}, and {told}", "save it with that signature")


def specs_of(path: Path, function: Any) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of a signature.

    Raises:
        EcgEdgeError: a beat does not go in alone, or more than one answer comes out.
    """
    inputs, outputs = function.structured_input_signature[1], function.structured_outputs
    if len(inputs) != 1:
        raise EcgEdgeError(f"{path} has {len(inputs)} inputs ({listed(inputs)}), a beat fills one", ONE_INPUT)
    if len(outputs) != 1:
        raise EcgEdgeError(
            f"{path} has {len(outputs)} outputs ({listed(outputs)}), one is used",
            "save a model that gives that one alone",
        )
    [(given_name, given)], [(returned_name, returned)] = inputs.items(), outputs.items()
    if given.shape.rank is None or returned.shape.rank is None:
        raise EcgEdgeError(f"{path} does not tell the shape of its input or output", "save it with an input_signature")
    shape, answer = tuple(given.shape), tuple(returned.shape)
    return (
        TensorSpec(given_name, shape, given.dtype.name, layout_of(shape, leads_last=True) or "?"),
        TensorSpec(returned_name, answer, returned.dtype.name, "NC" if len(answer) == 2 else "NCL"),
    )


def listed(tensors: dict[str, Any]) -> str:
    return ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())


@hookimpl
def ecgedge_runtimes() -> Iterable[Runtime]:
    return (SavedModel(),)
