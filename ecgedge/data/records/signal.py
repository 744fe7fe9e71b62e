"""Filters and resampling in pieces: a piece with enough beside it gives what the whole record would.

All filters are symmetric and finite (Hamming windows), so they shift nothing in time, and each sample of what comes out
depends on a known stretch of what goes in. Before a record begins and after it ends its first and last samples go on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ecgedge.data.records.recipe import bands
from ecgedge.data.records.record import Record
from ecgedge.errors import EcgEdgeError

TAPS = 3.3  # of a Hamming window, times rate over the width of its transition
SIDE = 10  # zero crossings on either side of the filter that resamples, as SciPy's ``resample_poly`` has it
MOST_DOWN = 20_000  # samples of a period of both rates
NOTCH = 1.0  # hertz on either side of a notch


@dataclass(frozen=True)
class Chain:
    """Filters, then resampling from one rate to another.

    Attributes:
        taps: of each filter.
        up, down: the rate of what comes out is ``up / down`` times that of what goes in.
    """

    rate: float
    taps: tuple[np.ndarray, ...]
    up: int
    down: int

    @property
    def rate_out(self) -> float:
        return self.rate * self.up / self.down

    @property
    def filter_margin(self) -> int:
        """Samples on either side that the filters look at."""
        return sum(len(each) // 2 for each in self.taps)

    @property
    def resample_margin(self) -> int:
        """Samples on either side, of those that go in, that resampling looks at."""
        return 0 if self.up == self.down else math.ceil(SIDE * max(self.up, self.down) / self.up) + 1

    @property
    def margin(self) -> int:
        return self.filter_margin + self.resample_margin

    def total(self, length: int) -> int:
        """Samples that come out of a record of that length."""
        return -(-length * self.up // self.down)

    def out(self, sample: int) -> int:
        """The sample that comes out which is nearest to one that goes in."""
        return (2 * sample * self.up + self.down) // (2 * self.down)

    def back(self, sample: int) -> int:
        """The sample that goes in which is nearest to one that comes out."""
        return (2 * sample * self.down + self.up) // (2 * self.up)


def chain_of(rate: float, filters: Sequence[str], wanted: float | None, where: str) -> Chain:
    """The chain of a record with that rate. Raises EcgEdgeError where a filter or that rate cannot be had."""
    from scipy import signal  # here, since it is an extra, and takes a while

    taps = []
    for each in filters:
        kind, low, high = bands(each)
        if max(low + (NOTCH if kind == "notch" else 0), high) >= rate / 2:
            told = f"{where}: --filter {each} at {rate:g} samples a second"
            raise EcgEdgeError(told, f"frequencies must be below {rate / 2:g} Hz")
        width = {"highpass": low, "bandpass": low, "lowpass": low / 4, "notch": NOTCH}[kind]
        count = math.ceil(TAPS * rate / width) | 1
        edges = {"highpass": low, "lowpass": low, "bandpass": [low, high], "notch": [low - NOTCH, low + NOTCH]}[kind]
        taps.append(signal.firwin(count, edges, pass_zero=PASS[kind], fs=rate))
    if wanted is None or wanted == rate:
        return Chain(rate, tuple(taps), 1, 1)
    ratio = Fraction(str(wanted)) / Fraction(str(rate)).limit_denominator(1_000_000)
    if max(ratio.numerator, ratio.denominator) > MOST_DOWN or not 1 / 100 <= ratio <= 100:
        told = f"{where}: {rate:g} samples a second cannot be brought to {wanted:g}"
        raise EcgEdgeError(told, "name a rate that has a small common multiple with it")
    return Chain(rate, tuple(taps), ratio.numerator, ratio.denominator)


PASS = {"highpass": "highpass", "lowpass": "lowpass", "bandpass": "bandpass", "notch": "bandstop"}


def processed(
    record: Record, leads: Sequence[int], chain: Chain, start: int, stop: int
) -> tuple[np.ndarray, np.ndarray]:
    """What comes out from sample ``start`` to ``stop`` (of those that come out).

    Returns:
        The samples ``(C, stop - start)`` float64, and ``(stop - start,)`` bool: those that a missing sample touches.
    """
    from scipy import signal

    first = (start * chain.down // chain.up - chain.resample_margin) // chain.down * chain.down
    last = -(-stop * chain.down // chain.up) + chain.resample_margin + 1
    x = padded(record, leads, first - chain.filter_margin, last + chain.filter_margin)
    missing = np.isnan(x).any(axis=0)
    gone = missing.any()
    if gone:
        x = np.where(np.isnan(x), 0, x)
    for taps in chain.taps:
        x = signal.oaconvolve(x, taps[None], mode="valid", axes=1)
    if chain.up != chain.down:
        x = signal.resample_poly(x, chain.up, chain.down, axis=1)
    begin = start - first * chain.up // chain.down
    return x[:, begin : begin + stop - start], touched(missing, chain, first, start, stop) if gone else np.zeros(
        stop - start, bool
    )


def touched(missing: np.ndarray, chain: Chain, first: int, start: int, stop: int) -> np.ndarray:
    """Which of the samples that come out depend on one that is missing, ``(stop - start,)`` bool."""
    counts = np.concatenate([[0], np.cumsum(missing)])
    centres = np.arange(start, stop) * chain.down // chain.up - first + chain.filter_margin
    low, high = (np.clip(centres + side, 0, len(missing)) for side in (-chain.margin, chain.margin + 1))
    found: np.ndarray = counts[high] > counts[low]
    return found


def padded(record: Record, leads: Sequence[int], start: int, stop: int) -> np.ndarray:
    """The samples from ``start`` to ``stop``, ``(C, stop - start)``; outside of the record its first or last one."""
    low, high = max(start, 0), min(stop, record.length)
    if low >= high:
        edge = 0 if stop <= 0 else record.length - 1
        return np.repeat(record.read(leads, edge, edge + 1), stop - start, axis=1)
    x = record.read(leads, low, high)
    return np.pad(x, ((0, 0), (low - start, stop - high)), mode="edge") if low > start or high < stop else x
