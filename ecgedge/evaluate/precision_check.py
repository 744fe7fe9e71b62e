"""Is a file what it claims to be, and did it run where it was told? Judged by the graph that its runtime tells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

from ecgedge.api.artifact import Artifact
from ecgedge.api.graph import ENDS, Graph, Node, Weight
from ecgedge.api.parts import Runtime
from ecgedge.api.precisions import BUILT_IN, DYNAMIC, FP32, FULL_INT8, MIXED, Precision, find
from ecgedge.api.records.rules import USER
from ecgedge.evaluate.arithmetic import (
    IDLE,
    SMALL,
    UNTOLD,
    activation_of,
    class_of,
    computes_in,
    counted,
    kind_of,
    names_of,
    quantizes_while_it_runs,
    restores_weights,
    shares,
    size_of,
    takes_float_weights,
)
from ecgedge.evaluate.judgement import Judgement, PrecisionCheck
from ecgedge.evaluate.macs import macs_of, multiplies, plain
from ecgedge.evaluate.metric import percent_of

SHARE = 0.9  # of the weight bytes that must have the claimed type
NAMED = 3  # nodes that the reason of a row names; its ``faults`` name all
UNCLAIMED = Precision("unclaimed")  # of a file that promises nothing
MOST = 0.5  # of the multiply-accumulates must run on the device that was asked for


@dataclass(frozen=True)
class Fault:
    """Why a file is not what it claims to be.

    Attributes:
        text: in words; ``{}`` stands for the names.
        names: of all operations or weights that it is about.
        ops: the types of these operations, one for each name; empty for weights.
        of: what they are.
        about: the device or the precision that was claimed.
    """

    text: str
    names: tuple[str, ...] = ()
    ops: tuple[str, ...] = ()
    of: str = "operations"
    about: str = ""

    @classmethod
    def of_nodes(cls, text: str, nodes: Sequence[Node], about: str = "") -> Fault:
        return cls(text, tuple(node.name for node in nodes), tuple(node.op for node in nodes), about=about)

    def record(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self) | {"names": [*self.names], "ops": [*self.ops]}


def judge(
    graph: Graph | None,
    precision: Precision,
    device: str,
    parent: Graph | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Judgement:
    """What the graph shows of a file that claims ``precision`` and was to run on ``device``.

    Args:
        parent: the graph of the fp32 file that it was made of, where known.
        notes: of its artifact: a ``mixed`` file says in them what was left in float.

    Returns:
        ``ok`` or ``rejected`` with the reason, one line, and what was seen.
    """
    if graph is None:
        untold = PrecisionCheck(text="not checked: the runtime tells nothing of its graph")
        return Judgement(precision_check=untold)
    faults = [*misplaced(graph, device), *copied(graph, precision, parent), *untrue(graph, precision, notes or {})]
    found = PrecisionCheck(
        text=checked(graph, precision, parent),
        faults=[fault.record() for fault in faults] or None,
        weight_shares={dtype: round(share, 4) for dtype, share in shares(counted(graph)).items()},
        exempt=[{"name": w.name, "bytes": w.size_bytes} for w in counted(graph) if exempt(w, precision)],
        computes=dict(Counter(map(computes_in, graph.nodes)).most_common()),
        float_ops=[node.name for node in graph.nodes if "float" in computes_in(node)],
        placement=graph.placement(),
        placed=dict(Counter(node.device for node in graph.nodes)),
        input_dtype=graph.input,
        output_dtype=graph.output,
        kinds=told_kinds(graph),
    )
    return Judgement(status="rejected" if faults else "ok", reason=one_line(faults), precision_check=found)


def judge_file(
    graph: Graph | None,
    artifact: Artifact,
    source: Artifact,
    runtime: Runtime,
    parent: Graph | None,
    known: Mapping[str, Precision] = BUILT_IN,
) -> Judgement:
    """Whether a file is what its quantizer promised and ran where it was to; a user's file without a record promises
    nothing.

    Args:
        graph: that ran.
        source: what it was made from.
        parent: the graph of its fp32 form, where known.
        known: the precisions that there are, by name.
    """
    told = source.maker.get("part") == USER and source.precision == artifact.precision
    if told:  # it is that form itself
        return judge(graph, UNCLAIMED, runtime.device, None, artifact.notes)
    return judge(graph, find(artifact.precision, known), runtime.device, parent, artifact.notes)


def told_kinds(graph: Graph) -> str | None:
    """Whether the runtime says what its operations do; None: of none, all are looked up by name."""
    told = [node for node in graph.nodes if node.kind]
    return None if not told else "told" if len(told) == len(graph.nodes) else f"told of {len(told)} operations"


def checked(graph: Graph, precision: Precision, parent: Graph | None) -> str:
    """What the verdict rests on, and what could not be seen."""
    if not precision.claims:
        return (
            "compared with its fp32 parent only" if parent else f"not checked: nothing is known of {precision.name!r}"
        )
    unseen = ["its weights are not told"] if graph.weights is None else []
    if bodies := [node.name for node in graph.nodes if kind_of(node) == "controls"]:
        unseen.append(f"what runs inside {listed(bodies)} may not be seen")
    return ", but ".join(["checked", *unseen])


def one_line(faults: Sequence[Fault]) -> str:
    """Faults as the reason of a row: the first ``NAMED`` names, of all that come after them their number only."""
    left, told = NAMED, []
    for about, group in groupby(faults, lambda fault: fault.about):
        texts = []
        for fault in group:
            texts.append(fault.text.format(named(fault, left) if left else counted_as(fault)))
            left -= min(left, len(fault.names))
        told.append(f"{about}: {'; '.join(texts)}")
    return "; ".join(told)


def misplaced(graph: Graph, device: str) -> Iterator[Fault]:
    """A device that computes nothing, or less than half of what is multiplied."""
    computing = [node for node in graph.nodes if computes_in(node) not in IDLE]
    away = [node for node in computing if node.device != device]
    if device == "cpu" or not away:
        return
    where = " and ".join(sorted({"the CPU" if node.device == "cpu" else node.device for node in away}))
    if len(away) == len(computing):
        yield Fault(f"all {len(computing)} computing nodes ran on {where}", about=device)
        return
    share, unit = share_on(computing, device)
    if share < MOST:
        products = [node for node in away if multiplies(node)]
        yield Fault.of_nodes(f"{1 - share:.0%} of its {unit} ran on {where}: {{}}", products, device)


def share_on(nodes: Iterable[Node], device: str) -> tuple[float, str]:
    """The share of what is multiplied that a device did, and what was counted; 1 where nothing is multiplied.

    Multiply-accumulates are counted, or operations that multiply where those of one are not told.
    """
    products = [node for node in nodes if multiplies(node)]
    work, unit = [macs_of(node) or 0 for node in products], "multiply-accumulates"
    if None in map(macs_of, products) or not any(work):
        work, unit = [1] * len(products), "multiplying operations"
    mine = sum(count for node, count in zip(products, work, strict=True) if node.device == device)
    return mine / sum(work) if products else 1.0, unit


def copied(graph: Graph, precision: Precision, parent: Graph | None) -> Iterator[Fault]:
    """Another precision than fp32 with the very weights of fp32."""
    if parent is None or precision.name == FP32.name or graph.weights is None or parent.weights is None:
        return
    one, other = ([(w.dtype, w.size_bytes, w.digest) for w in counted(each)] for each in (graph, parent))
    if one and Counter(one) == Counter(other):
        yield Fault("its weights are equal to those of its fp32 parent", about=precision.name)


def untrue(graph: Graph, precision: Precision, notes: Mapping[str, Any]) -> Iterator[Fault]:
    """Where the file is not what its precision claims."""
    if precision.name == FP32.name:
        found = fp32(graph)
    elif precision.name == MIXED.name:
        found = mixed(graph, notes)
    else:
        found = broken_claims(graph, precision)
    yield from (replace(fault, about=precision.name) for fault in found)


def fp32(graph: Graph) -> Iterator[Fault]:
    """Most weight bytes are float32, or more."""
    weights = counted(graph)
    full = sum(w.size_bytes for w in weights if w.dtype in ("float32", "float64"))
    if full < sum(w.size_bytes for w in weights) / 2:
        yield Fault(f"its weights are {told(shares(weights))}")


def broken_claims(graph: Graph, precision: Precision) -> Iterator[Fault]:
    """Of the weights, of how they are multiplied, of what else is computed in."""
    yield from wrong_weights(graph, precision)
    if of := precision.products:
        if nodes := [node for node in graph.nodes if multiplies(node) and takes_float_weights(node, of)]:
            yield Fault.of_nodes("float weights are multiplied by {}", nodes)
        if nodes := [node for node in graph.nodes if restores_weights(node, of)]:
            yield Fault.of_nodes(f"{of} weights are turned back into float by {{}}", nodes)
    if precision.activations:
        yield from other_activations(graph, precision.activations)


def other_activations(graph: Graph, claimed: Sequence[str]) -> Iterator[Fault]:
    """What quantizes while it runs, and what computes in other types, each of these by itself."""
    hybrid = [node for node in graph.nodes if quantizes_while_it_runs(node)]
    if hybrid:
        yield Fault.of_nodes("activations are quantized while it runs (this is dynamic) by {}", hybrid)
    others: dict[str, list[Node]] = {}
    for node in graph.nodes:
        found = activation_of(node)
        if node not in hybrid and found not in (*IDLE, UNTOLD, *claimed):
            others.setdefault("float" if "float" in found and "float16" not in claimed else found, []).append(node)
    for dtype, nodes in others.items():
        yield Fault.of_nodes(f"{{}} compute{'s' if len(nodes) == 1 else ''} in {dtype}", nodes)


def mixed(graph: Graph, notes: Mapping[str, Any]) -> Iterator[Fault]:
    """As full-int8, but for what its notes say was left in float: exactly that computes in float.

    An operation that goes with a layer left in float, such as its activation, may be fused with it or done in
    int8; a multiplication may not.
    """
    if "left" not in notes:
        yield Fault("its record does not say what was left in float")
        return
    if not notes["left"]:
        yield from broken_claims(graph, FULL_INT8)
        return
    layers, claims = [name for name in notes["left"] if name != ENDS], [set(claim) for claim in notes["float"]]
    floats = [node for node in graph.nodes if "float" in computes_in(node)]
    products = [node for node in floats if multiplies(node)]
    if graph.weights is not None and "int8" not in shares(counted(graph)):
        yield Fault("it has no int8 weights")
    if nodes := [node for node in floats if not any(claim & names_of(node) for claim in claims)]:
        verb = f"compute{'s' if len(nodes) == 1 else ''}"
        yield Fault.of_nodes(f"{{}} {verb} in float without having been left in it", nodes)
    for layer in layers:
        if not any(layer in claim and claim & names_of(node) for claim in claims for node in products):
            yield Fault("{} was left in float and does not compute in it", (layer,), of="layer")
    if len(products) > len(layers):
        yield Fault(f"{len(products)} operations multiply in float, {len(layers)} were left in it")
    if len(layers) < len(notes["left"]) and not ("float" in graph.input and "float" in graph.output):
        yield Fault(f"{ENDS} were left in float and are {graph.input} and {graph.output}")
    if nodes := [node for node in graph.nodes if restores_weights(node, "int8")]:
        yield Fault.of_nodes("int8 weights are turned back into float by {}", nodes)
    if nodes := [node for node in graph.nodes if quantizes_while_it_runs(node)]:
        yield Fault.of_nodes("activations are quantized while it runs (this is dynamic) by {}", nodes)


def amounts_to_it(graph: Graph, precision: Precision, notes: Mapping[str, Any]) -> bool:
    """Whether a file that is rejected has its claim in what weighs and multiplies: not what it claims, but of use.

    So is one in which operations without weights compute in float, and one too small to have a weight that counts.

    Args:
        notes: of its artifact, see ``judge``.
    """
    if precision.name == MIXED.name and notes.get("left"):
        weighing = [node for node in graph.nodes if multiplies(node) or computes_in(node) in IDLE]
        return not [*mixed(replace(graph, nodes=tuple(weighing)), notes)]
    if precision.name == MIXED.name:
        precision = FULL_INT8
    if not (of := precision.products):
        return False
    judged = shares([weight for weight in counted(graph) if not exempt(weight, precision)])
    is_integer = not judged or sum(judged.get(dtype, 0) for dtype in precision.weights) >= SHARE
    multiplying = [node for node in graph.nodes if multiplies(node)]
    in_float = any(node.constants and takes_float_weights(node, of) for node in multiplying)
    is_integer = is_integer or all(node.constants for node in multiplying)  # what is left belongs to norms
    products = [computes_in(node) for node in multiplying]
    is_restored = any(restores_weights(node, of) for node in graph.nodes) and any("float" in each for each in products)
    runs_otherwise = is_restored or (precision.activations and any(map(quantizes_while_it_runs, graph.nodes)))
    return is_integer and not in_float and not runs_otherwise


def wrong_weights(graph: Graph, precision: Precision) -> Iterator[Fault]:
    """Too few bytes of the claimed types (the first of them must be there), small float tensors aside.

    Biases are int32 beside int8 weights.
    """
    claimed = precision.weights
    if graph.weights is None or not claimed:
        return
    judged = [weight for weight in counted(graph) if not exempt(weight, precision)]
    of = shares(judged)
    if claimed[0] not in of:
        yield Fault(f"it has no {claimed[0]} weights")
    elif sum(of.get(dtype, 0) for dtype in claimed) < SHARE:
        others = tuple(weight.name for weight in judged if class_of(weight.dtype) not in claimed)
        yield Fault(f"its weights are {told(of)}: {{}}", others, of="weights")


def exempt(weight: Weight, precision: Precision) -> bool:
    """A float tensor too small to matter, of another type than the claimed one."""
    is_other = "float" in weight.dtype and weight.dtype not in precision.weights
    return bool(precision.weights) and is_other and weight.size_bytes / size_of(weight) < SMALL


def named(fault: Fault, most: int) -> str:
    """The first names of a fault, and in brackets the types that these do not tell: ``node_1, node_2 (GRU, LSTM)``."""
    words = {plain(word) for name in fault.names[:most] for word in re.findall(r"\w+", name)}
    return listed(fault.names, most) + kinds([op for op in fault.ops if plain(op) not in words])


def counted_as(fault: Fault) -> str:
    """How many names a fault has, and of which types: ``1 operation (GRU)``, ``4 weights``."""
    return f"{len(fault.names)} {fault.of.removesuffix('s') if len(fault.names) == 1 else fault.of}{kinds(fault.ops)}"


def kinds(ops: Sequence[str]) -> str:
    """The most frequent types of operations, in brackets; empty for none."""
    found = [op for op, _ in Counter(ops).most_common()]
    return f" ({listed(found, NAMED)})" if found else ""


def told(of: dict[str, float]) -> str:
    return ", ".join(f"{percent_of(share)} {dtype}" for dtype, share in of.items())


def listed(words: Sequence[str], most: int = 5) -> str:
    """The first few, and how many more."""
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def told_precision(graph: Graph) -> str:
    """The precision that a file without a record has, by its weights and by what multiplies.

    Returns:
        A claim that the graph keeps, else the types: ``"int8"`` for a file of which some is in float,
        ``"int16x8"``, ``"float64"``.
    """
    of, products = shares(counted(graph)), [node for node in graph.nodes if multiplies(node)]
    if any("int8" in map(class_of, node.takes) for node in products) or of.get("int8", 0) > 0.5:
        if any(node.takes[0] == "int16" for node in products):
            return "int16x8"
        if not [*broken_claims(graph, FULL_INT8)]:
            return FULL_INT8.name
        while_it_runs = any(map(quantizes_while_it_runs, graph.nodes))
        return DYNAMIC.name if while_it_runs and not [*broken_claims(graph, DYNAMIC)] else "int8"
    most = next(iter(of), "float32")
    return {"float32": "fp32", "float16": "fp16"}.get(most, most)
