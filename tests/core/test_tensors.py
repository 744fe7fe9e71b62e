"""Between float32 beats and what files hold."""

from __future__ import annotations

import numpy as np
import pytest

from ecgedge import TensorSpec


@pytest.mark.parametrize(("dtype", "zero_point"), [("int8", -3), ("uint8", 128), ("int16", 0)])
def test_an_input_is_rounded_to_even_and_saturates(dtype: str, zero_point: int) -> None:
    spec = TensorSpec("x", (1, 1, 6), dtype, "NCL", scale=0.5, zero_point=zero_point)
    stored = spec.encode(np.array([[[0.0, 0.25, 0.75, -1.0, 1e6, -1e6]]], dtype=np.float32))
    limits = np.iinfo(dtype)
    assert stored.dtype == dtype
    assert stored.ravel().tolist() == [zero_point + step for step in (0, 0, 2, -2)] + [limits.max, limits.min]


def test_a_beat_is_not_changed_by_being_encoded() -> None:
    beat = np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 1, 8)
    before = beat.copy()
    TensorSpec("x", (1, 8, 1), "int8", "NLC", scale=0.01, zero_point=5).encode(beat)
    assert np.array_equal(beat, before)
