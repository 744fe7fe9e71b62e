"""Decisions that change: from which operation on the reference's own tail does not bring them back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ecgedge.diverge.match import Match, Matching, arranged
from ecgedge.errors import ConversionError, EcgEdgeError

Decide = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Sealed:
    """A beat that the form decides otherwise.

    Attributes:
        beat: its number among the test beats.
        reference, form: what each decides, as a class index, or 1 for an anomaly; of several labels as
            ``chain.as_one`` has them.
        operation: from which on its fate is sealed; None: at the output alone, or no tensor tells.
    """

    beat: int
    reference: int
    form: int
    operation: str | None


def sealed(both: Matching, x: np.ndarray, beats: Sequence[int], decided: np.ndarray, was: np.ndarray,
           decide: Decide) -> tuple[Sealed, ...]:  # fmt: skip
    """For each beat the first operation behind which the reference decides as the form does, and does so to the end.

    What the form holds there is put into the reference, which goes on by itself. Only tensors through which all goes
    can be put in.

    Args:
        x: the beats ``(N, C, L)`` that are decided otherwise; ``beats`` are their numbers.
        decided, was: decisions of the form and of the reference, ``(N,)``.
        decide: makes decisions ``(N,)`` of the reference's outputs.
    """
    names: list[str] = []
    stays: list[np.ndarray] = []
    for op in both.form.wiring.operations:
        for name in op.outputs:
            if name not in both.found or name == both.form.wiring.output:
                continue
            match = both.found[name]
            held = both.form.read(name, x)[0]
            try:
                values = put_back(held, match, both.read(match.reference).shape[1:])
                outputs = both.reference.between({match.reference: values}, both.reference.wiring.output)
            except (EcgEdgeError, ConversionError):
                continue
            names.append(op.name)
            stays.append(decide(outputs.reshape(len(x), -1)) == decided)
    found = []
    for place, beat in enumerate(beats):
        first = len(names)
        while first and stays[first - 1][place]:
            first -= 1
        at = names[first] if first < len(names) else None
        found.append(Sealed(int(beat), int(was[place]), int(decided[place]), at))
    return tuple(found)


def put_back(values: np.ndarray, match: Match, there: tuple[int, ...]) -> np.ndarray:
    """Values of the form ``(N, ...)`` in the axes of the reference: what ``arranged`` does, the other way round."""
    size = int(np.prod(there))
    places = arranged(np.arange(size).reshape(1, *there), match, values.shape[1:]).reshape(-1)
    back = np.empty((len(values), size), np.float32)
    back[:, places] = values.reshape(len(values), -1)
    return back.reshape(len(values), *there)
