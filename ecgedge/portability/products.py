"""Sums of products of 8-bit integers, exact, or as x86-64 without VNNI adds them: two products at a time in 16 bits.

``pmaddubsw`` multiplies u8 by s8, adds pairs of neighbours along the summed axis and cuts what leaves 16 bits off
(``-32,768`` to ``32,767``); only then it goes on in 32. Which values are neighbours is onnxruntime's choice: along the
input channels, for one kernel position after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

LEAST, MOST = -(1 << 15), (1 << 15) - 1
EXACT_IN_FLOAT32 = 1 << 24


@dataclass
class Counts:
    """What pairs of products of one layer did, summed over the beats that were seen.

    Attributes:
        pairs: of weights: each is added once for each output value of its channel.
        can: of these, those that leave 16 bits for some activations of the whole range of their type.
        did: of these, those that did on the beats.
        cut: sums that were cut off, over all beats and positions.
        sums: all sums of a pair, over all beats and positions.
        largest: the most that one sum lost.
        beats: on which a sum was cut off.
    """

    pairs: int
    can: int
    did: int = 0
    cut: int = 0
    sums: int = 0
    largest: int = 0
    beats: int = 0
    hit: np.ndarray = field(default_factory=lambda: np.zeros(0, bool), repr=False)


def pairs_of(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weights of the first and of the second of each pair, each ``(outputs, pairs)`` float32.

    Args:
        weights: ``(outputs, K)``; an odd K is filled up with a zero.
    """
    padded = np.pad(weights, ((0, 0), (0, weights.shape[1] % 2))).astype(np.float32)
    return padded[:, 0::2], padded[:, 1::2]


def can_exceed(first: np.ndarray, second: np.ndarray, most: float = 255.0) -> np.ndarray:
    """Which pairs leave 16 bits for some activations from 0 to ``most``: bool, as the weights ``(outputs, pairs)``."""
    highest = most * (np.maximum(first, 0) + np.maximum(second, 0))
    lowest = most * (np.minimum(first, 0) + np.minimum(second, 0))
    return np.asarray((highest > MOST) | (lowest < LEAST))


def counts_of(weights: np.ndarray) -> Counts:
    """Of weights ``(groups, outputs, K)``: how many pairs there are, and how many can leave 16 bits."""
    pairs = [pairs_of(group) for group in weights]
    can = np.stack([can_exceed(*each) for each in pairs])
    return Counts(can.size, int(can.sum()), hit=np.zeros(can.shape, bool))


def exact(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sums of products.

    Args:
        x: ``(rows, K)`` activations, as unsigned integers.
        weights: ``(outputs, K)`` signed.

    Returns:
        ``(rows, outputs)`` float64 without a rounding: they hold 53 bits.
    """
    narrow = weights.shape[1] * 255 * 128 < EXACT_IN_FLOAT32
    kind = np.float32 if narrow else np.float64
    return np.asarray(x.astype(kind) @ weights.T.astype(kind), np.float64)


def lost(x: np.ndarray, weights: np.ndarray, beat: np.ndarray, counts: Counts, group: int) -> np.ndarray:
    """What 16 bits take away from the sums, ``(rows, outputs)`` float64; the counts are carried on.

    Args:
        x, weights: as of ``exact``.
        beat: of each row, its number.
        group: of the convolution; its place in ``counts.hit``.
    """
    first, second = pairs_of(weights)
    padded = np.pad(x, ((0, 0), (0, x.shape[1] % 2))).astype(np.float32)
    off = np.zeros((len(x), len(weights)))
    touched = np.zeros(len(x), bool)
    counts.sums += len(x) * first.size
    for pair in range(first.shape[1]):
        a, b = padded[:, 2 * pair], padded[:, 2 * pair + 1]
        outputs = np.flatnonzero(can_exceed(first[:, pair], second[:, pair], float(max(a.max(), b.max(), 0))))
        if not len(outputs):
            continue
        u, v = first[outputs, pair], second[outputs, pair]
        rows = np.flatnonzero(a * np.abs(u).max() + b * np.abs(v).max() > MOST)
        if not len(rows):
            continue
        sums = a[rows, None] * u + b[rows, None] * v
        change = np.clip(sums, LEAST, MOST) - sums
        cut = change != 0
        if not cut.any():
            continue
        off[np.ix_(rows, outputs)] += change
        touched[rows] |= cut.any(axis=1)
        counts.hit[group, outputs, pair] |= cut.any(axis=0)
        counts.cut += int(cut.sum())
        counts.largest = max(counts.largest, int(np.abs(change).max()))
    counts.did = int(counts.hit.sum())
    counts.beats += len(np.unique(beat[touched]))
    return off
