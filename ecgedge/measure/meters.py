"""What a session measured itself, asked for and held to what it can be: a figure is never made up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np

from ecgedge.api.measured import Measured
from ecgedge.api.parts import Session
from ecgedge.errors import ConversionError, cut

NAME_MOST = 80  # characters of the name of a clock or a meter
MOST = 10**16  # nanoseconds of a call, microjoules of a block, bytes
Sources = tuple[str, str, str]  # the names of a session's clock, and of what tells its energy and memory


def ask(session: Session, calls: int, first: Sources | None = None) -> Measured | None:
    """What a session measured itself of the calls since it was last asked; None: nothing.

    Args:
        calls: how many there were.
        first: the names that it gave when it was first asked; None: this is the first time.

    Raises:
        ConversionError: what it gives cannot be; one line says why.
    """
    found = session.measured()
    if found is not None and not isinstance(found, Measured):
        raise ConversionError(f"measured() gave {cut(repr(found))}: ecgedge.Measured, or None")
    if fault := fault_of(found or Measured(), calls, first):
        raise ConversionError(f"what the session measured itself cannot be: {fault}")
    return found


def sources_of(found: Measured | None) -> Sources:
    """By what it measures; empty where it does not."""
    return ("", "", "") if found is None else (found.clock, found.energy_source, found.memory_source)


def fault_of(found: Measured, calls: int, first: Sources | None) -> str:
    """Why that was not measured of so many calls; empty where it can have been."""
    told = (found.latencies_ns, found.energy_uj, found.memory_bytes)
    for what, name, value in zip(("clock", "energy_source", "memory_source"), sources_of(found), told, strict=True):
        if not isinstance(name, str) or name != name.strip() or not name.isprintable() or len(name) > NAME_MOST:
            return f"{what} is {cut(repr(name))}, and no name of {NAME_MOST} characters at most"
        if value is not None and not name:
            return f"{what} does not say by what"
    if first is not None and sources_of(found) != first:
        was, now = next(pair for pair in zip(first, sources_of(found), strict=True) if pair[0] != pair[1])
        return f"it is by {now or 'nothing'!r}, and was by {was or 'nothing'!r} at first"
    if found.clock and found.latencies_ns is None:
        return f"there is no time by {found.clock!r}"
    return (
        latency_fault(found.latencies_ns, calls)
        or amount_fault("energy_uj", found.energy_uj, Real, "a number")
        or amount_fault("memory_bytes", found.memory_bytes, Integral, "a whole number")
    )


def latency_fault(latencies: Sequence[int] | None, calls: int) -> str:
    """Why these are not the times of so many calls; empty where they can be."""
    if latencies is None:
        return ""
    if not isinstance(latencies, Sequence | np.ndarray) or isinstance(latencies, str):
        return f"latencies_ns is {cut(repr(latencies))}, and no tuple"
    if len(latencies) != calls:
        return f"{len(latencies):,} times for {calls:,} calls"
    for number, each in enumerate(latencies):
        if not isinstance(each, Integral) or isinstance(each, bool) or not 0 < int(each) <= MOST:
            return f"latencies_ns[{number}] is {cut(repr(each))}, and no whole number above 0"
    return ""


def amount_fault(what: str, value: object, kind: type, words: str) -> str:
    """Why a value is no amount; empty where it is one, or None."""
    if value is None:
        return ""
    if not isinstance(value, kind) or isinstance(value, bool) or not isinstance(value, Real):
        return f"{what} is {cut(repr(value))}, and not {words}"
    return "" if math.isfinite(value) and 0 <= float(value) <= MOST else f"{what} is {value}, which is no amount"
