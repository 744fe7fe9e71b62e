"""The check that ends every conversion: does the new form answer as the old one did?"""

from __future__ import annotations

import numpy as np

from ecgedge.errors import ConversionError, counted

ATOL = 1e-4


def same_bits(there: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Which values of two float32 arrays of one shape are the same, bit for bit: -0 is not 0, and nan may be nan."""
    return np.equal(*(np.ascontiguousarray(each, np.float32).view(np.uint32) for each in (there, here)))


def check_parity(expected: np.ndarray, found: np.ndarray, what: str, atol: float = ATOL) -> float:
    """The largest absolute difference between two outputs for the same beats.

    Args:
        expected, found: of one shape after flattening all but the batch.
        what: was converted, for the message.
        atol: allowed, relative to the largest expected value where that is above 1.

    Raises:
        ConversionError: the shapes differ, a value is not finite, or the difference is above ``atol``.
    """
    expected, found = (np.asarray(a, dtype=np.float64).reshape(len(a), -1) for a in (expected, found))
    if expected.shape != found.shape:
        raise ConversionError(
            f"{what}: output of {counted(found.shape[1], 'value')} a beat instead of {expected.shape[1]}"
        )
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        raise ConversionError(f"{what}: the output is not finite")
    difference = float(np.abs(expected - found).max())
    allowed = atol * max(1.0, float(np.abs(expected).max()))
    if difference > allowed:
        raise ConversionError(f"{what}: outputs differ by {difference:.2g}, {allowed:.2g} is allowed")
    return difference
