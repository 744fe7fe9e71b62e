"""What becomes of sums in 16 bits, and which verdict follows from answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge.api.artifact import Artifact, Binary, Classification, Multilabel, Task, task_record
from ecgedge.api.taps import Operation, Taps, Tensor, Wiring
from ecgedge.api.tensors import TensorSpec
from ecgedge.audit.portability import check_certificate, figures
from ecgedge.bundle.vectors import tolerance
from ecgedge.commands.bundle_certificate import portable
from ecgedge.errors import EcgEdgeError
from ecgedge.measure import machine
from ecgedge.portability import kept as cache
from ecgedge.portability import products
from ecgedge.portability.certificate import Certificate, NotTried, Tried, Verdict, Way, compare
from ecgedge.portability.findings import lowest_weights
from ecgedge.portability.float16 import of_taps, of_weights
from ecgedge.portability.parting import of_parting
from ecgedge.portability.record import Portability
from ecgedge.portability.study import Answers, Session, Study, confirmed, some, study
from ecgedge.portability.wording import lines

HERE = Way("first", "", "this machine", "run")
TASK = Classification(("a", "b", "c"), "logits")
BASE = np.asarray([[1.0, 0.0, -1.0], [0.0, 0.25, 0.0], [0.5, 0.0, 2.0]], np.float32)
BEATS = np.zeros((3, 1, 4), np.float32)
SPEC = TensorSpec("x", (None, 3), "float32", "NC")
ARTIFACT = Artifact(Path(__file__), "other", "fp32", TASK, SPEC, SPEC, "m")
Change = Callable[[Any], Any]


def saturated(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """As ``pmaddubsw`` is described, one product after the other: ``(rows, K)`` by ``(outputs, K)``."""
    found = np.zeros((len(x), len(weights)), np.int64)
    for row, values in enumerate(x.tolist()):
        for output, factors in enumerate(weights.tolist()):
            terms = [a * b for a, b in zip(values, factors, strict=True)] + [0] * (len(values) % 2)
            pairs = [first + second for first, second in zip(terms[0::2], terms[1::2], strict=True)]
            found[row, output] = sum(min(max(pair, -32768), 32767) for pair in pairs)
    return found


@pytest.mark.parametrize("width", [1, 2, 7, 12])
def test_what_16_bits_take_away_is_what_the_instruction_takes_away(width: int) -> None:
    draw = np.random.default_rng(width)
    x, weights = draw.integers(0, 256, (40, width)), draw.integers(-127, 128, (5, width), dtype=np.int8)
    x[:5], weights[0] = 255, 127
    counts = products.counts_of(weights[None])
    off = products.lost(x, weights, np.arange(40), counts, 0)
    assert np.array_equal(products.exact(x, weights) + off, saturated(x, weights))
    assert counts.did <= counts.can <= counts.pairs == 5 * -(-width // 2)
    assert (counts.cut > 0) == (width > 1) == bool(off.any())


def test_seven_bits_can_never_leave_16() -> None:
    weights = np.full((1, 4, 6), 64, np.int8)
    weights[0, 1] = -64
    assert products.counts_of(weights).can == 0
    assert products.counts_of(weights + np.int8(1)).can == 9  # 255 * 65 * 2 = 33,150; -63 stays within


def test_beats_and_sums_are_counted() -> None:
    x = np.asarray([[255, 255], [255, 0], [255, 255], [10, 10]])
    counts = products.counts_of(np.asarray([[[127, 127]]], np.int8))
    products.lost(x, np.asarray([[127, 127]], np.int8), np.asarray([0, 0, 0, 1]), counts, 0)
    assert (counts.beats, counts.cut, counts.sums, counts.largest) == (1, 2, 4, 2 * 255 * 127 - 32767)


def certificate(*others: np.ndarray, step: float | None = 0.25) -> Certificate:
    tried = [compare(each, BASE, BEATS, np.arange(3) + 10, TASK, step, HERE) for each in (BASE, *others)]
    return Certificate("", 3, 0.25, step, tuple(tried), (), (), ())


@pytest.mark.parametrize(
    ("change", "verdict"), [(0.0, "exact"), (0.125, "equivalent"), (0.5, "fragile"), (float("nan"), "fragile")]
)
def test_the_verdict(change: float, verdict: Verdict) -> None:
    other = BASE.copy()
    other[1, 0] += change
    found = certificate(BASE, other)
    assert found.verdict == verdict
    assert lines(found)[0].startswith(f"{verdict}: ")


def test_a_decision_that_changes_is_told_with_its_margin() -> None:
    other = BASE.copy()
    other[1] = 1.0, 0.25, 0.0
    [_, tried] = certificate(other).tried
    assert [(flip.beat, flip.here, flip.there, flip.margin) for flip in tried.flips] == [(11, 1, 0, 0.25)]
    assert (tried.largest, tried.steps, round(tried.equal, 3)) == (1.0, 4.0, 0.889)
    assert "beat 11: 1 becomes 0, margin 0.25" in "\n".join(lines(certificate(other)))


def test_one_way_alone_certifies_nothing() -> None:
    assert "says nothing of others" in lines(certificate())[0]


def test_another_zero_is_another_bit() -> None:
    other = BASE.copy()
    other[0, 1] = -0.0
    found = certificate(other)
    assert (found.verdict, found.largest, round(found.tried[1].equal, 3)) == ("equivalent", 0, 0.889)
    assert found.tried[1].digest != found.tried[0].digest
    assert "in the signs of zeros" in lines(found)[0]


def test_ways_that_saw_a_part_of_the_beats_are_told_with_the_verdict() -> None:
    found = certificate(BASE)
    fewer = replace(found, tried=(*found.tried, replace(found.tried[1], beats=2)))
    assert "only" not in lines(found)[0]
    assert lines(fewer)[0].endswith("; 1 of the 3 ways saw 2 of 3 beats only")


@pytest.mark.parametrize(("most", "told"), [(1, "and 2 more decisions, which"), (2, "and 1 more decision, which")])
def test_decisions_that_are_left_out_are_counted(most: int, told: str) -> None:
    assert lines(certificate(np.roll(BASE, 1, axis=1)), most=most)[-1].startswith(told)


class Answering:
    """A session that gives these answers, in calls of two beats."""

    bulk = 2

    def __init__(self, outputs: np.ndarray):
        self.outputs = outputs

    def pieces(self, x: np.ndarray, size: int) -> Iterator[np.ndarray]:
        yield from (self.outputs[:2], self.outputs[2:])

    def graph(self) -> None:
        return None


class Ragged(Answering):
    def pieces(self, x: np.ndarray, size: int) -> Iterator[np.ndarray]:
        yield from (self.outputs[:2], self.outputs[2:, :2])


@pytest.mark.parametrize("other", [Answering(BASE[:, :2]), Answering(BASE[:2]), Ragged(BASE)])
def test_a_runtime_that_answers_in_another_shape_is_one_way_that_was_not_tried(other: Answering) -> None:
    ways = [
        (HERE, Answering(BASE)),
        (replace(HERE, family="odd"), other),
        (replace(HERE, family="third"), Answering(BASE)),
    ]
    sessions = [Session(way, lambda each=each: nullcontext(each), False) for way, each in ways]  # type: ignore[misc]
    found, answers = study(Study(ARTIFACT, BEATS, np.arange(3), lambda _: None), sessions)
    assert [each.family for each in found.tried] == ["first", "third"] and len(answers) == 2
    [missed] = found.not_tried
    assert (missed.what == "odd on this machine" and "shape" in missed.why) or "were expected" in missed.why


@pytest.mark.parametrize("is_known", [True, False])
def test_an_emulator_is_a_suspect_unless_others_answer_so(is_known: bool) -> None:
    other = BASE[1:] + np.float32(0.125)
    numbers, core = np.asarray([1, 2]), Way("first", "", "core", "emulator")
    model = Way("model", "", "core", "model")
    there = other if is_known else other + np.float32(0.125)

    def answers(outputs: np.ndarray, way: Way) -> Answers:
        return Answers(compare(outputs, BASE[1:], BEATS[1:], numbers, TASK, None, way), outputs, BASE[1:], numbers)

    everything = Answers(compare(BASE, BASE, BEATS, np.arange(3), TASK, None, HERE), BASE, BASE, np.arange(3))
    tried: list[Tried] = [*confirmed([everything, answers(other, core), answers(there, model)])]
    assert tried[1].confirmed == ("model on core" if is_known else "")
    told = "\n".join(lines(Certificate("", 3, 0.25, None, tuple(tried), (), (), ())))
    assert ("not the emulator" in told) == is_known
    assert ("or the emulator errs" in told) != is_known


def test_some_beats_are_of_every_class_and_always_the_same() -> None:
    labels = np.repeat([0, 1, 2], [80, 15, 5])
    chosen = some(labels, 20)
    assert np.bincount(labels[chosen], minlength=3).tolist() == [16, 3, 1]
    assert np.array_equal(chosen, some(labels, 20)) and np.array_equal(chosen, np.unique(chosen))
    assert len(some(labels, 1000)) == 100


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (Multilabel(("a", "b", "c"), "probabilities", (0.5, 0.2, 0.9)), [(11, 0, 1, 0.05, 1), (12, 1, 0, 0.05, 2)]),
        (Binary(("no", "yes"), "probabilities"), [(12, 1, 0, 0.9, None)]),
    ],
)
def test_decisions_of_labels_and_of_one_output_are_told_and_found_again(
    task: Task, expected: list[tuple[float, ...]]
) -> None:
    base = np.asarray([[0.7, 0.1, 0.1], [0.1, 0.15, 0.1], [0.9, 0.9, 0.95]], np.float32)
    other = base.copy()
    other[1, 1], other[2, 2] = 0.25, 0.85
    if isinstance(task, Binary):
        base, other = base[:, 2:], other[:, 2:]
        other[2] = 0.05
    found = compare(other, base, BEATS, np.arange(3), task, None, HERE)
    told = [(flip.beat + 10, flip.here, flip.there, round(flip.margin, 4), flip.label) for flip in found.flips]
    assert told == expected
    arrays = {"numbers_1": np.arange(3), "outputs_1": other, "against_1": base}
    again = figures(1, arrays, BEATS, task_record(task), None)["flips"]
    assert [{**each, "margin": round(each["margin"], 4)} for each in again] == [
        {"beat": flip.beat, "here": flip.here, "there": flip.there, "margin": round(flip.margin, 4),
         "label": flip.label} for flip in found.flips
    ]  # fmt: skip
    text = "\n".join(lines(Certificate("", 3, 0.1, None, (found,), (), (), ()), task.labels))
    assert ("yes becomes no" if isinstance(task, Binary) else "no b becomes b") in text


def kept(folder: Path, other: np.ndarray) -> Portability:
    """What two ways answer, in a folder as ``ecgedge portability -o`` keeps it."""
    ways = [(HERE, BASE), (replace(HERE, family="second"), other)]
    sessions = [Session(way, lambda each=each: nullcontext(Answering(each)), False) for way, each in ways]  # type: ignore[misc]
    left = ("x86-64 with fewer instructions, emulated", "aarch64", "x86-64 with AVX-512 and without VNNI")
    asked = Study(ARTIFACT, BEATS, np.arange(3), lambda _: None)
    found, answers = study(asked, sessions, [NotTried(each, "it is not here") for each in left])
    made = Portability(ARTIFACT, "other", "some beats", found, answers, BEATS)
    made.write(folder)
    return made


def changed(folder: Path, how: Change) -> list[str]:
    """What a check says of the certificate once it was changed."""
    file = folder / "portability.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps(told if isinstance(told := how(record), list) else record))
    return check_certificate(folder).reasons


def test_what_is_kept_holds_and_what_nothing_tells_is_said_to_be_unchecked(tmp_path: Path) -> None:
    other = BASE.copy()
    other[0, 1] = -0.0
    kept(tmp_path, other)
    found = check_certificate(tmp_path)
    assert found.reasons == [] and found.rows == 3
    told = " ".join(found.unchecked)
    assert all(word in told for word in ("file", "digest", "family", "not_tried", "saturation", "versions"))


LAYER = {"layer": "conv", "pairs": 9, "can": 5, "did": 0, "beats": 0, "seen": 0, "cut": 0, "sums": 0, "largest": 0,
         "changed": 0.0, "steps": 0}  # fmt: skip


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda told: told["not_tried"].clear(), "x86-64 with AVX-512 and without VNNI was neither tried"),
        (lambda told: told["not_tried"].pop(0), "Nehalem was neither tried"),
        (lambda told: told["not_tried"].pop(1), "aarch64, or a board was neither tried"),
        (
            lambda told: told.update(runtime="tflite"),
            "builtin on this machine was neither tried nor is it told why not",
        ),
        (lambda told: told["tried"][1].update(family="first"), "first on this machine: it is told twice"),
        (lambda told: told["tried"][1].update(family="16-bit pairs"), "by is run, its family and place say model"),
        (lambda told: told["tried"][1].update(place="Haswell (emulated)"), "its family and place say emulator"),
        (lambda told: told["tried"][0].update(place="pi4"), "the first way is not of this machine"),
        (lambda told: told["tried"].pop(), "answers.npz has against_1, which is of no way that is told"),
        (lambda told: told["tried"][1].update(family="16-bit pairs", by="model"), "no layer is told"),
        (lambda told: told["saturation"].append(LAYER), "16-bit pairs were neither tried nor is it told why not"),
        (lambda told: told["saturation"].append({**LAYER, "cut": 3, "sums": 9}), "some are 0, some are not"),
    ],
)
def test_a_certificate_cannot_leave_out_what_the_rest_of_it_tells(tmp_path: Path, how: Change, words: str) -> None:
    kept(tmp_path, BASE + np.float32(0.125))
    assert words in " ".join(changed(tmp_path, how))


def leaves(tree: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value of a record."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from leaves(value, (*way, key)) if isinstance(value, dict | list) else [(*way, key)]


def other(value: Any) -> Any:
    """Another value that may stand there, too."""
    if not isinstance(value, str):
        return (value or 0) + 1
    words = {"exact": "fragile", "fragile": "exact", "run": "emulator"}
    return value[::-1] if len(value) == 64 else words.get(value, value + "x")


def test_what_a_check_of_a_certificate_does_not_find_it_says(tmp_path: Path) -> None:
    kept(tmp_path, np.roll(BASE, 1, axis=1))
    record = json.loads((tmp_path / "portability.json").read_text())
    told, overlooked = " ".join(check_certificate(tmp_path).unchecked), set()
    for way in leaves(record):
        mutated = json.loads(json.dumps(record))
        place = mutated
        for key in way[:-1]:
            place = place[key]
        place[way[-1]] = other(place[way[-1]])
        (tmp_path / "portability.json").write_text(json.dumps(mutated))
        if not check_certificate(tmp_path).reasons:
            names = [key for key in way if isinstance(key, str)]
            overlooked.add(names[0] if names[0] in ("machine", "versions", "not_tried") else names[-1])
    assert {"digest", "family", "ran"} <= overlooked and not {"verdict", "equal", "flips", "margin"} & overlooked
    assert all(name in told for name in overlooked), overlooked


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda told: [1], "it is [1], not an object"),
        (lambda told: told.pop("verdict"), "verdict is missing"),
        (lambda told: told["task"].clear(), "task.kind is None, not one of classification"),
        (lambda told: told["tried"][0].clear(), "tried[0].family is missing"),
        (lambda told: told["tried"].clear(), "tried has 0 entries, not 1 to"),
        (lambda told: told.update(beats="many"), "beats is 'many', not a whole number"),
        (lambda told: told.update(digest="none"), "digest is 'none', not a SHA-256 in hex"),
        (lambda told: told.update(more=1), "it has the key 'more'"),
        (lambda told: told["task"].update(labels=["a"]), "answers.npz: outputs of shape (3, 3) for 3 beats"),
    ],
)
def test_what_is_no_certificate_is_told_in_words(tmp_path: Path, how: Change, words: str) -> None:
    kept(tmp_path, BASE)
    [reason] = changed(tmp_path, how)
    assert reason.startswith("portability.json: ") and words in reason and "Error" not in reason


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("outputs_1", None, "lacks outputs_1"),
        ("x", BEATS[:, 0], "x has shape (3, 4), not that of beats"),
        ("numbers_1", np.asarray([0, 1, 1]), "numbers_1 are not those of beats"),
        ("outputs_1", BASE[:2], "outputs_1 and against_1 are not answers to the same beats"),
        ("against_1", BASE + 1, "way 1 is not held against the answers of the first"),
        ("against_0", BASE + 1, "way 0 is not held against the answers of the first"),
        ("outputs_1", np.float32([[1, 0, -1], [0, 0.25, 0], [0.5, -0.0, 2]]), "equal: 1.0 is claimed"),
    ],
)
def test_answers_that_are_none_are_told_in_words(
    tmp_path: Path, name: str, array: np.ndarray | None, words: str
) -> None:
    kept(tmp_path, BASE)
    with np.load(tmp_path / "answers.npz") as file:
        arrays = {**file}
    arrays.pop(name)
    np.savez(tmp_path / "answers.npz", **arrays if array is None else {**arrays, name: array})
    told = " ".join(check_certificate(tmp_path).reasons)
    assert words in told and "Error" not in told


def test_a_bundle_takes_a_certificate_of_the_same_decisions_only(tmp_path: Path) -> None:
    kept(tmp_path, np.roll(BASE, 1, axis=1))
    found = portable(tmp_path, ARTIFACT)
    usual, bound = tolerance(ARTIFACT, BASE), tolerance(ARTIFACT, BASE, found)
    assert found.verdict == "fragile" and found.largest > usual[0] and bound == usual  # a loose check tells nothing
    assert tolerance(ARTIFACT, BASE, replace(found, verdict="equivalent"))[0] == pytest.approx(found.largest)
    other = replace(ARTIFACT, task=Multilabel(TASK.labels, "probabilities"))
    with pytest.raises(EcgEdgeError, match="of other decisions: kind classification, not multilabel"):
        portable(tmp_path, other)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: changed(folder, lambda told: told["tried"][1].update(equal=1.0, largest=0.0, flips=[])),
        lambda folder: changed(folder, lambda told: told.update(digest="0" * 64)),
        lambda folder: np.savez(folder / "answers.npz", **{**np.load(folder / "answers.npz"), "outputs_1": BASE}),
        lambda folder: np.savez(folder / "answers.npz", **{**np.load(folder / "answers.npz"), "outputs_1": BASE[:2]}),
    ],
)
def test_a_certificate_in_the_cache_that_was_changed_is_found_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], object]
) -> None:
    monkeypatch.setattr(cache, "place", lambda: tmp_path / "cache")
    asked = Study(ARTIFACT, BEATS, np.arange(3), lambda _: None)
    cache.keep("key", made := kept(tmp_path / "first", np.roll(BASE, 1, axis=1)))
    found = cache.find("key", asked)
    assert found and found.certificate == made.certificate and made.certificate.verdict == "fragile"
    monkeypatch.setattr(machine, "describe", lambda: {"load": 99.0})
    assert json.dumps(made.record()) == json.dumps(found.record())  # of the machine when it was found
    spoil(tmp_path / "cache" / "key")
    assert cache.find("key", asked) is None and not (tmp_path / "cache" / "key").exists()


class Tapped(Taps):
    """Three tensors: one beyond float16 on the second beat, one below its full precision, one of integers."""

    wiring = Wiring(
        "x", "y",
        (Tensor("x", (4,), "float32"), Tensor("loud", (4,), "float32"), Tensor("quiet", (4,), "float32"),
         Tensor("y", (4,), "int8")),
        (Operation("first", "Conv", ("x",), ("loud",)), Operation("second", "Mul", ("loud",), ("quiet",)),
         Operation("third", "Cast", ("quiet",), ("y",))),
    )  # fmt: skip

    def read(self, tensor: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scale = {"loud": np.asarray([1, 70_000, 1]), "quiet": np.full(3, 1e-6)}[tensor]
        return np.ones((3, 4)) * scale[:, None], x

    def between(self, inputs: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        raise NotImplementedError


def test_tensors_that_leave_float16_are_named_by_their_operation() -> None:
    found = of_taps(Tapped(), BEATS)
    assert [(each.layer, each.largest, each.beats, each.seen) for each in found.layers] == [("first", 70_000, 1, 3)]
    leaves, small = (each.text for each in found.findings)
    assert leaves.startswith("values of 1 layer leave float16") and small.startswith("most values of second are subn")
    assert found.outputs is None


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([("conv", 1)], "1 weight is -128, in conv: "),
        ([(f"conv{i}", 2) for i in range(5)], "10 weights are -128, in conv0, conv1, conv2 and 2 more: "),
    ],
)
def test_layers_with_weights_of_minus_128_are_named(layers: list[tuple[str, int]], words: str) -> None:
    assert lowest_weights(layers).text.startswith(words)


def test_weights_below_float16s_precision_are_counted() -> None:
    weights = {"w": np.asarray([1, 1e-5, 0, 1e-6], np.float16), "v": np.asarray([np.inf], np.float16)}
    lost, small = (each.text for each in of_weights(weights))
    assert lost == "weights of v are beyond float16" and small.startswith("2 of 4 weights are subnormal")


def test_some_beats_are_of_each_set_of_labels() -> None:
    labels = np.repeat([[0, 1], [1, 1], [1, 0]], [80, 15, 5], axis=0)
    assert np.array_equal(some(labels, 20), some(np.repeat([0, 2, 1], [80, 15, 5]), 20))


class Kernels(Taps):
    """y = 2 x, then y / 4, where other kernels round the second of these."""

    wiring = Wiring(
        "x", "y", (Tensor("x", (4,), "float32"), Tensor("h", (4,), "float32"), Tensor("y", (4,), "int8", 0.5, 0)),
        (Operation("double", "MUL", ("x",), ("h",)), Operation("quarter", "MEAN", ("h",), ("y",))),
    )  # fmt: skip

    def __init__(self, rounds: bool):
        self.rounds = rounds

    def read(self, tensor: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        held = {"x": x, "h": self.between({"x": x}, "h")}
        held["y"] = self.between({"h": held["h"]}, "y")
        return held[tensor], held["y"]

    def between(self, inputs: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        if output == "h":
            return inputs["x"] * 2
        found = inputs["h"] / 4
        return np.rint(found) if self.rounds else found


def test_the_operation_that_parts_two_families_is_named() -> None:
    x = np.asarray([[[1, 2, 3, 4]]], np.float32)
    found = of_parting("rough", Kernels(False), Kernels(True), x)
    first, _, others = found.text.partition("; ") if found else ("", "", "")
    assert first == "rough parts first in quarter: 50.00% of its values, 1 step at most"
    assert others == "of 2 operations 1 differs by itself: 1 MEAN"
    assert of_parting("alike", Kernels(True), Kernels(True), x) is None
