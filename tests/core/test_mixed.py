"""The search for layers to leave in float, on made-up layers; what a mixed file claims, and each way to break it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge import ENDS, Context, ConversionError, Graph, Node, Weight, plugins
from ecgedge.api.artifact import Anomaly, Artifact, Classification
from ecgedge.api.precisions import find
from ecgedge.api.tensors import TensorSpec
from ecgedge.audit import mixed as checked
from ecgedge.builtin.mixed import Step, Trial, in_float, search_mixed
from ecgedge.data.dataset import Dataset, Split
from ecgedge.data.drawing import calibration_beats, judging_beats
from ecgedge.evaluate import arithmetic
from ecgedge.evaluate.precision_check import amounts_to_it
from ecgedge.measure import processor
from ecgedge.testing import judge_graph

LAYERS = ("a", "b", "c", "d")
X = np.random.default_rng(0).normal(size=(200, 1, 5)).astype(np.float32)
Y = X[:, 0].argmax(axis=1)


def artifact(task: Any = None) -> Artifact:
    spec = TensorSpec("x", (None, 1, 5), "float32", "NCL")
    return Artifact(Path("net"), "fake", "fp32", task or Classification(tuple("01234")), spec, spec, "net")


def trial_of(labels: np.ndarray | None = Y, task: Any = None) -> Trial:
    labelled = None if labels is None else (X, labels)
    return Trial(artifact(task), Context(X, labelled=labelled), lambda beats: beats[:, 0])


class Noisy:
    """A network whose layers each move the outputs in int8, by so much; what was asked of it stays."""

    def __init__(self, **moves: float):
        self.moves, self.asked = moves, []

    def __call__(self, left: tuple[str, ...]) -> np.ndarray:
        self.asked.append(left)
        noise = np.random.default_rng(1).normal(size=(200, 5))
        return X[:, 0] + sum(size for name, size in self.moves.items() if name not in left) * noise


def test_nothing_is_left_where_nothing_is_lost() -> None:
    network = Noisy(a=1e-6, b=1e-6)
    found = search_mixed("ab", network, trial_of(), 0.1)
    assert found.left == () and found.damage == {} and network.asked == [()]
    assert found.text.startswith("nothing left in float: the same as full-int8; accuracy 1.0000, fp32 1.0000, 200 ")


def test_the_worst_layer_alone_is_left_where_that_is_enough() -> None:
    found = search_mixed(LAYERS, Noisy(a=1e-6, b=1e-6, c=2.0, d=2e-6), trial_of(), 0.1)
    assert found.left == ("c",) and found.mixed == found.fp32 == 1 and found.full_int8 < 0.9
    assert sorted(LAYERS, key=lambda name: -found.damage[name]) == ["c", "d", "a", "b"]
    assert found.text.startswith("left in float: c (1 of 4 layers); accuracy 1.0000, full-int8 0.")
    assert json.loads(json.dumps(found.notes([("c", "out")])))["float"] == [["c", "out"]]


def test_more_may_be_lost_where_that_is_allowed() -> None:
    network = Noisy(a=0.02, c=0.3)
    strict, loose = (search_mixed(LAYERS, network, trial_of(), drop) for drop in (0.1, 5))
    assert strict.left == ("c", "a") and loose.left == ("c",)
    assert 0 < loose.fp32 - loose.mixed <= 0.05
    assert search_mixed(LAYERS, network, trial_of(), 100).left == ()


def test_a_layer_that_turns_out_not_to_be_needed_goes_back() -> None:
    def outputs(left: tuple[str, ...]) -> np.ndarray:
        """``a`` looks worst alone, yet nothing is mended but by ``b``."""
        alone = set(LAYERS) - set(left)
        if alone == {"a"}:
            return X[:, 0] + 0.1
        return X[:, 0] if "b" in left else -X[:, 0] * 0.999 if len(alone) > 1 else X[:, 0] + 0.01

    assert search_mixed(LAYERS, outputs, trial_of(), 0.1).left == ("b",)


def test_all_layers_in_float_are_no_int8_file() -> None:
    with pytest.raises(ConversionError, match="all 2 layers would have to stay in float"):
        search_mixed("ab", Noisy(a=3.0, b=3.0), trial_of(), 0.1)


def test_the_same_search_gives_the_same() -> None:
    one, other = (search_mixed(LAYERS, Noisy(a=0.5, c=2.0, d=0.01), trial_of(), 0.1) for _ in range(2))
    assert one == other


def test_what_is_measured() -> None:
    detector = Anomaly(0.5, 0.9, "0", ("0", "1"))
    truth_of = (X[:, 0, 0] > 0).astype(int)
    reconstructions = lambda beats: beats * np.where(beats[:, :, :1] > 0, 0.5, 1.0)  # noqa: E731
    labelled = Trial(artifact(detector), Context(X, labelled=(X, truth_of)), reconstructions)
    assert (labelled.measure, labelled.quality(labelled.expected)) == ("AUROC", 1.0)
    one_class = Trial(artifact(detector), Context(X, labelled=(X, truth_of * 0)), reconstructions)
    unlabelled = trial_of(None)
    assert one_class.measure == unlabelled.measure == "agreement"
    assert unlabelled.quality(X[:, 0]) == 1 and unlabelled.quality(np.roll(X[:, 0], 1, axis=0)) < 0.5
    assert trial_of().quality(np.full((200, 5), np.nan)) == 0
    assert trial_of().damage(np.full((200, 5), np.inf)) == np.inf


def test_what_goes_with_a_layer() -> None:
    """conv - relu - conv, the relu's output also added to what comes of it."""
    steps = [
        Step("view", ("x",), ("v",)), Step("one", ("v", "w1"), ("a",)), Step("relu", ("a",), ("b",)),
        Step("two", ("b", "w2"), ("c",)), Step("add", ("c", "b"), ("d",)), Step("head", ("d", "w3"), ("y",)),
        Step("soft", ("y",), ("z",)),
    ]  # fmt: skip

    def found(*left: str) -> list[str]:
        return in_float(steps, ("one", "two", "head"), left, ["x"])

    assert found("one") == ["view", "one", "relu"]  # what int8 layers take is int8 for all
    assert found("two") == ["view", "two", "add"]  # the input is in float
    assert found("one", "two") == ["view", "one", "relu", "two", "add"]
    assert found("head") == ["view", "head", "soft"]
    assert found("one", "two", "head") == [step.name for step in steps]


def node(name: str, op: str, takes: str, gives: str, makes: str = "", constant: int = 4096) -> Node:
    return Node(name, op, "CPU", "cpu", tuple(takes.split()), tuple(gives.split()), (0, constant), makes=makes)


INT8 = node("q", "QLinearConv", "uint8 int8", "uint8")
FLOAT = node("fused b_nchwc", "Conv", "float32 float32", "float32")
WEIGHTS = (Weight("w", "int8", 4096), Weight("v", "float32", 16384))
MIXED = Graph(
    (INT8, FLOAT, node("relu", "Relu", "float32", "float32", constant=0)), WEIGHTS, input="float32", output="float32"
)
NOTES = {"left": ["b"], "float": [["b", "c"], ["relu", "d"]]}
RESTORED = replace(node("dq", "DequantizeLinear", "int8 float32", "float32"), constants=(4096, 1))


@pytest.mark.parametrize(
    ("graph", "notes", "reason"),
    [
        (MIXED, NOTES, ""),
        (replace(MIXED, nodes=(INT8, replace(FLOAT, name="CONV_2D 3", makes="b"))), NOTES, ""),
        (replace(MIXED, nodes=(INT8, replace(FLOAT, name="c_nchwc_token_12"))), NOTES, ""),
        (MIXED, {}, "does not say what was left"),
        (MIXED, {"left": [], "float": []}, "compute in float"),
        (replace(MIXED, nodes=(INT8,)), NOTES, "b was left in float and does not compute in it"),
        (MIXED, NOTES | {"float": [["b", "c"]]}, "relu computes in float without having been left"),
        (MIXED, {"left": ["e"], "float": [["e"], ["b"], ["relu"]]}, "e was left in float and does not"),
        (replace(MIXED, nodes=(*MIXED.nodes, replace(FLOAT, name="c_token_3"))), NOTES, "2 operations multiply"),
        (replace(MIXED, nodes=(*MIXED.nodes, replace(FLOAT, name="e"))), NOTES, "e (Conv) computes in float without"),
        (replace(MIXED, nodes=(*MIXED.nodes, RESTORED)), NOTES, "turned back into float by dq"),
        (replace(MIXED, weights=WEIGHTS[1:]), NOTES, "no int8 weights"),
        (replace(MIXED, input="int8"), NOTES | {"left": ["b", ENDS]}, "and output were left in float and are int8"),
        (replace(MIXED, nodes=(INT8,), weights=WEIGHTS[:1]), {"left": [ENDS], "float": []}, ""),
        (replace(MIXED, nodes=(INT8,), weights=WEIGHTS[:1]), {"left": [], "float": []}, ""),
    ],
)  # fmt: skip
def test_exactly_what_was_left_is_in_float(graph: Graph, notes: dict[str, Any], reason: str) -> None:
    verdict = judge_graph(graph, "mixed", "cpu", notes=notes)
    assert (verdict["status"] == "ok") == (not reason) and reason in verdict["reason"]
    assert verdict["precision_check"] == "checked"
    record = json.loads(json.dumps(arithmetic.kept(graph)))
    assert bool(checked.fault_of(record, notes)) == bool(reason), "the other code"


ADDS = node("h", "HardSigmoid", "float32", "float32", constant=0)
NOTHING_LEFT: dict[str, Any] = {"left": [], "float": []}


@pytest.mark.parametrize(
    ("graph", "notes", "amounts"),
    [
        (replace(MIXED, nodes=(INT8, ADDS), weights=WEIGHTS[:1]), NOTHING_LEFT, True),
        (replace(MIXED, nodes=(INT8, FLOAT), weights=WEIGHTS[:1]), NOTHING_LEFT, False),
        (replace(MIXED, nodes=(*MIXED.nodes, ADDS)), NOTES, True),
        (replace(MIXED, nodes=(*MIXED.nodes, replace(FLOAT, name="e"))), NOTES, False),
        (replace(MIXED, nodes=(INT8, ADDS)), NOTES, False),
    ],
)
def test_one_that_a_matrix_rejects_is_kept_for_what_weighs_and_multiplies(
    graph: Graph, notes: dict[str, Any], amounts: bool
) -> None:
    """As of full-int8: an operation without weights that a library has in float only takes nothing from it."""
    assert judge_graph(graph, "mixed", "cpu", notes=notes)["status"] == "rejected"
    assert amounts_to_it(graph, find("mixed"), notes) is amounts


def test_it_is_judged_on_beats_that_it_was_not_calibrated_on_where_there_are_enough(beats: Dataset) -> None:
    few = judging_beats(beats, 100, 0)
    assert len(few) == len(beats.train) < 1000
    x = np.random.default_rng(0).normal(size=(1300, 1, 140)).astype(np.float32)
    large = replace(beats, train=Split(x, np.arange(1300) % 5))
    many = judging_beats(large, 200, 0)
    used = {beat.tobytes() for beat in calibration_beats(large, 200, 0)}
    assert len(many) == 1100 and not used & {beat.tobytes() for beat in many.x}
    shared = replace(large, test=many.take(np.arange(50)))
    assert not {beat.tobytes() for beat in shared.test.x} & {beat.tobytes() for beat in judging_beats(shared, 200, 0).x}


@pytest.mark.parametrize(
    ("info", "narrow", "isa"),
    [
        ({"flags": "sse2 avx2 avx512f"}, True, None),
        ({"flags": "avx2 avx_vnni"}, False, "avx_vnni"),
        ({"flags": "avx2 avx512f avx512_vnni amx_int8"}, False, "avx512_vnni"),
        ({"Features": "fp asimd asimddp"}, False, "asimddp"),
        ({"Features": "fp asimd"}, True, None),
        ({}, True, None),
    ],
)
@pytest.mark.parametrize("name", ["onnx-full-int8", "onnx-mixed"])
def test_the_range_of_weights_hangs_on_the_processor(
    name: str, info: dict[str, str], narrow: bool, isa: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "cpu_info", lambda: info)
    monkeypatch.setattr(processor.platform, "system", lambda: "Linux")
    part = plugins.load().quantizers[name]
    settled = part.settle({})
    assert settled.items() >= {"reduce_range": narrow, "isa": isa}.items()
    assert part.settle(settled) == settled
    for forced in (True, False):
        assert part.settle({"reduce_range": forced})["reduce_range"] is forced
        assert "isa" not in part.settle({"reduce_range": forced}), "the processor has no say in it"
