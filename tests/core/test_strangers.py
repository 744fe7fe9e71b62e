"""What a worker on somebody else's machine answers is held to what it can be."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from ecgedge import Graph, Node
from ecgedge.files.schema import SchemaError
from ecgedge.workers import protocol, strangers


def samples(*times: int) -> str:
    return base64.b64encode(np.array(times, dtype="<i8").tobytes()).decode()


LOADED = protocol.Loaded(1.5, 20.0, 300, 100, (0,))
OPENED = protocol.Opened(0, 1, 64, None, "cpu", LOADED)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "no such device",
        protocol.Timed(samples(1000, 2000, 1100, 2100), 0.99),
        protocol.State(130_000, "1 CPython 3.11", 5, celsius=-3.0),
        OPENED,
        protocol.Opened(0, None, 64, None, "cpu", None),
        Graph((Node("n", "Conv", "cpu", "cpu", ("float32",), ("float32",)),), ()),
        {1: 1000.0, 16: 12_000.0},
        {"arena_bytes": 0, "kind": "x", "share": 0.0},
        protocol.Weighed((100, 101), 0.98),
    ],
)
def test_what_can_be_is_taken(answer: Any) -> None:
    strangers.check(answer)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (protocol.Timed("not base64!", 0.9), "no base64"),
        (protocol.Timed("", 0.9), "no pairs"),
        (protocol.Timed(samples(1000, 2000, 1100), 0.9), "no pairs"),
        (protocol.Timed(samples(1000, 0), 0.9), "times that cannot be"),
        (protocol.Timed(samples(1000, -1), 0.9), "times that cannot be"),
        (protocol.Timed(samples(1000, 2**62), 0.9), "times that cannot be"),
        (protocol.Timed(samples(1, 1), 1e300), "cpu_share"),
        (protocol.State(0, "1", 5), "ns is 0, not above 0"),
        (protocol.State(1, "1", 2**60), "at is"),
        (protocol.State(1, "k" * 20_000, 5), "text of 20,000 characters"),
        (protocol.Opened(0, 0, 64, None, "cpu", None), "batch is 0"),
        (protocol.Opened(0, None, 0, None, "cpu", None), "bulk is 0"),
        (protocol.Opened(0, 1, 1, None, "cpu", protocol.Loaded(0.0, 1.0, 1, 1, None)), "loaded.load_ms is 0.0"),
        (protocol.Weighed((), 1.0), "taken is empty"),
        (protocol.Weighed((5, 0), 1.0), "taken[1] is 0"),
        ({1: 0.0}, "a rate is not above 0"),
        ({"k" * 20_000: 1}, "text of 20,000 characters"),
        ("x" * 20_000, "text of 20,000 characters"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told(answer: Any, told: str) -> None:
    with pytest.raises(SchemaError) as error:
        strangers.check(answer)
    assert told in str(error.value) and len(str(error.value)) < 200


def test_a_board_may_have_been_on_for_years() -> None:
    for seconds in (1, 110 * 86_400, 10 * 365 * 86_400):
        strangers.check(protocol.State(ns=33_000, kernel="float32", at=seconds * 10**9))
    for at in (-1, 2**60):
        with pytest.raises(SchemaError, match="what a clock shows"):
            strangers.check(protocol.State(ns=33_000, kernel="float32", at=at))
