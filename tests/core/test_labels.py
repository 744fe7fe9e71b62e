"""Labels of the Pareto plot: none covers another, none leaves the plot, what matters is labelled."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from ecgedge.report.html.labels import Box, Point, place
from ecgedge.report.html.svg import width_of

AREA = Box(60, 30, 860, 390)

points = st.builds(
    Point,
    x=st.floats(60, 860),
    y=st.floats(30, 390),
    radius=st.floats(3, 26),
    words=st.sampled_from(["fp32", "full-int8", "base-cnn tflite full-int8", "x" * 200]),
    must=st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(points, min_size=1, max_size=25))
def test_no_two_labels_meet_and_none_leaves_the_plot(given: list[Point]) -> None:
    found = place(given, AREA)
    assert len(found) == len(given)
    boxes = [one.box for one in found if one]
    assert all(box.within(AREA) for box in boxes)
    assert not any(first.meets(second) for first, second in combinations(boxes, 2))


@settings(max_examples=40, deadline=None)
@given(st.lists(points, min_size=1, max_size=25))
def test_a_label_that_nobody_needs_covers_no_marker(given: list[Point]) -> None:
    for i, (point, one) in enumerate(zip(given, place(given, AREA))):
        if one and not point.must:
            assert not any(one.box.meets(other.box) for other in given[:i] + given[i + 1 :])


def test_what_matters_is_labelled_in_a_crowd() -> None:
    crowd = [Point(400 + i, 200 + i % 3, 6, "base-cnn tflite full-int8", must=i < 6) for i in range(30)]
    found = place(crowd, AREA)
    assert all(found[:6])
    assert all(one.leader for one in found[:6] if one and one.ring)


def test_a_label_is_as_wide_as_its_words() -> None:
    [one] = place([Point(400, 200, 5, "full-int8", must=True)], AREA)
    assert one and one.box.right - one.box.left >= width_of("full-int8", bold=True)


def test_places_are_the_same_each_time() -> None:
    crowd = [Point(400 + 9 * i, 200, 6, "tcn tflite dynamic", must=i < 5) for i in range(12)]
    assert place(crowd, AREA) == place(crowd, AREA)
