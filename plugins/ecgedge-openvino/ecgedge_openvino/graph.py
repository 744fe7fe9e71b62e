"""What ran, by the compiled model: its layers, with types and shapes, what each does and how much it multiplies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from math import prod
from typing import Any

from ecgedge import Artifact, Graph, Node, Weight

NUMPY = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "boolean": "bool", "i4": "int4",
    "i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64", "u4": "uint4", "u8": "uint8", "u16": "uint16",
}  # fmt: skip
KINDS = {  # of the CPU plugin's layer types; one that is not here computes
    **dict.fromkeys(
        ("BinaryConvolution", "Convolution", "Deconvolution", "DeformableConvolution", "FullyConnected", "LLMMLP",
         "MatMul", "PagedAttention", "QKVProjection", "RNNCell", "RNNSeq", "ScaledDotProductAttention"),
        "multiplies",
    ),
    **dict.fromkeys(
        ("BatchToSpace", "Broadcast", "Concatenation", "Convert", "DepthToSpace", "Gather", "GatherElements",
         "GatherND", "MemoryInput", "MemoryOutput", "Pad", "Range", "Reorder", "Reshape", "ReverseSequence", "Roll",
         "ShapeOf", "ShuffleChannels", "SpaceToBatch", "SpaceToDepth", "Split", "StridedSlice", "Tile", "Transpose"),
        "moves",
    ),
    **dict.fromkeys(("If", "TensorIterator"), "controls"),
}  # fmt: skip
Shape = tuple[int, ...]


def read_graph(compiled: Any, model: Any, artifact: Artifact) -> Graph:
    """The layers of a compiled model that has run, and the constants of the file.

    Args:
        compiled: an ``openvino.CompiledModel``.
        model: the ``openvino.Model`` of the file.
    """
    nodes = tuple(map(node_of, layers_of(compiled)))
    given, returned = artifact.input, artifact.output
    return Graph(nodes, tuple(weights_of(model)), input=given.dtype, output=returned.dtype)


def layers_of(compiled: Any) -> list[Any]:
    """What runs, in order."""
    layers = compiled.get_runtime_model().get_ordered_ops()
    return [layer for layer in layers if type_of(layer) not in ("Input", "Output", "Const")]


def node_of(layer: Any) -> Node:
    """A layer of a compiled model, whose inputs include the constants; optional ones that are absent do not count."""
    values = [value.get_source_output() for value in layer.inputs()]
    taken = [value for value in values if dtype_of(value) != "dynamic"]
    read, made = [shape_of(value) for value in taken], [shape_of(value) for value in layer.outputs()]
    are_told = None not in (*read, *made)
    op, kind = type_of(layer), kind_of(layer)
    return Node(
        layer.get_friendly_name(),
        op,
        "OpenVINO",
        "cpu",
        tuple(map(dtype_of, taken)),
        tuple(map(dtype_of, layer.outputs())),
        tuple(map(size_of, taken)),
        tuple(shape for shape in read if shape is not None) if are_told else (),
        tuple(shape for shape in made if shape is not None) if are_told else (),
        kind=kind,
        macs=(products(op, read, made[0]) if are_told else None) if kind == "multiplies" else 0,
    )


def kind_of(layer: Any) -> str:
    """What a layer does, by its type; of those that may quantize also by the types that it takes and gives."""
    op = type_of(layer)
    if op == "FakeQuantize":  # which may as well round float to float
        ends = dtype_of(layer.input(0).get_source_output()), dtype_of(layer.output(0))
        return "computes" if all("float" in dtype for dtype in ends) else "quantizes"
    return "quantizes" if op == "Eltwise" and dequantizes(layer) else KINDS.get(op, "computes")


def dequantizes(layer: Any) -> bool:
    """Whether it turns 8 bits into float by a scale and a shift, as OpenVINO does at the end of an ONNX file."""
    computed = [value.get_source_output() for value in layer.inputs() if not size_of(value.get_source_output())]
    if len(computed) != 1 or dtype_of(layer.output(0)) != "float32":
        return False
    source = computed[0].get_node()
    return dtype_of(source.input(0) if type_of(source) == "Convert" else computed[0]) in ("int8", "uint8")


def products(op: str, read: list[Any], made: Any) -> int | None:
    """Multiply-accumulates of a layer of a type in ``KINDS``; None where the shapes do not tell them.

    Weights are ``(M, C, k...)``, of transposed convolutions ``(C, M, k...)``; both with the groups before them.
    """
    if op not in ("Convolution", "Deconvolution", "FullyConnected", "MatMul"):
        return None
    data, weights = read[:2]
    if op == "MatMul":  # either may be transposed
        return prod(made) * (prod(data[-2:]) // made[-2]) if min(map(len, (data, weights, made))) > 1 else None
    if op == "FullyConnected":
        return prod(made) * prod(weights) // made[-1]
    groups = len(weights) - len(data)
    return (prod(made) if op == "Convolution" else prod(data)) * prod(weights[1 + groups :])


def type_of(layer: Any) -> str:
    return str(layer.get_rt_info()["layerType"].astype(str))


def dtype_of(value: Any) -> str:
    """By numpy's name; ``"dynamic"`` for an input that is absent."""
    name = value.get_element_type().get_type_name()
    return NUMPY.get(name, name)


def shape_of(value: Any) -> Shape | None:
    """None where a size is not known; after a call all of a network for beats are."""
    shape = value.get_partial_shape()
    return tuple(shape.to_shape()) if shape.is_static else None


def size_of(value: Any) -> int:
    """Elements of a constant, or of what is made of constants alone; 0 for what is computed of the beats."""
    layer = value.get_node()
    sources = [source.get_source_output() for source in layer.inputs()]
    is_constant = type_of(layer) == "Const" or (sources and all(size_of(source) for source in sources))
    return prod(value.get_shape()) if is_constant else 0


def weights_of(model: Any) -> Iterator[Weight]:
    for node in model.get_ops():
        if node.get_type_name() == "Constant":
            content = node.data.tobytes()
            digest = hashlib.sha256(content).hexdigest()[:16]
            yield Weight(node.get_friendly_name(), dtype_of(node.output(0)), len(content), digest)
