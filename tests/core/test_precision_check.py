"""What each precision and device claims, and each way to break it, on graphs made by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ecgedge import Graph, Node, Weight
from ecgedge.testing import judge_graph as judge

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def node(op: str, takes: str, gives: str, constants: tuple[int, ...] = (), device: str = "cpu") -> Node:
    """``takes`` and ``gives``: dtypes by their first letters: f32, f16, i8, u8, i32, i64."""
    runner = CUDA if device == "cuda" else CPU
    return Node(f"{op.lower()}-1", op, runner, device, dtypes(takes), dtypes(gives), constants)


def dtypes(text: str) -> tuple[str, ...]:
    kinds = {"f": "float", "i": "int", "u": "uint"}
    return tuple(kinds[word[0]] + word[1:] for word in text.split())


def weights(**sizes: int) -> tuple[Weight, ...]:
    """Bytes by dtype; a dtype may be named again with a suffix: ``float32_bias``."""
    return tuple(Weight(name, name.split("_")[0], size, f"digest of {name}") for name, size in sizes.items())


CONV = node("Conv", "f32 f32 f32", "f32", (0, 12288, 64))
RELU = node("Relu", "f32", "f32", (0,))
QLINEAR = node("QLinearConv", "u8 f32 u8 i8 f32 i8 f32 u8 i32", "u8", (0, 1, 1, 12288, 64, 64, 1, 1, 64))
QUANTIZE = node("QuantizeLinear", "f32 f32 u8", "u8", (0, 1, 1))
DEQUANTIZE = node("DequantizeLinear", "u8 f32 u8", "f32", (0, 1, 1))
DYNAMIC = node("DynamicQuantizeLinear", "f32", "u8 f32 u8", (0,))
INTEGER = node("ConvInteger", "u8 u8 u8 u8", "i32", (0, 12288, 0, 1))
HYBRID = node("CONV_2D", "f32 i8 f32", "f32", (0, 12288, 64))
INT8_TFLITE = node("CONV_2D", "i8 i8 i32", "i8", (0, 12288, 64))

FP32 = Graph((CONV, RELU), weights(float32=49152, float32_bias=256, int64=24))
FP16 = Graph((CONV, RELU), weights(float16=24576, float16_bias=128))
ONNX_DYNAMIC = Graph((DYNAMIC, INTEGER, node("Cast", "i32", "f32"), RELU), weights(uint8=12288, float32_bias=256))
ONNX_INT8 = Graph((QUANTIZE, QLINEAR, DEQUANTIZE), weights(int8=12288, int32=256, float32_scale=256, int64=4000))
LITE_DYNAMIC = Graph((HYBRID, RELU), weights(int8=12288, float32_bias=256), 1, CPU)
LITE_INT8 = Graph(
    (INT8_TFLITE, node("RESHAPE", "i8 i32", "i8")), weights(int8=12288, int32=256), 1, CPU, "int8", "int8"
)


@pytest.mark.parametrize(
    ("precision", "graph"),
    [
        ("fp32", FP32),
        ("fp16", FP16),
        ("dynamic", ONNX_DYNAMIC),
        ("dynamic", LITE_DYNAMIC),
        ("dynamic", ONNX_INT8),  # more than it claims
        ("full-int8", ONNX_INT8),
        ("full-int8", LITE_INT8),
    ],
)
def test_an_honest_file_is_ok(precision: str, graph: Graph) -> None:
    verdict = judge(graph, precision, "cpu", FP32)
    assert (verdict["status"], verdict["reason"], verdict["precision_check"]) == ("ok", "", "checked")
    json.dumps(verdict, allow_nan=False)


@pytest.mark.parametrize(
    ("precision", "graph", "reason"),
    [
        ("fp32", ONNX_INT8, "fp32: its weights are 96% int8"),
        ("fp32", FP16, "fp32: its weights are 100% float16"),
        ("fp16", FP32, "fp16: it has no float16 weights"),
        ("fp16", ONNX_INT8, "fp16: it has no float16 weights"),
        ("dynamic", FP32, "dynamic: it has no int8 weights; float weights are multiplied by conv-1"),
        ("full-int8", FP32, "full-int8: it has no int8 weights"),
        ("full-int8", FP32, "conv-1, relu-1 compute in float"),
        ("full-int8", ONNX_DYNAMIC, "(this is dynamic) by dynamicquantizelinear-1"),
        ("full-int8", LITE_DYNAMIC, "(this is dynamic) by conv_2d-1"),
    ],
)
def test_a_file_of_another_precision_is_rejected(precision: str, graph: Graph, reason: str) -> None:
    verdict = judge(graph, precision, "cpu")
    assert verdict["status"] == "rejected"
    assert reason in verdict["reason"]


def test_nine_tenths_of_the_weight_bytes_must_be_what_is_claimed() -> None:
    for precision, dtype, graph in (("fp16", "float16", FP16), ("dynamic", "int8", ONNX_DYNAMIC)):
        enough = replace(graph, weights=weights(**{dtype: 90_000, "float32_large": 10_000}))
        assert judge(enough, precision, "cpu")["status"] == "ok"
        short = replace(graph, weights=weights(**{dtype: 89_900, "float32_large": 10_100}))
        verdict = judge(short, precision, "cpu")
        assert (verdict["status"], verdict["precision_check"]) == ("rejected", "checked")
        assert verdict["reason"] == f"{precision}: its weights are 90% {dtype}, 10% float32: float32_large"
        assert verdict["weight_shares"] == {dtype: 0.899, "float32": 0.101}


def test_biases_in_int32_are_of_the_integer_side() -> None:
    verdict = judge(replace(LITE_INT8, weights=weights(int8=8000, int32=1500, float32_large=500)), "full-int8", "cpu")
    assert (verdict["status"], verdict["weight_shares"]["int32"]) == ("ok", 0.15)
    alone = judge(replace(LITE_INT8, weights=weights(int32=1500)), "full-int8", "cpu")
    assert alone["reason"] == "full-int8: it has no int8 weights"


def test_float_tensors_below_1024_elements_are_left_out_but_named() -> None:
    small, large = weights(float32_small=4092, int8=1000), weights(float32_large=4096, int8=1000)
    verdict = judge(replace(LITE_DYNAMIC, weights=small), "dynamic", "cpu")
    assert verdict["status"] == "ok"
    assert verdict["exempt"] == [{"name": "float32_small", "bytes": 4092}]
    verdict = judge(replace(LITE_DYNAMIC, weights=large), "dynamic", "cpu")
    assert (verdict["status"], verdict["exempt"]) == ("rejected", [])
    tiny = judge(replace(LITE_DYNAMIC, weights=weights(float32_small=4092)), "dynamic", "cpu")
    assert tiny["reason"] == "dynamic: it has no int8 weights"
    assert judge(replace(FP16, weights=weights(float16=2044, float32_small=4092)), "fp16", "cpu")["status"] == "ok"
    assert (
        judge(replace(FP16, weights=weights(float16=2048, float32_large=4096)), "fp16", "cpu")["status"] == "rejected"
    )


def test_small_float_multiplications_are_no_break_of_dynamic() -> None:
    small, large = (node("CONV_2D", "f32 f32 f32", "f32", (0, size, 8)) for size in (1023, 1024))
    assert judge(replace(LITE_DYNAMIC, nodes=(HYBRID, small)), "dynamic", "cpu")["status"] == "ok"
    assert judge(replace(LITE_DYNAMIC, nodes=(HYBRID, large)), "dynamic", "cpu")["status"] == "rejected"
    attention = node("MatMul", "f32 f32", "f32", (0, 0))  # of two activations
    assert judge(replace(LITE_DYNAMIC, nodes=(HYBRID, attention)), "dynamic", "cpu")["status"] == "ok"


def test_where_constants_are_not_told_every_multiplication_must_take_8_bits() -> None:
    for takes, status in (("f32 i8 f32", "ok"), ("f32 f32 f32", "rejected")):
        graph = replace(LITE_DYNAMIC, nodes=(node("CONV_2D", takes, "f32"),))
        assert judge(graph, "dynamic", "cpu")["status"] == status


@pytest.mark.parametrize("op", ["Cast", "DequantizeLinear", "DEQUANTIZE"])
def test_int8_weights_that_become_float_again_are_a_fake(op: str) -> None:
    back = node(op, "i8", "f32", (12288,))
    computed = node("Conv", "f32 f32 f32", "f32", (0, 0, 64))
    for precision in ("dynamic", "full-int8"):
        verdict = judge(Graph((back, computed), weights(int8=12288)), precision, "cpu")
        assert f"int8 weights are turned back into float by {back.name}" in verdict["reason"]
    assert judge(replace(ONNX_INT8, nodes=(*ONNX_INT8.nodes, DEQUANTIZE)), "full-int8", "cpu")["status"] == "ok"


@pytest.mark.parametrize("op", ["ReduceMean", "BatchNormalization", "MaxPool", "MEAN", "Conv", "HARD_SWISH"])
def test_one_float_operation_breaks_full_int8(op: str) -> None:
    graph = replace(ONNX_INT8, nodes=(QUANTIZE, QLINEAR, DEQUANTIZE, node(op, "f32", "f32", (0,)), QUANTIZE))
    verdict = judge(graph, "full-int8", "cpu")
    assert verdict["reason"] == f"full-int8: {op.lower()}-1 computes in float"
    assert verdict["float_ops"] == [f"{op.lower()}-1"]


@pytest.mark.parametrize("op", ["Reshape", "Transpose", "STRIDED_SLICE", "EXPAND_DIMS", "ReorderInput", "Cast"])
def test_moving_floats_is_not_computing(op: str) -> None:
    graph = replace(ONNX_INT8, nodes=(*ONNX_INT8.nodes, node(op, "f32", "f32", (0,))))
    verdict = judge(graph, "full-int8", "cpu")
    assert verdict["status"] == "ok"
    assert verdict["computes"] == {"quantizes": 2, "int8": 1, "moves": 1}


def test_an_integer_multiplication_may_give_float_where_it_takes_8_bits_only() -> None:
    """As onnxruntime's QGemm at the end of a graph; one that takes float quantizes it while it runs."""
    for takes, status in (("u8 f32 u8 i8 f32 i8 i32", "ok"), ("f32 i8 f32", "rejected")):
        graph = replace(ONNX_INT8, nodes=(QUANTIZE, QLINEAR, node("QGemm", takes, "f32")))
        assert judge(graph, "full-int8", "cpu")["status"] == status


def test_only_a_multiplication_by_weights_computes_in_the_type_of_its_inputs() -> None:
    scaled = node("Mul", "u8 f32", "f32", (0, 1))
    assert judge(replace(ONNX_INT8, nodes=(QUANTIZE, QLINEAR, scaled)), "full-int8", "cpu")["float_ops"] == ["mul-1"]


def test_a_reason_names_three_nodes_and_the_row_all() -> None:
    floats = tuple(replace(RELU, name=f"relu-{i}") for i in range(7))
    verdict = judge(replace(ONNX_INT8, nodes=floats), "full-int8", "cpu")
    assert verdict["reason"] == "full-int8: relu-0, relu-1, relu-2 and 4 more compute in float"
    [fault] = verdict["faults"]
    assert (fault["names"], fault["about"]) == ([f"relu-{i}" for i in range(7)], "full-int8")


def test_a_reason_with_several_faults_is_one_line_with_three_names() -> None:
    """As the CUDA provider runs a QDQ file: all weights come back to float, everything computes in it."""
    back = tuple(replace(DEQUANTIZE, name=f"back-{i}", takes=("int8", "float32"), constants=(12288, 1)) for i in "ab")
    floats = tuple(replace(CONV, name=f"features/features.{i}/Conv_token_{i}") for i in range(30))
    verdict = judge(replace(ONNX_INT8, nodes=(*back, *floats)), "full-int8", "cpu")
    first = ", ".join(node.name for node in floats[:3])
    assert verdict["reason"] == (
        f"full-int8: float weights are multiplied by {first} and 27 more (Conv); int8 weights are turned back into "
        "float by 2 operations (DequantizeLinear); 30 operations (Conv) compute in float"
    )
    assert [len(fault["names"]) for fault in verdict["faults"]] == [30, 2, 30]
    assert verdict["faults"][1]["ops"] == ["DequantizeLinear"] * 2
    assert "faults" not in judge(FP32, "fp32", "cpu")


@pytest.mark.parametrize(
    ("called", "told"),
    [
        ({"node_gru__1": "GRU"}, "node_gru__1 (GRU) computes in float"),
        ({"/layer/GRU": "GRU"}, "/layer/GRU computes in float"),
        ({"node_conv": "ConvTranspose", "a": "Relu"}, "node_conv, a (ConvTranspose, Relu) compute in float"),
        ({"a": "Erf", "b/Erf": "Erf", "c": "Mul", "d": "Add"}, "a, b/Erf, c and 1 more (Mul, Add) compute in float"),
        (dict(zip("abcde", ("Exp", "Add", "Mul", "Sub", "Div"))), "a, b, c and 2 more (Exp, Add, Mul and 2 more) "),
    ],
)
def test_a_reason_tells_the_types_that_names_do_not(called: dict[str, str], told: str) -> None:
    nodes = tuple(replace(RELU, name=name, op=op) for name, op in called.items())
    assert judge(replace(ONNX_INT8, nodes=nodes), "full-int8", "cpu")["reason"].startswith(f"full-int8: {told}")


def test_the_weights_of_the_parent_under_another_name() -> None:
    renamed = tuple(replace(weight, name=f"q_{weight.name}") for weight in FP32.weights or ())
    same = replace(FP32, weights=renamed)
    verdict = judge(same, "int4", "cpu", FP32)
    assert (verdict["status"], verdict["reason"]) == (
        "rejected",
        "int4: its weights are equal to those of its fp32 parent",
    )
    assert judge(same, "fp32", "cpu", FP32)["status"] == "ok"
    for changed in ({"digest": "another"}, {"size_bytes": 24576}, {"dtype": "float16"}):
        other = replace(FP32, weights=(replace(renamed[0], **changed), *renamed[1:]))
        verdict = judge(other, "int4", "cpu", FP32)
        assert (verdict["status"], verdict["precision_check"]) == ("ok", "compared with its fp32 parent only")
    alone = judge(same, "int4", "cpu")
    assert (alone["status"], alone["precision_check"]) == ("ok", "not checked: nothing is known of 'int4'")


def test_a_device_that_computes_nothing() -> None:
    copies = (node("MemcpyFromHost", "f32", "f32", device="cuda"), node("Reshape", "f32 i64", "f32", device="cuda"))
    on_cpu = replace(FP32, nodes=(*copies, CONV, RELU))
    verdict = judge(on_cpu, "fp32", "cuda")
    assert (verdict["status"], verdict["reason"]) == ("rejected", "cuda: all 2 computing nodes ran on the CPU")
    assert verdict["placed"] == {"cuda": 2, "cpu": 2}
    partly = judge(replace(FP32, nodes=(replace(CONV, device="cuda", runner=CUDA), RELU)), "fp32", "cuda")
    assert (partly["status"], partly["placement"]) == ("ok", f"1/2 {CUDA}, 1/2 {CPU}")
    assert judge(on_cpu, "fp32", "cpu")["status"] == "ok"
    assert (partly["status"], "faults" in partly) == ("ok", False)
    elsewhere = replace(FP32, nodes=(replace(CONV, device="npu"),))
    assert judge(elsewhere, "fp32", "cpu")["status"] == "ok", "the CPU is what nobody falls back from"


def sized(op: str, channels: int, device: str) -> Node:
    """A convolution of ``channels`` x 10 outputs, from 4 channels by a kernel of 5: 200 products a channel."""
    shapes = ((1, 4, 14), (channels, 4, 5)), ((1, channels, 10),)
    made = node(op, "u8 u8", "i32", (0, channels * 20), device)
    return replace(made, name=f"{device}-{channels}", input_shapes=shapes[0], output_shapes=shapes[1])


def test_what_is_multiplied_decides_who_ran_it_not_the_number_of_nodes() -> None:
    small = tuple(replace(RELU, name=f"relu-{i}", device="cuda", runner=CUDA) for i in range(20))
    for here, there, reason in (
        (50, 50, ""),
        (49, 51, "cuda: 51% of its multiply-accumulates ran on the CPU: cpu-51 (ConvInteger)"),
        (3, 97, "cuda: 97% of its multiply-accumulates ran on the CPU: cpu-97 (ConvInteger)"),
    ):
        nodes = (*small, sized("ConvInteger", here, "cuda"), sized("ConvInteger", there, "cpu"))
        verdict = judge(replace(ONNX_DYNAMIC, nodes=nodes), "int4", "cuda")
        assert (verdict["status"], verdict["reason"]) == ("rejected" if reason else "ok", reason)
    four = tuple(replace(sized("ConvInteger", 8, "cpu"), name=f"conv-{i}") for i in range(4))
    verdict = judge(replace(ONNX_DYNAMIC, nodes=(*small, *four)), "dynamic", "cuda")
    told = "100% of its multiply-accumulates ran on the CPU: conv-0, conv-1, conv-2 and 1 more (ConvInteger)"
    assert verdict["reason"] == f"cuda: {told}"
    assert verdict["faults"][0]["names"] == [f"conv-{i}" for i in range(4)]


def test_where_the_work_is_not_told_multiplying_nodes_are_counted() -> None:
    unknown = node("LSTM", "f32 f32 f32", "f32", (0, 4096, 4096), "cpu")  # one whose products are not known
    on_gpu = tuple(replace(sized("ConvInteger", 1, "cuda"), name=f"conv-{i}") for i in range(2))
    assert judge(replace(FP32, nodes=(unknown, *on_gpu)), "fp32", "cuda")["status"] == "ok"
    verdict = judge(replace(FP32, nodes=(unknown, replace(unknown, name="lstm-2"), on_gpu[0])), "fp32", "cuda")
    assert verdict["reason"] == "cuda: 67% of its multiplying operations ran on the CPU: lstm-1, lstm-2"


def test_what_a_runtime_does_not_tell_is_not_judged_but_said() -> None:
    assert judge(None, "full-int8", "cuda") == {
        "status": "ok",
        "reason": "",
        "precision_check": "not checked: the runtime tells nothing of its graph",
    }
    verdict = judge(replace(ONNX_INT8, weights=None), "full-int8", "cpu")
    assert (verdict["status"], verdict["precision_check"]) == ("ok", "checked, but its weights are not told")
    assert judge(replace(FP32, weights=None), "full-int8", "cpu")["status"] == "rejected"
    verdict = judge(replace(ONNX_INT8, nodes=(*ONNX_INT8.nodes, node("WHILE", "i8", "i8"))), "full-int8", "cpu")
    assert verdict["precision_check"] == "checked, but what runs inside while-1 may not be seen"


def test_the_row_says_what_was_seen() -> None:
    verdict = judge(LITE_INT8, "full-int8", "cpu")
    assert (verdict["input_dtype"], verdict["output_dtype"]) == ("int8", "int8")
    assert verdict["weight_shares"] == {"int8": 0.9796, "int32": 0.0204}
    assert verdict["computes"] == {"int8": 1, "moves": 1}
    assert judge(ONNX_DYNAMIC, "dynamic", "cpu")["computes"] == {"quantizes": 1, "int8": 1, "moves": 1, "float32": 1}


@pytest.mark.parametrize(
    ("runners", "partitions", "text"),
    [
        ([CPU] * 37, None, "37/37 CPUExecutionProvider"),
        ([CPU] * 7 + [CUDA] * 30, None, "30/37 CUDAExecutionProvider, 7/37 CPUExecutionProvider"),
        (["XNNPACK"] * 19, 1, "1 partition, all 19 ops in XNNPACK"),
        (["XNNPACK"] * 3 + ["LiteRT"] * 24, 7, "7 partitions, 24 ops outside XNNPACK"),
        (["LiteRT"], 0, "0 partitions, 1 op outside XNNPACK"),
    ],
)
def test_placement(runners: list[str], partitions: int | None, text: str) -> None:
    nodes = tuple(replace(CONV, runner=runner) for runner in runners)
    assert Graph(nodes, None, partitions, "" if partitions is None else "XNNPACK").placement() == text


def test_a_graph_survives_json() -> None:
    for graph in (LITE_INT8, replace(FP32, weights=None), Graph((), ())):
        assert Graph.from_record(json.loads(json.dumps(graph.record()))) == graph
    broken: dict[str, Any] = FP32.record() | {"nodes": [{"op": "Conv"}]}
    with pytest.raises(KeyError):
        Graph.from_record(broken)
