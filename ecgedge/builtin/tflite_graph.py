"""What really runs of a TFLite file, and the constants that lie in it. Needs LiteRT only, so it runs on a board."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from ecgedge import Artifact, Graph, Node, Weight

DELEGATE, OWN = "XNNPACK", "LiteRT"  # who runs an operation
DELEGATED = "DELEGATE"  # how LiteRT lists what a delegate runs
WRITES = "ASSIGN_VARIABLE"  # to what outlives a call
INNER = {"CALL", "CALL_ONCE", "IF", "WHILE"}  # what runs other graphs of the file


def read_graph(interpreter: Any, artifact: Artifact) -> Graph:
    """Of a file that ``interpreter`` has loaded, by LiteRT's list of operations and the file itself."""
    from ai_edge_litert import schema_py_generated as schema  # heavy

    content = Path(artifact.path).read_bytes()
    model = schema.Model.GetRootAs(content, 0)
    tensors = [model.Subgraphs(0).Tensors(i) for i in range(model.Subgraphs(0).TensorsLength())]
    dtypes = [dtype_of(tensor) for tensor in tensors]
    shapes = {told["index"]: tuple(map(int, told["shape"])) for told in interpreter.get_tensor_details()}
    ops = operations(interpreter)
    own = [op for op in ops if op["op_name"] != DELEGATED]
    reached = reached_from([details["index"] for details in interpreter.get_output_details()], ops)
    constants = constants_of(own, {i: elements(t) for i, t in enumerate(tensors) if content_of(t, model, content)})

    def node(op: dict[str, Any]) -> Node:
        takes = tuple(dtypes[i] for i in op["inputs"])
        gives = tuple(dtypes[i] for i in op["outputs"])
        sizes = tuple(constants.get(i, 0) for i in op["inputs"])
        runner = OWN if op["index"] in reached else DELEGATE
        read, made = (tuple(shapes.get(i, ()) for i in op[key]) for key in ("inputs", "outputs"))
        makes = tensors[op["outputs"][0]].Name().decode() if op["outputs"] else ""
        return Node(name_of(op), op["op_name"], runner, "cpu", takes, gives, sizes, read, made, makes)

    return Graph(
        nodes=tuple(map(node, own)),
        weights=tuple(weights_of(model, content)),
        partitions=sum(op["op_name"] == DELEGATED for op in reached.values()),
        delegate=DELEGATE,
        input=artifact.input.dtype,
        output=artifact.output.dtype,
        free_batch=int(interpreter.get_input_details()[0]["shape_signature"][0]) < 0,
    )


def keeps_resources(interpreter: Any, path: Path) -> bool:
    """Whether calls leave what ``reset_all_variables`` does not reach: resources, and variables of inner graphs.

    Only a new interpreter is without them.
    """
    ops = {op["op_name"] for op in interpreter._get_ops_details()}
    if not ops & INNER:
        return WRITES in ops
    from ai_edge_litert import schema_py_generated as schema  # 3 MB, which are not what most files take

    model = schema.Model.GetRootAs(Path(path).read_bytes(), 0)
    codes = {model.OperatorCodes(i).BuiltinCode() for i in range(model.OperatorCodesLength())}
    inner = [model.Subgraphs(i) for i in range(1, model.SubgraphsLength())]
    return schema.BuiltinOperator.ASSIGN_VARIABLE in codes or any(
        graph.Tensors(i).IsVariable() for graph in inner for i in range(graph.TensorsLength())
    )


def read_partitions(interpreter: Any) -> list[tuple[str, ...]]:
    """Names of the nodes in each piece that was handed to a delegate, in the order in which the pieces run."""
    ops = operations(interpreter)
    own = [op for op in ops if op["op_name"] != DELEGATED]
    reached = reached_from([details["index"] for details in interpreter.get_output_details()], ops)
    pieces = []
    for op in reached.values():
        if op["op_name"] == DELEGATED:
            inside = reached_from(op["outputs"], own, stop=set(op["inputs"]))
            pieces.append(sorted(inside.values(), key=lambda one: one["index"]))
    pieces.sort(key=lambda piece: piece[-1]["index"])
    return [tuple(map(name_of, piece)) for piece in pieces]


def operations(interpreter: Any) -> list[dict[str, Any]]:
    """LiteRT's list: all operations of the file, then what a delegate put in the place of some."""
    return [
        op | {key: [int(i) for i in op[key] if i >= 0] for key in ("inputs", "outputs")}
        for op in interpreter._get_ops_details()
    ]


def name_of(op: dict[str, Any]) -> str:
    return f"{op['op_name']} {op['index']}"


def reached_from(tensors: list[int], ops: list[dict[str, Any]], stop: Container[int] = ()) -> dict[int, dict[str, Any]]:
    """The operations by index that are run to compute ``tensors``; all others were replaced by a delegate's.

    The list holds both, what was replaced and, last, what replaced it. Nothing is sought behind tensors in ``stop``.
    """
    maker = {tensor: op for op in ops for tensor in op["outputs"]}
    reached: dict[int, dict[str, Any]] = {}
    left = list(tensors)
    while left:
        tensor = left.pop()
        op = maker.get(tensor)
        if op and tensor not in stop and op["index"] not in reached:
            reached[op["index"]] = op
            left += op["inputs"]
    return reached


def constants_of(ops: list[dict[str, Any]], constants: dict[int, int]) -> dict[int, int]:
    """Elements of every tensor that is a constant, or made of constants alone, as by a DEQUANTIZE."""
    for op in ops:
        if op["inputs"] and all(i in constants for i in op["inputs"]):
            constants = constants | dict.fromkeys(op["outputs"], constants[op["inputs"][0]])
    return constants


def weights_of(model: Any, content: bytes) -> Iterator[Weight]:
    """The constants of all subgraphs, but for 32-bit integers without a scale, which are shapes and axes."""
    for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
        for tensor in map(graph.Tensors, range(graph.TensorsLength())):
            data, dtype, scales = content_of(tensor, model, content), dtype_of(tensor), tensor.Quantization()
            if data and (dtype != "int32" or (scales and scales.ScaleLength())):
                yield Weight(tensor.Name().decode(), dtype, len(data), hashlib.sha256(data).hexdigest()[:16])


def content_of(tensor: Any, model: Any, content: bytes) -> bytes:
    """A tensor's constant value; empty for one that is computed. Large files keep it behind the model."""
    buffer = model.Buffers(tensor.Buffer())
    if buffer.Offset() > 1:
        return content[buffer.Offset() : buffer.Offset() + buffer.Size()]
    return buffer.DataAsNumpy().tobytes() if buffer.DataLength() else b""


def dtype_of(tensor: Any) -> str:
    from ai_edge_litert import schema_py_generated as schema  # heavy

    names = {value: name.lower() for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
    return names.get(tensor.Type(), "unknown")


def elements(tensor: Any) -> int:
    count = 1
    for i in range(tensor.ShapeLength()):
        count *= tensor.Shape(i)
    return count
