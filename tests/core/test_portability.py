"""What becomes of sums in 16 bits, and which verdict follows from answers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from ecgedge.api.artifact import Binary, Classification, Multilabel, Task, task_record
from ecgedge.audit.portability import check_certificate, figures
from ecgedge.portability import products
from ecgedge.portability.certificate import Certificate, Tried, Verdict, Way, compare, digest_of, lines
from ecgedge.portability.study import Answers, confirmed, some

HERE = Way("first", "", "this machine", "run")
TASK = Classification(("a", "b", "c"), "logits")
BASE = np.asarray([[1.0, 0.0, -1.0], [0.0, 0.25, 0.0], [0.5, 0.0, 2.0]], np.float32)
BEATS = np.zeros((3, 1, 4), np.float32)


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


@pytest.mark.parametrize("is_honest", [True, False])
def test_no_way_is_held_against_anything_but_the_first(tmp_path: Path, is_honest: bool) -> None:
    other = BASE + np.float32(0.125)
    ways = [BASE, other if is_honest else BASE]
    tried = [compare(each, BASE, BEATS, np.arange(3), TASK, None, HERE) for each in ways]
    found = Certificate("", 3, 0.25, None, tuple(tried), (), (), ())
    record = {**asdict(found), "verdict": found.verdict, "largest": found.largest, "task": task_record(TASK)}
    arrays = {"x": BEATS, "numbers_0": np.arange(3), "numbers_1": np.arange(3), "outputs_0": BASE, "against_0": BASE}
    arrays |= {"outputs_1": other, "against_1": BASE if is_honest else other}
    if not is_honest:  # what it differs from is written to be the same
        record["tried"][1]["digest"] = digest_of(other)
    np.savez(tmp_path / "answers.npz", **arrays)
    (tmp_path / "portability.json").write_text(json.dumps(record))
    told = " ".join(check_certificate(tmp_path).reasons)
    assert told == "" if is_honest else "way 1 is not held against the answers of the first" in told
