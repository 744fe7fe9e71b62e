"""In which type each operation of a graph computes, and of which types its weights are."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from ecgedge.api.graph import Graph, Node, Weight
from ecgedge.evaluate.macs import MACS, PLACES, macs_of, multiplies, plain

SMALL = 1024  # elements: converters leave smaller float tensors as they are, since they cost nothing

# Other operations, named as in ``macs.MACS``.
MOVES = frozenset({
    "broadcastto", "cast", "concat", "concatenation", "constant", "constantofshape", "copy", "crop", "depthtospace",
    "expand", "expanddims", "flatten", "gather", "gathernd", "identity", "memcpyfromhost", "memcpytohost", "mirrorpad",
    "pack", "pad", "padv2", "permute", "range", "reorderinput", "reorderoutput", "reshape", "reverse",
    "reversesequence", "reversev2", "shape", "slice", "spacetodepth", "split", "splitv", "squeeze", "stridedslice",
    "tile", "transpose", "unpack", "unsqueeze",
})  # fmt: skip
QUANTIZES = frozenset({
    "dequantize", "dequantizelinear", "dynamicquantizelinear", "quantize", "quantizelinear",
})  # fmt: skip
BODIES = frozenset({"call", "callonce", "if", "loop", "scan", "while"})  # a runtime may not show what runs inside
IDLE = ("moves", "quantizes")
UNTOLD = "unknown"  # of an operation that gives nothing
FUSED = re.compile(r"^fused |(_nchwc|_token_\d+)+$")  # what onnxruntime adds to a node's name, or its output's

CLASSES = {"uint8": "int8", "uint4": "int4", "uint16": "int16", "uint32": "int32"}
WEIGHTS = {"float64", "float32", "float16", "bfloat16", "int16", "int8", "int4", "int32"}  # all else: shapes, indices


def names_of(node: Node) -> set[str]:
    """By which a node may be known: its name, that without what a runtime adds to it, and its output."""
    return {node.name, FUSED.sub("", node.name), node.makes} - {""}


def counted(graph: Graph) -> list[Weight]:
    """The constants that are weights by their type."""
    return [weight for weight in graph.weights or () if class_of(weight.dtype) in WEIGHTS]


def size_of(weight: Weight) -> int:
    """Bytes of one element of a float weight."""
    return {"float64": 8, "float32": 4}.get(weight.dtype, 2)


def shares(weights: list[Weight]) -> dict[str, float]:
    """Share of the bytes by class of type, the largest first."""
    total = sum(weight.size_bytes for weight in weights)
    sizes: Counter[str] = Counter()
    for weight in weights:
        sizes[class_of(weight.dtype)] += weight.size_bytes
    return {dtype: size / total for dtype, size in sizes.most_common() if size}


def class_of(dtype: str) -> str:
    """int8 and uint8 are one class, and so on."""
    return CLASSES.get(dtype, dtype)


def kind_of(node: Node) -> str:
    """One of ``graph.KINDS``, as the runtime says, else by the operation's name."""
    if node.kind:
        return node.kind
    op = plain(node.op)
    named = {"multiplies": MACS, "moves": MOVES, "quantizes": QUANTIZES, "controls": BODIES}
    return next((kind for kind, names in named.items() if op in names), "computes")


def computes_in(node: Node) -> str:
    """``"int8"``, ``"float32"``, ...; ``"moves"`` or ``"quantizes"`` for what computes nothing.

    A multiplication with 8-bit weights computes in int8, also where it takes or gives float.
    """
    if (kind := kind_of(node)) in IDLE:
        return kind
    if kind == "multiplies" and "int8" in map(class_of, node.takes):
        return "int8"
    floats = [dtype for dtype in node.gives if "float" in dtype]
    return class_of((*floats, *node.gives, UNTOLD)[0])


def data_of(node: Node) -> int:
    """Which of its inputs a multiplication multiplies by its weights."""
    return PLACES.get(plain(node.op), (0, 1))[0]


def activation_of(node: Node) -> str:
    """As ``computes_in``, but of a multiplication of integers the type of what is multiplied with the weights."""
    found, place = computes_in(node), data_of(node)
    is_product = found == "int8" and multiplies(node) and place < len(node.takes)
    return class_of(node.takes[place]) if is_product else found


def takes_float_weights(node: Node, of: str = "int8") -> bool:
    """Of ``SMALL`` elements and more; where the constants are not told: no input is of the integers ``of``."""
    if not node.constants:
        return of not in map(class_of, node.takes)
    return any("float" in dtype and size >= SMALL for dtype, size in zip(node.takes, node.constants))


def restores_weights(node: Node, of: str) -> bool:
    """Whether it makes float weights of those of the integers ``of``."""
    is_large = any(class_of(dtype) == of and size >= SMALL for dtype, size in zip(node.takes, node.constants))
    return computes_in(node) in IDLE and is_large and "float" in "".join(node.gives)


def is_dynamic(node: Node) -> bool:
    """Whether it quantizes by the range of each call's values, as its runtime says or by its name."""
    return node.dynamic or plain(node.op).startswith("dynamicquantize")


def quantizes_while_it_runs(node: Node) -> bool:
    """A dynamic one, or as LiteRT's hybrid operations, which take float beside 8-bit weights and give float."""
    hybrid = multiplies(node) and computes_in(node) == "int8" and "float" in "".join(node.gives)
    return is_dynamic(node) or (hybrid and class_of(node.takes[0]) != "int8")


def kept(graph: Graph) -> dict[str, Any]:
    """A graph as a run keeps it: with what each operation was taken for, so that no reader needs a table of names.

    ``Graph.from_record`` reads it back. Beside what ``Graph.record`` has, each node says which of its inputs is
    multiplied by weights (``data``), and which of ``kind``, ``macs`` and ``dynamic`` its runtime told (``told``).
    """
    record = graph.record()
    for entry, node in zip(record["nodes"], graph.nodes, strict=True):
        said = {"kind": bool(node.kind), "macs": node.macs is not None, "dynamic": node.dynamic}
        found = {"kind": kind_of(node), "macs": macs_of(node), "dynamic": is_dynamic(node), "data": data_of(node)}
        entry |= found | {"told": [name for name, is_told in said.items() if is_told]}
    return record
