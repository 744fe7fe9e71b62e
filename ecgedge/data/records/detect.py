"""R peaks, by the ``xqrs`` detector of the ``wfdb`` package, in stretches of a record."""

from __future__ import annotations

import numpy as np

from ecgedge.data.records.record import Record, told_in_one_line

BESIDE = 10.0  # seconds on either side of a stretch from which the detector learns
NEAR = 0.075  # seconds around what it gives, in which the R peak is the largest deflection
APART = 0.2  # seconds: no heart beats again sooner
LEAST = 2.0  # seconds that the detector needs


def detect(record: Record, lead: int, start: int, stop: int) -> np.ndarray:
    """The R peaks from sample ``start`` to ``stop`` of one lead, ``(M,)``.

    The detector sees ``BESIDE`` seconds more on either side, so where a stretch ends changes little; that stretches are
    always the same ones makes the answers always the same.
    """
    margin = round(BESIDE * record.rate)
    low, high = max(start - margin, 0), min(stop + margin, record.length)
    x = record.read([lead], low, high)[0]
    known = np.isfinite(x)
    if known.sum() < LEAST * record.rate or np.ptp(x[known]) == 0:
        return np.zeros(0, np.int64)
    if not known.all():
        x = np.interp(np.arange(len(x)), np.flatnonzero(known), x[known])
    with told_in_one_line(getattr(record, "path"), "a record", "name beats with --annotation"):  # noqa: B009
        from wfdb import processing

        found = np.asarray(processing.xqrs_detect(x, fs=record.rate, verbose=False), np.int64).reshape(-1)
    near = max(round(NEAR * record.rate), 1)
    peaks: list[int] = []
    for at in found.tolist():
        around = x[max(at - near, 0) : at + near + 1]
        peaks.append(max(at - near, 0) + int(np.argmax(np.abs(around - np.median(around)))))
    apart: list[int] = []
    for peak in sorted(peaks):
        if not apart or peak - apart[-1] >= APART * record.rate:
            apart.append(peak)
    inside = np.array(apart, np.int64) + low
    return inside[(inside >= start) & (inside < stop)]
