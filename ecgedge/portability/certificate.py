"""What was found of a file's answers elsewhere, and the verdict on it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ecgedge.api import tasks
from ecgedge.api.artifact import Task
from ecgedge.evaluate.facts import rule_of, told
from ecgedge.evaluate.parity import same_bits
from ecgedge.files.schema import list_of, maybe, number, one_of
from ecgedge.files.values import AMOUNT, COUNTED, MANY, SHARE, TEXT, TRIED_COUNT, WORD

Verdict = Literal["exact", "equivalent", "fragile"]
By = Literal["run", "emulator", "model"]
HOST = "this machine"
SIZE = number(least=0)
WIDEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Way:
    """One way to have a file answered.

    Attributes:
        family, about: as of ``Family``.
        place: ``"this machine"``, or a board, or a core that is emulated.
        by: a ``"run"``, an ``"emulator"``, or a ``"model"`` that computes what a processor would.
    """

    family: str
    about: str
    place: str
    by: By


@dataclass(frozen=True)
class Flip:
    """A beat that is decided otherwise.

    Attributes:
        beat: its number among the test beats, from 0.
        here, there: the decisions: a class, or 1 for an anomaly, or for a label that holds.
        margin: how far the decision here was from another, in the unit of the outputs, of an anomaly in that of its
            score, of several labels in that of their probabilities.
        label: of several that may hold, which; None: the task has one decision a beat.
    """

    beat: int = told(COUNTED, needed=True)
    here: int = told(COUNTED, needed=True)
    there: int = told(COUNTED, needed=True)
    margin: float = told(number(), needed=True)
    label: int | None = told(maybe(COUNTED), null=True)


@dataclass(frozen=True)
class Tried:
    """The answers of one family of kernels on one processor, held against the first that was tried.

    Attributes:
        family, about, place, by: as of ``Way``.
        beats: that were answered.
        equal: the share of the output values that are the same, bit for bit.
        largest: the largest difference of a value; that of float32 where one is not finite.
        steps: the same in steps of the output; None: it has no steps.
        flips: the decisions that differ.
        digest: of the outputs, ``(beats, ...)`` float32, little-endian.
        ran: where its operations ran, as the runtime tells; empty: it does not tell.
        confirmed: of an emulator, who gives the same answers without one, bit for bit; empty: nobody does.
    """

    family: str = told(TEXT, needed=True)
    about: str = told(TEXT, needed=True)
    place: str = told(TEXT, needed=True)
    by: By = told(one_of("run", "emulator", "model"), needed=True)
    beats: int = told(TRIED_COUNT, needed=True)
    equal: float = told(SHARE, needed=True)
    largest: float = told(SIZE, needed=True)
    steps: float | None = told(maybe(SIZE), null=True, needed=True)
    flips: tuple[Flip, ...] = told(list_of(rule_of(Flip), 10**7), needed=True, of=Flip)
    digest: str = told(WORD, needed=True)
    ran: str = told(TEXT, needed=True)
    confirmed: str = told(TEXT, needed=True)

    @property
    def identical(self) -> bool:
        return self.equal == 1.0

    @property
    def name(self) -> str:
        return f"{self.family} on {self.place}"


@dataclass(frozen=True)
class NotTried:
    """What was not tried, and why, one line."""

    what: str = told(TEXT, needed=True)
    why: str = told(TEXT, needed=True)


@dataclass(frozen=True)
class Saturating:
    """A layer that adds pairs of u8 x s8 products, some of which leave 16 bits.

    Attributes:
        layer: the node's name.
        pairs: of weights, each added once for every output value of its channel.
        can: that leave 16 bits for some activations that the file's ranges allow.
        did: that did, on the beats that were seen.
        beats: on which a sum was cut off; ``seen`` are all.
        cut, sums: how many sums were cut off, and how many there were.
        largest: the most that one sum lost; a sum holds 32,767 at most.
        changed, steps: what that does to the layer's own output, for the same input: the share of its values, and the
            most of its steps.
    """

    layer: str = told(TEXT, needed=True)
    pairs: int = told(COUNTED, needed=True)
    can: int = told(COUNTED, needed=True)
    did: int = told(COUNTED, needed=True)
    beats: int = told(COUNTED, needed=True)
    seen: int = told(COUNTED, needed=True)
    cut: int = told(COUNTED, needed=True)
    sums: int = told(COUNTED, needed=True)
    largest: int = told(COUNTED, needed=True)
    changed: float = told(SHARE, needed=True)
    steps: int = told(COUNTED, needed=True)


@dataclass(frozen=True)
class Overflowing:
    """A layer some of whose values float16 cannot hold.

    Attributes:
        layer: the node's name.
        largest: of its values in magnitude, computed in float32.
        beats: on which some were beyond 65,504; ``seen`` are all.
    """

    layer: str = told(TEXT, needed=True)
    largest: float = told(SIZE, needed=True)
    beats: int = told(COUNTED, needed=True)
    seen: int = told(COUNTED, needed=True)


@dataclass(frozen=True)
class Finding:
    """What stands out in the file itself, and what removes it; the remedy may be empty."""

    text: str = told(TEXT, needed=True)
    remedy: str = told(TEXT, needed=True)


@dataclass(frozen=True)
class Certificate:
    """Whether a file answers alike wherever it was tried.

    Attributes:
        digest: of the file.
        beats: the test beats, of which some ways were given a part only.
        margin: the smallest distance of a decision from another on them, here.
        step: of the output; None: it has none.
        tried: the first is what the others are held against.
        saturation: the layers in which sums of pairs can leave 16 bits; empty: none can, or the file has no such.
        overflow: the layers whose values leave float16, of a file with weights in it.
    """

    digest: str = told(WORD, needed=True)
    beats: int = told(TRIED_COUNT, needed=True)
    margin: float = told(number(), needed=True)
    step: float | None = told(maybe(AMOUNT), null=True, needed=True)
    tried: tuple[Tried, ...] = told(list_of(rule_of(Tried), 1000, least=1), needed=True, of=Tried)
    not_tried: tuple[NotTried, ...] = told(list_of(rule_of(NotTried), 1000), needed=True, of=NotTried)
    saturation: tuple[Saturating, ...] = told(list_of(rule_of(Saturating), MANY), needed=True, of=Saturating)
    findings: tuple[Finding, ...] = told(list_of(rule_of(Finding), 1000), needed=True, of=Finding)
    overflow: tuple[Overflowing, ...] = field(
        default=(), metadata=told(list_of(rule_of(Overflowing), MANY), needed=True, of=Overflowing).metadata
    )

    @property
    def verdict(self) -> Verdict:
        if any(each.flips for each in self.tried):
            return "fragile"
        return "exact" if all(each.identical for each in self.tried) else "equivalent"

    @property
    def largest(self) -> float:
        """The largest difference of an output value, anywhere."""
        return max(each.largest for each in self.tried)

    @property
    def flipped(self) -> int:
        """The beats that are decided otherwise anywhere."""
        return len({flip.beat for each in self.tried for flip in each.flips})


def compare(
    outputs: np.ndarray,
    base: np.ndarray,
    beats: np.ndarray,
    numbers: np.ndarray,
    task: Task,
    step: float | None,
    way: Way,
) -> Tried:
    """Hold outputs against those of the first family on the same beats.

    Args:
        outputs, base: of the beats, as ``Session.fetch`` gives them.
        beats: ``(N, C, L)``, what went in.
        numbers: of the beats among all test beats, ``(N,)``.
        step: of the outputs; None: they have none.
    """
    there, here = outputs.reshape(base.shape).astype(np.float32), base.astype(np.float32)
    decided, before = (tasks.decide(each, beats, task) for each in (there, here))
    margins = tasks.margins(here, beats, task)
    flips = tuple(
        Flip(int(numbers[i]), int(before[i, *at]), int(decided[i, *at]), float(margins[i, *at]), *map(int, at))
        for i, *at in np.argwhere(decided != before)
    )
    same = (there == here) | (np.isnan(there) & np.isnan(here))  # -0 and 0 are no two values, but other bits
    apart = np.abs(there.astype(np.float64) - here.astype(np.float64))
    largest = float(np.nanmax(np.where(same, 0.0, np.where(np.isfinite(apart), apart, WIDEST))))
    steps = None if step is None else largest / step
    return Tried(way.family, way.about, way.place, way.by, len(beats), float(same_bits(there, here).mean()),
                 largest, steps, flips, digest_of(there), "", "")  # fmt: skip


def digest_of(outputs: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(outputs, "<f4").tobytes()).hexdigest()
