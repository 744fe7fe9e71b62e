"""Passes that do the work of several nodes in one, or spare it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from ecgedge.passes import apply_pass  # noqa: E402
from tests.full.graphs import BN, graph, norm, operators, weight  # noqa: E402
from tests.full.test_passes import applied, left  # noqa: E402

# -- merge_convs


@settings(max_examples=40, deadline=None)
@given(
    given_channels=st.integers(1, 4),
    middle=st.integers(1, 8),
    kernels=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    spatial=st.integers(1, 2),
    biased=st.booleans(),
    padded=st.booleans(),
    stride=st.integers(1, 2),
)
def test_a_pointwise_conv_goes_into_those_that_read_it(
    given_channels: int, middle: int, kernels: list[int], spatial: int, biased: bool, padded: bool, stride: int
) -> None:
    constants = {"a": weight(middle, given_channels, *[1] * spatial), "b": weight(middle)}
    body, work = f"m = Conv(x, a{', b' if biased else ''}) ", middle * given_channels
    for i, kernel in enumerate(kernels):
        constants[f"w{i}"], constants[f"c{i}"] = weight(3, middle, *[kernel] * spatial), weight(3)
        pads = [kernel // 2 if padded else 0] * 2 * spatial
        body += f"r{i} = Conv<pads={pads}, strides={[stride] * spatial}>(m, w{i}, c{i}) g{i} = GlobalAveragePool(r{i}) "
    body += f"y = Concat<axis=1>({', '.join(f'g{i}' for i in range(len(kernels)))})"
    made = operators(applied(graph(body, (2, given_channels, *[9] * spatial), **constants), "merge_convs"))
    taps = sum(3 * kernel**spatial for kernel in kernels)
    at_the_edges = biased and padded and any(kernel > 1 for kernel in kernels)
    merged = taps * given_channels <= taps * middle + work and not at_the_edges
    assert made.count("Conv") == len(kernels) + (not merged)


@pytest.mark.parametrize(
    "attributes", ["pads=[1, 1]", "pads=[2, 0], strides=[2]", "dilations=[2]", 'auto_pad="SAME_UPPER"']
)
def test_a_pointwise_conv_goes_into_the_one_before(attributes: str) -> None:
    body = f"m = Conv<{attributes}>(x, w, b) y = Conv(m, v, b)"
    model = graph(body, w=weight(8, 3, 3), b=weight(8), v=weight(8, 8, 1))
    assert left(model, "merge_convs") == ["Conv"]


@pytest.mark.parametrize(
    "body",
    [
        "m = Conv(x, a) r = Relu(m) y = Conv(r, w)",  # something lies between
        "m = Conv(x, a) c = Conv(m, w) p = GlobalAveragePool(m) y = Concat<axis=2>(c, p)",  # it is read elsewhere too
        "m = Conv(x, k) y = Conv(m, w)",  # both have a kernel
        "m = Conv(x, a) y = Conv<group=2>(m, g)",
        "m = Conv<strides=[2]>(x, a) y = Conv(m, w)",
        "m = Conv(x, a) q = Relu(w) y = Conv(m, q)",  # weights that are computed
        "m = Conv(x, n) y = Conv(m, o)",  # a bottleneck: narrower than what it is given
    ],
)
def test_convs_that_stay_two(body: str) -> None:
    constants = {"a": weight(6, 3, 1), "k": weight(6, 3, 3), "w": weight(6, 6, 3), "g": weight(4, 3, 3)}
    model = graph(body, **constants, n=weight(1, 3, 1), o=weight(4, 1, 3))
    assert apply_pass(model, "merge_convs") is None


# -- drop_idle_relu


@pytest.mark.parametrize(
    "body",
    [
        "a = Relu(x) b = Conv(a, w) c = Relu(b) d = Add(a, c) r = Relu(d) y = Neg(r)",
        "a = Relu(x) p = MaxPool<kernel_shape=[2]>(a) r = Relu(p) y = Neg(r)",
        "a = Sigmoid(x) b = Mul(a, k) c = Relu(x) d = Concat<axis=1>(b, c) r = Relu(d) y = Neg(r)",
        "a = Relu(x) f = Reshape(a, flat) r = Relu(f) y = Neg(r)",
    ],
)
def test_a_relu_of_what_cannot_be_negative_goes(body: str) -> None:
    model = graph(body, w=weight(3, 3, 1), k=np.float32(2), flat=np.array([0, -1]))
    made = left(model, "drop_idle_relu")
    assert made.count("Relu") == operators(model).count("Relu") - 1


@pytest.mark.parametrize(
    "body",
    [
        "a = Relu(x) b = Add(a, x) r = Relu(b) y = Neg(r)",  # one side may be negative
        "a = Relu(x) b = Sub(k, a) r = Relu(b) y = Neg(r)",
        "a = Relu(x) b = Mul(a, minus) r = Relu(b) y = Neg(r)",
        f"h = Relu(x) b = {BN} r = Relu(b) y = Neg(r)",
        "a = Relu(x) y = Relu(a)",  # it is the output
    ],
)
def test_a_relu_that_may_do_something_stays(body: str) -> None:
    model = graph(body, k=np.float32(2), minus=np.float32(-2), **norm(3))
    assert apply_pass(model, "drop_idle_relu") is None


# -- upsample_into_conv


@settings(max_examples=40, deadline=None)
@given(
    kernel=st.integers(1, 9), before=st.integers(0, 4), after=st.integers(0, 4), times=st.integers(2, 3),
    channels=st.integers(1, 8), biased=st.booleans(),
)  # fmt: skip
def test_an_upsampling_goes_behind_the_conv_that_reads_it(
    kernel: int, before: int, after: int, times: int, channels: int, biased: bool
) -> None:
    body = f"u = Resize(x, , s) y = Conv<pads=[{before}, {after}]>(u, w{', b' if biased else ''})"
    scales = np.array([1, 1, times], dtype=np.float32)
    model = graph(body, ("N", 3, 8), s=scales, w=weight(channels, 3, kernel), b=weight(channels))
    made = operators(applied(model, "upsample_into_conv"))
    length = 8 * times + before + after - kernel + 1
    if length % times or channels * times > 16:
        assert made == ["Resize", "Conv"]
    elif "Resize" in made:  # it would read less than there is at the end
        assert after < kernel - 1
    else:
        assert made == ["Conv", "Transpose", "Reshape", "Transpose"]


def test_the_usual_upsampling_goes_behind_its_conv() -> None:
    scales = np.array([1, 1, 2], dtype=np.float32)
    model = graph("u = Resize(x, , s) y = Conv<pads=[3, 3]>(u, w)", s=scales, w=weight(1, 3, 7))
    made = applied(model, "upsample_into_conv")
    assert operators(made) == ["Conv", "Transpose", "Reshape", "Transpose"]
    sizes = {tensor.name: list(tensor.dims) for tensor in made.graph.initializer}
    assert sizes[made.graph.node[0].input[1]] == [2, 3, 5]


@pytest.mark.parametrize(
    "body",
    [
        "u = Resize(x, , s) c = Conv(u, w) p = GlobalAveragePool(u) y = Add(c, p)",
        "u = Resize(x, , s) r = Tanh(u) y = Conv(r, w)",
        'u = Resize<mode="linear">(x, , s) y = Conv(u, w)',
        "u = Resize(x, , s) y = Conv<strides=[2]>(u, w)",
        "u = Resize(x, , s) y = Conv<dilations=[2]>(u, w)",
        "u = Resize(x, , s) y = Conv(u, wide)",
    ],
)
def test_upsamplings_that_stay(body: str) -> None:
    scales = np.array([1, 1, 2], dtype=np.float32)
    assert apply_pass(graph(body, s=scales, w=weight(3, 3, 1), wide=weight(9, 3, 1)), "upsample_into_conv") is None


# -- crop_in_place


@pytest.mark.parametrize(
    "body",
    [
        "f = Flatten(x) c = Slice(f, zero, six, one) y = Unsqueeze(c, one)",
        "f = Reshape(x, flat) c = Slice(f, zero, six, one) y = Reshape(c, image)",
        "f = Squeeze(x, one) c = Slice(f, zero, six, one, two) y = Unsqueeze(c, one)",
    ],
)
@pytest.mark.parametrize("batch", [2, "N"])
def test_a_crop_is_done_where_the_beat_is(body: str, batch: int | str) -> None:
    constants = {name: np.array([value]) for name, value in (("zero", 0), ("one", 1), ("two", 2), ("six", 6))}
    model = graph(
        body, (batch, 1, 8), flat=np.array([-1, 8]), image=np.array([-1, 1, 3 if ", two)" in body else 6]), **constants
    )
    assert left(model, "crop_in_place", "drop_dead_ends") == ["Slice"]


@pytest.mark.parametrize(
    "body",
    [
        "f = Flatten(x) c = Slice(f, zero, six, one) y = Neg(c)",  # no way back
        "f = Flatten(x) c = Slice(f, zero, one, zero) y = Unsqueeze(c, one)",  # it cuts the batch
        "f = Flatten(x) c = Slice(f, zero, six, one) u = Unsqueeze(c, one) g = ReduceSum(c) y = Add(u, g)",
    ],
)
def test_crops_that_stay(body: str) -> None:
    constants = {name: np.array([value]) for name, value in (("zero", 0), ("one", 1), ("six", 6))}
    assert apply_pass(graph(body, (2, 1, 8), **constants), "crop_in_place") is None


def test_a_crop_over_several_channels_stays() -> None:
    constants: dict[str, Any] = {name: np.array([value]) for name, value in (("zero", 0), ("one", 1), ("six", 6))}
    model = graph("f = Flatten(x) c = Slice(f, zero, six, one) y = Unsqueeze(c, one)", (2, 3, 8), **constants)
    assert apply_pass(model, "crop_in_place") is None


# -- sink_transposes

TURN = "Transpose<perm=[0, 2, 1]>"


@pytest.mark.parametrize(
    ("body", "stays"),
    [
        (f"t = {TURN}(x) y = {TURN}(t)", 0),
        (f"t = {TURN}(x) r = Relu(t) s = Add(r, k) y = {TURN}(s)", 0),
        (f"a = {TURN}(x) n = Neg(x) b = {TURN}(n) s = Add(a, b) r = Relu(s) u = {TURN}(r) y = Conv(u, w)", 0),
        (f"a = {TURN}(x) s = Mul(a, wide) t = Mul(s, three) u = {TURN}(t) y = Conv(u, w)", 0),
        # as tf2onnx writes channels last
        (f"t = {TURN}(x) r = Relu(t) u = Unsqueeze(r, one) v = Transpose<perm=[0, 3, 1, 2]>(u) y = Conv(v, w2)", 0),
        (f"u = Unsqueeze(x, two) q = Transpose<perm=[0, 2, 3, 1]>(u) s = Squeeze(q, one) y = {TURN}(s)", 0),
        (f"a = {TURN}(x) r = Relu(a) y = MatMul(three, r)", 1),  # it only moves, so it stays where it was
        (f"a = {TURN}(x) s = Softmax<axis=1>(a) y = {TURN}(s)", 2),  # that depends on the axes
        (f"a = {TURN}(x) b = Add(a, square) y = Transpose<perm=[0, 1, 3, 2]>(b)", 2),  # other axes come in
    ],
)
def test_transposes_that_meet_cancel_out(body: str, stays: int) -> None:
    constants = {"k": np.float32(2), "w": weight(3, 3, 1), "w2": weight(3, 3, 1, 1), "wide": weight(3)}
    constants |= {"three": weight(1, 8, 3), "one": np.array([1]), "two": np.array([2]), "square": weight(2, 2, 8, 3)}
    if "MatMul" in body:
        constants["three"] = weight(1, 3, 8)
    assert (
        left(graph(body, ("N", 3, 8) if "square" not in body else (2, 3, 8), **constants), "sink_transposes").count(
            "Transpose"
        )
        == stays
    )


def test_a_file_of_another_tool_becomes_one_chain() -> None:
    block = (
        "t{i} = Transpose<perm=[0, 3, 1, 2]>(u{i}) c{i} = Conv<pads=[0, 1, 0, 1]>(t{i}, w) s{i} = Squeeze(c{i}, two) "
        f"m{{i}} = {TURN}(s{{i}}) a{{i}} = Add(m{{i}}, {{before}}) r{{i}} = Relu(a{{i}}) "
    )
    body = f"b = {TURN}(x) u1 = Unsqueeze(b, one) " + block.format(i=1, before="b")
    body += (
        "u2 = Unsqueeze(r1, one) "
        + block.format(i=2, before="r1")
        + f"z = {TURN}(r2) p = GlobalAveragePool(z) y = Flatten(p)"
    )
    model = graph(body, ("N", 3, 8), one=np.array([1]), two=np.array([2]), w=weight(3, 3, 1, 3))
    made = left(model, "sink_transposes", "conv_to_2d", "drop_dead_ends")
    assert made == ["Reshape", "Conv", "Add", "Relu", "Conv", "Add", "Relu", "GlobalAveragePool", "Flatten"]
