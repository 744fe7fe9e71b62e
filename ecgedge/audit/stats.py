"""Figures by the book, each in the plainest way: exact sums, counted pairs, sorted values."""

from __future__ import annotations

import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np

Z = NormalDist().inv_cdf(0.975)
RESAMPLES, AT_ONCE = 2000, 100_000  # of the bootstrap; it draws for so many beats at a time


def share(above: float, below: float) -> float:
    """Nothing out of nothing is 0."""
    return float(above / below) if below else 0.0


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share."""
    if not count:
        return 0.0, 1.0
    middle = (hits + Z**2 / 2) / (count + Z**2)
    half = Z / (count + Z**2) * math.sqrt(hits * (count - hits) / count + Z**2 / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def coin(heads: int, throws: int) -> Fraction:
    """The probability of at most so many heads in that many throws of a fair coin."""
    ways = found = 1
    for k in range(heads):
        ways = ways * (throws - k) // (k + 1)
        found += ways
    return Fraction(found, 2**throws)


def mcnemar(here: np.ndarray, was: np.ndarray) -> float:
    """The exact two-sided p of two paired shares, ``(N,)`` bool, being the same."""
    won, lost = int((here & ~was).sum()), int((was & ~here).sum())
    return float(min(Fraction(1), 2 * coin(min(won, lost), won + lost)))


def paired(here: np.ndarray, was: np.ndarray) -> tuple[float, float, float]:
    """The difference of two paired shares, with Agresti and Min's 95% interval."""
    won, lost, count = int((here & ~was).sum()), int((was & ~here).sum()), len(here)
    middle = (won - lost) / (count + 2)
    half = Z * math.sqrt(((won + lost + 1) / (count + 2) - middle**2) / (count + 2))
    return (won - lost) / count, max(-1.0, middle - half), min(1.0, middle + half)


def holm(p: list[float]) -> list[float]:
    """Holm's correction: each is the largest of its own and all smaller ones, times those not yet done."""
    ordered = sorted(p)
    steps = [min(1.0, (len(p) - i) * value) for i, value in enumerate(ordered)]
    return [max(steps[: ordered.index(value) + 1]) for value in p]


def quantile(values: np.ndarray, q: float) -> float:
    """Between the two nearest of the sorted values."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    place = q * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))


def order_interval(values: list[float]) -> tuple[float, float]:
    """The narrowest pair of the sorted values, as far from either end, that holds the median with 95%; or the ends."""
    ordered, place = sorted(values), 0
    while place + 1 < len(ordered) / 2 and coin(place + 1, len(ordered)) <= Fraction(1, 40):
        place += 1
    return ordered[place], ordered[-1 - place]


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The share of pairs in which the positive has the higher score, ties by half."""
    misses = np.sort(scores[~positive])
    below = np.searchsorted(misses, scores[positive], "left") + np.searchsorted(misses, scores[positive], "right")
    return float(below.sum() / (2 * len(misses) * positive.sum()))


def auprc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Precision at each score that a positive may have, weighted with the recall that it adds."""
    everybody, hits = np.sort(scores), np.sort(scores[positive])
    levels, added = np.unique(hits, return_counts=True)
    found = len(hits) - np.searchsorted(hits, levels, "left")
    flagged = len(everybody) - np.searchsorted(everybody, levels, "left")
    return float((added / len(hits) * found / flagged).sum())


def bootstrap(several: list[np.ndarray], positive: np.ndarray, seed: int) -> list[np.ndarray]:
    """AUROC of each of several scores ``(N,)`` on 2,000 resamples of the beats, the same for all of them.

    In each, so many positives are drawn as there are, then so many negatives, by ``default_rng(seed)``.
    """
    up, down = int(positive.sum()), int((~positive).sum())
    rng, rows = np.random.default_rng(seed), max(1, AT_ONCE // len(positive))
    found: list[list[np.ndarray]] = [[] for _ in several]
    for start in range(0, RESAMPLES, rows):
        count = min(rows, RESAMPLES - start)
        hits, misses = (times(rng.integers(0, size, (count, size)), size) for size in (up, down))
        for scores, parts in zip(several, found):
            order = np.argsort(scores[~positive])
            ends = [np.searchsorted(scores[~positive][order], scores[positive], side) for side in ("left", "right")]
            passed = np.pad(np.cumsum(misses[:, order], axis=1), ((0, 0), (1, 0)))
            parts.append((hits * (passed[:, ends[0]] + passed[:, ends[1]])).sum(axis=1) / (2 * up * down))
    return [np.concatenate(parts) for parts in found]


def times(drawn: np.ndarray, size: int) -> np.ndarray:
    """How often each of ``size`` beats is in each row of what was drawn."""
    return np.stack([np.bincount(row, minlength=size) for row in drawn])
