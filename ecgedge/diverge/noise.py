"""Errors as ratios to the signal and in quantization steps, and how much of one a precision explains."""

from __future__ import annotations

import math

import numpy as np

from ecgedge.api.taps import Operation, Tensor

ROUNDING = 12**-0.5  # rms of rounding to whole steps, in steps
FLOATS = {"float64": 1e-6, "float32": 2e-5, "float16": 2e-3, "bfloat16": 1e-2}  # of sums, relative to their rms
MOST_TIMES = 1e9  # what is infinite is told as this: JSON has no infinity
MOST = 200.0  # dB, that stand for no difference at all


def power(values: np.ndarray) -> float:
    """Mean square of what varies in values: an offset that all share is no signal."""
    wide = values.astype(np.float64)
    spread = float(np.var(wide))
    return spread or float(np.mean(wide**2))


def rms(found: np.ndarray, expected: np.ndarray) -> float:
    """Root mean square of a difference, in the unit of the values; infinite where one of them is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        value = float(np.sqrt(np.mean((found.astype(np.float64) - expected) ** 2)))
    return value if math.isfinite(value) else math.inf


def snr(found: np.ndarray, expected: np.ndarray) -> float:
    """Signal to noise in dB: the expected values against the difference to them."""
    return decibel(rms(found, expected), expected)


def decibel(error: float, expected: np.ndarray) -> float:
    """Signal to noise in dB of an error, by its rms."""
    signal = power(expected)
    if error == 0:
        return MOST
    if not signal or not math.isfinite(error):
        return -MOST
    return max(-MOST, min(MOST, 10 * math.log10(signal / error**2)))


def explained(output: Tensor, operation: Operation, inputs: list[np.ndarray], made: np.ndarray, expected: np.ndarray,
              shaken: np.ndarray | None, reference: Tensor | None = None,
              theirs: Operation | None = None) -> float:  # fmt: skip
    """The rms that a correct operation may be off by, given exact inputs: rounding of inputs, weights and output.

    Args:
        inputs: the exact inputs.
        made: what it made of them.
        shaken: what it made of the inputs, each value moved by up to half a step at random; None: none is quantized.
        reference, theirs: the tensor of the reference and what made it, whose own rounding is no fault of this one.
    """
    size = math.sqrt(max(float(np.mean(expected.astype(np.float64) ** 2)), 0.0))
    parts = [FLOATS.get(output.dtype, FLOATS["float32"]) * size, operation.rounding * size]
    if shaken is not None:  # the difference holds three roundings of the input, a correct operation one
        parts.append(rms(shaken, made) / math.sqrt(3))
    elif operation.rounding > 1e-3:  # weights in integers and inputs in float: these are rounded call by call
        parts += [size * share_of_steps(values) for values in inputs]
    if output.scale is not None:
        parts.append(ROUNDING * output.scale)
    if reference is not None and reference.scale is not None:
        parts.append(ROUNDING * reference.scale)
    if theirs is not None:
        parts.append(theirs.rounding * size)
    return math.sqrt(sum(part**2 for part in parts))


def share_of_steps(values: np.ndarray) -> float:
    """What rounding to 8 bits of their range costs values, relative to their rms."""
    size = math.sqrt(float(np.mean(values.astype(np.float64) ** 2)))
    return ROUNDING * float(np.abs(values).max()) / 127 / size if size else 0.0


def shake(values: np.ndarray, scale: float, seed: int) -> np.ndarray:
    """Values moved by up to half a step each, at random."""
    rng = np.random.default_rng(seed)
    return values + rng.uniform(-0.5, 0.5, values.shape).astype(np.float32) * np.float32(scale)


def beyond(values: np.ndarray, tensor: Tensor) -> float:
    """The share of values that a quantized tensor cannot hold, by more than a step."""
    low, high = limits(tensor)
    step = tensor.scale or 0.0
    return float(np.mean((values < low - step) | (values > high + step)))


def limits(tensor: Tensor) -> tuple[float, float]:
    """The least and the largest value that a tensor can hold; of one that is not quantized, infinite."""
    if tensor.scale is None or tensor.zero_point is None:
        return -math.inf, math.inf
    stored = np.iinfo(tensor.dtype)
    return (stored.min - tensor.zero_point) * tensor.scale, (stored.max - tensor.zero_point) * tensor.scale
