"""Labels in a column each: one of them holds for a beat (one-hot), or several may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ecgedge.data.readers.columns import Part
from ecgedge.data.readers.fields import short
from ecgedge.data.readers.names import Names
from ecgedge.errors import EcgEdgeError

MOST = 200  # labels, as classes


def called_by(bits: np.ndarray, names: Sequence[str]) -> str:
    """The labels that a beat has, as one word; one alone is its class."""
    return "+".join(names[int(k)] for k in np.flatnonzero(bits)) or "none"


def check_labels(parts: Sequence[Part], source: str) -> tuple[str, ...]:
    """The labels of parts of which several may hold.

    Args:
        parts: training and test beats, or all beats; any may happen to have one label a beat.

    Raises:
        EcgEdgeError: a part has one class a beat, or other labels; there are too many; or no beat has one of them.
    """
    first = parts[0]
    for part in parts:
        if part.bits is None or part.bit_names != first.bit_names:
            raise EcgEdgeError(
                f"{source}: one part has labels of which several may hold, {short(list(first.bit_names))}, the other "
                "does not have these",
                "both parts need the same columns of labels",
            )
    if len(first.bit_names) > MOST:
        raise EcgEdgeError(f"{source}: {len(first.bit_names):,} labels, and {MOST} are the most", "leave some out")
    if len({*first.bit_names}) < len(first.bit_names):
        raise EcgEdgeError(f"{source}: two labels are called alike", "name each column once")
    assert first.bits is not None
    if empty := [
        name for name, held in zip(first.bit_names, np.any(first.bits, axis=0).tolist(), strict=True) if not held
    ]:
        raise EcgEdgeError(
            f"{source}: no training beat has the label {short(empty[0])}", "every label needs training beats"
        )
    return first.bit_names


def renamed(parts: Sequence[Part], names: Names) -> list[Part]:
    """Parts with other names for their labels, or with their labels in the order in which the file lists them.

    Raises:
        EcgEdgeError: as ``Names.of``, or two labels get one name.
    """
    had = parts[0].bit_names
    if names.order(had):
        places = [had.index(name) for name in names.listed]
        return [
            replace(part, bits=part.bits[:, places], bit_names=names.listed) for part in parts if part.bits is not None
        ]
    called = names.of(had)
    if len({*called}) < len(called):
        raise EcgEdgeError(f"{names.path} calls two labels alike", "labels of which several hold cannot be joined")
    return [replace(part, bit_names=called) for part in parts]
