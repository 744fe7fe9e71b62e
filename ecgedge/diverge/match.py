"""Which tensor of one graph is which of another: by name, by what converters tell, and by what they hold for beats."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np

from ecgedge.api.taps import Operation, Taps, Tensor
from ecgedge.diverge import noise
from ecgedge.diverge.origins import Origin
from ecgedge.errors import ConversionError, EcgEdgeError

ALIKE = 15.0  # dB, from which what tensors hold makes them the same
NAMED = 6.0  # dB, the same for two of one name, or of which a converter tells that one was made from the other
BY_VALUES = ("content", "place")  # how tensors are matched of which nobody tells
NEAR = 0.35  # of sorted values, relative to their spread: further apart nothing is tried
CLEARLY = 3.0  # dB by which values fit better that do
AT_ONCE = 3  # candidates for a place that are tried
WITHIN = 4  # operations of the reference that one of the form may stand for
LAYOUTS = (
    "transpose",
    "reshape",
    "flatten",
    "slice",
    "stridedslice",
    "pad",
    "concat",
    "concatenation",
    "gather",
    "squeeze",
    "unsqueeze",
    "getitem",
)  # kinds of operations that only move values
AXES = 4  # above, no orders of axes are tried

Read = Callable[[str], np.ndarray]


@dataclass(frozen=True)
class Match:
    """A tensor of the form and the one of the reference that means the same.

    Attributes:
        how: by ``"name"``; by who made one from the other: ``"passes"``, or an exporter's name; by ``"content"``; or
            by ``"place"``: none of these says so, but what comes after it.
        order: of the reference's axes of more than one value, the batch left out, that gives those of the form.
        turned: the order holds for the form's axes instead, whose values are then put back.
    """

    form: str
    reference: str
    how: str
    order: tuple[int, ...] = ()
    turned: bool = False


@dataclass
class Matching:
    """The tensors of two graphs that were found to be the same, by the name in the form.

    Attributes:
        read: the values of a tensor of the reference.
        told: what converters tell of tensors of the form that have another name in the reference.
        skipped: tensors of the form that are known to mean nothing in the reference.
        shapes: of a beat of the form's tensors, as they were seen.
    """

    form: Taps
    reference: Taps
    read: Read
    told: Mapping[str, Origin] = field(default_factory=dict)
    found: dict[str, Match] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors = {each.name: each for each in self.form.wiring.tensors}
        self.makers = {name: op for op in self.form.wiring.operations for name in op.outputs}
        self.behind = {name: op for op in self.reference.wiring.operations for name in op.outputs}
        self.sorted: dict[str, np.ndarray] = {}

    def value(self, name: str) -> np.ndarray:
        """What the reference holds for a matched tensor, in the axes of the form."""
        match = self.found[name]
        return arranged(self.read(match.reference), match, self.shape(name))

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a beat of a tensor of the form; where the file leaves axes free, that of its values."""
        shape = self.tensors[name].shape
        if None not in shape and shape:
            return tuple(int(axis or 0) for axis in shape)
        return self.shapes.get(name, ())

    def sources(self, tensor: str, but: frozenset[str] = frozenset()) -> tuple[list[str], list[Operation]]:
        """The matched tensors nearest before one, and the operations between; ``but`` do not count as matched."""
        left, ends, inside, seen = [tensor], [], [], {tensor}
        while left:
            op = self.makers.get(left.pop(0))
            if op is None or op in inside:
                continue
            inside.append(op)
            for name in op.inputs:
                if name in self.found and name not in but:
                    ends += [name] if name not in ends else []
                elif name not in seen:
                    seen.add(name)
                    left.append(name)
        return ends, inside

    def made(self, tensor: str, but: frozenset[str] = frozenset()) -> np.ndarray | None:
        """What the form makes of the reference's values before a tensor; None where that piece cannot run alone."""
        sources, _ = self.sources(tensor, but)
        if not sources:
            return None
        try:
            return self.form.between({name: self.value(name) for name in sources}, tensor)
        except (EcgEdgeError, ConversionError):
            return None


def match(
    form: Taps,
    reference: Taps,
    read: Read,
    told: Mapping[str, Origin] | None = None,
    given: Match | None = None,
) -> Matching:
    """Match tensors, from the input to the output, each by what the form makes of the reference's own values.

    So a fault is not carried on: behind it all tensors are found again. One whose values fit none is held open, and
    taken for a faulty one only where what comes after it fits with the reference's values in its place, and does not
    without.

    Args:
        read: the values of a tensor of the reference, the batch first.
        told: see ``Matching``.
        given: the match of the inputs; None: they have their axes in one order.
    """
    both = Matching(form, reference, read, told or {})
    start, end = (form.wiring.input, reference.wiring.input), (form.wiring.output, reference.wiring.output)
    there, shape = read(start[1]).shape[1:], both.tensors[start[0]].shape
    both.shapes[start[0]] = tuple(axis or 0 for axis in shape) if None not in shape else there
    both.found[start[0]] = given or Match(*start, "name", tuple(range(len(axes_of(there)))))
    held: dict[str, list[Match]] = {}
    for op in form.wiring.operations:
        for name in op.outputs:
            if name in both.tensors:
                place(both, op, name, name == end[0], held)
    if end[0] not in both.found:
        values = read(end[1])
        both.shapes.setdefault(end[0], values.shape[1:])
        both.found[end[0]] = Match(*end, "name", tuple(range(len(axes_of(values.shape[1:])))))
    return both


def place(both: Matching, op: Operation, name: str, last: bool, held: dict[str, list[Match]]) -> None:
    """Match one tensor, or hold it open."""
    values = both.made(name)
    if values is None:
        return
    both.shapes[name] = values.shape[1:]
    mine = {source: held[source] for source in open_before(both, name) if source in held}
    best, blamed = fitting(both, name, values, last), None
    for source, candidates in reversed(mine.items()):  # the first that errs: what only moves values fits with any
        for candidate in candidates[:AT_ONCE]:
            both.found[source] = candidate
            again = both.made(name)
            del both.found[source]
            fits = None if again is None else fitting(both, name, again, last)
            if fits and (best is None or fits[0] > best[0] + CLEARLY):
                best, blamed = fits, candidate
    if blamed:  # with the reference's values in its place all is right again
        both.found[blamed.form] = blamed
    elif best:
        both.skipped |= mine.keys()  # without them it fits: they mean nothing in the reference
    if best:
        both.found[name] = best[1]
    elif candidates := likely(both, op, name, values, last):
        if last:
            both.found[name] = candidates[0]
        else:
            held[name] = candidates


def open_before(both: Matching, name: str) -> list[str]:
    """The tensors between one and the matched ones before it, the nearest first."""
    _, inside = both.sources(name)
    return [made for op in inside for made in op.outputs if made != name and made not in both.skipped]


def fitting(both: Matching, name: str, values: np.ndarray, last: bool) -> tuple[float, Match] | None:
    """The tensor of the reference that holds these values, and how well, in dB: the one that is told, or the likest."""
    best: tuple[float, Match] | None = None
    for reference, how in candidates_of(both, name, last):
        expected = both.read(reference)
        floor = ALIKE if how in BY_VALUES else NAMED
        if how in BY_VALUES and apart(both, reference, values, expected) > NEAR:
            continue
        for found in orders(name, reference, how, values.shape[1:], expected.shape[1:]):
            likeness = noise.snr(arranged(expected, found, values.shape[1:]), values)
            if likeness >= floor and (best is None or likeness > best[0] + 1e-6):
                best = likeness, found
        if how not in BY_VALUES and best:
            return best
    return best


def candidates_of(both: Matching, name: str, last: bool) -> Iterator[tuple[str, str]]:
    """Names in the reference that a tensor may have, with how it would be found: its own, what is told, all others."""
    mine, wiring = both.tensors[name], both.reference.wiring
    if last:
        yield wiring.output, "name"
        return
    size = math.prod(both.shapes[name])
    own, told = {mine.name, *mine.also}, both.told.get(name)
    fit = {each.name: {each.name, *each.also} for each in wiring.tensors if sized(both, each, size)}
    named = [each for each, names in fit.items() if own & names]
    origin = [each for each, names in fit.items() if told and told.name in names and each not in named]
    yield from ((each, "name") for each in named)
    yield from ((each, told.how) for each in origin if told)
    yield from ((each, "content") for each in fit if each not in (*named, *origin))


def sized(both: Matching, tensor: Tensor, size: int) -> bool:
    """Whether a tensor of the reference has so many values a beat."""
    if tensor.shape and None not in tensor.shape:
        return math.prod(int(axis or 0) for axis in tensor.shape) == size
    return bool(both.read(tensor.name)[0].size == size)


def likely(both: Matching, op: Operation, name: str, values: np.ndarray, last: bool) -> list[Match]:
    """Where a tensor may belong whose values fit nowhere: by name, or made of the same by an operation of its kind."""
    sources = {both.found[each].reference for each in both.sources(name)[0]}
    taken = {each.reference for each in both.found.values()}
    found: list[tuple[float, Match]] = []
    for reference, how in candidates_of(both, name, last):
        if reference in taken and how in BY_VALUES:
            continue
        far = 0 if how not in BY_VALUES else distance(both.behind, reference, sources)
        if far is None:
            continue
        expected = both.read(reference)
        likest = [
            (abs(likeness(arranged(expected, one, values.shape[1:]), values)), one)
            for one in orders(name, reference, how, values.shape[1:], expected.shape[1:])
        ]
        if likest:
            score, one = max(likest, key=lambda pair: pair[0])
            kin = kind(both.behind[reference].op) == kind(op.op) if reference in both.behind else False
            is_told = how not in BY_VALUES
            guess = Match(name, reference, how if is_told else "place", one.order, one.turned)
            found.append((score + kin + 10 * is_told - 0.1 * far, guess))
    return [one for _, one in sorted(found, key=lambda pair: -pair[0])]


def distance(behind: dict[str, Operation], tensor: str, sources: set[str]) -> int | None:
    """Operations of the reference from some tensors to another one that needs all of them, and no other within."""
    left, seen, met = [(tensor, 0)], {tensor}, set()
    longest = 0
    while left:
        name, far = left.pop(0)
        op = behind.get(name)
        if op is None or far >= WITHIN:
            return None
        longest = max(longest, far + 1)
        for each in op.inputs:
            if each in sources:
                met.add(each)
            elif each not in seen:
                seen.add(each)
                left.append((each, far + 1))
    return longest if met == sources else None


def kind(op: str) -> str:
    """What an operation does, by its type in any format: ``Conv``, ``CONV_2D`` and ``Conv1d`` alike."""
    plain = op.lower().replace("_", "").replace("depthwise", "")
    known = {"gemm": "dense", "matmul": "dense", "linear": "dense", "fullyconnected": "dense", "batchmatmul": "dense",
             "averagepool": "mean", "globalaveragepool": "mean", "reducemean": "mean"}  # fmt: skip
    plain = plain.rstrip("0123456789d") or plain
    return known.get(plain, plain)


def has_weights(op: str) -> bool:
    """Whether an operation of this type, in any format, has weights that were trained."""
    plain = kind(op)
    return plain == "dense" or any(each in plain for each in ("conv", "lstm", "gru", "rnn"))


def likeness(expected: np.ndarray, values: np.ndarray) -> float:
    """The correlation of two arrays of one shape, 0 where one does not vary or is not finite."""
    a, b = (each.astype(np.float64).ravel() for each in (expected, values))
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size and math.isfinite(size) else 0.0


def apart(both: Matching, reference: str, values: np.ndarray, expected: np.ndarray) -> float:
    """How far the sorted values of two beats are from those of the reference, relative to their spread."""
    if reference not in both.sorted:
        both.sorted[reference] = np.sort(expected[:2].reshape(-1))
    there, here = both.sorted[reference], np.sort(values[:2].reshape(-1))
    spread = math.sqrt(noise.power(there))
    return noise.rms(here, there) / spread if spread else (0.0 if np.allclose(here, there) else math.inf)


def axes_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of more than one value."""
    return tuple(axis for axis in shape if axis != 1)


def orders(name: str, reference: str, how: str, form: tuple[int, ...], there: tuple[int, ...]) -> Iterator[Match]:
    """The ways in which a beat of the reference may lie in the form, the plain one first."""
    theirs, mine = axes_of(there), axes_of(form)
    plain = tuple(range(len(theirs)))
    yield Match(name, reference, how, plain)
    if len(theirs) <= AXES:
        for order in permutations(plain):
            shape = tuple(theirs[axis] for axis in order)
            if order != plain and (shape == mine or len(mine) < len(theirs)):
                yield Match(name, reference, how, order)
    if len(theirs) < len(mine) <= AXES:
        for order in permutations(range(len(mine))):
            if order != tuple(range(len(mine))):
                yield Match(name, reference, how, order, turned=True)


def arranged(values: np.ndarray, match: Match, form: tuple[int, ...]) -> np.ndarray:
    """Values of the reference ``(N, ...)`` as the form has them."""
    beats = len(values)
    if match.turned:
        mine = axes_of(form)
        stored = values.reshape(beats, *(mine[axis] for axis in match.order))
        back = np.argsort(match.order)
        return np.ascontiguousarray(stored.transpose(0, *(1 + back))).reshape(beats, *form)
    theirs = axes_of(values.shape[1:])
    turned = values.reshape(beats, *theirs).transpose(0, *(1 + axis for axis in match.order))
    return np.ascontiguousarray(turned).reshape(beats, *form)


def share(both: Matching) -> float:
    """Of the tensors that operations of the form make, those that are matched."""
    made = made_by(both)
    return sum(name in both.found for name in made) / max(1, len(made))


def made_by(both: Matching) -> list[str]:
    """The tensors that operations of the form make."""
    return [name for op in both.form.wiring.operations for name in op.outputs if name in both.tensors]


def counts_of(both: Matching) -> dict[str, int]:
    """How many tensors that operations of the form make are matched in which way, the surest way first."""
    counts = Counter(both.found[name].how for name in made_by(both) if name in both.found)
    order = ["name", *sorted(counts.keys() - {"name", *BY_VALUES}), *BY_VALUES]
    return {how: counts[how] for how in order if counts[how]}
