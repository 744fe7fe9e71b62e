"""What was found of a file's answers elsewhere, and the verdict on it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ecgedge.api import tasks
from ecgedge.api.artifact import Task
from ecgedge.evaluate.parity import same_bits

Verdict = Literal["exact", "equivalent", "fragile"]
By = Literal["run", "emulator", "model"]
HOST = "this machine"
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

    beat: int
    here: int
    there: int
    margin: float
    label: int | None = None


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

    family: str
    about: str
    place: str
    by: By
    beats: int
    equal: float
    largest: float
    steps: float | None
    flips: tuple[Flip, ...]
    digest: str
    ran: str = ""
    confirmed: str = ""

    @property
    def identical(self) -> bool:
        return self.equal == 1.0

    @property
    def name(self) -> str:
        return f"{self.family} on {self.place}"


@dataclass(frozen=True)
class NotTried:
    """What was not tried, and why, one line."""

    what: str
    why: str


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

    layer: str
    pairs: int
    can: int
    did: int
    beats: int
    seen: int
    cut: int
    sums: int
    largest: int
    changed: float
    steps: int


@dataclass(frozen=True)
class Finding:
    """What stands out in the file itself, and what removes it; the remedy may be empty."""

    text: str
    remedy: str = ""


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
    """

    digest: str
    beats: int
    margin: float
    step: float | None
    tried: tuple[Tried, ...]
    not_tried: tuple[NotTried, ...]
    saturation: tuple[Saturating, ...]
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        if any(each.flips for each in self.tried):
            return "fragile"
        return "exact" if all(each.identical for each in self.tried) else "equivalent"

    @property
    def largest(self) -> float:
        """The largest difference of an output value, anywhere."""
        return max(each.largest for each in self.tried)


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
                 largest, steps, flips, digest_of(there))  # fmt: skip


def digest_of(outputs: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(outputs, "<f4").tobytes()).hexdigest()


def lines(certificate: Certificate, names: Sequence[str] = (), most: int = 10) -> list[str]:
    """The verdict, in words: how sure it is, and which beats are decided otherwise.

    Args:
        names: of the decisions; empty: they are told by number.
        most: beats that are told of.
    """
    tried = certificate.tried
    others = [each for each in tried[1:] if not each.identical]
    told = [f"{certificate.verdict}: {summary(certificate)}{of_some(certificate)}"]
    flips: dict[tuple[int, int | None], list[tuple[Tried, Flip]]] = {}
    for each in tried:
        for flip in each.flips:
            flips.setdefault((flip.beat, flip.label), []).append((each, flip))
    for (beat, _), found in sorted(flips.items(), key=lambda item: -item[1][0][1].margin)[:most]:
        flip, where = found[0][1], ", ".join(each.name for each, _ in found)
        if flip.label is None:
            was, now = (names[each] if names else str(each) for each in (flip.here, flip.there))
        else:
            label = names[flip.label] if names else f"label {flip.label}"
            was, now = (label if each else f"no {label}" for each in (flip.here, flip.there))
        told.append(f"beat {beat}: {was} becomes {now}, margin {flip.margin:.3g}; {where}")
    if len(flips) > most:
        more = len(flips) - most
        told.append(f"and {more:,} more decision{'' if more == 1 else 's'}, which --json lists")
    for each in others:
        if each.by == "emulator":
            told.append(
                f"{each.name}: bit for bit as {each.confirmed} answers, so it is not the emulator"
                if each.confirmed
                else f"{each.name}: seen under emulation only: its kernels differ, or the emulator errs"
            )
    return told


def summary(certificate: Certificate) -> str:
    ways = len(certificate.tried)
    if ways == 1:
        return "one family of kernels was tried, which says nothing of others"
    if certificate.verdict == "exact":
        return f"bit for bit the same in all {ways} that were tried"
    if certificate.verdict == "equivalent":
        apart = unit(certificate.largest, certificate.step) + ", in the signs of zeros" * (not certificate.largest)
        margin = f"{certificate.margin:.3g}"
        return f"values differ by {apart} at most, no decision changed; the smallest margin of one is {margin}"
    changed = len({flip.beat for each in certificate.tried for flip in each.flips})
    on = f"{changed:,} beat{'' if changed == 1 else 's'}"
    return f"decisions on {on} change; values differ by {unit(certificate.largest, certificate.step)} at most"


def of_some(certificate: Certificate) -> str:
    """How many ways were given a part of the beats, and how many those were; empty where all were given all."""
    seen = [each.beats for each in certificate.tried if each.beats < certificate.beats]
    if not seen:
        return ""
    return f"; {len(seen)} of the {len(certificate.tried)} ways saw {min(seen):,} of {certificate.beats:,} beats only"


def unit(value: float, step: float | None) -> str:
    """A value, and how many steps of the output it is."""
    if step is None or not math.isfinite(value):
        return f"{value:.3g}"
    steps = round(value / step)
    return f"{value:.3g} ({steps:,} step{'' if steps == 1 else 's'})"
