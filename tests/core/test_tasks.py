"""Figures by hand; tests/full compares them with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from ecgedge import Anomaly, Classification
from ecgedge.api import tasks
from ecgedge.api.artifact import task_record
from ecgedge.api.records import task_from_record

CLASSES = Classification(("a", "b", "c"))


def test_classification_figures_by_hand() -> None:
    decided, y = np.array([0, 0, 1, 1, 1, 0]), np.array([0, 0, 0, 1, 2, 1])
    figures = tasks.classification_figures(decided, y, CLASSES)
    assert figures["accuracy"] == pytest.approx(3 / 6)
    assert figures["confusion"] == [[2, 1, 0], [1, 1, 0], [0, 1, 0]]
    assert figures["per_class"]["a"]["recall"] == pytest.approx(2 / 3)
    assert figures["per_class"]["b"]["precision"] == pytest.approx(1 / 3)
    assert figures["per_class"]["c"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 2 / 5 + 0) / 3)


def test_anomaly_figures_by_hand() -> None:
    scores, positive = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    figures = tasks.anomaly_figures(scores, positive, threshold=0.375)
    assert figures["auroc"] == pytest.approx(0.75)
    assert figures["auprc"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert (figures["anomaly_precision"], figures["anomaly_recall"], figures["f1"]) == (0.5, 0.5, 0.5)


def test_a_missing_class_gives_nan_not_a_number_from_nowhere() -> None:
    scores = np.array([0.1, 0.2])
    assert np.isnan(tasks.auroc(scores, np.array([True, True])))
    assert np.isnan(tasks.average_precision(scores, np.array([False, False])))


def test_decisions_and_margins() -> None:
    outputs, beats = np.array([[1.0, 3.0, 2.5]]), np.zeros((1, 1, 4), np.float32)
    assert tasks.decide(outputs, beats, CLASSES).tolist() == [1]
    assert tasks.margins(outputs, beats, CLASSES).tolist() == [0.5]
    detector = Anomaly(threshold=0.5, quantile=0.95, normal="1", labels=("1", "2"))
    rebuilt = np.ones((1, 1, 4), np.float32)
    assert tasks.anomaly_scores(rebuilt, beats, 1).tolist() == [1.0]
    assert tasks.decide(rebuilt, beats, detector).tolist() == [1]
    assert tasks.margins(rebuilt, beats, detector).tolist() == [0.5]


def test_the_residual_is_averaged_before_it_is_squared() -> None:
    """What changes its sign from sample to sample goes; what lasts stays. By hand: averages of 2 samples."""
    beats = np.zeros((3, 1, 4), np.float32)
    rebuilt = np.array([[[1, -1, 1, -1]], [[1, 1, 1, 1]], [[0, 2, 4, 0]]], np.float32)
    assert tasks.anomaly_scores(rebuilt, beats, 1).tolist() == [1, 1, 5]
    assert tasks.anomaly_scores(rebuilt, beats, 2).tolist() == [0, 1, (1 + 9 + 4) / 3]
    assert tasks.anomaly_scores(rebuilt, beats, 4).tolist() == [0, 1, 2.25]
    detector = Anomaly(0.5, 0.95, "1", ("1", "2"), window=2)
    assert tasks.decide(rebuilt, beats, detector).tolist() == [0, 1, 1]
    assert tasks.margins(rebuilt, beats, detector).tolist() == [0.5, 0.5, 14 / 3 - 0.5]
    assert task_from_record(task_record(detector)) == detector
    assert task_from_record({k: v for k, v in task_record(detector).items() if k != "window"}).window == 1


def test_what_scores_are_is_read_back_and_older_records_do_not_say() -> None:
    for scores in (None, "logits", "probabilities"):
        task = Classification(("a", "b"), scores)
        assert task_from_record(task_record(task)) == task
    assert task_from_record({"kind": "classification", "labels": ["a", "b"]}).scores is None
    with pytest.raises(ValueError, match=r"task\.scores is 'odds', not one of null, logits"):
        task_from_record({"kind": "classification", "labels": ["a", "b"], "scores": "odds"})


def test_probabilities_by_hand() -> None:
    """What they are is said; how they look does not matter. exp(1) / (exp(1) + exp(0)) = 0.731059."""
    outputs = np.array([[1.0, 0.0]])
    assert tasks.probabilities(outputs, "probabilities") is outputs
    for scores in ("logits", None):
        np.testing.assert_allclose(tasks.probabilities(outputs, scores), [[0.731059, 0.268941]], atol=1e-6)
    assert tasks.told_scores(outputs) == "probabilities"
    assert tasks.told_scores(np.array([[1.0, 0.0], [0.5, 0.6]])) == "logits"
    assert tasks.told_scores(np.full((3, 17), 15 / 256), step=1 / 256) == "probabilities"  # they add up to 0.996
    assert tasks.told_scores(np.full((1, 17), 14.7 / 256), step=1 / 256) == "probabilities"  # 0.976: by the steps
    assert tasks.told_scores(np.full((1, 17), 14.7 / 256)) == "logits"


def test_calibration_by_hand() -> None:
    """Two bins: sure of 0.6 and 0.7, one right; sure of 0.8 twice, both right. ECE (|1.3 - 1| + |1.6 - 2|) / 4."""
    shares = np.array([[0.6, 0.4], [0.3, 0.7], [0.8, 0.2], [0.2, 0.8]])
    figures = tasks.calibration_figures(np.log(shares), np.array([0, 0, 0, 1]), "logits", bins=4)
    assert figures["nll"] == pytest.approx(-np.log([0.6, 0.3, 0.8, 0.8]).mean())
    assert figures["ece"] == pytest.approx((0.3 + 0.4) / 4)
    empty = {"beats": 0, "confidence": None, "accuracy": None}
    assert figures["reliability"][:2] == [empty, empty]
    assert figures["reliability"][2] == {"beats": 2, "confidence": pytest.approx(0.65), "accuracy": 0.5}
    assert figures["reliability"][3] == {"beats": 2, "confidence": pytest.approx(0.8), "accuracy": 1}


def test_calibration_of_a_network_that_is_sure_beyond_all_measure() -> None:
    figures = tasks.calibration_figures(np.array([[0.0, 5000.0]]), np.array([0]), "logits")
    assert np.isfinite(figures["nll"])
    assert figures["ece"] == 1
    assert figures["reliability"][-1]["beats"] == 1
