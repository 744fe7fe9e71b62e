"""Verdicts on planted outputs: what is the same passes, and each fake is found and named."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from ecgedge import Anomaly, Classification
from ecgedge.evaluate.intervals import mcnemar, wilson
from tests.judging import judge_answers as judge

LABELS = ("1", "2", "3", "4", "5")
CLASSES = Classification(LABELS)
COUNT = 2000
Y = np.random.default_rng(0).choice(5, COUNT, p=[0.55, 0.3, 0.08, 0.04, 0.03])
BEATS = np.random.default_rng(1).normal(size=(COUNT, 1, 20)).astype(np.float32)


def scores(seed: int = 0, y: np.ndarray = Y, margin: float = 4.0, classes: int = 5) -> np.ndarray:
    """Logits of a fair classifier, ``(N, C)``."""
    rng = np.random.default_rng(seed)
    return (margin * np.eye(classes)[y] + rng.normal(size=(len(y), classes))).astype(np.float32)


def verdict_on(outputs: np.ndarray, expected: np.ndarray | None, precision: str = "full-int8", **more: Any) -> Any:
    """``judge`` on the planted beats; the row, which must be fit for JSON."""
    row = judge(outputs, expected, BEATS, Y, CLASSES, precision, **more)
    json.dumps(row, allow_nan=False)
    return row


def gates(row: Any) -> list[str]:
    return [gate["gate"] for gate in row["gates"]]


TRAINED = scores()


def test_identical_outputs() -> None:
    row = verdict_on(TRAINED.copy(), TRAINED, "fp32")
    assert (row["status"], row["reason"], row["gates"]) == ("ok", "", [])
    assert row["verdict"]["text"] == "same (identical decisions)"
    assert (row["verdict"]["result"], row["verdict"]["difference"], row["verdict"]["p"]) == ("same", 0, 1)
    assert row["verdict"]["low"] < 0 < row["verdict"]["high"]
    assert (row["max_abs_diff"], row["mean_abs_diff"], row["changed"]) == (0, 0, [])
    assert row["cosine"] == pytest.approx(1)
    assert (row["equal_decisions"], row["changed_decisions"]) == (1, 0)
    assert row["tolerance"] == {"max_abs_diff": pytest.approx(1e-4 * np.abs(TRAINED).max())}
    assert row["recall_change"] == dict.fromkeys(LABELS, 0)
    assert 0.9 < row["accuracy"] < 1
    hits = round(row["accuracy"] * COUNT)
    assert (row["accuracy_low"], row["accuracy_high"]) == wilson(hits, COUNT)


def test_int8_noise_is_the_same() -> None:
    step = np.abs(TRAINED).max() / 127
    row = verdict_on(np.round(TRAINED / step) * step, TRAINED)
    assert (row["status"], row["gates"], row["verdict"]["result"]) == ("ok", [], "same")
    assert row["tolerance"] == {"cosine": 0.8}
    assert 0.999 < row["cosine"] < 1
    assert 0 < row["mean_abs_diff"] < row["max_abs_diff"] < step


def test_without_the_trained_models_outputs_there_is_quality_alone() -> None:
    row = verdict_on(TRAINED, None)
    assert row["status"] == "ok"
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    assert not {"verdict", "cosine", "tolerance", "changed", "recall_change"} & set(row)


def test_outputs_that_are_no_answers() -> None:
    bad = TRAINED.copy()
    bad[7, 2] = np.inf
    row = verdict_on(bad, TRAINED)
    assert row == {"status": "rejected", "reason": "outputs for 1 of 2,000 beats are not finite"}
    assert verdict_on(TRAINED[:, :3], TRAINED)["status"] == "rejected"
    bad[7, 2] = np.nan
    row = verdict_on(TRAINED, bad)
    assert row["status"] == "failed"
    assert row["reason"] == "of the trained model itself, outputs for 1 of 2,000 beats are not finite"


def test_fp32_is_held_to_its_word() -> None:
    assert verdict_on(TRAINED + np.float32(1e-4), TRAINED, "fp32")["status"] == "ok"
    off = TRAINED.copy()
    off[3, 3] += 0.01
    row = verdict_on(off, TRAINED, "fp32")
    assert (row["status"], row["reason"]) == ("rejected", "fp32 differs from the trained model by 0.01")
    assert verdict_on(off, TRAINED, "fp32", computes="fp32")["status"] == "rejected"
    coarse = verdict_on(off, TRAINED, "fp32", computes="bf16")
    assert (coarse["status"], coarse["tolerance"]) == ("ok", {"cosine": 0.8})


@pytest.mark.parametrize(
    ("precision", "computes", "floor"),
    [("fp16", None, 0.999), ("dynamic", None, 0.8), ("int4", None, 0.8), ("fp32", "fp16", 0.999),
     ("full-int8", "fp16", 0.8), ("fp16", "bf16", 0.8)],
)  # fmt: skip
def test_each_precision_has_its_floor(precision: str, computes: str | None, floor: float) -> None:
    centred = TRAINED - TRAINED.mean(axis=1, keepdims=True)
    aside = np.random.default_rng(3).normal(size=TRAINED.shape)
    aside -= aside.mean(axis=1, keepdims=True)
    aside -= centred * (aside * centred).sum() / (centred**2).sum()  # at a right angle to the trained model's
    aside *= np.linalg.norm(centred) / np.linalg.norm(aside)
    for cosine, status in [(floor + 2e-4, "ok"), (floor - 2e-4, "rejected")]:
        outputs = cosine * centred + (1 - cosine**2) ** 0.5 * aside
        row = verdict_on(outputs + 5, TRAINED, precision, computes=computes)
        assert row["cosine"] == pytest.approx(cosine), "an offset that the classes of a beat share means nothing"
        assert (row["status"], row["tolerance"]) == (status, {"cosine": floor})
    assert row["reason"].startswith("cosine 0.")


def test_two_classes_on_the_fence_do_not_spoil_the_cosine() -> None:
    y = (Y > 0).astype(int)
    trained = scores(1, y, margin=1.0, classes=2)
    noisy = trained + np.random.default_rng(2).normal(size=trained.shape).astype(np.float32) * 0.01
    row = judge(noisy, trained, BEATS, y, Classification(("a", "b")), "fp16")
    assert 1 - 2 * row["changed_decisions"] / COUNT < 0.999, "the mean over the beats is below the floor"
    assert row["status"] == "ok"


def test_outputs_of_other_beats() -> None:
    row = verdict_on(TRAINED[np.random.default_rng(0).permutation(COUNT)], TRAINED)
    assert row["status"] == "rejected"
    assert "cosine" in row["reason"]
    assert row["verdict"]["result"] == "worse"


@pytest.mark.parametrize("precision", ["fp32", "full-int8"])
def test_classes_in_another_order(precision: str) -> None:
    row = verdict_on(TRAINED[:, [1, 0, 2, 3, 4]], TRAINED, precision)
    assert row["status"] == "rejected"
    assert row["reason"] == "the classes are in another order: output 0 is class '2', output 1 is class '1'"
    turned = verdict_on(TRAINED[:, [1, 2, 0, 3, 4]] + scores(9) * np.float32(0.05), TRAINED, precision)
    assert turned["reason"].endswith("output 0 is class '2', output 1 is class '3', output 2 is class '1'")


def test_two_rare_classes_swapped_are_found_though_the_cosine_is_high() -> None:
    y = Y.copy()
    y[Y >= 3] = 0
    y[:30], y[30:60] = 3, 4
    trained = scores(0, y)
    trained[y < 3, 3:] = trained[y < 3, 3:] * 0.2 - 4  # never near to being decided
    row = judge(trained[:, [0, 1, 2, 4, 3]], trained, BEATS, y, CLASSES, "full-int8")
    assert row["cosine"] > 0.97
    assert (row["status"], row["reason"]) == (
        "rejected", "the classes are in another order: output 3 is class '5', output 4 is class '4'",
    )  # fmt: skip


def test_classes_that_are_never_decided_have_no_order() -> None:
    trained = TRAINED - np.array([0, 0, 0, 20, 20], np.float32)
    row = verdict_on(trained[:, [0, 1, 2, 4, 3]], trained)
    assert (row["status"], row["changed_decisions"]) == ("ok", 0)


def test_a_class_that_is_gone() -> None:
    outputs = TRAINED.copy()
    outputs[:, 4] = np.minimum(outputs[:, 4], outputs[:, :4].max(axis=1) - 0.1)
    row = verdict_on(outputs, TRAINED)
    decided = TRAINED.argmax(axis=1) == 4
    assert row["cosine"] > 0.97
    assert (row["status"], row["reason"]) == (
        "rejected",
        f"class collapse: class '5' is never decided; the trained model decided it {decided.sum()} times, "
        f"{(decided & (Y == 4)).sum()} rightly",
    )
    assert gates(row) == ["recall", "class collapse"]
    assert row["recall_change"]["5"] < -0.9


@pytest.mark.parametrize(("decided", "right", "gone"), [(9, 9, False), (40, 4, False), (10, 5, True)])
def test_a_class_that_the_trained_model_hardly_knew_may_go(decided: int, right: int, gone: bool) -> None:
    y = np.where(Y == 4, 0, Y)
    y[:right] = 4
    trained = scores(0, y)
    trained[:decided, 4] = trained[:decided, :4].max(axis=1) + 0.1
    trained[decided:, 4] = -2
    outputs = trained.copy()
    outputs[:decided, 4] -= 0.2
    row = judge(outputs, trained, BEATS, y, CLASSES, "full-int8")
    assert row["status"] == ("rejected" if gone else "ok")
    assert ("class collapse" in gates(row)) is gone


def spoil(outputs: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Those beats are decided for their second best class, by a hair."""
    changed = outputs.copy()
    for i in which:
        first, second = np.argsort(outputs[i])[[-1, -2]]
        changed[i, second] = outputs[i, first] + 0.01
    return changed


def test_two_points_of_accuracy_are_a_loss() -> None:
    right = np.flatnonzero(TRAINED.argmax(axis=1) == Y)
    row = verdict_on(spoil(TRAINED, right[:: len(right) // 40][:40]), TRAINED)
    found = row["verdict"]
    assert row["status"] == "ok", "a loss is told, not refused"
    assert (found["against"], found["result"]) == ("the trained model", "worse")
    assert found["difference"] == pytest.approx(-0.02)
    assert found["low"] < -0.02 < found["high"] < 0
    assert found["p"] == mcnemar(40, 0)
    assert found["text"] == "worse by 2.0 points (p<0.001)"
    assert (row["changed_decisions"], row["equal_decisions"]) == (40, pytest.approx(0.98))


def test_a_gain_and_a_tie() -> None:
    wrong = np.flatnonzero(TRAINED.argmax(axis=1) != Y)[:8]
    better = TRAINED.copy()
    better[wrong, Y[wrong]] = TRAINED[wrong].max(axis=1) + 0.01
    row = verdict_on(better, TRAINED)
    assert row["verdict"]["result"] == "better"
    assert row["verdict"]["text"] == "better by 0.4 points (p=0.0078)"
    right = np.flatnonzero(TRAINED.argmax(axis=1) == Y)[:8]
    tie = verdict_on(spoil(better, right), TRAINED)["verdict"]
    assert (tie["result"], tie["text"], tie["p"], tie["difference"]) == ("same", "same", 1, 0)
    few = verdict_on(spoil(TRAINED, right[:5]), TRAINED)["verdict"]
    assert few["difference"] < 0
    assert (few["result"], few["p"]) == ("same", mcnemar(5, 0))


def test_the_changed_decisions_are_listed_by_their_own_numbers() -> None:
    index = np.arange(COUNT) * 2 + 1
    beat = int(np.flatnonzero(TRAINED.argmax(axis=1) == Y)[10])
    row = verdict_on(spoil(TRAINED, np.array([beat])), TRAINED, index=index)
    second, first = np.sort(TRAINED[beat])[-2:]
    order = np.argsort(TRAINED[beat])
    assert row["changed"] == [
        {"beat": 2 * beat + 1, "reference": order[-1], "here": order[-2], "margin": pytest.approx(first - second)}
    ]
    many = verdict_on(scores(5, margin=0.5), TRAINED)
    assert len(many["changed"]) == 100 < many["changed_decisions"]


def test_the_recall_of_one_class() -> None:
    ours = np.flatnonzero((Y == 3) & (TRAINED.argmax(axis=1) == 3))
    row = verdict_on(spoil(TRAINED, ours[:12]), TRAINED)
    assert row["recall_change"]["4"] == pytest.approx(-12 / (Y == 3).sum())
    assert [row["recall_change"][label] for label in ("1", "2", "3", "5")] == [0, 0, 0, 0]
    assert gates(row) == ["recall"]
    gate = row["gates"][0]
    assert gate["p"] == pytest.approx(5 * mcnemar(12, 0)), "five classes are tested: Holm's first step"
    assert (gate["label"], gate["change"]) == ("4", row["recall_change"]["4"])
    assert gate["text"].startswith("recall of class '4' fell by ")


@pytest.mark.parametrize(("label", "lost"), [(3, 7), (0, 15)])
def test_recall_may_fall_by_chance_or_by_little(label: int, lost: int) -> None:
    ours = np.flatnonzero((label == Y) & (TRAINED.argmax(axis=1) == label))
    row = verdict_on(spoil(TRAINED, ours[:lost]), TRAINED)
    assert row["recall_change"][LABELS[label]] < 0
    assert mcnemar(lost, 0) < 0.05, "alone it would be flagged"
    assert gates(row) == []


def test_a_class_without_beats_has_no_recall() -> None:
    few = np.flatnonzero(Y < 3)
    row = judge(TRAINED[few], TRAINED[few], BEATS[few], Y[few], CLASSES)
    assert row["recall_change"] == {"1": 0, "2": 0, "3": 0, "4": None, "5": None}
    json.dumps(row, allow_nan=False)


# an anomaly detector: normal beats come back as they went in but for noise, others with more of it
NORMAL = Y == 0


def rebuilt(seed: int = 0, gap: float = 0.8, beats: np.ndarray = BEATS) -> np.ndarray:
    rng = np.random.default_rng(seed)
    size = np.exp(rng.normal(size=len(beats)) * 0.4) * np.where(NORMAL[: len(beats)], 1, 1 + gap)
    noise = rng.normal(size=beats.shape)
    noise *= size[:, None, None] / np.sqrt((noise**2).mean(axis=2, keepdims=True))
    return (beats + 0.3 * noise).astype(np.float32)


REBUILT = rebuilt()
DETECTOR = Anomaly(
    float(np.quantile(((REBUILT - BEATS) ** 2).mean(axis=(1, 2))[NORMAL], 0.95)), 0.95, "1", LABELS
)  # fmt: skip


def detected(outputs: np.ndarray, expected: np.ndarray | None = REBUILT, **more: Any) -> Any:
    row = judge(outputs, expected, BEATS, Y, DETECTOR, "full-int8", **more)
    json.dumps(row, allow_nan=False)
    return row


def test_a_detector_that_is_the_same() -> None:
    row = detected(REBUILT.copy())
    assert (row["status"], row["gates"]) == ("ok", [])
    assert row["verdict"]["text"] == "same (identical scores)"
    assert row["auroc_low"] < row["auroc"] < row["auroc_high"]
    assert "recall_change" not in row
    step = np.abs(REBUILT).max() / 127
    row = detected(np.round(REBUILT / step) * step)
    assert (row["status"], row["verdict"]["result"], row["gates"]) == ("ok", "same", [])
    assert row["verdict"]["low"] < row["verdict"]["difference"] < row["verdict"]["high"]
    assert row == detected(np.round(REBUILT / step) * step), "the same seed, the same row"
    assert row != detected(np.round(REBUILT / step) * step, seed=1)


def test_a_detector_that_lost_auroc() -> None:
    row = detected(rebuilt(gap=0.6))
    found = row["verdict"]
    assert row["status"] == "ok"
    assert found["result"] == "worse"
    assert found["low"] < found["difference"] < found["high"] < 0
    assert found["text"] == f"worse by {-found['difference']:.4f} AUROC (p<0.001)"
    assert gates(row) == ["AUROC"]
    assert row["gates"][0]["change"] == found["difference"] == pytest.approx(row["auroc"] - detected(REBUILT)["auroc"])
    assert detected(REBUILT, rebuilt(gap=0.6))["verdict"]["result"] == "better"


def test_a_detector_is_not_centred() -> None:
    row = detected(REBUILT + 3)
    assert row["status"] == "rejected", "an offset is no matter of taste in a reconstruction"
    assert "cosine" in row["reason"]


def test_a_little_less_auroc_is_told_and_not_flagged() -> None:
    row = detected(rebuilt(gap=0.797))
    assert row["verdict"]["result"] == "worse"
    assert -0.002 < row["verdict"]["difference"] < 0
    assert row["gates"] == []


def test_beats_of_one_kind_have_no_auroc() -> None:
    row = judge(REBUILT[NORMAL], REBUILT[NORMAL], BEATS[NORMAL], Y[NORMAL], DETECTOR)
    assert (row["status"], row["auroc"], row["auroc_low"], row["auroc_high"]) == ("ok", None, None, None)
    assert row["verdict"] is None
    assert row["equal_decisions"] == 1
    json.dumps(row, allow_nan=False)


def training(outputs: np.ndarray) -> dict[str, np.ndarray]:
    """The beats on which the threshold of the detector was set."""
    return {"training": (outputs, BEATS, Y)}


def test_a_threshold_that_no_longer_fits() -> None:
    louder = (BEATS + 1.3 * (REBUILT - BEATS)).astype(np.float32)  # scores times 1.69, in the same order
    row = detected(louder, **training(louder))
    quiet = detected(REBUILT, **training(REBUILT))
    assert quiet["gates"] == []
    assert row["threshold"] == quiet["threshold"] == DETECTOR.threshold
    assert row["threshold_refitted"] == pytest.approx(1.69 * quiet["threshold_refitted"], rel=1e-4)
    assert row["threshold_drift"] == pytest.approx(row["threshold_refitted"] / DETECTOR.threshold - 1)
    assert row["f1_refitted"] == pytest.approx(quiet["f1_refitted"], abs=1e-3)
    assert abs(row["f1_refitted"] - row["f1"]) > 0.01
    assert gates(row) == ["threshold drift"]
    told = row["gates"][0]
    assert {key: told[key] for key in ("threshold_drift", "f1", "f1_refitted")} == {
        key: row[key] for key in ("threshold_drift", "f1", "f1_refitted")
    }
    assert "higher than the one carried over" in told["text"]
    assert row["verdict"]["result"] == "same", "the order of the scores has not changed"
    assert "threshold_refitted" not in detected(louder)


@pytest.mark.parametrize(("louder", "flagged"), [(1.02, False), (1.04, True)])
def test_a_threshold_may_drift_by_little(louder: float, flagged: bool) -> None:
    size = ((REBUILT - BEATS) ** 2).mean(axis=(1, 2))
    level = np.where(NORMAL, size, DETECTOR.threshold * 1.01) * louder**2  # all anomalies are near to the threshold
    outputs = BEATS + (REBUILT - BEATS) * np.sqrt(level / size)[:, None, None]
    normal_only = training(BEATS + (REBUILT - BEATS) * louder)
    row = detected(outputs, outputs, **normal_only)
    assert row["threshold_drift"] == pytest.approx(louder**2 - 1, abs=1e-4)
    assert gates(row) == []
    row = detected(outputs / louder + BEATS * (1 - 1 / louder), outputs, **normal_only)
    assert abs(row["f1_refitted"] - row["f1"]) > 0.01
    assert ("threshold drift" in gates(row)) is flagged


def test_a_threshold_may_be_judged_without_the_trained_model() -> None:
    louder = BEATS + np.float32(1.3) * (REBUILT - BEATS)
    assert gates(detected(louder, None, **training(louder))) == ["threshold drift"]


def test_bad_outputs_on_the_training_beats() -> None:
    given = training(np.full_like(REBUILT, np.nan))
    row = detected(REBUILT, **given)
    assert (row["status"], row["reason"]) == (
        "rejected", "on the training beats, outputs for 2,000 of 2,000 beats are not finite",
    )  # fmt: skip
