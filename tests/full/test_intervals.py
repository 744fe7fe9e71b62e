"""The numpy intervals and tests against SciPy's and scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from ecgedge.evaluate.intervals import bootstrap_auroc, mcnemar, median_interval, wilson


@pytest.mark.parametrize("seed", range(20))
def test_shares(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 5000))
    hits = int(rng.integers(0, count + 1))
    theirs = stats.binomtest(hits, count)
    assert mcnemar(hits, count - hits) == pytest.approx(theirs.pvalue, rel=1e-8)
    near = count // 2 + int(rng.integers(0, 1 + count // 20))
    assert mcnemar(near, count - near) == pytest.approx(stats.binomtest(near, count).pvalue, rel=1e-8)
    interval = theirs.proportion_ci(0.95, method="wilson")
    assert wilson(hits, count) == pytest.approx((interval.low, interval.high), abs=1e-12)


@pytest.mark.parametrize("count", [6, 7, 9, 10, 50, 101, 1000])
def test_medians(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    theirs = stats.quantile_test(values, p=0.5).confidence_interval(0.95)
    assert median_interval(values) == (theirs.low, theirs.high)


@pytest.mark.parametrize("digits", [1, 8])  # with many ties, and with few
def test_bootstrap(digits: int) -> None:
    rng = np.random.default_rng(0)
    positive = np.arange(200) < 80
    scores = np.round(rng.normal(size=200) + 1.5 * positive, digits)
    other = np.round(scores + rng.normal(size=200), digits)
    found = bootstrap_auroc(scores, positive, 0, other, resamples=4000)

    def auroc(hits: np.ndarray, misses: np.ndarray, axis: int = -1) -> np.ndarray:
        """By its meaning: how often a hit is above a miss; of equals each is, half the time."""
        apart = hits[..., :, None] - misses[..., None, :]
        return np.mean((apart > 0) + 0.5 * (apart == 0), axis=(-2, -1))

    plain = metrics.roc_auc_score(positive, scores)
    assert auroc(scores[positive], scores[~positive]) == pytest.approx(plain, rel=1e-12)
    how = {"n_resamples": 1000, "method": "percentile", "rng": 1, "batch": 50}
    theirs = stats.bootstrap((scores[positive], scores[~positive]), auroc, **how).confidence_interval
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
    assert found.change is not None
    assert found.change.difference == pytest.approx(plain - metrics.roc_auc_score(positive, other))

    def change(hits: np.ndarray, misses: np.ndarray, axis: int = -1) -> np.ndarray:
        return auroc(scores[hits], scores[misses]) - auroc(other[hits], other[misses])

    at = np.arange(200)
    theirs = stats.bootstrap((at[positive], at[~positive]), change, **how).confidence_interval
    assert found.change[1:3] == pytest.approx((theirs.low, theirs.high), abs=0.01)
