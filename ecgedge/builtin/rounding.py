"""What storing weights in few bits has cost them: the noise that a correct operation may add for it."""

from __future__ import annotations

import numpy as np

STEP = 12**-0.5  # rms of what rounding to whole steps takes away, in steps
HALF = 2e-4  # rms of the same for float16, relative to the value


def of_steps(stored: np.ndarray, scales: np.ndarray, axis: int = 0) -> float:
    """Rms of the rounding of weights that are stored in whole steps, relative to the rms of the weights.

    Args:
        stored: whole numbers, their zero point taken off.
        scales: one step, for all or for each index along ``axis``.
    """
    shape = [1] * stored.ndim
    if scales.size > 1 and stored.ndim:
        shape[axis] = scales.size
    values = stored.astype(np.float64) * scales.reshape(shape if scales.size > 1 else ()).astype(np.float64)
    rms = float(np.sqrt(np.mean(values**2))) if values.size else 0.0
    return STEP * float(np.sqrt(np.mean(scales.astype(np.float64) ** 2))) / rms if rms else 0.0
