"""Between float32 beats and what files hold."""

from __future__ import annotations

import numpy as np
import pytest

from ecgedge import EcgEdgeError, TensorSpec


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


@pytest.mark.parametrize(("layout", "shape"), [("NCL", (None, 3, 4)), ("NLC", (None, 4, 3))])
def test_leads_lie_where_the_layout_says(layout: str, shape: tuple[int | None, ...]) -> None:
    beats = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    given = TensorSpec("x", shape, "int8", layout, scale=1.0, zero_point=-2)
    stored = given.encode(beats)
    assert (given.leads, given.length) == (3, 4)
    for beat, lead, sample in np.ndindex(2, 3, 4):
        place = (beat, lead, sample) if layout == "NCL" else (beat, sample, lead)
        assert stored[place] == beats[beat, lead, sample] - 2
    returned = TensorSpec("y", shape, "int8", layout, scale=1.0, zero_point=-2)
    np.testing.assert_array_equal(returned.decode(stored), beats)
    np.testing.assert_array_equal(returned.decode(stored.reshape(2, -1)), beats, "a runtime that gives it flat")


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        ("NCL", (2, 1, 4)),
        ("NCL", (2, 4, 1)),
        ("NLC", (2, 4, 1)),
        ("NL", (2, 4)),
        ("NCL", (2, 4)),
        ("NCL", (None, None, None)),
    ],
)
def test_a_reconstruction_of_one_lead_may_lie_in_any_order(layout: str, shape: tuple[int | None, ...]) -> None:
    beats = np.arange(8, dtype=np.float32).reshape(2, 1, 4)
    made = beats if None in shape else beats.reshape(shape)  # type: ignore[arg-type]
    np.testing.assert_array_equal(TensorSpec("y", shape, "float32", layout).decode(made), beats)


@pytest.mark.parametrize(("layout", "shape", "told"), [("NCL", (None, 2, 4), "2 leads"), ("NLC", (1, 4, 1), "1 lead"),
                                                       ("NL", (None, 4), "1 lead")])  # fmt: skip
def test_beats_of_other_leads_are_refused(layout: str, shape: tuple[int | None, ...], told: str) -> None:
    """Above all by an input without an axis for them, which would else take the first lead for the beat."""
    with pytest.raises(EcgEdgeError, match=f"^input x takes beats of {told}, these have 3$"):
        TensorSpec("x", shape, "float32", layout).encode(np.zeros((1, 3, 4), np.float32))
    TensorSpec("x", (None, None, 4), "float32", "NCL").encode(np.zeros((1, 3, 4), np.float32))
