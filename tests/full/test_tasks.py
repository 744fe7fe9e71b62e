"""The numpy figures against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from ecgedge import Classification
from ecgedge.api import multilabel, tasks
from ecgedge.api.artifact import Multilabel


@pytest.mark.parametrize("seed", range(20))
def test_classification(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 6))
    y, decided = rng.integers(0, count, (2, 60))
    decided = np.where(rng.random(60) < 0.6, y, decided)
    figures = tasks.classification_figures(decided, y, Classification(tuple("abcdef"[:count])))
    assert figures["accuracy"] == pytest.approx(metrics.accuracy_score(y, decided))
    assert figures["macro_f1"] == pytest.approx(metrics.f1_score(y, decided, average="macro", zero_division=0))
    report = metrics.classification_report(y, decided, labels=range(count), output_dict=True, zero_division=0)
    for i, row in enumerate(figures["per_class"].values()):
        theirs = report[str(i)]
        assert row["f1"] == pytest.approx(theirs["f1-score"])
        assert (row["precision"], row["recall"]) == pytest.approx((theirs["precision"], theirs["recall"]))
        assert row["support"] == theirs["support"]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("digits", [1, 8])  # with many ties, and with none
def test_anomaly(seed: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.random(300) < 0.3
    scores = np.round(rng.normal(size=300) + positive, digits)
    figures = tasks.anomaly_figures(scores, positive, threshold=0.5)
    assert figures["auroc"] == pytest.approx(metrics.roc_auc_score(positive, scores))
    assert figures["auprc"] == pytest.approx(metrics.average_precision_score(positive, scores))
    assert figures["f1"] == pytest.approx(metrics.f1_score(positive, scores > 0.5))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("digits", [1, 8])  # with many ties, and with none
def test_multilabel(seed: int, digits: int) -> None:
    """To 1e-9, the last label being that of no beat: scikit-learn has a nan and a 0 for it, here it has no figure."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((300, 4)) < (0.4, 0.2, 0.02, 0)).astype(int)
    truth[0, 2] = 1
    outputs = np.round(rng.normal(size=(300, 4)) + truth, digits)
    task = Multilabel(tuple("abcd"), "logits", (0.5, 0.6, 0.4, 0.5))
    found, shares = tasks.evaluate(outputs, np.zeros((300, 1, 1)), truth, task), multilabel.shares(outputs, "logits")
    held, known = shares > task.thresholds, truth[:, :3]
    exactly = {"rel": 0, "abs": 1e-9}
    area = metrics.roc_auc_score(known, shares[:, :3], average="macro")
    assert found["macro_auroc"] == pytest.approx(area, **exactly)
    average = metrics.average_precision_score(known, shares[:, :3], average="macro")
    assert found["macro_auprc"] == pytest.approx(average, **exactly)
    f1 = metrics.f1_score(truth, held, average=None, zero_division=0)
    seen = truth.any(axis=0) | held.any(axis=0)
    assert found["mean_f1"] == pytest.approx(f1[seen].mean(), **exactly)
    assert found["exact_match"] == pytest.approx(metrics.accuracy_score(truth, held), **exactly)
    for k, row in enumerate(found["per_label"].values()):
        assert row["f1"] == pytest.approx(f1[k], **exactly)
        assert row["precision"] == pytest.approx(metrics.precision_score(truth[:, k], held[:, k], zero_division=0))
        share, sure = calibration_curve(truth[:, k], shares[:, k], n_bins=15)
        counts = np.bincount(np.minimum((shares[:, k] * 15).astype(int), 14), minlength=15)
        assert row["ece"] == pytest.approx((np.abs(share - sure) * counts[counts > 0]).sum() / 300, **exactly)
    assert found["per_label"]["d"]["auroc"] is found["per_label"]["d"]["auprc"] is None
