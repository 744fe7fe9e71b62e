"""A long graph is cut in two again and again, to find the stretch of it that errs most by itself with a few runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecgedge.api.taps import Taps, Wiring
from ecgedge.diverge import noise
from ecgedge.diverge.match import ALIKE, AT_ONCE, Match, Matching, arranged, axes_of, orders
from ecgedge.diverge.origins import Origin

LONG = 150  # operations, above which a graph is cut before it is walked
AROUND = 2  # cuts on either side of the stretch that are walked with it
DOUBTFUL = 20.0  # dB, below which between two neighbouring cuts one may mean something else in the reference


@dataclass(frozen=True)
class Narrowed:
    """What was left out of the walk.

    Attributes:
        operations: of the form, in all.
        cuts: at which it could be cut.
        runs: of the form's pieces and of the reference, until the stretch was found.
    """

    operations: int
    cuts: int
    runs: int


class Stretch(Taps):
    """The operations of a file between two cuts; it is read, and its pieces run, as the whole file."""

    def __init__(self, whole: Taps, start: tuple[str, int], end: tuple[str, int]):
        self.whole, self.first = whole, start[1]
        operations = whole.wiring.operations[start[1] : end[1]]
        inside = {start[0], *(name for op in operations for name in op.outputs)}
        tensors = tuple(each for each in whole.wiring.tensors if each.name in inside)
        self.wiring = Wiring(start[0], end[0], tensors, operations)

    def read(self, tensor: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.whole.read(tensor, x)

    def between(self, inputs: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        return self.whole.between(inputs, output)


@dataclass(frozen=True)
class Found:
    """The stretch to walk.

    Attributes:
        form, reference: of each, what lies between the two ends.
        start: which tensor of the reference the stretch's input is.
        told: what was left out.
        doubtful: the two cuts of the stretch that errs most, where these may mean something else in the reference.
    """

    form: Stretch
    reference: Stretch
    start: Match
    told: Narrowed
    doubtful: frozenset[str]


@dataclass(frozen=True)
class Cut:
    """A tensor through which all of the form goes, and the same of the reference.

    Attributes:
        place, place_there: operations before it, in each.
    """

    form: str
    reference: str
    how: str
    place: int
    place_there: int


def cuts(wiring: Wiring) -> dict[str, int]:
    """Tensors through which all goes, but for input and output, with the number of operations before each."""
    last = {name: place for place, op in enumerate(wiring.operations) for name in op.inputs}
    last[wiring.output] = len(wiring.operations)
    known = {each.name for each in wiring.tensors} - {wiring.input, wiring.output}
    alive, found = {wiring.input}, dict[str, int]()
    for place, op in enumerate(wiring.operations):
        alive = {name for name in (*alive, *op.outputs) if last.get(name, -1) > place}
        if len(alive) == 1 and (only := next(iter(alive))) in known:
            found.setdefault(only, place + 1)
    return found


def shared_cuts(form: Wiring, reference: Wiring, told: Mapping[str, Origin]) -> Iterator[Cut]:
    """Cuts of a form that are cuts of the reference as well, by their names or what is told, in the order of both."""
    tensors, theirs, behind = {each.name: each for each in form.tensors}, cuts(reference), 0
    there = {name: each.name for each in reference.tensors if each.name in theirs for name in (*each.also, each.name)}
    for name, place in cuts(form).items():
        names = [(one, "name") for one in (name, *tensors[name].also)]
        names += [(told[name].name, told[name].how)] if name in told else []
        match = next(((there[one], how) for one, how in names if one in there), None)
        if match and theirs[match[0]] > behind:
            behind = theirs[match[0]]
            yield Cut(name, match[0], match[1], place, behind)


class Bisection:
    """The search. Of the reference no more than three tensors are held at once.

    Attributes:
        runs: so far.
    """

    def __init__(self, form: Taps, reference: Taps, x: np.ndarray, told: Mapping[str, Origin]):
        self.x, self.runs, self.kept = x, 0, dict[str, np.ndarray]()
        self.both = Matching(form, reference, self.read, told)
        mine, theirs = form.wiring, reference.wiring
        self.ends = (Cut(mine.input, theirs.input, "name", 0, 0),
                     Cut(mine.output, theirs.output, "name", len(mine.operations), len(theirs.operations)))  # fmt: skip
        self.matches = {end.form: self.plain(end) for end in self.ends}

    def read(self, name: str) -> np.ndarray:
        if name not in self.kept:
            self.kept = dict([*self.kept.items()][-2:])
            self.kept[name] = self.both.reference.read(name, self.x)[0]
            self.runs += 1
        return self.kept[name]

    def plain(self, cut: Cut) -> Match:
        """A match without another order of axes."""
        there = self.read(cut.reference).shape[1:]
        shape = self.both.tensors[cut.form].shape
        self.both.shapes[cut.form] = there if None in shape or not shape else tuple(axis or 0 for axis in shape)
        return Match(cut.form, cut.reference, cut.how, tuple(range(len(axes_of(there)))))

    def piece(self, start: Match, end: str) -> np.ndarray | None:
        """What the form makes of the reference's values of a cut, up to another one."""
        self.both.found = {start.form: start}
        self.runs += 1
        return self.both.made(end)

    def error(self, start: Match, end: Match) -> float:
        """Signal to noise in dB of the piece between two cuts, given the reference's values."""
        made = self.piece(start, end.form)
        if made is None:
            return noise.MOST
        return noise.snr(made, arranged(self.read(end.reference), end, made.shape[1:]))

    def halves(self, before: Match, cut: Cut, after: Match) -> tuple[float, float, Match] | None:
        """Errors of the two pieces that a cut makes, and its match; None where it cannot be reached.

        Of several orders of its axes the one counts that is right on either side.
        """
        made = self.piece(before, cut.form)
        if made is None or made[0].size != self.read(cut.reference)[0].size:
            return None
        there = self.read(cut.reference)
        self.both.shapes[cut.form] = made.shape[1:]
        ways = orders(cut.form, cut.reference, cut.how, made.shape[1:], there.shape[1:])
        lefts = sorted(((noise.snr(made, arranged(there, way, made.shape[1:])), way) for way in ways),
                       key=lambda pair: -pair[0])  # fmt: skip
        if lefts[0][0] >= ALIKE:
            lefts = lefts[:1]
        tried = [(left, self.error(way, after), way) for left, way in lefts[:AT_ONCE]]
        return max(tried, key=lambda each: max(each[:2]))

    def stretch(self, known: Sequence[Cut]) -> Found:
        """The piece between two neighbouring cuts that errs most by itself, with those around it."""
        stops = [self.ends[0], *known, self.ends[1]]
        low, high = 0, len(stops) - 1
        while high - low > 1:
            middle = (low + high) // 2
            found = self.halves(self.matches[stops[low].form], stops[middle], self.matches[stops[high].form])
            if found is None:
                del stops[middle]
                high -= 1
                continue
            left, right, self.matches[stops[middle].form] = found
            low, high = (low, middle) if left <= right else (middle, high)
        worst = [self.matches[stop.form] for stop in (stops[low], stops[high])]
        is_doubtful = self.error(*worst) < DOUBTFUL
        doubtful = frozenset(match.form for match in worst) if is_doubtful else frozenset()
        ends = (self.outermost(stops[max(0, low - AROUND) : low + 1]),
                self.outermost(stops[high : high + AROUND + 1][::-1]))  # fmt: skip
        start = self.start(ends[0], stops[low])
        mine, theirs = ((self.both.form, "form", "place"), (self.both.reference, "reference", "place_there"))
        form, reference = (
            Stretch(taps, *((getattr(end, name), getattr(end, place)) for end in ends))
            for taps, name, place in (mine, theirs)
        )
        told = Narrowed(len(self.both.form.wiring.operations), len(known), self.runs)
        return Found(form, reference, start, told, doubtful)

    def outermost(self, near: Sequence[Cut]) -> Cut:
        """The first of some cuts that is of one size in both files, as the last one is known to be."""
        return next(cut for cut in near if cut.form in self.matches or self.is_of_one_size(cut))

    def is_of_one_size(self, cut: Cut) -> bool:
        """Whether a beat has as many values in both files: one name may mean different tensors."""
        return bool(self.both.form.read(cut.form, self.x)[0][0].size == self.read(cut.reference)[0].size)

    def start(self, cut: Cut, before: Cut) -> Match:
        """The match of a cut, in the order of axes that is right up to one behind it whose match is known."""
        if cut.form in self.matches:
            return self.matches[cut.form]
        there, shape = self.read(cut.reference).shape[1:], self.both.form.read(cut.form, self.x)[0].shape[1:]
        self.both.shapes[cut.form] = shape
        ways = [*orders(cut.form, cut.reference, cut.how, shape, there)]
        return max(ways, key=lambda way: self.error(way, self.matches[before.form])) if len(ways) > 1 else ways[0]


def narrowed(
    form: Taps, reference: Taps, x: np.ndarray, told: Mapping[str, Origin], but: frozenset[str] = frozenset()
) -> Found | None:
    """The stretch of a long form that errs most by itself; None where it is short, or cannot be cut finely enough.

    Args:
        x: beats ``(N, C, L)`` float32.
        but: cuts that are not to be used.
    """
    count = len(form.wiring.operations)
    known = [cut for cut in shared_cuts(form.wiring, reference.wiring, told) if cut.form not in but]
    places = [0, *(cut.place for cut in known), count]
    if count <= LONG or max(np.diff(places)) * (2 * AROUND + 1) > count / 2:
        return None
    return Bisection(form, reference, x, told).stretch(known)
