"""From the saved graph of a file: what it holds, what it computes in, who ran it, whether that is what it claims.

What an operation does, and how much it multiplies, stands in the graph beside who says so: its runtime, or the table of
names of the ecgedge that made the run. There is none here.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

Record = dict[str, Any]

MOST = 0.9  # of the weight bytes have the claimed type
SMALL = 1024  # elements: smaller float tensors do not count
IDLE = ("moves", "quantizes")  # kinds of operations that compute nothing
KINDS = (*IDLE, "multiplies", "computes", "controls")
BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
WEIGHTS = {*BYTES, "int32", "int16", "int8", "int4"}
WHOLE = ["int4", "int8", "int16", "int32", "int64", "bool"]  # types without fractions
FIGURES = {  # of a row, that its graph gives
    "kinds", "weight_shares", "exempt", "computes", "float_ops", "placement", "placed", "input_dtype", "output_dtype",
}  # fmt: skip
EXPECTED: dict[str, Record] = {  # what the precisions that are built in claim
    "fp16": {"weights": ["float16"]},
    "dynamic": {"weights": ["int8", "int32"], "products": "int8"},
    "full-int8": {"weights": ["int8", "int32"], "products": "int8", "activations": WHOLE},
}


def claim_of(precision: str, declared: Record) -> Record:
    """What files of a precision claim: of one that is built in as we know it, else as its run declares it."""
    return EXPECTED.get(precision) or declared.get(precision) or {}


def says_kinds(graph: Record) -> bool:
    """Whether each operation has what it was taken for; those of older runs have not."""
    return all("told" in node for node in graph["nodes"])


def examine(graph: Record, claim: Record) -> Record:
    """The figures of a row that its graph gives.

    Args:
        claim: of its precision, see ``claim_of``.

    Raises:
        ValueError: an operation is of no kind that there is.
    """
    if odd := [node for node in graph["nodes"] if node["kind"] not in KINDS]:
        raise ValueError(f"{odd[0]['name']} is of the kind {odd[0]['kind']!r}")
    ways = [way(node) for node in graph["nodes"]]
    floats = [node["name"] for node, kind in zip(graph["nodes"], ways) if "float" in kind]
    small = [{"name": w["name"], "bytes": w["size_bytes"]} for w in weights(graph) if exempt(w, claim)]
    told = sum("kind" in node["told"] for node in graph["nodes"])
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
    busy = [node for node in graph["nodes"] if node["kind"] not in IDLE]
    if busy and all(node["device"] != device for node in busy):
        return f"nothing ran on {device}"
    products = [node for node in busy if multiplies(node)]
    told = [node["macs"] for node in products]
    work = [count or 0 for count in told]
    if None in told or not any(work):  # then each counts alike
        work = [1 for _ in products]
    mine = sum(count for node, count in zip(products, work) if node["device"] == device)
    return f"only {mine} of {sum(work)} products ran on {device}" if 2 * mine < sum(work) else ""


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
        large = [size >= SMALL for size in node["constants"]]
        kinds = [word(dtype) for dtype in node["takes"]]
        gives_float = any("float" in dtype for dtype in node["gives"])
        if product and multiplies(node):
            is_float = any("float" in kind and big for kind, big in zip(kinds, large))
            if is_float or (not large and product not in kinds):
                return f"{node['name']} multiplies float weights"
        elif product and gives_float and node["kind"] in IDLE and (product, True) in zip(kinds, large):
            return f"{node['name']} turns {product} weights back into float"
        if between:
            hybrid = multiplies(node) and "int8" in kinds and gives_float and kinds[0] != "int8"
            if node["dynamic"] or hybrid:
                return f"{node['name']} quantizes while it runs"
            found = way_between(node)
            if found not in (*IDLE, "unknown", *between):
                return f"{node['name']} computes in {found}"
    return ""


def way_between(node: Record) -> str:
    """As ``way``; of a product of int8 weights the type of the other factor."""
    found, place = way(node), node["data"]
    is_product = found == "int8" and multiplies(node) and place < len(node["takes"])
    return word(node["takes"][place]) if is_product else found


def multiplies(node: Record) -> bool:
    return bool(node["kind"] == "multiplies")


def way(node: Record) -> str:
    """What a node computes in: int8 where it multiplies int8 weights, else the first float or first type it gives."""
    if node["kind"] in IDLE:
        return str(node["kind"])
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
