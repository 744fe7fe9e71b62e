"""Intervals and tests by textbook values and by what they cover; tests/full compares them with SciPy."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgedge.api import tasks
from ecgedge.evaluate.intervals import (
    bootstrap_auroc,
    bootstrap_confusion,
    delong,
    holm,
    mcnemar,
    median_interval,
    paired_ratio,
    paired_share,
    wilson,
)

DRAWS = 2000  # of each simulation: the standard error of a coverage of 0.95 is 0.005


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_by_newcombe_1998(hits: int, count: int, low: float, high: float) -> None:
    assert wilson(hits, count) == pytest.approx((low, high), abs=5e-5)


def test_wilson_at_the_ends() -> None:
    assert wilson(0, 0) == (0, 1)
    assert wilson(20, 20)[1] == 1
    assert wilson(20, 20)[0] == pytest.approx(1 - 0.1611, abs=5e-5)


@pytest.mark.parametrize(("share", "count"), [(0.5, 500), (0.94, 500), (0.94, 4500), (0.8, 30)])
def test_wilson_covers(share: float, count: int) -> None:
    drawn = np.random.default_rng(0).binomial(count, share, DRAWS)
    assert np.mean([low <= share <= high for low, high in (wilson(int(hits), count) for hits in drawn)]) >= 0.93


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(0, 6) == pytest.approx(2 / 64)
    assert mcnemar(9, 1) == pytest.approx(2 * (1 + 10) / 1024)
    assert mcnemar(5, 5) == 1


@pytest.mark.parametrize("count", [30_000, 60_000])
def test_mcnemar_of_many_pairs(count: int) -> None:
    half = count // 2
    assert mcnemar(half, half) == 1
    more = round(2 * count**0.5)
    z = (more - 1) / (count + more) ** 0.5  # the exact test comes near to the normal one with its correction
    assert mcnemar(half, half + more) == pytest.approx(math.erfc(z / 2**0.5), rel=1e-3)
    assert 0 <= mcnemar(half // 2, count) < 1e-300


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_knows_no_order(first: int, second: int) -> None:
    assert 0 < mcnemar(first, second) == mcnemar(second, first) <= 1


def test_mcnemar_is_seldom_wrong() -> None:
    drawn = np.random.default_rng(0).binomial(40, 0.5, DRAWS)
    assert np.mean([mcnemar(int(k), 40 - int(k)) < 0.05 for k in drawn]) <= 0.05


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1, 1]
    assert holm([]) == []


def of_pairs(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    cells = [(True, True), (True, False), (False, True), (False, False)]
    pairs = np.repeat(np.array(cells), [both, first, second, neither], axis=0)
    return pairs[:, 0], pairs[:, 1]


def test_paired_share_as_another_program_has_it() -> None:
    found = paired_share(*of_pairs(60, 20, 40, 40))  # diffpropci.mp(40, 20, 160) of the R package PropCIs
    assert found == pytest.approx((-0.125, -0.21601726, -0.03089632))


def test_paired_share_of_equals_still_has_a_width() -> None:
    difference, low, high = paired_share(*of_pairs(90, 0, 0, 10))
    assert difference == 0
    assert -0.03 < low < 0 < high < 0.03


@pytest.mark.parametrize(("first", "second", "count"), [(0.01, 0.03, 500), (0.005, 0.005, 500), (0.15, 0.1, 60)])
def test_paired_share_covers(first: float, second: float, count: int) -> None:
    drawn = np.random.default_rng(0).multinomial(count, [0.7, first, second, 0.3 - first - second], DRAWS)
    found = [paired_share(*of_pairs(*cells)) for cells in drawn.tolist()]
    assert np.mean([low <= first - second <= high for _, low, high in found]) >= 0.93


def beats(seed: int, count: int = 300, gap: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = np.arange(count) < count * 0.4
    return rng.normal(size=count) + gap * positive, positive


def test_the_bootstrap_is_that_of_a_plain_loop() -> None:
    scores, positive = beats(0)
    scores = np.round(scores, 1)  # with ties
    hits, misses, rng = scores[positive], scores[~positive], np.random.default_rng(1)
    drawn = [
        tasks.auroc(np.concatenate([rng.choice(hits, len(hits)), rng.choice(misses, len(misses))]), positive)
        for _ in range(DRAWS)
    ]
    found = bootstrap_auroc(scores, positive, seed=0)
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.004)
    assert found.change is None


@given(st.integers(0, 10_000), st.integers(0, 3))
def test_the_change_is_that_of_the_two_aurocs(seed: int, digits: int) -> None:
    scores, positive = beats(seed, 60)
    other = np.round(beats(seed + 1, 60)[0], digits)
    change = bootstrap_auroc(scores, positive, 0, other, resamples=20).change
    assert change is not None
    assert change.difference == pytest.approx(tasks.auroc(scores, positive) - tasks.auroc(other, positive))
    assert change.low <= change.high
    assert 2 / 21 <= change.p <= 1


def test_the_bootstrap_pairs_its_draws() -> None:
    scores, positive = beats(0)
    noise = np.random.default_rng(1).normal(size=len(scores))
    near = bootstrap_auroc(scores, positive, 0, scores + 0.01 * noise)
    assert near.change is not None
    assert near.change.high - near.change.low < 0.1 * (near.high - near.low)
    assert near.change.p > 0.05
    same = bootstrap_auroc(scores, positive, 0, scores).change
    assert same == (0, 0, 0, 1)
    worse = bootstrap_auroc(scores + 2 * noise, positive, 0, scores).change
    assert worse is not None
    assert worse.high < 0
    assert worse.p == pytest.approx(2 / 2001), "no draw is on the other side"


def test_the_bootstrap_depends_on_its_seed_alone() -> None:
    scores, positive = beats(0)
    assert bootstrap_auroc(scores, positive, 7, scores[::-1]) == bootstrap_auroc(scores, positive, 7, scores[::-1])
    assert bootstrap_auroc(scores, positive, 7) != bootstrap_auroc(scores, positive, 8)
    assert bootstrap_auroc(scores, positive, 7)[:2] == bootstrap_auroc(np.exp(scores), positive, 7)[:2], "only ranks"


def test_the_bootstrap_covers() -> None:
    true = 0.92135  # of two normals that are 2 apart: the normal distribution at 2 / sqrt(2)
    found = [bootstrap_auroc(*beats(seed, 150), seed=0, resamples=400) for seed in range(400)]
    assert np.mean([each.low <= true <= each.high for each in found]) >= 0.92


def test_the_bootstrap_of_many_beats_is_held_in_parts() -> None:
    scores, positive = beats(0, 4500)
    tracemalloc.start()
    try:
        bootstrap_auroc(scores, positive, 0, scores[::-1])
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_missing_class_has_no_auroc() -> None:
    with pytest.raises(ValueError, match="both kinds"):
        bootstrap_auroc(np.arange(3.0), np.ones(3, bool), 0)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [(1, 1, 1), (5, 1, 5), (6, 1, 6), (8, 1, 8), (9, 2, 8), (10, 2, 9), (20, 6, 15), (30, 10, 21), (100, 40, 61)],
)
def test_the_places_of_the_medians_interval(count: int, low: int, high: int) -> None:
    values = np.random.default_rng(0).permutation(np.arange(1.0, count + 1))
    assert median_interval(values) == (low, high)


@pytest.mark.parametrize("count", [6, 10, 25, 200])
def test_the_medians_interval_covers_whatever_the_distribution(count: int) -> None:
    rng = np.random.default_rng(count)
    for drawn, true in [
        (rng.normal(size=(DRAWS, count)), 0),
        (rng.exponential(size=(DRAWS, count)), np.log(2)),
        (rng.standard_cauchy(size=(DRAWS, count)), 0),
    ]:
        assert np.mean([low <= true <= high for low, high in map(median_interval, drawn)]) >= 0.94


def test_a_ratio_of_rounds_is_free_of_what_the_rounds_share() -> None:
    rng = np.random.default_rng(0)
    shared = np.exp(rng.normal(size=20))  # a machine that is up to several times slower in some rounds
    first, second = 30 * shared * rng.uniform(0.99, 1.01, 20), 20 * shared * rng.uniform(0.99, 1.01, 20)
    ratio, low, high = paired_ratio(first, second)
    assert 1.48 < low < ratio < high < 1.52
    assert paired_ratio(second, first) == pytest.approx((1 / ratio, 1 / high, 1 / low))
    assert paired_ratio(first, first) == (1, 1, 1)


def test_a_ratio_of_rounds_covers() -> None:
    rng = np.random.default_rng(0)
    drawn = np.exp(rng.normal(0.1, 0.05, (DRAWS, 15)))
    found = [paired_ratio(first, np.ones(15)) for first in drawn]
    assert np.mean([low <= np.exp(0.1) <= high for _, low, high in found]) >= 0.94


def test_delong_and_the_bootstrap_agree() -> None:
    rng = np.random.default_rng(1)
    positive = rng.random(800) < 0.4
    first = rng.normal(size=800) + 2 * positive
    second = np.round(first + rng.normal(size=800) * 0.5, 1)  # with ties
    found, drawn = delong(first, second, positive), bootstrap_auroc(first, positive, 0, second).change
    assert drawn
    assert found.difference == pytest.approx(tasks.auroc(first, positive) - tasks.auroc(second, positive))
    assert found[:3] == pytest.approx(drawn[:3], abs=0.002)
    assert found.p == pytest.approx(drawn.p, abs=0.02)


def test_delong_of_the_same_and_of_perfect_scores() -> None:
    positive = np.array([True, False, True, False])
    scores = np.array([0.9, 0.3, 0.4, 0.5])
    assert delong(scores, scores, positive) == (0, 0, 0, 1)
    assert delong(1.0 * positive, 2.0 * positive, positive) == (0, 0, 0, 1)
    assert delong(np.array([2.0, 1.0]), np.array([2.0, 1.0]), np.array([True, False])).p == 1  # one beat of each


def test_delong_is_right_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    positive = np.arange(300) < 120
    seen = 0
    for _ in range(400):
        truth = rng.normal(size=300) + 1.5 * positive
        first, second = (truth + rng.normal(size=300) * 0.5 for _ in range(2))  # equally good
        seen += delong(first, second, positive).p < 0.05
    assert seen <= 35  # 20 are expected


def test_the_bootstrap_of_a_confusion_agrees_with_paired_shares() -> None:
    rng = np.random.default_rng(3)
    y = rng.choice(4, 2000, p=[0.6, 0.3, 0.09, 0.01])
    first = np.where(rng.random(2000) < 0.9, y, rng.choice(4, 2000))
    second = np.where(rng.random(2000) < 0.97, first, rng.choice(4, 2000))

    def accuracy(counts: np.ndarray) -> np.ndarray:
        return np.trace(counts, axis1=1, axis2=2) / counts.sum(axis=(1, 2))

    found = bootstrap_confusion(y, first, second, accuracy, classes=5, seed=0)  # one class without beats
    assert found[:3] == pytest.approx(paired_share(first == y, second == y), abs=0.002)
    assert bootstrap_confusion(y, first, first, accuracy, classes=5, seed=0) == (0, 0, 0, 1)


def test_sixty_classes_do_not_take_their_cube_of_memory() -> None:
    """All draws of all classes together would be 500 x 60 cubed numbers: 864 MB."""
    y = np.repeat(np.arange(60), 10)
    tracemalloc.start()
    bootstrap_confusion(y, y, np.roll(y, 1), lambda c: np.trace(c, axis1=1, axis2=2) / 600, 60, seed=0, resamples=500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6
