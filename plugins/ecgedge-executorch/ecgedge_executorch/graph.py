"""What a ``.pte`` file holds, as the file tells: the nodes and constants that were handed to XNNPACK, and the rest.

XNNPACK itself tells nothing of what it runs. It gets the nodes as they are in the file, with their types.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from ecgedge import Artifact, Graph, Node, Weight
from ecgedge_executorch.kinds import kind_of_kernel, kind_of_node, macs_of_kernel, macs_of_node

XNNPACK = "XnnpackBackend"
ABSENT = 2**32 - 1
DTYPES = {  # XNNPACK's types for values by numpy's names, which know no scales
    "fp32": "float32", "pfp32": "float32", "fp16": "float16", "bf16": "bfloat16", "qint8": "int8", "qcint8": "int8",
    "qdint8": "int8", "qpint8": "int8", "quint8": "uint8", "qint32": "int32", "qcint32": "int32", "int32": "int32",
    "qcint4": "int4", "qbint4": "int4",
}  # fmt: skip
WHILE_IT_RUNS = ("qdint8", "qpint8")
SCALARS = {"byte": "uint8", "char": "int8", "short": "int16", "int": "int32", "long": "int64", "half": "float16",
           "float": "float32", "double": "float64"}  # fmt: skip


def read_graph(artifact: Artifact) -> Graph | None:
    """Of the method ``forward``; None where another delegate than XNNPACK is in it, whose pieces nobody can read."""
    from executorch.exir._serialize._program import deserialize_pte_binary  # heavy
    from executorch.exir.schema import DelegateCall, KernelCall

    program = deserialize_pte_binary(artifact.path.read_bytes()).program
    [plan] = [plan for plan in program.execution_plan if plan.name == "forward"]
    if any(delegate.id != XNNPACK for delegate in plan.delegates):
        return None
    pieces = [program.backend_delegate_data[delegate.processed.index].data for delegate in plan.delegates]
    nodes: list[Node] = []
    weights = [*own_weights(plan)]
    for chain in plan.chains:
        for call in (instruction.instr_args for instruction in chain.instructions):
            if isinstance(call, KernelCall):
                nodes.append(kernel(len(nodes), call, plan))
            elif isinstance(call, DelegateCall):
                piece = read_piece(pieces[call.delegate_index])
                nodes += delegated(piece, call.delegate_index)
                weights += piece_weights(piece, call.delegate_index)
    given, returned = (dtype_of(plan.values[ids[0]].val) for ids in (plan.inputs, plan.outputs))
    return Graph(tuple(nodes), tuple(weights), len(pieces), "XNNPACK", given, returned)


def kernel(index: int, call: Any, plan: Any) -> Node:
    """An operation outside the delegate, by ExecuTorch's own kernel: its last tensor is what it writes."""
    operator = plan.operators[call.op_index].name.rpartition("::")[2].removesuffix("_copy")
    *taken, written = (value for value in (plan.values[at].val for at in call.args) if hasattr(value, "scalar_type"))
    shapes, made = [tuple(tensor.sizes) for tensor in taken], tuple(written.sizes)
    return Node(
        f"{operator}_{index}",
        operator,
        "ExecuTorch",
        "cpu",
        tuple(map(dtype_of, taken)),
        (dtype_of(written),),
        tuple(math.prod(shape) if is_constant(tensor) else 0 for tensor, shape in zip(taken, shapes)),
        tuple(shapes),
        (made,),
        kind=kind_of_kernel(operator),
        macs=macs_of_kernel(operator, shapes, made),
        dynamic=operator.startswith("choose_qparams"),  # of the values that come
    )


def own_weights(plan: Any) -> Iterator[Weight]:
    """The constants of the operations outside the delegate."""
    for index, value in enumerate(plan.values):
        if hasattr(value.val, "scalar_type") and is_constant(value.val):
            dtype = dtype_of(value.val)
            width = {"int8": 1, "uint8": 1, "int16": 2, "float16": 2, "int64": 8, "float64": 8}.get(dtype, 4)
            yield Weight(f"value_{index}", dtype, math.prod(value.val.sizes) * width)


def is_constant(tensor: Any) -> bool:
    return tensor.data_buffer_idx > 0 and tensor.allocation_info is None


def dtype_of(tensor: Any) -> str:
    name = tensor.scalar_type.name.lower()
    return SCALARS.get(name, name)


def read_piece(data: bytes) -> dict[str, Any]:
    """A graph that XNNPACK gets, as ``backends/xnnpack/serialization/schema.fbs`` describes it."""
    from executorch.backends.xnnpack import serialization  # heavy, with the next
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader
    from executorch.exir._serialize._flatbuffer import _flatc_decompile

    header = XNNHeader.from_bytes(data[: XNNHeader.EXPECTED_LENGTH])
    content = data[header.flatbuffer_offset : header.flatbuffer_offset + header.flatbuffer_size]
    with tempfile.TemporaryDirectory() as scratch:
        schema, binary = Path(scratch, "schema.fbs"), Path(scratch, "piece.bin")
        schema.write_bytes(resources.files(serialization).joinpath("schema.fbs").read_bytes())
        binary.write_bytes(content)
        _flatc_decompile(scratch, str(schema), str(binary))
        text = binary.with_suffix(".json").read_text(encoding="utf-8")
    return json.loads(re.sub(r": *-?(inf|nan)\b", ": null", text))  # bounds that are no numbers in JSON


def delegated(piece: dict[str, Any], which: int) -> Iterator[Node]:
    values = values_of(piece)
    for index, node in enumerate(piece["xnodes"]):
        ids = {key: at for key, at in node["xnode_union"].items() if key.endswith("_id") and at != ABSENT}
        taken = [values[at] for key, at in ids.items() if not key.startswith("output")]
        given = [values[at] for key, at in ids.items() if key.startswith("output")]
        op = node["xnode_union_type"].removeprefix("XNN")
        takes, gives = (tuple(type_of(value) for value in some) for some in (taken, given))
        read, made = (tuple(tuple(value["dims"]) for value in some) for some in (taken, given))
        sizes = tuple(math.prod(value["dims"]) if value["constant_buffer_idx"] else 0 for value in taken)
        yield Node(
            f"{op}_{which}_{index}",
            op,
            "XNNPACK",
            "cpu",
            takes,
            gives,
            sizes,
            read,
            made,
            kind=kind_of_node(op, takes, gives),
            macs=macs_of_node(op, node["xnode_union"], read, made),
            dynamic=op == "Convert" and xnnpack_type(given[0]) in WHILE_IT_RUNS,
        )


def piece_weights(piece: dict[str, Any], which: int) -> Iterator[Weight]:
    """A constant's key in the file is the digest of its content."""
    for at, value in values_of(piece).items():
        if value["constant_buffer_idx"]:
            constant = piece["constant_data"][value["constant_buffer_idx"]]
            yield Weight(f"value_{which}_{at}", type_of(value), constant["size"], constant["named_key"][:16])


def values_of(piece: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The values of a graph by their number, quantized ones without their scales."""
    plain = (value["xvalue_union"] for value in piece["xvalues"])
    return {value["id_out"]: value for value in (one.get("tensor_value", one) for one in plain)}


def xnnpack_type(value: dict[str, Any]) -> str:
    return value["datatype"].removeprefix("xnn_datatype_")


def type_of(value: dict[str, Any]) -> str:
    return DTYPES.get(xnnpack_type(value), xnnpack_type(value))
