"""Beats without labels, from tables that have one all the same: no label, number or name of a patient is a sample."""

from __future__ import annotations

import numpy as np
import pytest

from ecgedge.data.readers import Columns, read_stream
from ecgedge.errors import EcgEdgeError

RNG = np.random.default_rng(0)
BEATS = RNG.normal(size=(24, 9)).round(3)
CLASSES = RNG.integers(1, 4, 24)


def table(left: list[str] | None = None, right: list[str] | None = None, head: str = "") -> list[str]:
    """Lines with something before or behind the samples."""
    before, behind = ([""] * len(BEATS) if each is None else each for each in (left, right))
    rows = [",".join(filter(None, [a, *map(str, x), b])) for a, x, b in zip(before, BEATS, behind)]
    return ([head] if head else []) + rows


NAMES = ",".join(f"s{i}" for i in range(9))
LABELS = [*map(str, CLASSES)]
NUMBERS = [*map(str, range(len(BEATS)))]


def test_columns_called_as_a_models_labels_are_samples_where_it_takes_as_many() -> None:
    known = Columns(known=("wide", "s1"))
    for length, count in ((9, 9), (8, 8), (None, 8)):
        stream = read_stream(table(head=NAMES), "t.csv", known, length)
        np.testing.assert_array_equal(np.stack(list(stream.beats)), BEATS if count == 9 else np.delete(BEATS, 1, 1))
        assert ("s1 is a label of the model and is left out" in stream.told) == (count == 8)


BY_VALUES = [
    (table(LABELS), "column 1 looks like a label and is left out"),
    (table(None, LABELS), "column 10 looks like a label and is left out"),
    (table(NUMBERS, LABELS), "column 11 looks like a label and is left out"),
]


@pytest.mark.parametrize(("lines", "said"), BY_VALUES)
def test_what_looks_like_a_label_is_left_out_where_a_model_takes_any_length(lines: list[str], said: str) -> None:
    stream = read_stream(lines, "t.csv", Columns(), None)
    np.testing.assert_array_equal(np.stack(list(stream.beats)), BEATS)
    assert said in stream.told


@pytest.mark.parametrize(("lines", "_"), BY_VALUES)
def test_where_it_does_not_the_user_is_asked(lines: list[str], _: str) -> None:
    with pytest.raises(EcgEdgeError, match="10 numbers, the model takes 9") as caught:
        read_stream(lines, "t.csv", Columns(), 9)
    assert "--label-column last the last" in caught.value.hint


@pytest.mark.parametrize("length", [None, 9])
@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (table(), ""),
        (table(NUMBERS), "column 1 holds row numbers and is left out"),
        (table(LABELS, None, f"class,{NAMES}"), "column 1 (class) is called a label and is left out"),
        (table(None, [f"kind {c}" for c in CLASSES]), "column 10 holds words and is left out"),
    ],
)
def test_what_is_no_sample_is_left_out_and_said(lines: list[str], said: str, length: int | None) -> None:
    stream = read_stream(lines, "t.csv", Columns(), length)
    np.testing.assert_array_equal(np.stack(list(stream.beats)), BEATS)
    assert said in stream.told and bool(said) == bool(stream.told)


@pytest.mark.parametrize("length", [None, 9, 10])
def test_a_column_that_is_named_otherwise_is_refused(length: int | None) -> None:
    lines = table(NUMBERS[::-1], None, f"patient,{NAMES}")
    with pytest.raises(EcgEdgeError) as caught:
        read_stream(lines, "t.csv", Columns(), length)
    assert caught.value.message == "t.csv: column 1 (patient) is not named as samples are"
    assert caught.value.hint == "--ignore-column patient leaves it out"
    with pytest.raises(EcgEdgeError) as caught:
        read_stream(table(NUMBERS[::-1], NUMBERS[::-1], f"patient,{NAMES},age"), "t.csv", Columns(), None)
    assert caught.value.hint == "--ignore-column patient --ignore-column age leaves them out"
    stream = read_stream(lines, "t.csv", Columns(ignore=("patient",)), None)
    np.testing.assert_array_equal(np.stack(list(stream.beats)), BEATS)


def test_one_that_fits_and_looks_like_a_label_is_read_and_said() -> None:
    """Nine columns for a model of nine samples, of which the first holds classes."""
    lines = [line.partition(",")[2] for line in table()]
    lines = [f"{label},{rest}" for label, rest in zip(LABELS, lines)]
    stream = read_stream(lines, "t.csv", Columns(), 9)
    assert np.stack(list(stream.beats)).shape == (24, 9)
    assert "column 1 holds few whole numbers, as labels do, and is read as a sample" in stream.told


def test_a_line_of_another_length_is_held_against_the_others_where_the_model_takes_any() -> None:
    lines = [*table(), "1,2,3"]
    for length, words in ((None, "3 numbers, the lines before have 9"), (9, "3 numbers, the model takes 9")):
        with pytest.raises(EcgEdgeError, match=words):
            list(read_stream(lines, "t.csv", Columns(), length).beats)
