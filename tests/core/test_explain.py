"""What an operation has to do, what its time means, and what is found in that."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest

from ecgedge.api.artifact import Artifact, Classification
from ecgedge.api.graph import Graph, Node
from ecgedge.api.profile import Profile, Step
from ecgedge.api.tensors import TensorSpec
from ecgedge.cli.explain import table
from ecgedge.evaluate.macs import bytes_of, macs_of
from ecgedge.explain.explanation import Explanation, cost_of_profiler, lines_of, typical
from ecgedge.explain.findings import FINDINGS, find
from ecgedge.files import typed_json
from ecgedge.measure import gpu_peaks, peaks
from ecgedge.measure.peaks import joined

FLOAT, INT8 = "float32", "int8"
PEAKS = {"fp32": {"gmacs": 50.0, "low": 50.0}, "int8": {"gmacs": 200.0, "low": 200.0}, "size": 512, "missing": {}}


def node(
    op: str,
    shapes: tuple[tuple[int, ...], ...],
    out: tuple[int, ...],
    dtype: str = FLOAT,
    name: str = "",
    runner: str = "CPUExecutionProvider",
    constants: tuple[int, ...] = (),
) -> Node:
    return Node(name or op, op, runner, "cpu", (dtype,) * len(shapes), (dtype,), constants, shapes, (out,))


# By hand: each output value is a sum of so many products.
BY_HAND = [
    (node("Conv", ((2, 3, 140), (32, 3, 7), (32,)), (2, 32, 140)), 2 * 32 * 140 * 3 * 7),
    (node("Conv1d", ((1, 8, 20), (8, 1, 5)), (1, 8, 20)), 8 * 20 * 5),  # a group a channel
    (node("Conv", ((1, 16, 1, 72), (32, 16, 1, 7)), (1, 32, 1, 72)), 32 * 72 * 16 * 7),
    (node("ConvInteger", ((1, 4, 10), (6, 4, 3)), (1, 6, 8), INT8), 6 * 8 * 4 * 3),
    (
        node("QLinearConv", ((1, 70, 32), (), (), (16, 32, 7), (16,), (16,)), (1, 70, 16), INT8),
        70 * 16 * 32 * 7,
    ),
    (node("ConvTranspose", ((1, 8, 10), (8, 4, 2)), (1, 4, 20)), 8 * 10 * 4 * 2),
    (node("CONV_2D", ((1, 1, 140, 32), (64, 1, 9, 32)), (1, 1, 140, 64), INT8), 140 * 64 * 9 * 32),
    (node("DEPTHWISE_CONV_2D", ((1, 1, 140, 32), (1, 1, 9, 32)), (1, 1, 140, 32)), 140 * 32 * 9),
    (node("TRANSPOSE_CONV", ((4,), (4, 1, 2, 8), (1, 1, 10, 8)), (1, 1, 20, 4)), 10 * 8 * 4 * 2),
    (node("FULLY_CONNECTED", ((3, 128), (5, 128)), (3, 5), INT8), 3 * 5 * 128),
    (node("Linear", ((3, 128), (5, 128), (5,)), (3, 5)), 3 * 5 * 128),
    (node("Gemm", ((3, 128), (128, 5)), (3, 5)), 3 * 5 * 128),
    (node("Gemm", ((128, 3), (128, 5)), (3, 5)), 3 * 5 * 128),  # the first transposed
    (node("MatMul", ((4, 3, 128), (128, 5)), (4, 3, 5)), 4 * 3 * 5 * 128),
    (node("MatMul", ((128,), (128, 5)), (5,)), 5 * 128),
    (node("QLinearMatMul", ((3, 128), (), (), (128, 5)), (3, 5), INT8), 3 * 5 * 128),
    (node("Relu", ((1, 32, 140),), (1, 32, 140)), 0),
]


@pytest.mark.parametrize(("given", "macs"), BY_HAND, ids=[f"{i} {given.op}" for i, (given, _) in enumerate(BY_HAND)])
def test_multiply_accumulates_are_those_counted_by_hand(given: Node, macs: int) -> None:
    assert macs_of(given) == macs


def test_what_is_not_told_is_not_counted() -> None:
    assert macs_of(replace(BY_HAND[0][0], input_shapes=(), output_shapes=())) is None
    assert macs_of(node("LSTM", ((1, 5, 3), (1, 8, 3)), (1, 5, 2))) is None
    assert bytes_of(replace(BY_HAND[0][0], input_shapes=())) is None


def test_bytes_are_all_that_is_read_and_written() -> None:
    assert bytes_of(BY_HAND[0][0]) == 4 * (2 * 3 * 140 + 32 * 3 * 7 + 32 + 2 * 32 * 140)
    assert bytes_of(node("CONV_2D", ((1, 1, 140, 32), (64, 1, 9, 32)), (1, 1, 140, 64), INT8)) == (
        140 * 32 + 64 * 9 * 32 + 140 * 64
    )


def test_a_time_that_was_cut_to_whole_ticks_is_half_a_tick_more() -> None:
    assert typical((), 1.0) is None
    assert typical((3.2, 3.4, 90.0), 0.0) == 3.4
    assert typical((7.0,) * 10, 1.0) == 7.5
    assert typical((7.0,) * 5 + (8.0,) * 5, 1.0) == 8.0
    assert typical((0.0,) * 9 + (5000.0,), 1.0) == pytest.approx(0.1)  # one was interrupted


def test_what_a_profiler_adds_is_taken_off_so_that_the_sum_is_the_whole_call() -> None:
    assert cost_of_profiler((10.0, 20.0, 30.0), 45.0) == 5.0
    assert cost_of_profiler((2.0, 20.0, 30.0), 30.0) == 2.0  # the rest is noise
    assert cost_of_profiler((10.0, 20.0), 45.0) == 0.0
    assert cost_of_profiler((10.0, None), 5.0) == 0.0
    assert cost_of_profiler((9.0,), 5.0) == 4.0
    first = explained(Graph((BY_HAND[0][0], SAFE), None), whole_us=12.0).lines[0]
    assert (first.us, first.share) == (6.0, 0.5)


def tflite(*nodes: Node, partitions: int = 1, free_batch: bool = False) -> Graph:
    return Graph(nodes, None, partitions, "XNNPACK", INT8, INT8, free_batch)


def explained(
    graph: Graph,
    profile: Profile | None = None,
    precision: str = "full-int8",
    format: str = "tflite",
    whole_us: float = 100.0,
    peaks: dict = PEAKS,
    **more: object,
) -> Explanation:
    spec = TensorSpec("x", (1, 1, 140), FLOAT, "NCL")
    artifact = Artifact(Path(f"net.{format}"), format, precision, Classification(("a", "b")), spec, spec, "net")
    lines = lines_of(graph, profile or even(graph), peaks, whole_us)
    return Explanation(artifact, "any", graph, lines, whole_us, peaks=peaks, **more)  # type: ignore[arg-type]


def even(graph: Graph) -> Profile:
    """Each operation took 10 us."""
    return Profile(tuple(Step(n.op, n.name, (n.name,), (10.0,)) for n in graph.nodes))


def told(explanation: Explanation) -> dict[str, str]:
    found = find(explanation)
    assert all(finding.text and finding.name for finding in found)
    return {finding.name: f"{finding.text} | {finding.remedy}" for finding in found}


CONV = node("CONV_2D", ((1, 1, 140, 32), (64, 1, 9, 32)), (1, 1, 140, 64), INT8, "CONV_2D 0", "XNNPACK")
JOIN = node("CONCATENATION", ((1, 140, 64),) * 2, (1, 140, 128), INT8, "CONCATENATION 1", "XNNPACK")
RELU = node("RELU", ((1, 140, 128),), (1, 140, 128), INT8, "RELU 2", "LiteRT")
SAFE = node("Relu", ((1, 32, 140),), (1, 32, 140))


def test_a_partition_is_a_line_with_the_sum_of_its_kernels_below_it() -> None:
    kernels = (
        Step("Convolution", "kernel 0", ("CONV_2D 0",), (12.9, 12.9), "XNNPACK 1"),
        Step("Copy", "kernel 1", (), (3.1, 3.1), "XNNPACK 1"),
        Step("RELU", "RELU 2", ("RELU 2",), (4.0, 4.0)),
    )
    profile = Profile(kernels, (21.0, 21.0), partitions=(("XNNPACK 1", ("CONV_2D 0", "CONCATENATION 1")),))
    e = explained(tflite(CONV, JOIN, RELU), profile, whole_us=20.0)
    assert [(line.kind, line.placement, line.us) for line in e.lines] == [
        ("partition", "XNNPACK", 16.0),
        ("kernel", "XNNPACK", 12.9),
        ("kernel", "XNNPACK", 3.1),
        ("op", "LiteRT", 4.0),
    ]
    macs = 140 * 64 * 9 * 32
    piece, conv, copy, relu = e.lines
    assert (piece.macs, conv.macs, copy.macs, relu.macs, e.macs) == (macs, macs, None, 0, macs)
    assert piece.precision == conv.precision == INT8
    assert (e.ops_us, piece.share, relu.share) == (20.0, 0.8, 0.2)
    assert conv.gmacs == pytest.approx(macs / 12.9e3) and conv.of_peak == pytest.approx(macs / 12.9e3 / 200)
    assert e.limit_us == pytest.approx(macs / 200e3)


def test_without_a_profile_the_only_partition_takes_the_whole_call() -> None:
    inside = tflite(CONV, JOIN)
    [line] = lines_of(inside, None, PEAKS, 50.0)
    assert (line.kind, line.us, line.macs) == ("partition", 50.0, 140 * 64 * 9 * 32)
    assert [line.us for line in lines_of(tflite(CONV, JOIN, RELU), None, PEAKS, 50.0)] == [None] * 3
    assert "limit" not in told(replace(explained(inside), peaks={}))  # no limit without a peak


def test_a_profile_comes_back_from_the_child_as_it_went() -> None:
    profile = Profile((Step("Conv", "a", ("a",), (1.0, 2.0), "p"),), (3.0,), 1.0, (("p", ("a",)),))
    record = {
        "steps": [{"op": "Conv", "name": "a", "nodes": ["a"], "microseconds": [1.0, 2.0], "partition": "p"}],
        "calls": [3.0], "tick": 1.0, "partitions": [["p", ["a"]]],
    }  # fmt: skip
    assert typed_json.read(Profile, record) == profile


def test_a_relu_behind_a_concatenation_outside_the_delegate() -> None:
    text = told(explained(tflite(CONV, JOIN, RELU, partitions=2)))["relu_after_concat"]
    assert "RELU after CONCATENATION is outside the delegate (1 of them, 33% of the time), which falls in 2" in text
    assert text.endswith("pass relu_into_concat: ecgedge convert SOURCE --to tflite --quantize full-int8")
    applied = explained(tflite(CONV, JOIN, RELU))
    applied = replace(applied, artifact=replace(applied.artifact, passes=("relu_into_concat",)))
    assert told(applied)["relu_after_concat"].endswith(" | ")  # it was tried, and did not help
    assert "relu_after_concat" not in told(explained(tflite(CONV, JOIN, replace(RELU, runner="XNNPACK"))))
    assert "relu_after_concat" not in told(explained(tflite(CONV, RELU)))  # behind something else
    outside = told(explained(tflite(CONV, replace(RELU, runner="Acme"))))["outside_delegate"]
    assert "1 RELU is outside the delegate, in Acme's own kernels" in outside


def test_a_free_batch_that_splits_the_graph() -> None:
    text = told(explained(tflite(CONV, RELU, partitions=5, free_batch=True)))["free_batch"]
    assert "1 of 2 operations are outside the delegate, in 5 partitions" in text and "fix_batch" in text
    assert "free_batch" not in told(explained(tflite(CONV, free_batch=True)))


def test_dynamic_convolutions_that_are_slow() -> None:
    conv = node("ConvInteger", ((1, 4, 10), (6, 4, 3)), (1, 6, 8), INT8)
    found = told(explained(Graph((conv, SAFE), None), None, "dynamic", "onnx"))
    assert "ConvInteger, slow here: 1 of them take 50%" in found["integer_conv"]
    assert found["integer_conv"].endswith("use full-int8: ecgedge convert SOURCE --to onnx --quantize full-int8")
    quick = node("ConvInteger", ((1, 512, 140), (512, 512, 3)), (1, 512, 140), INT8)
    assert "integer_conv" not in told(explained(Graph((quick,), None), None, "dynamic", "onnx"))  # beyond any peak


def test_findings_respect_a_peak_that_is_not_known_well() -> None:
    """At 40% of the highest peak and 80% of the least: it may be slow, or not, so it is not said."""
    conv = node("ConvInteger", ((1, 64, 100), (64, 64, 10)), (1, 64, 100), INT8)
    rate = 64 * 100 * 64 * 10 / 10e3  # GMAC/s: it takes 10 us

    def of(highest: float, least: float) -> Explanation:
        peaks = {**PEAKS, "int8": {"gmacs": highest, "low": least}}
        return explained(Graph((conv, SAFE), None), None, "dynamic", "onnx", peaks=peaks)

    assert "at 40% of the int8 peak" in told(of(rate / 0.4, rate / 0.4))["integer_conv"]
    assert "at 40% to 45% of the int8 peak" in told(of(rate / 0.4, rate / 0.45))["integer_conv"]
    unknown = told(of(rate / 0.4, rate / 0.8))
    assert "integer_conv" not in unknown
    assert "at 40% to 80% of the int8 peak" in unknown["slowest"]
    limit = re.search(r"within (\S+)x to (\S+)x of this machine's limit", unknown["limit"])
    assert limit and float(limit[2]) == pytest.approx(2 * float(limit[1]), rel=0.01)


def test_a_range_is_one_value_where_rounding_leaves_one() -> None:
    """A product of 1,000 in 10 us, 0.1 GMAC/s: of peaks of 25 to 100 GMAC/s that is 0.1% to 0.4%."""
    tiny, move = node("MatMul", ((1, 10), (10, 100)), (1, 100)), node("Transpose", ((1, 10),), (10, 1))

    def of(highest: float, least: float) -> Explanation:
        peaks = {**PEAKS, "fp32": {"gmacs": highest, "low": least}}
        return explained(Graph((tiny, move), None), None, "fp32", "onnx", whole_us=20.0, peaks=peaks)

    last = {name: [line.split()[-1] for line in table(of(*ends)).splitlines()[-4:]]
            for name, ends in {"small": (100, 25), "alike": (22, 20.5), "apart": (10, 2)}.items()}  # fmt: skip
    assert [last[name][0] for name in last] == ["<1%", "<1%", "1-5%"]
    assert [last[name][-1] for name in last] == ["<1%", "<1%", "0-2%"], "of the whole call"
    slowest = {highest: told(of(highest, low))["slowest"] for highest, low in ((100, 25), (10, 2))}
    assert "at under 1% of the float32 peak" in slowest[100] and "at 1% to 5% of the float32 peak" in slowest[10]
    assert "would take under 0.1 of the 20.0 us" in told(of(100, 25))["limit"]
    assert "would take 0.1 to 0.5 of the 20.0 us" in told(of(10, 2))["limit"]
    quick = explained(Graph((*[BY_HAND[2][0]] * 300, move), None), None, "fp32", "onnx")
    assert "<1%" in table(quick) and " 0% " not in table(quick)


def test_two_measurements_of_a_peak_become_an_interval() -> None:
    def measured(gmacs: float, low: float) -> dict:
        return {"fp32": {"gmacs": gmacs, "low": low, "median": low, "calls": 10, "by": "numpy matmul"}, "missing": {}}

    steady = joined(measured(67.5, 66.9), measured(67.1, 66.0))["fp32"]
    assert (steady["gmacs"], steady["low"], steady["calls"]) == (67.5, 66.9, 20)
    # each of the two was steady in itself, and the machine was slowed down through the whole of one
    moved = joined(measured(37.6, 37.2), measured(67.5, 66.9))["fp32"]
    assert (moved["gmacs"], moved["low"]) == (67.5, 37.2)
    assert joined(measured(67.5, 66.9), measured(37.6, 37.2))["fp32"]["low"] == 37.2
    assert "int8" not in joined(measured(1, 1), {"missing": {"int8": "needs onnx"}})


@pytest.mark.parametrize(
    ("speeds", "agree"),
    [
        (cycle((1.0, 0.55)), True),  # a neighbour that takes half of the core, half of the time
        (cycle((1.0, 0.97, 0.99)), True),  # noise
        (iter([1.02**-n for n in range(100, -1, -1)]), False),  # a clock that goes up all the while
    ],
)
def test_a_peak_is_measured_until_its_fastest_blocks_agree(
    monkeypatch: pytest.MonkeyPatch, speeds: Iterator[float], agree: bool
) -> None:
    now, calls, speed = 0.0, 0, 1.0

    def product() -> None:
        nonlocal now, calls, speed
        speed = next(speeds) if calls % 5 == 0 else speed
        calls += 1
        now += 0.0025 / speed

    monkeypatch.setattr(peaks, "perf_counter", lambda: now)
    found = peaks.rate(product)
    assert peaks.known(found["low"], found["gmacs"]) is agree
    assert now < 5
    if agree:
        assert found["gmacs"] == pytest.approx(512**3 / 0.0025 / 1e9, rel=0.01)


def test_float_convolutions_of_one_dimension() -> None:
    one, two = BY_HAND[0][0], BY_HAND[2][0]
    assert "pass conv_to_2d" in told(explained(Graph((one, SAFE), None), None, "fp32", "onnx"))["conv_of_one_dimension"]
    assert "conv_of_one_dimension" not in told(explained(Graph((two, SAFE), None), None, "fp32", "onnx"))


def test_a_batch_norm_that_is_not_folded() -> None:
    norm = node("BatchNormalization", ((1, 8, 20), (8,), (8,), (8,), (8,)), (1, 8, 20))
    assert "fold_norms" in told(explained(Graph((norm, SAFE), None), None, "fp32", "onnx"))["unfolded_norms"]
    scaled = [node(op, ((1, 140, 128), (128,)), (1, 140, 128), INT8, op, "XNNPACK", (0, 128)) for op in ("MUL", "ADD")]
    assert "1 MUL, 1 ADD take 100%" in told(explained(tflite(*scaled)))["unfolded_norms"]
    both = [replace(one, constants=(0, 0)) for one in scaled]  # of two values that are computed
    assert "unfolded_norms" not in told(explained(tflite(*both)))


def test_an_upsampling_that_gathers() -> None:
    gather = node("GATHER", ((1, 36, 16), (72,)), (1, 72, 16), FLOAT, "GATHER 1", "LiteRT")
    found = explained(tflite(CONV, gather))
    assert "pass upsample_to_concat" in told(found)["gathered_upsampling"]
    idle = replace(found, artifact=replace(found.artifact, notes={"idle": ["upsample_to_concat"]}))
    assert told(idle)["gathered_upsampling"].endswith(" | ")  # it was tried, and changed nothing


def test_a_gather_of_the_last_sample_is_no_upsampling() -> None:
    last = node("GATHER", ((1, 140, 16), (1,)), (1, 1, 16), FLOAT, "GATHER 1", "LiteRT")
    dropped = node("GATHER", ((1, 140, 16), ()), (1, 16), FLOAT, "GATHER 2", "LiteRT")
    shrunk = node("RESIZE_BILINEAR", ((1, 1, 140, 16), (2,)), (1, 1, 70, 16), FLOAT, "RESIZE 3", "LiteRT")
    for one in (last, dropped, shrunk):
        assert "gathered_upsampling" not in told(explained(tflite(CONV, one)))


def test_float_between_int8_operations() -> None:
    conv = node("QLinearConv", ((1, 70, 32), (), (), (16, 32, 7)), (1, 70, 16), INT8)
    out = Node("dq", "DequantizeLinear", "CPUExecutionProvider", "cpu", (INT8,), (FLOAT,))
    mean = node("ReduceMean", ((1, 16, 70),), (1, 16))
    last = replace(conv, name="last")
    found = told(explained(Graph((conv, out, mean, last), None), None, "full-int8", "onnx"))["float_islands"]
    assert "1 ReduceMean between int8 operations computes in float32" in found and "takes 50%" in found
    assert "pass mean_to_pool" in found
    assert "float_islands" not in told(explained(Graph((conv, last, out, mean), None), None, "full-int8", "onnx"))


def test_float16_weights_multiplied_in_float32() -> None:
    graph = Graph((BY_HAND[2][0],), None)
    assert "float16_weights" in told(explained(graph, None, "fp16", "onnx"))
    assert "float16_weights" not in told(explained(graph, None, "fp32", "onnx"))


def test_a_processor_without_8_bit_dot_products() -> None:
    assert "no_dot_products" in told(explained(tflite(CONV), isa=("avx2",)))
    assert "no_dot_products" not in told(explained(tflite(CONV), isa=("avx2", "avx512_vnni")))
    assert "no_dot_products" not in told(explained(tflite(CONV)))  # not told


def test_moves_the_slowest_and_the_limit() -> None:
    move = node("Transpose", ((1, 3, 5),), (1, 5, 3))
    found = told(explained(Graph((BY_HAND[2][0], move), None), None, "fp32", "onnx"))
    assert "takes 50% of the time (Transpose 50%)" in found["moving_data"]
    assert "50%, at 52% of the float32 peak" in found["slowest"]
    limit = 32 * 72 * 16 * 7 / 50e3
    assert f"within {100 / limit:.1f}x of this machine's limit" in found["limit"]


def test_a_ratio_is_told_with_the_first_cause_where_there_is_no_gain() -> None:
    slower = {
        "against": "f.tflite", "precision": "fp32", "ratio": 1.05, "low": 1.02, "high": 1.08, "result": "slower",
    }  # fmt: skip
    e = explained(tflite(CONV, JOIN, RELU, partitions=2), ratio=slower)
    [first, *others] = find(e)
    assert first.text.startswith("full-int8 is 1.05x fp32 [1.02, 1.08]: RELU after CONCATENATION is outside")
    assert all("RELU" not in finding.text or finding.name == "slowest" for finding in others)
    gained = find(replace(e, ratio=slower | {"ratio": 0.3, "low": 0.29, "high": 0.31, "result": "faster"}))
    assert gained[0].text == "full-int8 is 0.30x fp32 [0.29, 0.31]" and "RELU" in gained[1].text
    tie = find(explained(tflite(CONV), ratio=slower | {"ratio": 1.0, "low": 0.99, "high": 1.01, "result": "tie"}))
    assert tie[0].text == "full-int8 is 1.00x fp32 [0.99, 1.01], a tie"
    [odd, *_] = find(replace(e, ratio=slower | {"result": "unsteady"}))
    assert "unsteady" in odd.text and "outside the delegate" not in odd.text, "no cause of what cannot be told"
    assert all(finding.name != "ratio" for finding in find(explained(tflite(CONV))))  # never invented


GPU_PEAKS = {
    "fp32": {"gmacs": 25_000.0, "low": 25_000.0},
    "tf32": {"gmacs": 200_000.0, "low": 200_000.0},
    "fp16": {"gmacs": 400_000.0, "low": 400_000.0},
    "device": "cuda", "holds_for": {"float32": "fp32", "float16": "fp16"}, "size": 8192, "missing": {},
}  # fmt: skip


def on_gpu(dtype: str = FLOAT, device: str = "cuda") -> Node:
    """A product of 64 x 1,000 x 1,000: 64 million multiply-accumulates."""
    made = node("MatMul", ((64, 1000), (1000, 1000)), (64, 1000), dtype, f"{dtype} {device}")
    return replace(made, device=device, runner="CUDAExecutionProvider" if device == "cuda" else "CPUExecutionProvider")


def test_a_gpu_is_held_against_its_own_peak() -> None:
    """64 million products in 10 us are 6,400 GMAC/s; what it left to the processor is held against nothing."""
    nodes = (on_gpu(), on_gpu("float16"), on_gpu(device="cpu"), on_gpu("int8"))
    profile = Profile(tuple(Step(n.op, n.name, (n.name,), (10.0,)) for n in nodes), (40.0,))
    graph = Graph(nodes, None)

    def of_peaks(peaks: dict) -> list[float | None]:
        return [line.of_peak for line in lines_of(graph, profile, peaks, 40.0)]

    assert of_peaks(GPU_PEAKS) == pytest.approx([6400 / 25_000, 6400 / 400_000, None, None])
    in_tf32 = GPU_PEAKS | {"holds_for": {"float32": "tf32", "float16": "fp16"}}
    assert of_peaks(in_tf32) == pytest.approx([6400 / 200_000, 6400 / 400_000, None, None])
    assert of_peaks(PEAKS) == pytest.approx([None, None, 6400 / 50, None]), "never against the processor's"
    whole = Explanation(None, "cuda", Graph(nodes[:2], None), (), 40.0, peaks=GPU_PEAKS, device="cuda")
    assert whole.limit_us == pytest.approx(64e6 / 25e12 * 1e6 + 64e6 / 400e12 * 1e6)
    assert replace(whole, graph=graph).limit_us is None


def test_no_advice_for_a_processor_on_a_gpu() -> None:
    """Neither int8, which its provider has not, nor layouts and instructions of the processor."""
    conv = node("Conv", ((1, 16, 72), (32, 16, 7)), (1, 32, 72))
    integer = node("ConvInteger", ((1, 4, 10), (6, 4, 3)), (1, 6, 8), INT8)
    lines = lines_of(Graph((conv, integer), None), None, {}, 40.0)
    artifact = Artifact(
        Path("m.onnx"), "onnx", "dynamic", Classification(("a",)), *(TensorSpec("x", (1, 1, 8), FLOAT, "NCL"),) * 2, "m"
    )
    here = Explanation(artifact, "cpu", Graph((conv, integer), None), lines, 40.0)
    told = {device: find(replace(here, device=device)) for device in ("cpu", "cuda")}
    names = {device: [finding.name for finding in found] for device, found in told.items()}
    assert "conv_of_one_dimension" in names["cpu"] and "conv_of_one_dimension" not in names["cuda"]
    remedies = {device: "".join(finding.remedy for finding in found) for device, found in told.items()}
    assert "full-int8" in remedies["cpu"] and "full-int8" not in remedies["cuda"]


def test_the_peak_of_a_gpu_is_measured_until_its_fastest_blocks_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product of 8,192 x 8,192 matrices in a millisecond: 8,192 to the power of 3 in 0.001 s."""
    monkeypatch.setattr(gpu_peaks, "timed", lambda product: [0.002, 0.001])
    assert gpu_peaks.rate(lambda: None) == {
        "gmacs": 549_755.8, "low": 549_755.8, "median": round(8192**3 / 0.0015 / 1e9, 1), "calls": 12,
    }  # fmt: skip
    times = [0.001 * 1.1**i for i in range(gpu_peaks.BLOCKS_MOST)]  # each block slower than the one before
    coming = iter(times)
    monkeypatch.setattr(gpu_peaks, "timed", lambda product: [next(coming)])
    found = gpu_peaks.rate(lambda: None)
    assert (found["gmacs"], found["calls"]) == (549_755.8, len(times))
    assert found["low"] == pytest.approx(8192**3 / statistics.median(times) / 1e9, abs=0.1)


def test_without_a_gpu_none_of_its_peaks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_peaks, "find_spec", lambda name: None)
    told = gpu_peaks.measure_gpu_peaks("tf32")
    assert told["holds_for"] == {"float32": "tf32", "float16": "fp16"} and not {"fp32", "tf32", "fp16"} & set(told)
    assert set(told["missing"]) == {"fp32", "tf32", "fp16"}
    why = "none was measured on this GPU: torch is not installed, onnxruntime is not installed"
    assert set(told["missing"].values()) == {why}


def test_each_finding_has_a_test_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [check.__name__ for check in FINDINGS if f'"{check.__name__}"' not in text] == []
