"""How sure a figure is: 95% intervals and tests of paired differences. Plain numpy.

Sources: Wilson, J. Am. Stat. Assoc. 22 (1927) 209; McNemar, Psychometrika 12 (1947) 153; Agresti and
Min, Stat. Med. 24 (2005) 729; Holm, Scand. J. Stat. 6 (1979) 65; DeLong, DeLong and Clarke-Pearson,
Biometrics 44 (1988) 837; Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; Davison
and Hinkley, Bootstrap Methods and their Application (1997), chapter 4; Conover, Practical Nonparametric
Statistics (1999), section 3.2; Newcombe, Stat. Med. 17 (1998) 873; Zou and Donner, Stat. Med. 27 (2008) 1693.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Z = 1.959963984540054  # of the standard normal, 2.5% on each side
TAIL = 0.025
ALPHA = 0.05  # what chance does less often than this is a change
CHUNK = 100_000  # draws that the bootstrap holds at a time


class Change(NamedTuple):
    """A paired difference, its 95% interval, and the two-sided p of there being none."""

    difference: float
    low: float
    high: float
    p: float


class Ratio(NamedTuple):
    """A ratio and its 95% interval."""

    ratio: float
    low: float
    high: float


class Auroc(NamedTuple):
    """The 95% interval of an AUROC, and how it differs from that of other scores of the same beats."""

    low: float
    high: float
    change: Change | None = None


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Interval of a share, by Wilson's score; (0, 1) of nothing."""
    if not count:
        return 0.0, 1.0
    share, spread = hits / count, Z**2 / count
    middle = share + spread / 2
    half = math.sqrt(share * (1 - share) * spread + spread**2 / 4)
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def half_binomial(count: int) -> np.ndarray:
    """P(X <= k) for k = 0 ... ``count``, of heads in that many throws of a fair coin, ``(count + 1,)``."""
    logs = np.array([math.lgamma(k + 1) for k in range(count + 1)])
    return np.cumsum(np.exp(logs[-1] - logs - logs[::-1] - count * math.log(2)))


def mcnemar(only_first: int, only_second: int) -> float:
    """McNemar's test, exact and two-sided: p of two paired shares being the same.

    Args:
        only_first, only_second: beats that only the first, or only the second, got right.
    """
    return min(1.0, 2 * float(half_binomial(only_first + only_second)[min(only_first, only_second)]))


def holm(p: Sequence[float]) -> list[float]:
    """The p values of several tests, each corrected for the others by Holm's steps."""
    corrected, least = [0.0] * len(p), 0.0
    for done, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        least = max(least, min(1.0, (len(p) - done) * p[i]))
        corrected[i] = least
    return corrected


def paired_share(first_right: np.ndarray, second_right: np.ndarray) -> tuple[float, float, float]:
    """First share less second, with its interval: Wald's with half a beat added to each of the four cells.

    So Agresti and Min (2005): unlike Wald's own, it has a width where the two never differ.

    Args:
        first_right, second_right: ``(N,)`` bool, of the same beats, N at least 1.
    """
    count = len(first_right)
    first = int((first_right & ~second_right).sum())
    second = int((second_right & ~first_right).sum())
    middle = (first - second) / (count + 2)
    half = Z * math.sqrt((first + second + 1) / (count + 2) - middle**2) / math.sqrt(count + 2)
    return (first - second) / count, max(-1.0, middle - half), min(1.0, middle + half)


def bootstrap_auroc(
    scores: np.ndarray, positive: np.ndarray, seed: int, other: np.ndarray | None = None, resamples: int = 2000
) -> Auroc:
    """Percentile interval of an AUROC: positives and negatives are drawn again, each as many as there are.

    With ``other`` scores also the change from them to ``scores``, on the same draws. Its p is twice the
    smaller share of draws on either side of 0, one added to both counts.

    Args:
        scores, other: ``(N,)``, higher is more anomalous.
        positive: ``(N,)`` bool.

    Raises:
        ValueError: a class is missing.
    """
    if positive.all() or not positive.any():
        raise ValueError("an AUROC needs beats of both kinds")
    groups = [np.unique(each, return_inverse=True)[1] for each in (scores, other) if each is not None]
    hits, misses = [each[positive] for each in groups], [each[~positive] for each in groups]
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // len(scores))
    parts = []
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        up = rng.integers(0, len(hits[0]), (count, len(hits[0])))
        down = rng.integers(0, len(misses[0]), (count, len(misses[0])))
        parts.append([grouped_auroc(hit[up], miss[down]) for hit, miss in zip(hits, misses)])
    drawn = np.concatenate(parts, axis=1)
    low, high = percentiles(drawn[0])
    if other is None:
        return Auroc(low, high)
    here, there = (float(grouped_auroc(hit[None], miss[None])[0]) for hit, miss in zip(hits, misses))
    differences = drawn[0] - drawn[1]
    return Auroc(low, high, Change(here - there, *percentiles(differences), bootstrap_p(differences)))


def delong(first: np.ndarray, second: np.ndarray, positive: np.ndarray) -> Change:
    """First AUROC less second, by the test of DeLong and others for scores of the same beats.

    Milliseconds where ``bootstrap_auroc`` takes seconds, and all but the same answer.

    Args:
        first, second: ``(N,)``, higher is more anomalous.
        positive: ``(N,)`` bool, with beats of both kinds.
    """
    here, there = placements(first, positive), placements(second, positive)
    difference = float(here[0].mean() - there[0].mean())
    varied = [a - b for a, b in zip(here, there) if len(a) > 1]
    error = math.sqrt(sum(float(each.var(ddof=1)) / len(each) for each in varied))
    p = math.erfc(abs(difference) / error / math.sqrt(2)) if error else float(difference == 0)
    return Change(difference, difference - Z * error, difference + Z * error, p)


def placements(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each positive the share of negatives that it is above, of each negative the share of positives above it."""
    ranks = midranks(scores)
    hits, misses = int(positive.sum()), int((~positive).sum())
    above = (ranks[positive] - midranks(scores[positive])) / misses
    return above, 1 - (ranks[~positive] - midranks(scores[~positive])) / hits


def midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties shared, ``(N,)``."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def bootstrap_confusion(
    y: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    figure: Callable[[np.ndarray], np.ndarray],
    classes: int,
    seed: int,
    resamples: int = 2000,
) -> Change:
    """How a figure of the confusion matrix changes from second to first decisions: percentiles of paired draws.

    The beats of each class are drawn again, as many as there are; p as in ``bootstrap_auroc``.

    Args:
        y, first, second: ``(N,)`` class indices: the truth, and two decisions on the same beats.
        figure: ``(B, C, C)`` counts, truth by decision, to ``(B,)``.
    """
    joint = np.zeros((classes,) * 3, dtype=np.int64)
    np.add.at(joint, (y, first, second), 1)
    rng = np.random.default_rng(seed)
    here, there = (np.zeros((resamples, classes, classes), np.int32) for _ in range(2))
    for truth, each in enumerate(joint.reshape(classes, -1)):
        met = np.union1d(
            np.flatnonzero(each), [each.size - 1]
        )  # most pairs of decisions never occur; the last is drawn
        drawn = rng.multinomial(each.sum(), each[met] / max(each.sum(), 1), resamples)
        for counts, one, other in zip(drawn.T, *np.divmod(met, classes), strict=True):
            here[:, truth, one] += counts
            there[:, truth, other] += counts
    differences = figure(here) - figure(there)
    change = figure(joint.sum(axis=2)[None]) - figure(joint.sum(axis=1)[None])
    return Change(float(change[0]), *percentiles(differences), bootstrap_p(differences))


def grouped_auroc(hits: np.ndarray, misses: np.ndarray) -> np.ndarray:
    """AUROC of each row, ``(B,)``; a score is given by its place among all different ones.

    Args:
        hits, misses: ``(B, P)`` and ``(B, M)`` integers from 0.
    """
    count = int(max(hits.max(), misses.max())) + 1
    above, below = tally(hits, count), tally(misses, count)
    beaten = 2 * np.cumsum(below, axis=1) - below  # twice the misses below each group, ties by half
    return np.einsum("bg,bg->b", above, beaten) / (2 * hits.shape[1] * misses.shape[1])


def tally(drawn: np.ndarray, count: int) -> np.ndarray:
    """How often each of 0 ... ``count`` - 1 is in each row, ``(B, count)``."""
    rows = len(drawn)
    flat = (drawn + count * np.arange(rows)[:, None]).ravel()
    return np.bincount(flat, minlength=rows * count).reshape(rows, count)


def percentiles(drawn: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(drawn, [TAIL, 1 - TAIL])
    return float(low), float(high)


def bootstrap_p(differences: np.ndarray) -> float:
    """Two-sided p of no difference: never 0, since the data themselves are one of the draws."""
    fewer = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (fewer + 1) / (len(differences) + 1))


def median_interval(values: np.ndarray) -> tuple[float, float]:
    """Interval of the median from the order of the values alone; at least 95% whatever their distribution.

    Fewer than 6 values have no such interval: then it is the least and the largest, and covers less
    (5 values 94%, 4 values 87%, 3 values 75%).

    Args:
        values: ``(N,)``, N at least 1, drawn independently.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    out = max(1, int((half_binomial(len(ordered)) <= TAIL).sum()))  # the place of the lower end, from 1
    return float(ordered[out - 1]), float(ordered[-out])


def paired_ratio(first: np.ndarray, second: np.ndarray) -> Ratio:
    """First over second, with its interval: the median of the ratios of each round, on a log scale.

    Args:
        first, second: ``(R,)`` positive, measured in the same rounds.
    """
    logs = np.log(np.asarray(first, dtype=np.float64)) - np.log(np.asarray(second, dtype=np.float64))
    low, high = median_interval(logs)
    return Ratio(math.exp(float(np.median(logs))), math.exp(low), math.exp(high))


def apart(
    first: float, first_interval: tuple[float, float], second: float, second_interval: tuple[float, float]
) -> tuple[float, float, float]:
    """First less second of two figures that were measured apart, with its interval, from the interval of each.

    So Zou and Donner (2008); of two shares with Wilson's intervals it is Newcombe's (1998).
    """
    (first_low, first_high), (second_low, second_high) = first_interval, second_interval
    low = math.hypot(first - first_low, second_high - second)
    high = math.hypot(first_high - first, second - second_low)
    return first - second, first - second - low, first - second + high


def paired_p(first: np.ndarray, second: np.ndarray) -> float:
    """McNemar's test of two ``(N,)`` bool."""
    return mcnemar(int((first & ~second).sum()), int((second & ~first).sum()))


def amount(value: float, digits: int) -> str:
    """A size without its sign: so many digits after the point, or the first that is not 0."""
    text = f"{abs(value):.{digits}f}"
    return text if float(text) else f"{abs(value):.1g}"


def p_value(p: float) -> str:
    return "p<0.001" if p < 0.001 else f"p={p:.2g}"
