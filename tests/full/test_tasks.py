"""The numpy figures against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from ecgedge import Classification
from ecgedge.api import tasks


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
