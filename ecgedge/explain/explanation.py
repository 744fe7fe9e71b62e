"""What is told of a file: a line for each operation, its time beside what the machine could do."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ecgedge.api.artifact import Artifact
from ecgedge.api.graph import Graph, Node
from ecgedge.api.profile import Profile, Step
from ecgedge.api.records.rules import USER
from ecgedge.evaluate.arithmetic import IDLE, computes_in
from ecgedge.evaluate.macs import bytes_of, macs_of

Number = TypeVar("Number", int, float)
PEAKS = {"int8": "int8", "float32": "fp32"}  # which of the machine's limits holds for what is computed in


@dataclass(frozen=True)
class Line:
    """An operation, a partition that was handed to a delegate, or one of the kernels inside it.

    Attributes:
        name: without the slash with which exporters begin; ``nodes`` have it.
        kind: ``"op"``, ``"partition"`` or ``"kernel"``; kernels are parts of the partition above them.
        placement: execution provider or delegate, with what is known of the kernel.
        precision: what it computes in, as ``arithmetic.computes_in`` says; empty: not told.
        us: microseconds of a call, the median; None: not told.
        share: of the time of all operations.
        macs, bytes: of a call; None: not told.
        gmacs: 10^9 multiply-accumulates a second.
        of_peak: that, relative to the machine's peak of its precision, the highest that was measured.
        of_peak_most: the same of the least that the peak may be; equal where the peak is known.
        nodes: names of the graph's nodes in it.
    """

    kind: str
    op: str
    name: str
    placement: str
    precision: str
    us: float | None
    macs: int | None
    bytes: int | None
    nodes: tuple[str, ...]
    share: float | None = None
    gmacs: float | None = None
    of_peak: float | None = None
    of_peak_most: float | None = None


@dataclass(frozen=True)
class Explanation:
    """All that findings are drawn from.

    Attributes:
        source: what to call its source in a command, where it is to be made anew.
        whole_us: a whole call without a profiler, the median.
        profiled_us: a whole call with it; None: not told.
        told_us: the sum of the operations as the profiler tells it; None: not told.
        cost_us: what the profiler adds to each of them, taken off each line.
        cpu_share: of the time of whole calls in which the process had a processor; above 1 with several threads.
        tick: microseconds that the profiler counts in; 0: fine enough.
        calls: under the profiler.
        peaks: as ``measure_peaks`` or ``measure_gpu_peaks`` gives them, of the device.
        device: that the runtime computes on.
        isa: flags of the processor that matter; empty: not told.
        notes: what could not be told, and why.
        ratio: of the time to another file's (``low``, ``high``, ``result``, ``against``, ``precision``), or empty.
    """

    artifact: Artifact
    runtime: str
    graph: Graph
    lines: tuple[Line, ...]
    whole_us: float
    profiled_us: float | None = None
    told_us: float | None = None
    cost_us: float = 0.0
    source: str = "SOURCE"
    cpu_share: float = 1.0
    tick: float = 0.0
    calls: int = 0
    peaks: Mapping[str, Any] = field(default_factory=dict)
    isa: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    device: str = "cpu"
    ratio: Mapping[str, Any] = field(default_factory=dict)

    @property
    def precision(self) -> str:
        """What the file says of itself; of one that carries no record what its multiplications compute in."""
        if self.artifact.maker.get("part") != USER:
            return self.artifact.precision
        return "+".join(sorted(multiplied_in(self.graph.nodes)))

    @property
    def ops_us(self) -> float | None:
        """The sum of the operations; None where not all are told."""
        return total(line.us for line in self.lines if line.kind != "kernel")

    @property
    def macs(self) -> int | None:
        return total(line.macs for line in self.lines if line.kind != "kernel")

    @property
    def bytes(self) -> int | None:
        return total(line.bytes for line in self.lines if line.kind != "kernel")

    @property
    def limit_us(self) -> float | None:
        """What the multiplications would take at the machine's peak of each one's precision; None: not told."""
        return self.limit_at("gmacs")

    @property
    def limit_most_us(self) -> float | None:
        """The same at the least that the peaks may be: longer where these are not known well."""
        return self.limit_at("low")

    def limit_at(self, end: str) -> float | None:
        """The same at one end of the interval of each peak, ``"gmacs"`` or ``"low"``."""
        spent = 0.0
        for node in self.graph.nodes:
            if macs := macs_of(node):
                peak = peak_for(computes_in(node), [node], self.peaks)
                if peak is None:
                    return None
                spent += macs / peak[end] / 1e3
            elif macs is None:
                return None
        return spent or None


def lines_of(graph: Graph, profile: Profile | None, peaks: Mapping[str, Any], whole_us: float) -> tuple[Line, ...]:
    """A line for each step in the order in which they ran, without what the profiler itself takes.

    Args:
        whole_us: a whole call without a profiler.
    """
    nodes = {node.name: node for node in graph.nodes}
    if profile:
        times = [typical(step.microseconds, profile.tick) for step in profile.steps]
        cost = cost_of_profiler(times, whole_us)
        lines = [*timed(profile, [None if us is None else us - cost for us in times], nodes, graph.delegate)]
    else:
        lines = [*untimed(graph, whole_us)]
    spent = sum(line.us for line in lines if line.kind != "kernel" and line.us is not None)
    tick = profile.tick if profile else 0.0

    def completed(line: Line) -> Line:
        share = line.us / spent if line.us is not None and spent else None
        if not line.us or line.us < tick or not line.macs:
            return dataclasses.replace(line, share=share)
        gmacs = line.macs / line.us / 1e3
        peak = peak_for(line.precision, [nodes[name] for name in line.nodes if name in nodes], peaks)
        of_peak, most = (gmacs / peak["gmacs"], gmacs / peak["low"]) if peak else (None, None)
        return dataclasses.replace(line, share=share, gmacs=gmacs, of_peak=of_peak, of_peak_most=most)

    return tuple(map(completed, lines))


def peak_for(precision: str, nodes: Iterable[Node], peaks: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The peak that holds for operations that compute in a precision; None where there is none of their device."""
    if any(node.device != peaks.get("device", "cpu") for node in nodes):
        return None
    found: Mapping[str, Any] | None = peaks.get(peaks.get("holds_for", PEAKS).get(precision, ""))
    return found


def cost_of_profiler(times: Sequence[float | None], whole_us: float) -> float:
    """Microseconds that a profiler adds to each time: an equal part of what their sum is above a whole call.

    No more than the shortest one took; 0 where the sum is not above, or where not all are told.
    """
    told = [us for us in times if us is not None]
    if not told or len(told) < len(times):
        return 0.0
    return min(max((sum(told) - whole_us) / len(told), 0.0), *told)


def timed(profile: Profile, times: Sequence[float | None], nodes: Mapping[str, Node], delegate: str) -> Iterator[Line]:
    """Of each step, and above the steps of a partition one for all of it."""
    pieces = dict(profile.partitions)
    told: set[str] = set()
    for step, us in zip(profile.steps, times, strict=True):
        if step.partition and step.partition not in told:
            told.add(step.partition)
            mine = [each for other, each in zip(profile.steps, times) if other.partition == step.partition]
            inside = [nodes[name] for name in pieces.get(step.partition, ()) if name in nodes]
            yield line_of("partition", "partition", step.partition, inside, total(mine), delegate)
        computed = [nodes[name] for name in step.nodes if name in nodes]
        kind, where = ("kernel", delegate) if step.partition else ("op", "")
        yield line_of(kind, step.op, named(step), computed, us, where)


def untimed(graph: Graph, whole_us: float) -> Iterator[Line]:
    """What can be said without a profile: a delegate's only partition takes the whole call."""
    if graph.partitions == 1 and all(node.runner == graph.delegate for node in graph.nodes):
        yield line_of("partition", "partition", f"{graph.delegate} 1", graph.nodes, whole_us, graph.delegate)
        return
    for node in graph.nodes:
        yield line_of("op", node.op, node.name, [node], None, "")


def line_of(kind: str, op: str, name: str, nodes: Sequence[Node], us: float | None, where: str) -> Line:
    ways = {computes_in(node) for node in nodes} if kind != "partition" else multiplied_in(nodes)
    return Line(
        kind=kind,
        op=op,
        name=f"{name}, {len(nodes)} operations" if kind == "partition" else name.lstrip("/"),
        placement=where or ", ".join(sorted({placement(node) for node in nodes})),
        precision="+".join(sorted(ways)),
        us=us,
        macs=total(map(macs_of, nodes)) if nodes else None,
        bytes=total(map(bytes_of, nodes)) if nodes else None,
        nodes=tuple(node.name for node in nodes),
    )


def multiplied_in(nodes: Iterable[Node]) -> set[str]:
    """What the multiplications compute in, else what all else does."""
    found = {computes_in(node) for node in nodes if macs_of(node) != 0}
    return found or {way for node in nodes if (way := computes_in(node)) not in IDLE}


def named(step: Step) -> str:
    """A kernel by the operation that it computes, where that is told."""
    return step.nodes[0] if step.partition and step.nodes else step.name


def placement(node: Node) -> str:
    """Who ran it, and in which layout where its name says so."""
    runner = node.runner.removesuffix("ExecutionProvider")
    return f"{runner} NCHWc" if node.name.endswith("nchwc") else runner


def typical(times: Sequence[float], tick: float) -> float | None:
    """The median of times that were cut to whole ticks, as of grouped data; None without times.

    Below one tick the mean of what was counted, which no outlier moves by more than a tick.
    """
    if not times:
        return None
    if not tick:
        return statistics.median(times)
    if statistics.median(times) < tick:
        return statistics.fmean(min(time, tick) for time in times)
    return statistics.median_grouped([time + tick / 2 for time in times], tick)


def total(values: Iterable[Number | None]) -> Number | None:
    """None where one is not told."""
    told = list(values)
    return None if None in told else sum(value for value in told if value is not None)
