"""Where two forms part, on small networks of numpy: what is matched, what errs by itself, what is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge.api.artifact import Anomaly, Artifact, Classification, Multilabel
from ecgedge.api.origins import write_origins
from ecgedge.api.taps import Operation, Taps, Tensor, Wiring
from ecgedge.api.tensors import TensorSpec
from ecgedge.cli.diverge import LINES, line_cells, table
from ecgedge.commands.diverge import diverge
from ecgedge.diverge.chain import Answered, as_one, first_parted, stages_of
from ecgedge.diverge.diverged import Diverged, Example
from ecgedge.diverge.findings import find
from ecgedge.diverge.fix import Fixed, mend
from ecgedge.diverge.lines import Strip
from ecgedge.diverge.match import Match, Matching, arranged
from ecgedge.diverge.origins import Origin, origins_between
from ecgedge.diverge.record import DivergedRecord
from ecgedge.diverge.sealed import Sealed, put_back, sealed
from ecgedge.diverge.study import Study, study
from ecgedge.errors import ConversionError, EcgEdgeError
from ecgedge.files import typed_json
from ecgedge.report.html.diverge import render
from tests.core.synthetic_run import HOSTILE
from tests.core.test_report_html import Page

DRAW = np.random.default_rng(5)
BEATS = DRAW.standard_normal((16, 1, 30)).astype(np.float32)
W1, W2, W3 = (DRAW.standard_normal(shape).astype(np.float32) for shape in ((1, 4), (4, 6), (6, 3)))
Function = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Step:
    """An operation of a network: its output's name, its inputs', what it computes, and a quantization step."""

    output: str
    inputs: tuple[str, ...]
    compute: Function
    op: str = "Dense"
    scale: float | None = None


class Net(Taps):
    """A network of numpy functions; ``whole`` is what its answers become when ``fragile`` is read."""

    def __init__(self, steps: Sequence[Step], shapes: Mapping[str, tuple[int, ...]], fragile: str = ""):
        self.steps = {step.output: step for step in steps}
        self.fragile = fragile
        tensors = [Tensor("x", (1, 30), "float32")]
        for step in steps:
            zero = None if step.scale is None else 0
            kind = "float32" if step.scale is None else "int8"
            tensors.append(Tensor(step.output, shapes[step.output], kind, step.scale, zero))
        operations = [Operation(f"op_{s.output}", s.op, s.inputs, (s.output,)) for s in steps]
        self.wiring = Wiring("x", steps[-1].output, tuple(tensors), tuple(operations))

    def stored(self, name: str, values: np.ndarray) -> np.ndarray:
        scale = self.steps[name].scale if name in self.steps else None
        if scale is None:
            return values.astype(np.float32)
        return (np.clip(np.rint(values / scale), -128, 127) * scale).astype(np.float32)

    def compute(self, given: dict[str, np.ndarray], name: str) -> np.ndarray:
        if name not in given:
            if name == "x":
                raise EcgEdgeError("it depends on more")
            step = self.steps[name]
            given[name] = self.stored(name, step.compute(*(self.compute(given, each) for each in step.inputs)))
        return given[name]

    def read(self, tensor: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        given = {"x": x}
        answers = self.compute(given, self.wiring.output)
        return self.compute(given, tensor), answers + (tensor == self.fragile)

    def between(self, inputs: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        return self.compute({name: self.stored(name, values) for name, values in inputs.items()}, output)


SHAPES = {"a": (30, 4), "r": (30, 4), "b": (30, 6), "s": (30, 6), "m": (6,), "y": (3,)}


def first(x: np.ndarray, w: np.ndarray = W1) -> np.ndarray:
    return x.transpose(0, 2, 1) @ w


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def steps_with(scales: Mapping[str, float] | None = None, **changed: Function) -> list[Step]:
    """The network x -> a -> r -> b -> s -> m -> y, with some operations changed, and some tensors in steps."""
    plain: dict[str, tuple[str, Function, str]] = {
        "a": ("x", first, "Dense"),
        "r": ("a", relu, "Relu"),
        "b": ("r", lambda r: r @ W2, "Dense"),
        "s": ("b", relu, "Relu"),
        "m": ("s", lambda s: s.mean(axis=1), "Mean"),
        "y": ("m", lambda m: m @ W3, "Dense"),
    }
    steps = scales or {}
    return [Step(name, (given,), changed.get(name, plainly), op, steps.get(name))
            for name, (given, plainly, op) in plain.items()]  # fmt: skip


def net(scales: Mapping[str, float] | None = None, fragile: str = "", **changed: Function) -> Net:
    return Net(steps_with(scales, **changed), SHAPES, fragile)


def fine_steps() -> dict[str, float]:
    """Steps that hold all values of each tensor."""
    reference, given = net(), {"x": BEATS}
    reference.compute(given, "y")
    return {name: float(np.abs(values).max()) / 127 for name, values in given.items() if name != "x"}


def look(form: Net, reference: Net | None = None) -> Study:
    return study(form, reference or net(), BEATS)


def test_integers_that_only_round_are_at_no_fault() -> None:
    found = look(net(fine_steps()))
    assert found.culprit is None and found.matched == 1
    assert all(0.3 < line.excess < 2 for line in found.lines)
    assert all(line.local_steps is not None and 0.1 < line.local_steps < 1.5 for line in found.lines)
    assert found.lines[-1].snr < found.lines[-1].local_snr  # errors add up on the way


FAULTS = {
    "a": lambda x: first(x, W1 * np.float32([1, 1, -1, 1])),
    "b": lambda r: 2 * (r @ W2),
    "m": lambda s: s[:, 10:].mean(axis=1),
    "y": lambda m: m @ W3[:, ::-1],
}


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("at", FAULTS)
def test_a_fault_is_named_and_what_comes_after_it_is_not(at: str, quantized: bool) -> None:
    scales = {name: 2 * scale for name, scale in fine_steps().items()} if quantized else None
    found = look(net(scales, **{at: FAULTS[at]}))
    assert found.culprit and found.culprit.operation == f"op_{at}"
    assert found.ranked()[0] is found.culprit
    after = found.lines[[line.tensor for line in found.lines].index(at) + 1 :]
    assert all(line.excess < 2 for line in after)
    assert at == "y" or after[-1].snr < 30  # as it ran, all of it is wrong


def renamed(changed: Function | None = None) -> Net:
    """The same network with other names, the channels before the samples, and no Relu of its own."""
    first_one = Step("p1", ("x",), lambda x: relu(first(x)).transpose(0, 2, 1), "Conv")
    second = Step("p2", ("p1",), changed or (lambda p: relu(np.einsum("ncl,cd->ndl", p, W2))), "Conv")
    last = [Step("p3", ("p2",), lambda p: p.mean(axis=2)), Step("p4", ("p3",), lambda p: p @ W3)]
    return Net([first_one, second, *last], {"p1": (4, 30), "p2": (6, 30), "p3": (6,), "p4": (3,)})


def test_tensors_are_matched_by_content_in_any_order_of_axes() -> None:
    found = look(renamed())
    assert found.matched == 1 and found.culprit is None
    assert {line.tensor: line.reference for line in found.lines} == {"p1": "r", "p2": "s", "p3": "m", "p4": "y"}
    assert [line.how for line in found.lines] == ["content", "content", "content", "name"]


def test_what_converters_tell_is_used_before_what_tensors_hold_and_only_where_that_agrees() -> None:
    told = {"p1": Origin("r", "passes"), "p2": Origin("a", "passes"), "p3": Origin("gone", "passes")}
    found = study(renamed(), net(), BEATS, told=told)
    assert {line.tensor: (line.reference, line.how) for line in found.lines} == {
        "p1": ("r", "passes"), "p2": ("s", "content"), "p3": ("m", "content"), "p4": ("y", "name"),
    }  # fmt: skip
    assert list(found.matched_by.items()) == [("name", 1), ("passes", 1), ("content", 2)]
    tripled = renamed(lambda p: 3 * relu(np.einsum("ncl,cd->ndl", p, W2)))
    wrong = study(tripled, net(), BEATS, told={"p2": Origin("s", "onnx2tf")})
    assert wrong.culprit and (wrong.culprit.operation, wrong.culprit.how) == ("op_p2", "onnx2tf")


def test_what_each_step_tells_of_its_tensors_is_put_together(tmp_path: Path) -> None:
    def made(name: str, digest: str, parents: Sequence[str], part: str, told: Mapping[str, str]) -> Artifact:
        artifact = replace(answered(name, "fp32", np.zeros((1, 3))).artifact, path=tmp_path / name, digest=digest,
                           parents=tuple(parents), maker={"part": part})  # fmt: skip
        if told:
            write_origins(artifact.path, told)
        return artifact

    def wiring(*names: str) -> Wiring:
        return Wiring("x", "y", tuple(Tensor(name, (3,), "float32") for name in names), ())

    source = made("a.onnx", "a", (), "model", {"h": "of a stranger"})
    passed = made("b.onnx", "b", "a", "passes", {"h_2d": "h", "r_2d": "r"})
    other = made("o.onnx", "o", "a", "passes", {"r_turned": "r"})
    saved = made("c", "c", "ba", "exporter tool", {"conv": "h_2d", "relu": "r_2d", "last": "y"})
    lite = made("d.tflite", "d", "cba", "quantizer lite", {})
    forms = [source, passed, other, saved, lite]
    tensors = wiring("x", "m/conv/Conv;m/relu/Relu;Const_1", "m/other/Mul", "y")
    joined = tensors.tensors[1].name
    for reference, name, how in ((passed, "r_2d", "tool"), (source, "r", "passes"), (other, "r_turned", "passes")):
        there = wiring("x", "h", "h_2d", "r", "r_2d", "r_turned", "y")
        assert origins_between(forms, (lite, tensors), (reference, there)) == {joined: Origin(name, how)}
    assert origins_between([saved, lite], (lite, tensors), (source, wiring("x", "y"))) == {}
    (tmp_path / "b.onnx.origins.json").write_text("[1")
    assert origins_between(forms, (lite, tensors), (source, wiring("x"))) == {joined: Origin("r_2d", "tool")}


class Counting(Net):
    """A network that keeps the names of what is read of it, and how much is computed for that."""

    read_of: list[str]

    def read(self, tensor: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.read_of.append(tensor)
        return super().read(tensor, x)


def chain(count: int, scale: float | None = None, turned: bool = False, **changed: Function) -> Counting:
    """Dense layers of 4 channels, one after the other, some of them changed; every tenth is a sum of two branches."""
    weights = [np.linalg.qr(np.random.default_rng(place).standard_normal((4, 4)))[0].astype(np.float32)
               for place in range(count)]  # fmt: skip
    steps, last = [Step("t0", ("x",), lambda x: x.reshape(len(x), -1, 1)[:, :8] * np.ones(4, np.float32))], "t0"
    for place in range(1, count):
        name, w = f"t{place}", weights[place]
        plain: Function = (lambda a, b: (a + b) * np.float32(0.7)) if place % 10 == 0 else (lambda a, w=w: a @ w)
        given = (last, f"t{place - 2}") if place % 10 == 0 else (last,)
        steps.append(Step(name, given, changed.get(name, plain), "Add" if place % 10 == 0 else "Dense", scale))
        last = name
    steps.append(Step("y", (last,), lambda a: a.mean(axis=1)))
    if turned:  # the channels lie first
        back, there = (lambda a: a.transpose(0, 2, 1)), (lambda a: a.transpose(0, 2, 1))
        steps = [replace(step, compute=turned_of(step, back, there)) for step in steps]
    found = Counting(steps, {step.output: (4, 8) if turned else (8, 4) for step in steps} | {"y": (4,)})
    found.read_of = []
    return found


def turned_of(step: Step, back: Function, there: Function) -> Function:
    """An operation whose tensors have their axes the other way round, but for input and output."""
    return lambda *given: (lambda made: made if step.output == "y" else there(made))(
        step.compute(*(one if name == "x" else back(one) for name, one in zip(step.inputs, given, strict=True)))
    )


@pytest.mark.parametrize("at", [1, 57, 110, 158])
@pytest.mark.parametrize("form", ["float", "int8", "turned"])
def test_a_long_graph_is_cut_in_two_until_the_culprit_of_the_whole_walk_is_found(at: int, form: str) -> None:
    options: dict[str, Any] = {"float": {}, "int8": {"scale": 0.06}, "turned": {"turned": True}}[form]
    fault = {f"t{at}": lambda *a: (a[0] * np.float32([1, -1, 1, 1])) + sum(a[1:])}
    mended = study(chain(160, **options, **fault), chain(160), BEATS)
    assert mended.narrowed and mended.narrowed.operations == 161
    assert mended.culprit and mended.culprit.operation == f"op_t{at}"
    assert len(mended.lines) < 40 and mended.culprit.depth == pytest.approx(at / 160)
    if at == 57:
        whole = study(chain(160, **options, **fault), chain(160), BEATS, whole=True)
        assert whole.narrowed is None and len(whole.lines) == 161
        assert whole.culprit and whole.culprit.operation == mended.culprit.operation
        assert whole.culprit.local_snr == pytest.approx(mended.culprit.local_snr, abs=1e-3)


def test_what_a_long_graph_costs_grows_with_the_logarithm_of_its_length() -> None:
    runs = []
    for count in (160, 320):
        reference = chain(count)
        found = study(chain(count, scale=0.06), reference, BEATS)
        assert found.culprit is None and found.narrowed
        runs.append(found.narrowed.runs)
        assert len(set(reference.read_of)) < 40
    assert runs[1] - runs[0] <= 8


def test_a_cut_that_means_something_else_hides_no_fault() -> None:
    """Two operations that are right together only, so that the tensor between them is another; a fault elsewhere."""
    one, two = (chain(160).steps[name].compute for name in ("t83", "t84"))
    apart: dict[str, Function] = {"t83": lambda a: two(one(a)), "t84": lambda a: a}
    assert study(chain(160, **apart), chain(160), BEATS).culprit is None
    found = study(chain(160, **apart, t31=lambda a: a * 2), chain(160), BEATS)
    assert found.culprit and found.culprit.operation == "op_t31"


@pytest.mark.parametrize("at", [71, 72, 76])
def test_a_cut_of_another_size_is_no_end_of_what_is_walked(at: int) -> None:
    """One name means a tensor of twice the width in the form."""
    steps = chain(160).steps
    changed: dict[str, Function] = {
        "t73": lambda a: np.concatenate([steps["t73"].compute(a)] * 2, axis=-1),
        "t74": lambda a: steps["t74"].compute(a[..., :4]),
        f"t{at}": lambda a: steps[f"t{at}"].compute(a) * np.float32([1, -1, 1, 1]),
    }
    form = chain(160, **changed)
    wiring = form.wiring
    tensors = tuple(replace(each, shape=(8, 8)) if each.name == "t73" else each for each in wiring.tensors)
    form.wiring = replace(wiring, tensors=tensors)
    found = study(form, chain(160), BEATS)
    assert found.narrowed and found.culprit and found.culprit.operation == f"op_t{at}"


def test_a_fault_between_graphs_without_a_name_in_common() -> None:
    found = look(renamed(lambda p: relu(np.einsum("ncl,cd->ndl", p[:, [1, 0, 2, 3]], W2))))
    assert found.culprit and found.culprit.operation == "op_p2" and found.culprit.reference == "s"


def test_a_relu_that_was_dropped_is_missed_where_it_was() -> None:
    found = look(renamed(lambda p: np.einsum("ncl,cd->ndl", p, W2)))
    assert found.culprit and found.culprit.operation == "op_p2" and found.culprit.reference == "s"


def test_a_factor_that_the_next_operation_takes_back_is_no_fault() -> None:
    found = look(net(b=lambda r: 3 * (r @ W2), s=lambda b: relu(b) / 3))
    assert found.culprit is None
    found = look(net(b=lambda r: 3 * (r @ W2)))
    assert found.culprit and found.culprit.operation == "op_b"


def test_a_range_that_cuts_values_off_is_told_with_its_remedy() -> None:
    scales = fine_steps()
    found = look(net(scales | {"b": scales["b"] / 3}))
    assert found.culprit and found.culprit.tensor == "b" and found.culprit.beyond > 0.01
    [told] = find((), found, "form", None)
    assert told.name == "clipped" and told.operation == "op_b" and "--calibration" in told.remedy


def test_a_tensor_that_is_only_there_when_it_is_read_is_told() -> None:
    form = net(fragile="b")
    form.read("b", BEATS)
    found = study(form, net(), BEATS)
    assert found.unfused == ("b",)
    assert [line.tensor for line in found.lines if line.unfused] == ["b"]


def test_a_decision_is_sealed_by_the_operation_behind_which_the_reference_does_not_bring_it_back() -> None:
    form, reference = net(m=lambda s: -s.mean(axis=1)), net()
    answers, was = (each.read("y", BEATS)[0].argmax(1) for each in (form, reference))
    flipped = np.flatnonzero(answers != was)
    assert len(flipped)

    def seal(both: Matching) -> tuple[Sealed, ...]:
        return sealed(both, BEATS[flipped], flipped.tolist(), answers[flipped], was[flipped], lambda y: y.argmax(1))

    found = study(form, reference, BEATS, seal)
    assert [each.beat for each in found.decisions] == flipped.tolist()
    assert {each.operation for each in found.decisions} == {"op_m"}
    swapped = study(renamed(lambda p: relu(np.einsum("ncl,cd->ndl", p, W2[:, ::-1]))), reference, BEATS)
    assert swapped.decisions == ()


def test_values_are_put_back_into_the_axes_of_the_reference() -> None:
    values = DRAW.standard_normal((2, 4, 6)).astype(np.float32)
    for match, shape in (
        (Match("f", "r", "content", (1, 0)), (6, 4)),
        (Match("f", "r", "content", (1, 0)), (24,)),
        (Match("f", "r", "content", (1, 0), turned=True), (4, 6)),
    ):
        there = arranged(values, match, shape)
        np.testing.assert_array_equal(put_back(there, match, (4, 6)).reshape(2, 4, 6), values)


def test_a_loud_channel_is_told_although_no_operation_is_at_fault() -> None:
    loud, quiet = W1 * np.float32([500, 1, 1, 1]), W2 / np.float32([[500], [1], [1], [1]])
    changed: dict[str, Function] = {"a": lambda x: first(x, loud), "b": lambda r: r @ quiet}
    reference, given = net(**changed), {"x": BEATS}
    reference.compute(given, "y")
    scales = {name: float(np.abs(values).max()) / 127 for name, values in given.items() if name != "x"}
    found = study(net(scales, **changed), reference, BEATS)
    assert found.culprit is None
    told = find((), found, "form", "form")
    assert [each.name for each in told] == ["loud_channel"]
    assert told[0].operation == "op_b" and "mixed" in told[0].remedy


def made_as(precision: str) -> Artifact:
    if precision == "dynamic":
        raise ConversionError("it cannot be made")
    return replace(answered(precision, precision, np.zeros((1, 3))).artifact, path=Path(__file__))


def test_the_cheapest_precision_that_loses_little_enough_mends() -> None:
    drops = {"mixed": 3.0, "fp16": 0.0}

    def tried(was: float) -> Fixed:
        return mend(was, 0.1, made_as, lambda made: (drops[made.precision], 1), lambda name: f"--quantize {name}")

    fixed = tried(20.0)
    assert [each.quantizer for each in fixed.tried] == ["mixed", "dynamic", "fp16"]
    assert fixed.quantizer == "fp16" and fixed.command == "--quantize fp16"
    assert fixed.tried[1].reason == "it cannot be made"
    drops["fp16"] = 2.0
    assert tried(20.0).command == ""
    assert tried(0.1).tried == ()


def test_forms_of_other_models_are_refused() -> None:
    other = Net([Step("z", ("x",), lambda x: x[:, 0, :5])], {"z": (5,)})
    with pytest.raises(EcgEdgeError, match="5 values a beat and 3"):
        study(other, net(), BEATS)


@pytest.mark.parametrize("of_one_build", [True, False])
def test_two_models_of_the_same_classes_have_no_culprit(of_one_build: bool) -> None:
    draw = np.random.default_rng(9)
    v1, v2, v3 = (draw.standard_normal(each.shape).astype(np.float32) for each in (W1, W2, W3))
    again = net(a=lambda x: first(x, v1), b=lambda r: r @ v2, y=lambda m: m @ v3)
    wide = draw.standard_normal((1, 5)).astype(np.float32)
    steps = [
        Step("p", ("x",), lambda x: relu(first(x, wide)), "Conv"),
        Step("q", ("p",), lambda p: p.max(axis=2), "Max"),
        Step("z", ("q",), lambda q: q[:, -3:], "Slice"),
    ]
    found = look(again if of_one_build else Net(steps, {"p": (30, 5), "q": (30,), "z": (3,)}))
    assert found.culprit is None and not found.same_model
    [told] = find((), found, "form", "form")
    assert told.name == "no_forms_of_one_model" and told.text.startswith("these seem to be no forms of one model")
    [told] = find((), found, "onnx", "onnx", "tcn")
    assert "the conversion of tcn went wrong as a whole at onnx" in told.remedy
    one = look(net(a=lambda x: first(x, v1)))  # the others are right
    assert one.same_model and one.culprit and one.culprit.operation == "op_a"


def answered(name: str, precision: str, outputs: np.ndarray) -> Answered:
    task, spec = Classification(("a", "b", "c"), "logits"), TensorSpec("x", (None, 3), "float32", "NC")
    return Answered(name, Artifact(Path(name), "onnx", precision, task, spec, spec, "m"), "cpu", outputs)


def test_the_first_stage_that_parts_by_more_than_its_precision_explains() -> None:
    outputs = net().read("y", BEATS)[0]
    rounded = outputs + DRAW.normal(0, 0.03 * outputs.std(), outputs.shape).astype(np.float32)
    forms = [
        answered("torch", "fp32", outputs),
        answered("onnx", "fp32", outputs + 1e-6),
        answered("int8", "full-int8", rounded),
        answered("wrong", "full-int8", np.roll(rounded, 1, axis=1)),
    ]
    stages = stages_of(forms, BEATS, forms[0].artifact.task, np.arange(100, 116))
    assert [stage.parts for stage in stages] == [False, False, False, True]
    assert first_parted(stages) == 3
    expected = [100 + i for i in np.flatnonzero(outputs.argmax(1) != np.roll(rounded, 1, axis=1).argmax(1))]
    assert list(stages[3].changed) == expected and expected
    moved = [answered("torch", "fp32", outputs), answered("onnx", "fp32", outputs + 0.01)]
    assert first_parted(stages_of(moved, BEATS, forms[0].artifact.task, np.arange(16))) == 1
    with pytest.raises(EcgEdgeError, match="no forms of one model"):
        stages_of([forms[0], answered("other", "fp32", outputs[:, :2])], BEATS, forms[0].artifact.task, np.arange(16))


def test_the_table_fits_a_terminal() -> None:
    found = look(net(fine_steps(), b=FAULTS["b"]))
    long = [line_cells(line, line is found.culprit) for line in found.lines]
    long[0][1] = "x" * 34
    assert max(map(len, table(LINES, long, 4).splitlines())) <= 120
    assert any(row.startswith(" >") or row.startswith(">") for row in table(LINES, long, 4).splitlines())


def test_what_is_asked_for_has_to_be_two_forms() -> None:
    with pytest.raises(EcgEdgeError, match="no other form"):
        diverge("tcn.tflite")
    with pytest.raises(EcgEdgeError, match="both"):
        diverge("tcn.tflite", against="tcn", to="onnx")
    with pytest.raises(EcgEdgeError, match="nothing is converted"):
        diverge("tcn.tflite", against="tcn", fix=True)
    with pytest.raises(EcgEdgeError, match="is for a conversion"):
        diverge("tcn.tflite", against="tcn", quantizer="full-int8")


def test_a_form_is_not_blamed_for_the_rounding_of_its_reference() -> None:
    found = look(net(), net(fine_steps()))
    assert found.culprit is None
    wrong = look(net(b=lambda r: r @ (W2 * 2)), net(fine_steps()))
    assert wrong.culprit and wrong.culprit.operation == "op_b"


def test_a_reference_without_a_signal_is_told_in_json() -> None:
    dead = look(net(y=lambda m: m @ W3 * 0 + 1), net(y=lambda m: m @ W3 * 0))
    assert dead.culprit and dead.culprit.operation == "op_y"
    json.dumps([line.excess for line in dead.lines], allow_nan=False)


def test_labels_that_change_are_beats_that_change() -> None:
    right = np.tile(np.asarray([[3.0, -3.0, 3.0]], np.float32), (16, 1))
    wrong = right.copy()
    wrong[15] *= -1
    forms = [answered("torch", "fp32", right), answered("tflite", "full-int8", wrong)]
    stages = stages_of(forms, BEATS, Multilabel(("a", "b", "c"), "logits"), np.arange(16) + 100)
    assert stages[1].changed == (115,)
    assert as_one(np.asarray([[1, 0, 1], [0, 1, 0]])).tolist() == [5, 2]


def test_a_detector_and_a_classifier_are_no_forms_of_one_model() -> None:
    forms = [answered("ae", "fp32", np.zeros((16, 1, 30))), answered("cnn", "fp32", np.zeros((16, 3)))]
    with pytest.raises(EcgEdgeError, match="no forms of one model"):
        stages_of(forms, BEATS, Anomaly(1.0, 0.9, "a", ("a", "b")), np.arange(16))


def diverged(form: Net, name: str = "wrong.tflite") -> Diverged:
    """Two forms as the command finds them, one of which is called ``name``."""
    reference = net()
    outputs = [each.read("y", BEATS)[0] for each in (reference, form)]
    forms = [answered("right", "fp32", outputs[0]), answered(name, "full-int8", outputs[1])]
    stages, found = stages_of(forms, BEATS, forms[0].artifact.task, np.arange(16)), study(form, reference, BEATS)
    told = tuple(find(stages, found, name, first_parted(stages) and name))
    examples = tuple(Example(beat, BEATS[beat], (), "a", "a", "b", "op_m") for beat in stages[1].changed)
    strip = Strip(f"{name} too", "right", found.lines, 8)
    return Diverged(stages, name, name, "right", found, told, "beats", 16, 16, strips=(strip,), examples=examples)


def test_the_page_shows_the_strip_the_worst_tensor_and_the_beats_that_change() -> None:
    found = diverged(net(fine_steps(), m=lambda s: -s.mean(axis=1)), HOSTILE)
    root = Page(text := render(found)).root
    assert root.one("p", class_="name").text == "op_m"
    titles = [each.attributes["aria-label"].partition(".")[0] for each in root.all("svg", role="img")]
    beats = [f"Beat {beat}" for beat in found.stages[1].changed]
    assert beats and titles == ["Errors along the depth of the graph", "The worst tensor in both forms", *beats]
    assert all(each.children[0].text and each.one("desc").text for each in root.all("svg", role="img"))
    [worst] = [each for each in root.all("circle", class_="chosen") if each.parent and not each.inside("ul")]
    assert worst.one("title").text == "op_m: the worst"
    rows = root.one("section", id="operations").one("tbody").all("tr")
    assert len(rows) == len(found.study.lines if found.study else ())
    assert [row.one("th").text for row in rows if "front" in row.attributes["class"]] == ["op_m at fault"]
    assert "<script>document" not in text and "http" not in text.replace("http-equiv", "")  # it needs no other file
    assert len(json.dumps(found.record(), allow_nan=False)) < 20_000 and "examples" not in found.record()


def test_what_is_printed_for_programs_is_read_back_as_it_was(tmp_path: Path) -> None:
    found = diverged(net(fine_steps(), m=lambda s: -s.mean(axis=1)))
    told = typed_json.read(DivergedRecord, json.loads(json.dumps(found.record(), allow_nan=False)))
    assert told.study == found.study and told.stages == found.stages and told.findings == found.findings
    assert told.culprit == told.ranking[0] == "op_m" and told.strips == found.strips


def test_the_page_of_forms_of_which_no_operation_was_looked_into() -> None:
    whole = diverged(net(fine_steps()))
    found = replace(whole, study=None, form="", against="", strips=(), examples=(), parted=None, notes=("of none",))
    root = Page(render(found)).root
    assert not root.all("svg", role="img") and not root.all("section", id="operations")
    assert (
        "of none" in root.one("ul", class_="told").text and "None: both forms" in root.one("section", id="beats").text
    )


def test_a_histogram_counts_each_value_once_in_bins_of_whole_steps() -> None:
    steps = fine_steps()
    found = look(net(steps, b=FAULTS["b"])).histogram
    assert found and found.tensor == "b"
    assert sum(found.form) == sum(found.expected) == 16 * 30 * 6
    width = (found.edges[1] - found.edges[0]) / steps["b"]
    assert width == pytest.approx(round(width)) and width >= 1


def dead(r: np.ndarray) -> np.ndarray:
    made = r @ W2
    made[..., 2] = 0.25
    return made


WRONG: dict[str, tuple[str, Function, str]] = {
    "swapped_channels": ("b", lambda r: (r @ W2)[..., [0, 4, 2, 3, 1, 5]], "--no-optimize"),
    "dead_channels": ("b", dead, "by channel"),
    "lost_bias": ("b", lambda r: r @ W2 + np.float32([0.5, -1, 0, 2, 1, -1]), "its bias was lost"),
    "norm_in_training": ("b", lambda r: (r @ W2) * np.float32([1, 2, 0.5, 3, 1, 1]) + 1, "network.eval()"),
    "moved": ("s", lambda b: np.roll(relu(b), 3, axis=1), "layout"),
    "at_fault": ("m", lambda s: -s.mean(axis=1), "does not mend it"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_with_what_mends_it(name: str) -> None:
    at, changed, remedy = WRONG[name]
    scales = (
        {each: 4 * step for each, step in fine_steps().items()}
        if name not in ("norm_in_training", "lost_bias")
        else None
    )
    steps = [replace(step, op="Slice") if name == "moved" and step.output == "s" else step
             for step in steps_with(scales, **{at: changed})]  # fmt: skip
    found = look(Net(steps, SHAPES))
    assert found.culprit and found.culprit.operation == f"op_{at}"
    [told] = find((), found, "form", None)
    assert told.name == name and told.operation == f"op_{at}" and remedy in told.text + told.remedy


def test_channels_that_are_swapped_are_not_taken_for_a_range_that_cuts_off() -> None:
    """Two of them of unlike ranges, swapped in integers that hold the right ones: what is given is cut off as well."""
    loud = W2 * np.float32([1, 8, 1, 1, 1, 1])
    reference, given = net(b=lambda r: r @ loud), {"x": BEATS}
    reference.compute(given, "y")
    scales = fine_steps() | {name: float(np.abs(given[name]).max()) / 127 for name in ("b", "s", "m", "y")}
    wrong = net(scales | {"b": scales["b"] * 0.7}, b=lambda r: (r @ loud)[..., [1, 0, 2, 3, 4, 5]])
    found = study(wrong, reference, BEATS)
    assert found.culprit and found.culprit.beyond > 1e-3
    [told] = find((), found, "form", None)
    assert told.name == "swapped_channels" and "channels 0, 1 of b" in told.text


def test_a_pass_that_is_not_right_is_named() -> None:
    forms = [answered("onnx", "fp32", net().read("y", BEATS)[0]), answered("onnx, fold_norms", "fp32", net(
        b=FAULTS["b"]).read("y", BEATS)[0])]  # fmt: skip
    stages = stages_of(forms, BEATS, forms[0].artifact.task, np.arange(16))
    told = find(stages, look(net(b=FAULTS["b"])), "onnx, fold_norms", "onnx, fold_norms")
    assert "pass fold_norms" in next(each.text for each in told if each.name == "by_a_pass")
    for counted in ("onnx, 1 pass", "onnx, 3 passes"):
        assert not [each for each in find(stages, None, counted, counted) if each.name == "by_a_pass"]


def test_a_softmax_in_integers_is_told() -> None:
    def softmax(m: np.ndarray) -> np.ndarray:
        powers = np.exp(m @ W3)
        return powers / powers.sum(axis=1, keepdims=True)

    steps = [replace(step, op="SOFTMAX") if step.output == "y" else step
             for step in steps_with(fine_steps() | {"y": 1 / 127}, y=softmax)]  # fmt: skip
    found = study(Net(steps, SHAPES), net(y=softmax), BEATS)
    told = next(each for each in find((), found, "form", "form") if each.name == "integer_softmax")
    assert told.operation == "op_y" and "logits" in told.remedy


def test_a_crop_that_is_missing_at_the_end_is_found_there() -> None:
    whole, shapes = steps_with(y=lambda m: m @ W3), {**SHAPES, "c": (2,)}
    cropped = Net([*whole, Step("c", ("y",), lambda y: y[:, :2], "Slice")], shapes)
    found = study(Net(whole, SHAPES), cropped, BEATS)
    assert found.culprit and found.culprit.operation == "op_y" and found.dropped == ("op_c",)
    [told] = find((), found, "form", None)
    assert told.name == "dropped" and told.text.startswith("op_c of the reference is missing behind op_y")
    with pytest.raises(EcgEdgeError, match="not of one model"):  # it is wrong besides
        study(net(y=lambda m: m @ W3 * 3 + 1), cropped, BEATS)
