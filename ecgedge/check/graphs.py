"""From the saved graph of a file: what it holds, what it computes in, who ran it, whether that is what it claims."""

from __future__ import annotations

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
BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
WEIGHTS = {*BYTES, "int32", "int16", "int8", "int4"}
EXPECTED = {"fp16": ("float16",), "dynamic": ("int8", "int32"), "full-int8": ("int8", "int32")}


def examine(graph: Record, precision: str) -> Record:
    """The figures of a row that its graph gives."""
    ways = [way(node) for node in graph["nodes"]]
    floats = [node["name"] for node, kind in zip(graph["nodes"], ways) if "float" in kind]
    small = [{"name": w["name"], "bytes": w["size_bytes"]} for w in weights(graph) if exempt(w, precision)]
    return {
        "weight_shares": shares(weights(graph)),
        "exempt": small,
        "computes": dict(Counter(ways)),
        "float_ops": floats,
        "placement": placement(graph),
        "placed": dict(Counter(node["device"] for node in graph["nodes"])),
        "input_dtype": graph["input"],
        "output_dtype": graph["output"],
    }


def fault_of(graph: Record, precision: str, device: str, parent: Record | None) -> str:
    """Why a file is not what it claims to be, or did not run where it was told; empty where it did."""
    busy = [node["device"] for node in graph["nodes"] if way(node) not in ("moves", "quantizes")]
    if device != "cpu" and busy and device not in busy:
        return f"nothing ran on {device}"
    if precision != "fp32" and parent and weights(graph) and prints(graph) == prints(parent):
        return "it has the very weights of its fp32 parent"
    if precision == "fp32":
        wide = sum(w["size_bytes"] for w in weights(graph) if w["dtype"] in ("float32", "float64"))
        return "its weights are not fp32" if wide < sum(w["size_bytes"] for w in weights(graph)) / 2 else ""
    if precision not in EXPECTED:
        return ""
    return wrong_weights(graph, precision) or wrong_nodes(graph, precision)


def wrong_weights(graph: Record, precision: str) -> str:
    if graph["weights"] is None:
        return ""
    claimed = EXPECTED[precision]
    found = shares([w for w in weights(graph) if not exempt(w, precision)])
    if found.get(claimed[0], 0) > 0 and sum(found.get(word, 0) for word in claimed) >= MOST:
        return ""
    return f"its weights are {found}, not {claimed[0]}"


def wrong_nodes(graph: Record, precision: str) -> str:
    """Integer weights must be multiplied as such, and full int8 has no float in between."""
    for node in graph["nodes"] if precision != "fp16" else ():
        op, large = plain(node["op"]), [size >= SMALL for size in node["constants"]]
        kinds = [word(dtype) for dtype in node["takes"]]
        gives_float = any("float" in dtype for dtype in node["gives"])
        if op in MULTIPLIES:
            is_float = any("float" in kind and big for kind, big in zip(kinds, large))
            if is_float or (not large and "int8" not in kinds):
                return f"{node['name']} multiplies float weights"
        elif gives_float and way(node) in ("moves", "quantizes") and ("int8", True) in zip(kinds, large):
            return f"{node['name']} turns int8 weights back into float"
        if precision == "full-int8":
            hybrid = op in MULTIPLIES and "int8" in kinds and gives_float and kinds[0] != "int8"
            if op.startswith("dynamicquantize") or hybrid:
                return f"{node['name']} quantizes while it runs"
            if "float" in way(node):
                return f"{node['name']} computes in float"
    return ""


def way(node: Record) -> str:
    """What a node computes in: int8 where it multiplies int8 weights, else the first float or first type it gives."""
    op = plain(node["op"])
    if op in MOVES:
        return "moves"
    if op in QUANTIZES:
        return "quantizes"
    if op in MULTIPLIES and "int8" in [word(dtype) for dtype in node["takes"]]:
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


def exempt(weight: Record, precision: str) -> bool:
    """A float tensor so small that its type does not matter."""
    if precision not in EXPECTED or weight["dtype"] not in BYTES:
        return False
    return weight["dtype"] not in EXPECTED[precision] and weight["size_bytes"] / BYTES[weight["dtype"]] < SMALL


def word(dtype: str) -> str:
    """Signed and unsigned integers are one kind."""
    return dtype[1:] if dtype in ("uint4", "uint8", "uint16", "uint32") else dtype


def plain(op: str) -> str:
    return op.lower().replace("_", "")
