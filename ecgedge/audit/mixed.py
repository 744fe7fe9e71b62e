"""A ``mixed`` file: is in float what its record says, no more and no less, and was the loss such that it had to be?"""

from __future__ import annotations

from typing import Any

from ecgedge.audit.findings import Findings
from ecgedge.audit.graphs import EXPECTED, multiplies, way, weights, wrong_nodes, wrong_weights
from ecgedge.audit.run import Row, Run

Record = dict[str, Any]

ENDS = "input and output"
ROUNDING = 1e-9
WHOLE = EXPECTED["full-int8"]


def fault_of(graph: Record, notes: Record) -> str:
    """Why a file is not what its notes say; empty where it is."""
    if not isinstance(notes.get("left"), list):
        return "nothing says what was left in float"
    if not notes["left"]:
        return wrong_weights(graph, WHOLE) or wrong_nodes(graph, WHOLE)
    layers = {name for name in notes["left"] if name != ENDS}
    known = {name: frozenset(claim) for claim in notes["float"] for name in claim}
    found: set[str] = set()
    for node in graph["nodes"]:
        if "float" not in way(node):
            continue
        claim = next((known[name] for name in called(node) if name in known), None)
        if claim is None:
            return f"{node['name']} computes in float and was not left in it"
        if multiplies(node):
            mine = claim & layers
            if not mine or mine & found:
                return f"{node['name']} multiplies in float and is no layer that was left in it"
            found |= mine
    if lacking := sorted(layers - found):
        return f"{lacking[0]} does not compute in float"
    if ENDS in notes["left"] and not ("float" in graph["input"] and "float" in graph["output"]):
        return f"its {ENDS} are {graph['input']} and {graph['output']}, not float"
    if graph["weights"] is not None and not any(w["dtype"] in ("int8", "uint8") for w in weights(graph)):
        return "it has no int8 weights"
    return wrong_nodes({**graph, "nodes": [node for node in graph["nodes"] if "float" not in way(node)]}, WHOLE)


def called(node: Record) -> list[str]:
    """The names of a node; onnxruntime puts ``fused`` before, ``_nchwc`` and ``_token_7`` behind."""
    name = node["name"].removeprefix("fused ")
    names = [node.get("makes", ""), node["name"], name]
    while True:
        head, _, number = name.rpartition("_token_")
        shorter = head if head and number.isdigit() else name.removesuffix("_nchwc")
        if shorter == name:
            return [one for one in names if one]
        name = shorter
        names.append(name)


def check_notes(run: Run, row: Row, findings: Findings) -> Record:
    """The notes are those of the artifact; what a ``mixed`` one says of its loss fits. Returns them."""
    packed = run.artifact(row["id"])
    notes: Record = packed["record"].get("notes", {}) if packed else {}
    if "notes" in row or notes:
        findings.hold(row, "notes", notes)
    if row["precision"] == "mixed" and "loss" in notes:
        loss, left = notes["loss"], notes["left"]
        allowed = loss["max_drop"] / 100 + ROUNDING
        if loss["fp32"] - loss["mixed"] > allowed:
            findings.wrong(row["id"], "notes: more is lost on training beats than was allowed")
        if bool(left) != (loss["fp32"] - loss["full_int8"] > allowed):
            findings.wrong(row["id"], f"notes: {len(left)} layers were left in float, which the loss does not explain")
        findings.notes.append(f"{row['id']}: {notes['text']}")
    return notes
