"""Beats or segments of a record, in pieces of a minute: the memory does not grow with the record.

Data sets and predictions are cut by this same code, in the same pieces, so that a model sees what it was trained on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ecgedge.data.readers.leads import pick_leads
from ecgedge.data.records.detect import APART, detect
from ecgedge.data.records.recipe import BEATS, Recipe
from ecgedge.data.records.record import Marks, Record
from ecgedge.data.records.signal import Chain, chain_of, processed
from ecgedge.errors import EcgEdgeError

PIECE = 60.0  # seconds of a record at a time
MATCH = 0.15  # seconds between a detected beat and its annotation, as EC57 has it
ENDS = " that the record's begin or end cuts"


@dataclass
class Left:
    """What was left out of a record, counted by the reason."""

    reasons: Counter[str] = field(default_factory=Counter)

    def tell(self) -> str:
        """All reasons in one line; empty where nothing was left out."""
        return ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.reasons.items()) if count)


@dataclass(frozen=True)
class Piece:
    """Beats or segments of a stretch of a record.

    Attributes:
        x: ``(N, C, L)`` float32, in millivolts or z-normalised.
        at: the sample of the record at each R peak, or at which each segment begins, ``(N,)``.
        labels: N classes; empty strings where nothing tells them.
    """

    x: np.ndarray
    at: np.ndarray
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Way:
    """A recipe as it is followed in one record.

    Attributes:
        leads: their indices from 0.
        before, length: samples of a beat before its R peak (a segment: 0), and in all, of those that come out.
    """

    recipe: Recipe
    chain: Chain
    leads: tuple[int, ...]
    before: int
    length: int

    def names(self, record: Record) -> tuple[str, ...]:
        return tuple(record.leads[lead] for lead in self.leads)


def way_of(record: Record, recipe: Recipe) -> Way:
    """How a recipe is followed in a record. Raises EcgEdgeError where it cannot be."""
    where = record.name
    leads = tuple(pick_leads(recipe.leads, record.leads, len(record.leads), where)) if recipe.leads else None
    chain = chain_of(record.rate, recipe.filters, recipe.rate, where)
    before = 0 if recipe.window is not None else round(recipe.before * chain.rate_out)
    length = (
        round(recipe.span * chain.rate_out)
        if recipe.window is not None
        else before + round(recipe.after * chain.rate_out)
    )
    if length < 2:
        raise EcgEdgeError(
            f"{where}: {recipe.span:g} s are {length} samples at {chain.rate_out:g} a second", "cut more"
        )
    return Way(recipe, chain, leads or tuple(range(len(record.leads))), before, length)


def pieces(record: Record, way: Way, left: Left, label: str | None = None, labelled: bool = True) -> Iterator[Piece]:
    """The beats or segments of a record, from its beginning to its end.

    Args:
        left: is told what is left out.
        label: of all of them; None: as annotations have it.
        labelled: those without a label are left out.

    Raises:
        EcgEdgeError: an annotation file is missing, or a part of the record cannot be read.
    """
    recipe = way.recipe
    marks = record.marks(recipe.annotation) if recipe.annotation else None
    if recipe.window is not None:
        rhythms = rhythms_of(marks, record.length) if marks and label is None else None
        for start, stop in stretches(record):
            yield segments(record, way, left, start, stop, rhythms, label, labelled)
        return
    if marks is not None:
        keep = np.array([symbol in BEATS or symbol in recipe.classes for symbol in marks.symbols], bool)
        marks = Marks(
            marks.samples[keep],
            tuple(s for s, k in zip(marks.symbols, keep) if k),
            tuple(n for n, k in zip(marks.notes, keep) if k),
        )
    elif not recipe.detect:
        raise EcgEdgeError(f"{record.name}: where are its beats?", "say --annotation NAME, such as atr, or --detect")
    last = -math.inf
    for start, stop in stretches(record):
        if recipe.detect:
            at = detect(record, way.leads[0], start, stop)
            at = at[at >= last + APART * record.rate]
            last = float(at[-1]) if len(at) else last
            names = [label or nearest(marks, int(one), MATCH * record.rate) for one in at]
        else:
            assert marks is not None
            inside = slice(*np.searchsorted(marks.samples, [start, stop]))
            at, names = marks.samples[inside], [label or symbol for symbol in marks.symbols[inside]]
        classes = [name if label else classed(name, recipe.classes) for name in names]
        if labelled:
            at, classes = known(at, names, classes, left)
        yield cut_at(record, way, left, at, classes, [way.chain.out(int(one)) - way.before for one in at])


def stretches(record: Record) -> Iterator[tuple[int, int]]:
    """From which sample to which each piece goes."""
    step = round(PIECE * record.rate)
    for start in range(0, record.length, step):
        yield start, min(start + step, record.length)


def nearest(marks: Marks | None, sample: int, within: float) -> str:
    """The symbol of the annotation nearest to a sample; empty where none is near."""
    if marks is None or not len(marks.samples):
        return ""
    at = int(np.searchsorted(marks.samples, sample))
    near = min(
        (i for i in (at - 1, at) if 0 <= i < len(marks.samples)), key=lambda i: abs(int(marks.samples[i]) - sample)
    )
    return marks.symbols[near] if abs(int(marks.samples[near]) - sample) <= within else ""


def classed(symbol: str, classes: Mapping[str, str]) -> str:
    """The class of a symbol; empty where it has none."""
    return classes.get(symbol, "") if classes else symbol


def known(at: np.ndarray, names: Sequence[str], classes: Sequence[str], left: Left) -> tuple[np.ndarray, list[str]]:
    """The beats whose class is known."""
    for name, found in zip(names, classes, strict=True):
        if not found:
            left.reasons[f"beats annotated {name}, which has no class" if name else "beats without an annotation"] += 1
    keep = [index for index, found in enumerate(classes) if found]
    return at[keep], [classes[index] for index in keep]


def rhythms_of(marks: Marks, length: int) -> list[tuple[int, int, str]]:
    """Each rhythm that annotations tell, from which sample to which.

    Raises:
        EcgEdgeError: none tells a rhythm.
    """
    told = [(int(s), n) for s, n in zip(marks.samples, marks.notes, strict=True) if n.startswith("(") and len(n) > 1]
    if not told:
        raise EcgEdgeError(
            "the annotations tell no rhythm, so segments have no class",
            "say --label-file FILE: lines with a record and its class",
        )
    ends = [start for start, _ in told[1:]] + [length]
    return [(start, end, name[1:].strip()) for (start, name), end in zip(told, ends, strict=True)]


def segments(
    record: Record, way: Way, left: Left, start: int, stop: int, rhythms: list[tuple[int, int, str]] | None,
    label: str | None, labelled: bool,
) -> Piece:  # fmt: skip
    """The segments that begin from sample ``start`` to ``stop``."""
    chain, step = way.chain, way.recipe.step
    first = math.ceil(start / record.rate / step - 1e-9)
    begins, at, classes = [], [], []
    for number in range(first, math.ceil(stop / record.rate / step - 1e-9)):
        begin = round(number * step * chain.rate_out)
        sample, end = chain.back(begin), chain.back(begin + way.length)
        found = label or ""
        if begin + way.length > chain.total(record.length):
            left.reasons[f"segments{ENDS}"] += 1
            continue
        if rhythms is not None:
            name = next((name for low, high, name in rhythms if low <= sample and end <= high), None)
            if name is None:
                left.reasons["segments in which the rhythm changes, or is not told"] += 1
                continue
            found = classed(name, way.recipe.classes)
            if not found:
                left.reasons[f"segments of rhythm {name}, which has no class"] += 1
                continue
        elif labelled and not found:
            raise EcgEdgeError(
                f"{record.name}: of which class are its segments?", "say --annotation NAME or --label-file FILE"
            )
        begins.append(begin)
        at.append(sample)
        classes.append(found)
    return cut_at(record, way, left, np.array(at, np.int64), classes, begins)


def cut_at(record: Record, way: Way, left: Left, at: np.ndarray, labels: Sequence[str], begins: Sequence[int]) -> Piece:
    """The samples from each of ``begins`` (of those that come out) on."""
    what = "beats" if way.recipe.window is None else "segments"
    total = way.chain.total(record.length)
    inside = [index for index, begin in enumerate(begins) if begin >= 0 and begin + way.length <= total]
    if out := len(begins) - len(inside):
        left.reasons[f"{what}{ENDS}"] += out
    if not inside:
        return Piece(np.zeros((0, len(way.leads), way.length), np.float32), np.zeros(0, np.int64), ())
    low = min(begins[index] for index in inside)
    high = max(begins[index] for index in inside) + way.length
    signal, gone = processed(record, way.leads, way.chain, low, high)
    whole = [index for index in inside if not gone[begins[index] - low : begins[index] - low + way.length].any()]
    if missing := len(inside) - len(whole):
        left.reasons[f"{what} near missing samples"] += missing
    x = np.empty((len(whole), len(way.leads), way.length), np.float32)
    for place, index in enumerate(whole):
        x[place] = signal[:, begins[index] - low : begins[index] - low + way.length]
    return Piece(z_normalized(x) if way.recipe.normalize else x, at[whole], tuple(labels[index] for index in whole))


def z_normalized(x: np.ndarray) -> np.ndarray:
    """Beats ``(N, C, L)`` with each lead at mean 0 and standard deviation 1 (N - 1 in the divisor); constant: zeros."""
    centred = x - x.mean(axis=2, keepdims=True, dtype=np.float64)
    spread = centred.std(axis=2, ddof=1, keepdims=True)
    flat = x.max(axis=2, keepdims=True) == x.min(axis=2, keepdims=True)
    return np.where(flat, 0, centred / np.where(flat, 1, spread)).astype(np.float32)
