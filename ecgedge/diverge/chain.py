"""The stages between a trained model and a file, and the first that parts by more than its precision explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecgedge.api import tasks
from ecgedge.api.artifact import Artifact, Task
from ecgedge.diverge import noise
from ecgedge.errors import EcgEdgeError, counted
from ecgedge.evaluate.parity import ATOL

LEAST = {"fp16": 40.0, "bf16": 30.0}  # dB to the stage before, by precision; float32 is held to ``ATOL``
OTHERS = 20.0  # dB, of whatever computes in integers
EXACT = ("fp32", "float32")


@dataclass(frozen=True)
class Answered:
    """What one form answered.

    Attributes:
        name: of the stage, as the table shows it.
        runtime: that ran it.
        outputs: ``(N, ...)`` float32.
        on_board: it ran on the board that was named, not here.
    """

    name: str
    artifact: Artifact
    runtime: str
    outputs: np.ndarray
    on_board: bool = False


@dataclass(frozen=True)
class Stage:
    """One form beside the first, and beside the one before it.

    Attributes:
        snr, before: signal to noise in dB, to the first stage and to the one before.
        largest: the largest difference to the one before.
        changed, changed_before: numbers of the beats that are decided otherwise than by the first, and by the one
            before.
        parts: by more than its precision explains, from the one before.
        allowed: what it explains, in words.
    """

    name: str
    file: str
    format: str
    precision: str
    runtime: str
    snr: float
    before: float
    largest: float
    changed: tuple[int, ...]
    changed_before: tuple[int, ...]
    parts: bool
    allowed: str


def as_one(decided: np.ndarray) -> np.ndarray:
    """Decisions as one number a beat ``(N,)``: of several labels ``(N, K)`` the sum of 2**k for each that holds."""
    if decided.ndim == 1:
        return decided
    return np.array([sum(1 << k for k in np.flatnonzero(row)) for row in decided.tolist()], object)


def stages_of(forms: Sequence[Answered], x: np.ndarray, task: Task, index: np.ndarray) -> tuple[Stage, ...]:
    """Each form beside the first and beside the one before it.

    Args:
        x: the beats ``(N, C, L)``.
        index: their numbers among the test beats.

    Raises:
        EcgEdgeError: two forms give answers of another size.
    """
    first, flat = forms[0], [form.outputs.reshape(len(form.outputs), -1) for form in forms]
    for place, form in enumerate(forms):
        before = max(0, place - 1)
        if flat[place].shape != flat[before].shape:
            raise not_one_model(form.name, forms[before].name, flat[place].shape[1], flat[before].shape[1])
    decided = [as_one(tasks.decide(form.outputs, x, task)) for form in forms]
    found = []
    for place, form in enumerate(forms):
        before = max(0, place - 1)
        largest = float(np.abs(flat[place].astype(np.float64) - flat[before]).max())
        ratio = noise.snr(flat[place], flat[before])
        parts, allowed = verdict(form.artifact.precision, forms[before].artifact.precision, largest, ratio,
                                 float(np.abs(flat[before]).max()))  # fmt: skip
        found.append(Stage(
            form.name, str(form.artifact.path), form.artifact.format, form.artifact.precision, form.runtime,
            noise.snr(flat[place], first.outputs.reshape(flat[place].shape)), ratio, largest,
            tuple(int(index[i]) for i in np.flatnonzero(decided[place] != decided[0])),
            tuple(int(index[i]) for i in np.flatnonzero(decided[place] != decided[before])),
            parts, allowed,
        ))  # fmt: skip
    return tuple(found)


def of_two_sizes(forms: Sequence[Answered], index: np.ndarray) -> tuple[Stage, Stage]:
    """A reference and a form that gives another number of values a beat: it decides nothing as the reference does.

    Args:
        index: numbers of the beats among the test beats.
    """
    first, form = (
        Stage(each.name, str(each.artifact.path), each.artifact.format, each.artifact.precision, each.runtime,
              noise.MOST, noise.MOST, 0.0, (), (), False, f"{each.outputs[0].size} values a beat")
        for each in (forms[0], forms[-1])
    )  # fmt: skip
    every = tuple(int(each) for each in index)
    return first, replace(form, snr=-noise.MOST, before=-noise.MOST, largest=noise.MOST_TIMES, changed=every,
                          changed_before=every, parts=True)  # fmt: skip


def not_one_model(form: str, reference: str, size: int, other: int) -> EcgEdgeError:
    """The error of two forms that give so many values a beat."""
    told = f"{form} gives {counted(size, 'value')} a beat, {reference} gives {other}"
    return EcgEdgeError(f"{told}: they are no forms of one model", "name two forms of one model")


def verdict(precision: str, other: str, largest: float, ratio: float, size: float) -> tuple[bool, str]:
    """Whether a difference between two forms is more than the coarser precision explains, and how much that is."""
    coarse = [each for each in (precision, other) if each not in EXACT]
    if not coarse:
        allowed = ATOL * max(1.0, size)
        return not largest <= allowed, f"{allowed:.2g} at most"
    least = min(LEAST.get(each, OTHERS) for each in coarse)
    return not ratio >= least, f"{least:g} dB at least"


def first_parted(stages: Sequence[Stage]) -> int | None:
    """The place of the first stage that parts; None: none does."""
    return next((place for place, stage in enumerate(stages) if stage.parts), None)
