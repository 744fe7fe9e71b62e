"""What a worker on somebody else's machine answers, held to what such an answer can be.

Its types are right already, by the protocol. Whoever asks computes with it, and keeps it: a time of 0 has no logarithm,
a batch of 0 divides nothing, and a name of megabytes makes a run that cannot be read again.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.files.schema import SchemaError, unlike
from ecgedge.workers import protocol

MOST_TEXT = 10_000  # characters
MOST_ENTRIES = 1_000_000
MOST_COUNT, MOST_NUMBER = 2**53, 1e15
MOST_READING = 2**60  # nanoseconds of a clock that runs since the board was started: 2**53 are 104 days
PAIR = 16  # bytes of two times
READINGS: dict[type, tuple[str, ...]] = {protocol.State: ("at",)}  # fields that are such
POSITIVE: dict[type, tuple[str, ...]] = {  # fields that are above 0, where they are told
    protocol.State: ("ns",),
    protocol.Loaded: ("load_ms", "first_call_us"),
    protocol.Opened: ("batch", "bulk"),
    protocol.Peak: ("gmacs", "low", "median", "calls"),
    protocol.Weighed: ("taken",),
}


def check(answer: Any) -> None:
    """Raise SchemaError where an answer, or something in it, cannot be."""
    for where, value in leaves(answer, "", ""):
        if isinstance(value, str) and len(value) > MOST_TEXT:
            raise SchemaError(f"{where or 'it'} is text of {len(value):,} characters")
        if isinstance(value, int) and abs(value) > MOST_COUNT:
            raise unlike(where, value, f"a whole number up to {MOST_COUNT:,}")
        if isinstance(value, float) and not abs(value) < MOST_NUMBER:
            raise unlike(where, value, f"a finite number below {MOST_NUMBER:g}")
    if isinstance(answer, protocol.Timed):
        check_samples(answer.samples)
    if isinstance(answer, Mapping) and any(isinstance(size, int) and rate <= 0 for size, rate in answer.items()):
        raise SchemaError("a rate is not above 0")  # of throughput, by batch size


def leaves(value: Any, where: str, sign: str) -> Iterator[tuple[str, Any]]:
    """All texts and numbers of an answer, each with where it stands; one that has to be positive is looked at here.

    Args:
        sign: ``"positive"``, or empty.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            if (type(value), field.name) != (protocol.Timed, "samples"):
                is_above = field.name in POSITIVE.get(type(value), ())
                inside = f"{where}.{field.name}" if where else field.name
                if field.name in READINGS.get(type(value), ()):
                    if not 0 <= getattr(value, field.name) < MOST_READING:
                        raise unlike(inside, getattr(value, field.name), "what a clock shows")
                    continue
                yield from leaves(getattr(value, field.name), inside, "positive" if is_above else "")
    elif isinstance(value, Mapping | tuple | list):
        if len(value) > MOST_ENTRIES:
            raise SchemaError(f"{where or 'it'} has {len(value):,} entries")
        if sign and not value:
            raise SchemaError(f"{where} is empty")
        entries = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, each in entries:
            yield where, key
            yield from leaves(each, f"{where}[{str(key)[:40]}]", sign)
    elif not isinstance(value, bool | Path | None):
        if sign and not value > 0:
            raise unlike(where, value, "above 0")
        yield where, value


def check_samples(samples: str) -> None:
    """Raise SchemaError where the samples of a block are no pairs of times, or one is not above 0."""
    try:
        content = base64.b64decode(samples, validate=True)
    except (binascii.Error, ValueError):
        raise SchemaError("samples is no base64") from None
    if not content or len(content) % PAIR:
        raise SchemaError(f"samples has {len(content):,} bytes, which are no pairs of times")
    times = np.frombuffer(content, dtype="<i8")
    if times.min() <= 0 or times.max() > MOST_COUNT:
        raise SchemaError("samples has times that cannot be")
