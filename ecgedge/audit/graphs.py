"""From the saved graph of a file: what it holds, what it computes in, who ran it, whether that is what it claims."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

Record = dict[str, Any]

MOST = 0.9  # of the weight bytes have the claimed type
SMALL = 1024  # elements: smaller float tensors do not count
MOVES = {
    "broadcastto", "cast", "concat", "concatenation", "constant", "constantofshape", "convert", "copy", "crop",
    "depthtospace", "expand", "expanddims", "flatten", "gather", "gathernd", "identity", "memcpyfromhost",
    "memcpytohost", "mirrorpad", "pack", "pad", "padv2", "permute", "range", "reorder", "reorderinput",
    "reorderoutput", "reshape", "reverse", "reversesequence", "reversev2", "shape", "shapeof", "slice",
    "spacetodepth", "split", "splitv", "squeeze", "stridedslice", "tile", "transpose", "unpack", "unsqueeze",
}  # fmt: skip
QUANTIZES = {
    "dequantize", "dequantizelinear", "dynamicquantizelinear", "fakequantize", "quantize", "quantizelinear",
}  # fmt: skip
MULTIPLIES = {
    "attention", "batchmatmul", "bidirectionalsequencelstm", "bidirectionalsequencernn", "conv", "conv1d", "conv2d",
    "conv3d", "conv3dtranspose", "convinteger", "convolution", "convolution1d", "convolutiondepthwise",
    "convolutiondepthwise1d", "convtranspose", "convtranspose1d", "convtranspose2d", "deconvolution",
    "deconvolution1d", "deconvolutiondepthwise", "deconvolutiondepthwise1d", "depthwiseconv2d", "dynamicquantizelstm",
    "dynamicquantizematmul", "einsum", "fullyconnected", "fusedconv", "fusedgemm", "fusedmatmul", "gemm",
    "groupconvolution", "gru", "innerproduct", "linear", "lstm", "matmul", "matmulinteger", "matmulintegertofloat",
    "matmulnbits", "multiheadattention", "nhwcconv", "nhwcfusedconv", "qattention", "qgemm", "qlinearconv",
    "qlinearconvtranspose", "qlinearmatmul", "rnn", "svdf", "transposeconv", "transposematmul",
    "unidirectionalsequencelstm", "unidirectionalsequencernn",
}  # fmt: skip
DATA_AND_WEIGHTS = {  # among their inputs, where these are not the first two
    "qlinearconv": (0, 3), "qlinearconvtranspose": (0, 3), "qlinearmatmul": (0, 3), "qgemm": (0, 3),
    "transposeconv": (2, 1),
}  # fmt: skip
CONVOLVES = {
    "conv", "conv1d", "conv2d", "convinteger", "convolution", "convolution1d", "convolutiondepthwise",
    "convolutiondepthwise1d", "fusedconv", "nhwcconv", "nhwcfusedconv", "qlinearconv",
}  # fmt: skip
SPREADS = {"convtranspose", "convtranspose1d", "convtranspose2d", "qlinearconvtranspose"}
DENSE = {"fullyconnected", "innerproduct", "linear"}
PRODUCTS = {
    "batchmatmul", "dynamicquantizematmul", "fusedgemm", "fusedmatmul", "gemm", "matmul", "matmulinteger",
    "matmulintegertofloat", "qgemm", "qlinearmatmul",
}  # fmt: skip
BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
WEIGHTS = {*BYTES, "int32", "int16", "int8", "int4"}
WHOLE = ["int4", "int8", "int16", "int32", "int64", "bool"]  # types without fractions
EXPECTED: dict[str, Record] = {  # what the precisions that are built in claim
    "fp16": {"weights": ["float16"]},
    "dynamic": {"weights": ["int8", "int32"], "products": "int8"},
    "full-int8": {"weights": ["int8", "int32"], "products": "int8", "activations": WHOLE},
}


def claim_of(precision: str, declared: Record) -> Record:
    """What files of a precision claim: of one that is built in as we know it, else as its run declares it."""
    return EXPECTED.get(precision) or declared.get(precision) or {}


def examine(graph: Record, claim: Record) -> Record:
    """The figures of a row that its graph gives.

    Args:
        claim: of its precision, see ``claim_of``.
    """
    ways = [way(node) for node in graph["nodes"]]
    floats = [node["name"] for node, kind in zip(graph["nodes"], ways) if "float" in kind]
    small = [{"name": w["name"], "bytes": w["size_bytes"]} for w in weights(graph) if exempt(w, claim)]
    told = sum(bool(node.get("kind")) for node in graph["nodes"])
    some = "told" if told == len(graph["nodes"]) else f"told of {told} operations"
    return ({"kinds": some} if told else {}) | {
        "weight_shares": shares(weights(graph)),
        "exempt": small,
        "computes": dict(Counter(ways)),
        "float_ops": floats,
        "placement": placement(graph),
        "placed": dict(Counter(node["device"] for node in graph["nodes"])),
        "input_dtype": graph["input"],
        "output_dtype": graph["output"],
    }


def fault_of(graph: Record, precision: str, claim: Record, device: str, parent: Record | None) -> str:
    """Why a file is not what it claims to be, or did not run where it was told; empty where it did."""
    if device != "cpu" and (fault := elsewhere(graph, device)):
        return fault
    if precision != "fp32" and parent and weights(graph) and prints(graph) == prints(parent):
        return "it has the very weights of its fp32 parent"
    if precision == "fp32":
        wide = sum(w["size_bytes"] for w in weights(graph) if w["dtype"] in ("float32", "float64"))
        return "its weights are not fp32" if wide < sum(w["size_bytes"] for w in weights(graph)) / 2 else ""
    return wrong_weights(graph, claim) or wrong_nodes(graph, claim)


def elsewhere(graph: Record, device: str) -> str:
    """Why a graph did not run on a device; empty where at least half of its multiplications did."""
    busy = [node for node in graph["nodes"] if way(node) not in ("moves", "quantizes")]
    if busy and all(node["device"] != device for node in busy):
        return f"nothing ran on {device}"
    products = [node for node in busy if multiplies(node)]
    told = [products_of(node) for node in products]
    work = [count or 0 for count in told]
    if None in told or not any(work):  # then each counts alike
        work = [1 for _ in products]
    mine = sum(count for node, count in zip(products, work) if node["device"] == device)
    return f"only {mine} of {sum(work)} products ran on {device}" if 2 * mine < sum(work) else ""


def products_of(node: Record) -> int | None:
    """Products of numbers in one call, by the shapes; None where they are not told, or not known how to be used."""
    if node.get("macs") is not None:
        return int(node["macs"])
    op, shapes, made = plain(node["op"]), node.get("input_shapes") or [], node.get("output_shapes") or []
    first, second = DATA_AND_WEIGHTS.get(op, (0, 1))
    if not made or len(shapes) <= max(first, second):
        return None
    data, weights, result = shapes[first], shapes[second], math.prod(made[0])
    if op in CONVOLVES:  # each output is a sum over the channels of its group and over the kernel
        return result * math.prod(weights) // weights[0] if weights[0] else 0
    if op in SPREADS:  # each input goes into so many outputs
        return math.prod(data) * math.prod(weights) // weights[0] if weights[0] else 0
    if op == "transposeconv":
        return math.prod(data) * math.prod(weights) // weights[-1] if weights[-1] else 0
    if op == "depthwiseconv2d":
        return result * math.prod(weights[1:3])
    if op in DENSE:
        return result * weights[-1]
    if op not in PRODUCTS:
        return None
    if len(data) < 2 or len(weights) < 2:
        return result * math.prod(data if len(data) < 2 else weights)
    rows = made[0][-2] if len(made[0]) > 1 else 1
    return result * (data[-2] * data[-1] // rows) if rows else 0


def wrong_weights(graph: Record, claim: Record) -> str:
    claimed = claim.get("weights") or []
    if graph["weights"] is None or not claimed:
        return ""
    found = shares([w for w in weights(graph) if not exempt(w, claim)])
    if found.get(claimed[0], 0) > 0 and sum(found.get(word, 0) for word in claimed) >= MOST:
        return ""
    return f"its weights are {found}, not {claimed[0]}"


def wrong_nodes(graph: Record, claim: Record) -> str:
    """Integer weights must be multiplied as such, and where activations are claimed nothing else is in between."""
    product, between = claim.get("products"), claim.get("activations")
    for node in graph["nodes"]:
        op, large = plain(node["op"]), [size >= SMALL for size in node["constants"]]
        kinds = [word(dtype) for dtype in node["takes"]]
        gives_float = any("float" in dtype for dtype in node["gives"])
        if product and multiplies(node):
            is_float = any("float" in kind and big for kind, big in zip(kinds, large))
            if is_float or (not large and product not in kinds):
                return f"{node['name']} multiplies float weights"
        elif product and gives_float and way(node) in ("moves", "quantizes") and (product, True) in zip(kinds, large):
            return f"{node['name']} turns {product} weights back into float"
        if between:
            hybrid = multiplies(node) and "int8" in kinds and gives_float and kinds[0] != "int8"
            if op.startswith("dynamicquantize") or hybrid:
                return f"{node['name']} quantizes while it runs"
            found = way_between(node)
            if found not in ("moves", "quantizes", "unknown", *between):
                return f"{node['name']} computes in {found}"
    return ""


def way_between(node: Record) -> str:
    """As ``way``; of a product of int8 weights the type of the other factor."""
    found = way(node)
    place = DATA_AND_WEIGHTS.get(plain(node["op"]), (0, 1))[0]
    is_product = found == "int8" and multiplies(node) and place < len(node["takes"])
    return word(node["takes"][place]) if is_product else found


def multiplies(node: Record) -> bool:
    """As its runtime says, else by its name."""
    kind = node.get("kind")
    return kind == "multiplies" if kind else plain(node["op"]) in MULTIPLIES


def way(node: Record) -> str:
    """What a node computes in: int8 where it multiplies int8 weights, else the first float or first type it gives."""
    op, kind = plain(node["op"]), node.get("kind")
    if kind == "moves" or (not kind and op in MOVES):
        return "moves"
    if kind == "quantizes" or (not kind and op in QUANTIZES):
        return "quantizes"
    if multiplies(node) and "int8" in [word(dtype) for dtype in node["takes"]]:
        return "int8"
    first = [dtype for dtype in node["gives"] if "float" in dtype] or node["gives"] or ["unknown"]
    return word(first[0])


def placement(graph: Record) -> str:
    """Who ran how many nodes."""
    count, runners = len(graph["nodes"]), Counter(node["runner"] for node in graph["nodes"])
    if graph["partitions"] is None:
        return ", ".join(f"{many}/{count} {runner}" for runner, many in runners.most_common())
    outside = count - runners[graph["delegate"]]
    pieces = f"{graph['partitions']} partition" + "s" * (graph["partitions"] != 1)
    where = f"{outside} op{'s' * (outside != 1)} outside" if outside else f"all {count} ops in"
    return f"{pieces}, {where} {graph['delegate']}"


def weights(graph: Record) -> list[Record]:
    return [weight for weight in graph["weights"] or () if word(weight["dtype"]) in WEIGHTS]


def shares(of: list[Record]) -> dict[str, float]:
    """Share of the bytes by type."""
    sizes: Counter[str] = Counter()
    for weight in of:
        sizes[word(weight["dtype"])] += weight["size_bytes"]
    return {dtype: size / sizes.total() for dtype, size in sizes.items() if size}


def prints(graph: Record) -> list[tuple[str, int, str]]:
    return sorted((w["dtype"], w["size_bytes"], w["digest"]) for w in weights(graph))


def exempt(weight: Record, claim: Record) -> bool:
    """A float tensor so small that its type does not matter."""
    claimed = claim.get("weights") or []
    if not claimed or weight["dtype"] not in BYTES:
        return False
    return weight["dtype"] not in claimed and weight["size_bytes"] / BYTES[weight["dtype"]] < SMALL


def word(dtype: str) -> str:
    """Signed and unsigned integers are one kind."""
    return dtype[1:] if dtype in ("uint4", "uint8", "uint16", "uint32") else dtype


def plain(op: str) -> str:
    return op.lower().replace("_", "")
