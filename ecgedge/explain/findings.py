"""What the figures of a file say, plainly, and what mends it. Each finding is a function; ``FINDINGS`` lists them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

from ecgedge.api.graph import Node
from ecgedge.evaluate.arithmetic import IDLE, computes_in, quantizes_while_it_runs
from ecgedge.evaluate.macs import macs_of, plain
from ecgedge.evaluate.metric import percent_of
from ecgedge.evaluate.precision_check import listed
from ecgedge.explain.explanation import Explanation, Line
from ecgedge.measure.peaks import known
from ecgedge.passes import INT8_FOR

WORTH = 0.02  # of the time, below which a cost is not worth a line
MUCH = 0.2  # of the time, from which moving data is worth one
SLOW = 0.5  # of the machine's int8 peak, below which an integer convolution is slow
DOT_PRODUCTS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
RESIZES = ("resizenearestneighbor", "resizebilinear", "gather", "gathernd")  # where they give more than they take
WORDS = {"fp32": "none", "float32": "none", "int8": "full-int8"}  # what --quantize calls a precision


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
        text: what was found.
        remedy: the pass or command that mends it; empty: none is known.
        cause: it may be why the file is no faster than one of another precision.
        name: of the function that found it.
    """

    text: str
    remedy: str = ""
    cause: bool = False
    name: str = ""


def find(explanation: Explanation) -> list[Finding]:
    """All that is true of a file; the ratio to another file first, with the first cause where it is not faster."""
    found = [replace(finding, name=check.__name__) for check in FINDINGS for finding in check(explanation)]
    if not explanation.ratio:
        return found
    causes = [finding for finding in found if finding.cause]
    if explanation.ratio["result"] in ("faster", "unsteady") or not causes:
        return [Finding(ratio(explanation), name="ratio"), *found]
    joined = replace(causes[0], text=f"{ratio(explanation)}: {causes[0].text}")
    return [joined, *(finding for finding in found if finding is not causes[0])]


def ratio(e: Explanation) -> str:
    """How its time compares with the other file's, timed in turns."""
    told = e.ratio
    words = {"tie": ", a tie", "unsteady": ", unsteady: the machine changed its speed in too many rounds"}
    other = told["precision"] if told["precision"] != e.precision else told["against"]
    ends = f"[{told['low']:.2f}, {told['high']:.2f}]"
    return f"{e.precision} is {told['ratio']:.2f}x {other} {ends}{words.get(told['result'], '')}"


def relu_after_concat(e: Explanation) -> Iterator[Finding]:
    if lone := lone_relus(e):
        cost = f", {percent(lines_with(e, {node.name for node in lone}))} of the time" if e.ops_us else ""
        yield Finding(
            f"{lone[0].op} after CONCATENATION is outside the delegate ({len(lone)} of them{cost}), which falls in "
            f"{e.graph.partitions} partitions",
            offer(e, "relu_into_concat"),
            cause=True,
        )


def outside_delegate(e: Explanation) -> Iterator[Finding]:
    others = [node for node in outside(e) if node not in lone_relus(e)]
    if others and not e.graph.free_batch:
        yield Finding(
            f"{counted(others)} {are(others)} outside the delegate, in {listed(sorted({n.runner for n in others}))}'s "
            "own kernels"
            + (f"; the rest is in {e.graph.partitions} partitions" if (e.graph.partitions or 0) > 1 else ""),
            cause=True,
        )


def free_batch(e: Explanation) -> Iterator[Finding]:
    if e.graph.free_batch and outside(e):
        yield Finding(
            f"the file leaves the batch free, and {len(outside(e))} of {len(e.graph.nodes)} operations are outside the "
            f"delegate, in {e.graph.partitions} partitions",
            "fix the batch: ecgedge convert SOURCE.onnx --to tflite --batch 1 (for an ONNX file, pass fix_batch)",
            cause=True,
        )


def integer_conv(e: Explanation) -> Iterator[Finding]:
    slow = [line for line in e.lines if plain(line.op) == "convinteger"]
    around = [line for line in e.lines if plain(line.op) in ("dynamicquantizelinear", "cast")]
    if not slow:
        return
    rates = [(line.of_peak, line.of_peak_most) for line in slow if line.of_peak is not None]
    best = max(rates, key=lambda rate: rate[0], default=(None, None))
    if best[1] is not None and best[1] > SLOW:  # it may be that fast, if the peak is no higher than it may be
        return
    reached = f", at {between(*best)} of the int8 peak at best" if rates else ""
    yield Finding(
        f"dynamic quantization of Conv runs ConvInteger, slow here: {len(slow)} of them take {percent(slow)} of the "
        f"time{reached}, and the conversions around them {percent(around)}",
        f"use full-int8: {remake(e, 'full-int8')}" if e.device == "cpu" else "",
        cause=True,
    )


def conv_of_one_dimension(e: Explanation) -> Iterator[Finding]:
    names = {
        node.name
        for node in e.graph.nodes
        if plain(node.op) in ("conv", "fusedconv") and node.takes[0] == "float32" and len(node.input_shapes[0]) == 3
    }
    mine = lines_with(e, names)
    if mine and e.artifact.format == "onnx" and e.device == "cpu":
        yield Finding(
            f"{len(mine)} float32 Conv of one dimension take {percent(mine)} of the time: onnxruntime has blocked "
            f"kernels (NCHWc) for two dimensions only",
            offer(e, "conv_to_2d"),
        )


def unfolded_norms(e: Explanation) -> Iterator[Finding]:
    names = {node.name for node in e.graph.nodes if plain(node.op) == "batchnormalization"}
    for first, second in pairwise(e.graph.nodes):
        if (first.op, second.op) == ("MUL", "ADD") and scales(first) and scales(second):
            names |= {first.name, second.name}
    mine = lines_with(e, names)
    if e.artifact.format in ("onnx", "tflite") and share(mine) >= WORTH:
        integer = ("norm_to_conv",) if e.artifact.format == "onnx" and multiplies_int8(e) else ()
        yield Finding(
            f"a batch norm is not folded into a convolution: {counted(n for n in e.graph.nodes if n.name in names)} "
            f"take {percent(mine)} of the time",
            offer(e, "relu_into_concat", "fold_norms", *integer),
            cause=True,
        )


def gathered_upsampling(e: Explanation) -> Iterator[Finding]:
    mine = [node for node in e.graph.nodes if plain(node.op) in RESIZES and grows(node)]
    mine = mine if e.artifact.format == "tflite" else []
    if mine:
        cost = lines_with(e, {node.name for node in mine})
        took = f" ({percent(cost)} of the time)" if share(cost) else ""
        yield Finding(f"upsampling runs as {counted(mine)}{took}", offer(e, "upsample_to_concat"), cause=True)


def float_islands(e: Explanation) -> Iterator[Finding]:
    """Of a file whose activations are int8; a dynamic one computes all but its products in float."""
    nodes = e.graph.nodes
    integer = [i for i, node in enumerate(nodes) if macs_of(node) != 0 and computes_in(node) == "int8"]
    if not integer or any(map(quantizes_while_it_runs, nodes)):
        return
    between = nodes[integer[0] : integer[-1]]
    mine = [node for node in between if "float" in computes_in(node)]
    if not mine:
        return
    remedies = sorted({INT8_FOR[node.op] for node in mine if node.op in INT8_FOR})
    names = {node.name for node in mine} | {node.name for node in between if computes_in(node) == "quantizes"}
    yield Finding(
        f"{counted(mine)} between int8 operations {'computes' if len(mine) == 1 else 'compute'} in float32; with the "
        f"conversions around them that takes {percent(lines_with(e, names))} of the time",
        offer(e, *remedies),
        cause=True,
    )


def float16_weights(e: Explanation) -> Iterator[Finding]:
    ways = {computes_in(node) for node in e.graph.nodes if macs_of(node) != 0}
    if e.artifact.precision == "fp16" and ways == {"float32"}:
        yield Finding("its float16 weights are multiplied in float32: half the size of fp32, not faster", cause=True)


def no_dot_products(e: Explanation) -> Iterator[Finding]:
    if multiplies_int8(e) and e.isa and not set(DOT_PRODUCTS) & set(e.isa):
        yield Finding(f"this processor has no 8-bit dot products ({', '.join(DOT_PRODUCTS)})", cause=True)


def moving_data(e: Explanation) -> Iterator[Finding]:
    mine = [line for line in e.lines if line.kind != "partition" and line.precision in IDLE]
    if share(mine) >= MUCH:
        costs = {op: share(line for line in mine if line.op == op) for op in {line.op for line in mine}}
        told = ", ".join(f"{op} {percent_of(costs[op])}" for op in sorted(costs, key=lambda op: -costs[op])[:3])
        yield Finding(f"moving and converting data takes {percent(mine)} of the time ({told})", cause=True)


def slowest(e: Explanation) -> Iterator[Finding]:
    lines = [line for line in e.lines if line.kind != "partition" and line.us]
    if lines:
        first = max(lines, key=lambda line: line.us or 0.0)
        at = between(first.of_peak, first.of_peak_most)
        rate = f", at {at} of the {first.precision} peak" if at else ""
        took = percent_of(first.share or 0.0)
        yield Finding(f"most of the time in one operation: {first.op} ({first.name}), {took}{rate}")


def limit(e: Explanation) -> Iterator[Finding]:
    if e.limit_us and e.limit_most_us and e.macs:
        limits = (e.limit_us,) if known(e.limit_us, e.limit_most_us) else (e.limit_us, e.limit_most_us)
        within = " to ".join(dict.fromkeys(f"{e.whole_us / us:.1f}x" for us in reversed(limits)))
        took = " to ".join(dict.fromkeys(f"{us:.1f}" if us >= 0.05 else "under 0.1" for us in limits))
        place = "machine" if e.device == "cpu" else "device"
        yield Finding(
            f"within {within} of this {place}'s limit: {e.macs / e.whole_us / 1e3:.1f} GMAC/s; "
            f"at the peak its multiplications would take {took} of the {e.whole_us:.1f} us",
        )


FINDINGS: Sequence[Callable[[Explanation], Iterator[Finding]]] = (
    relu_after_concat,
    free_batch,
    outside_delegate,
    integer_conv,
    conv_of_one_dimension,
    unfolded_norms,
    gathered_upsampling,
    float_islands,
    float16_weights,
    no_dot_products,
    moving_data,
    slowest,
    limit,
)


def outside(e: Explanation) -> list[Node]:
    """Nodes that a delegate's runtime runs itself."""
    return [node for node in e.graph.nodes if node.runner != e.graph.delegate] if e.graph.delegate else []


def lone_relus(e: Explanation) -> list[Node]:
    """Activations outside the delegate right behind a concatenation: LiteRT lists operations in order."""
    left = outside(e)
    return [
        node
        for before, node in pairwise(e.graph.nodes)
        if node in left
        and node.op.startswith("RELU")
        and before.op == "CONCATENATION"
        and before.output_shapes == node.input_shapes[:1]
    ]


def multiplies_int8(e: Explanation) -> bool:
    return any(macs_of(node) != 0 and computes_in(node) == "int8" for node in e.graph.nodes)


def grows(node: Node) -> bool:
    """Whether an operation gives more values than its first input has, of as many axes."""
    if not node.input_shapes or not node.output_shapes:
        return False
    given, made = node.input_shapes[0], node.output_shapes[0]
    return len(given) == len(made) and prod(made) > prod(given)


def scales(node: Node) -> bool:
    """Whether one of two inputs is a constant with a value for each channel."""
    values = [size for size in node.constants if size]
    return len(node.constants) == 2 and len(values) == 1 and values[0] == node.output_shapes[0][-1]


def remake(e: Explanation, precision: str = "") -> str:
    """The command that makes the file anew, with the passes that its consumer wants."""
    wanted = precision or WORDS.get(e.precision, e.precision)
    return f"ecgedge convert {e.source} --to {e.artifact.format} --quantize {wanted}"


def offer(e: Explanation, *passes: str) -> str:
    """The passes that were not tried yet, and the command that applies them; empty where all were."""
    tried = {*e.artifact.passes, *e.artifact.notes.get("idle", ()), *e.artifact.notes.get("left_out", ())}
    left = [name for name in passes if name not in tried]
    return f"pass{'es' if len(left) > 1 else ''} {', '.join(left)}: {remake(e)}" if left else ""


def lines_with(e: Explanation, names: Set[str]) -> list[Line]:
    """Operations and kernels that compute these nodes."""
    return [line for line in e.lines if line.kind != "partition" and names & set(line.nodes)]


def counted(nodes: Iterable[Node]) -> str:
    """``2 MUL, 2 ADD``."""
    return listed([f"{count} {op}" for op, count in Counter(node.op for node in nodes).most_common()])


def are(nodes: Sequence[Node]) -> str:
    return "is" if len(nodes) == 1 else "are"


def share(lines: Iterable[Line]) -> float:
    return sum(line.share or 0.0 for line in lines)


def between(low: float | None, high: float | None) -> str:
    """``85%``, or ``52% to 93%`` where that is not known better; empty where nothing is."""
    if low is None or high is None:
        return ""
    ends = f"{low:.0%}", f"{high:.0%}"
    return percent_of(low) if known(low, high) or ends[0] == ends[1] else " to ".join(ends)


def in_table(told: str) -> str:
    """The same where there is less room: ``52-93%``, ``<1%``."""
    return told.replace("% to ", "-").replace("under ", "<")


def percent(lines: Sequence[Line]) -> str:
    return "an unknown part" if any(line.share is None for line in lines) else percent_of(share(lines))
