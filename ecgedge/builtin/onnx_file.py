"""An ONNX file that somebody brought: all of it in one file, with one output, and what that output is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ecgedge import EcgEdgeError
from ecgedge.builtin.onnx_graph import DTYPES, tensors_of

MOST = 2**31 - 1  # bytes of a file by protobuf
ONE_INPUT = "export a network of the beat alone, with all else that it takes as a further lead of it, or fixed inside"
OUTSIDE = "put its data into the same folder, under a relative name, as a file"
UNUSUAL = {"DOUBLE": "float64", "BFLOAT16": "bfloat16"}
HANDS_ON = {
    "Cast", "DequantizeLinear", "Dropout", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Squeeze", "Unsqueeze",
}  # fmt: skip
SHARES = {"Normalizer", "Sigmoid", "Softmax"}
LOGITS = {"BatchNormalization", "Conv", "Gemm", "LogSoftmax", "MatMul", "QGemm", "QLinearConv", "QLinearMatMul"}


def read_model(path: Path) -> Any:
    """The ``ModelProto`` of a file, without the data that lies beside it; None without the ``onnx`` package.

    None as well where it cannot be read: onnxruntime says why.
    """
    try:
        import onnx  # heavy, and not among what the runtime needs
    except ImportError:
        return None
    try:
        return onnx.load(path, load_external_data=False)
    except Exception:  # of protobuf: its classes differ between its versions
        return None


def make_whole(model: Any, path: Path, output: str | None, out: Path) -> Path:
    """Write a file to ``out`` that holds all data of ``model`` and has one output; ``path`` where it is so already.

    Raises:
        EcgEdgeError: data is missing, lies elsewhere, or is too much for one file; or it is not said which output.
    """
    import onnx  # heavy

    names = [value.name for value in model.graph.output]
    chosen = choose_output(path, {value.name: shape_of(value) for value in model.graph.output if usable(value)}, output)
    beside = [tensor for tensor in all_tensors(model) if tensor.data_location == tensor.EXTERNAL]
    if not beside and (chosen is None or names == [chosen]):
        return path
    if beside:
        check_data(path, beside)
        onnx.load_external_data_for_model(model, str(path.parent))
    if chosen and names != [chosen]:
        cut(model.graph, chosen)
    onnx.save(model, out)
    return out


def choose_output(path: Path, found: dict[str, str], wanted: str | None) -> str | None:
    """The name of the output that is the answer; None where the file has none.

    Args:
        found: shapes, as they are told, by the names of the outputs that may be one.

    Raises:
        EcgEdgeError: several may be and none is named, or there is none of that name.
    """
    listed = ", ".join(f"{name} {shape}" for name, shape in found.items())
    if wanted is not None and wanted not in found:
        raise EcgEdgeError(f"{path} has no output {wanted!r} that could be an answer", f"it gives: {listed or 'none'}")
    if wanted is None and len(found) > 1:
        raise EcgEdgeError(f"{path} gives several outputs: {listed}", "say which is the answer: --output-name NAME")
    return wanted or next(iter(found), None)


def usable(value: Any) -> bool:
    """Whether an output may be class scores or a reconstruction: floats, or integers with a scale behind them."""
    kind = value.type.tensor_type
    floats = ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16")
    dtype = type_name(kind.elem_type)
    return dtype in floats and (not kind.HasField("shape") or len(kind.shape.dim) in (2, 3))


def wide_type(model: Any) -> str:
    """The type that a model computes in where it is not one of the usual: that of its input, or of a constant."""
    kinds = [value.type.tensor_type.elem_type for value in model.graph.input]
    kinds += [tensor.data_type for tensor in all_tensors(model)]
    names = [type_name(kind) for kind in kinds]
    return next((dtype for name, dtype in UNUSUAL.items() if name in names), "")


def type_name(number: int) -> str:
    import onnx  # heavy

    return str(onnx.TensorProto.DataType.Name(number))


def shape_of(value: Any) -> str:
    """``(N, 5) float32``."""
    dims = value.type.tensor_type.shape.dim
    told = ", ".join(str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?" for dim in dims)
    dtype = type_name(value.type.tensor_type.elem_type).lower()
    return f"({told}) {DTYPES.get(dtype, dtype)}"


def all_tensors(model: Any) -> Iterator[Any]:
    """The constants of a model, those inside of its functions too."""
    yield from tensors_of(model.graph, [node for function in model.functions for node in function.node])


def check_data(path: Path, tensors: list[Any]) -> None:
    """Raise EcgEdgeError where data that lies beside a file is missing, cut off, elsewhere, or too much."""
    folder, total = path.absolute().parent, path.stat().st_size
    for tensor in tensors:
        told = {entry.key: entry.value for entry in tensor.external_data}
        name = told.get("location", "")
        file = folder / name
        if not name or Path(name).is_absolute() or ".." in Path(name).parts:
            raise EcgEdgeError(f"{path}: its data lies outside of its folder, in {name or 'no file'}", OUTSIDE)
        if any(part.is_symlink() for part in (file, *file.parents) if folder in part.parents):
            raise EcgEdgeError(f"{path}: its data {name} is a link", OUTSIDE)
        if not file.is_file():
            raise EcgEdgeError(f"{path}: its data {name} is missing", "it belongs into the same folder")
        start, size = int(told.get("offset", 0)), file.stat().st_size
        length = int(told.get("length", size - start))
        if start < 0 or length < 0 or start + length > size:
            raise EcgEdgeError(
                f"{path}: its data {name} has {size:,} bytes, {start + length:,} are wanted", "copy it again"
            )
        total += length
    if total > MOST:
        raise EcgEdgeError(
            f"{path} has {total / 1e9:.1f} GB with its data, which is more than one ONNX file can hold (2 GB)",
            "use a smaller network: an edge device has no room for this one",
        )


def cut(graph: Any, output: str) -> None:
    """Leave one output, and what it is computed from."""
    wanted, kept = {output}, []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(names_read(node))
    keep(graph.output, [value for value in graph.output if value.name == output])
    keep(graph.node, kept[::-1])
    keep(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in wanted])
    graph_inputs = [value for value in graph.input if value.name in wanted]
    keep(graph.input, graph_inputs)
    made = {name for node in kept for name in node.output}
    keep(graph.value_info, [value for value in graph.value_info if value.name in made])


def keep(field: Any, values: list[Any]) -> None:
    """Put other values into a repeated field."""
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(copies)


def names_read(node: Any) -> Iterator[str]:
    """What a node reads, and what the graphs inside it may read of the one around them."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            yield from (value.name for value in graph.output)
            for inner in graph.node:
                yield from names_read(inner)


def scores_of(model: Any, output: str) -> str | None:
    """What the class scores of an output are, by the operation that makes them; None where that tells nothing.

    Returns:
        ``"logits"`` or ``"probabilities"``, as in ``Classification``.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    node = makers.get(output)
    for _ in range(len(makers)):  # no more: a damaged graph may go round in a circle
        if node is None or node.op_type not in HANDS_ON or not node.input:
            break
        node = makers.get(node.input[0])
    if node is None:
        return None
    if node.op_type in SHARES or is_share(node, makers):
        return "probabilities"
    constants = {tensor.name for tensor in model.graph.initializer}
    is_bias = node.op_type == "Add" and any(name in constants or is_constant(makers.get(name)) for name in node.input)
    return "logits" if node.op_type in LOGITS or is_bias else None


def is_share(node: Any, makers: dict[str, Any]) -> bool:
    """Whether a node divides by the sum of what it divides: a softmax that was spelt out."""
    below = makers.get(node.input[1]) if node.op_type == "Div" else None
    return below is not None and below.op_type in ("ReduceSum", "ReduceL1") and below.input[0] == node.input[0]


def is_constant(node: Any) -> bool:
    return node is not None and (node.op_type == "Constant" or (node.op_type in HANDS_ON and len(node.input) > 1))
