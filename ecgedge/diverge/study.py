"""Two forms of one model, operation by operation: what each errs by itself, and which one is at fault."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ecgedge.api.taps import Operation, Taps, Tensor
from ecgedge.diverge import noise
from ecgedge.diverge.match import ALIKE, LAYOUTS, Matching, has_weights, kind, match, share
from ecgedge.diverge.sealed import Sealed
from ecgedge.diverge.symptoms import Symptoms, symptoms
from ecgedge.errors import EcgEdgeError
from ecgedge.evaluate.parity import same_bits

LIMIT = 2.0  # times what a precision explains, from which an operation is at fault
HEALED = 1.3  # times the same, up to which what comes after it is as right as it can be
CLIPS = 1e-3  # share of values, from which a tensor is told to clip
MISTAKEN = 20.0  # dB, up to which two tensors may have been taken for the same by mistake
PUT_RIGHT = 3  # matches at most that are mended by what comes after them
STRANGE = 6.0  # dB, below which an operation with weights has nothing of the reference's
BINS = 48  # of a histogram
LITTLE = 0.5  # share of tensors matched, below which one such line alone says that


@dataclass(frozen=True)
class Line:
    """An operation of the form, or several where only what comes after them is matched.

    Attributes:
        operation, op: name and type, in the form's own words.
        others: names of the operations that are measured with it.
        tensor: that it makes, by its name in the form; ``reference``: the same in the other file.
        how: the two were matched: by ``"name"``, ``"content"`` or ``"place"``.
        depth: operations before it, of all, from 0 to 1.
        snr, steps: the accumulated error, as it ran: signal to noise in dB, and the rms in quantization steps of the
            tensor; None: it has no steps.
        local_snr, local_steps: the same of the operation alone, given the reference's inputs.
        explained: rms that its precision explains, in dB below the signal.
        excess: the local error relative to that; 1 is what a correct operation has.
        beyond: share of the reference's values that the tensor cannot hold.
        unfused: reading it changed the answers: the tensor does not exist as the file runs.
    """

    operation: str
    op: str
    others: tuple[str, ...]
    tensor: str
    reference: str
    how: str
    depth: float
    snr: float
    steps: float | None
    local_snr: float
    local_steps: float | None
    explained: float
    excess: float
    beyond: float = 0.0
    unfused: bool = False


@dataclass(frozen=True)
class Histogram:
    """How the values of one tensor are spread, as it ran and in the reference.

    Attributes:
        tensor: by its name in the form; ``reference``: the same in the other file.
        edges: of the bins, one more than there are counts; whole steps where the tensor is quantized.
        form, expected: values of each bin, of the form and of the reference.
    """

    tensor: str
    reference: str
    edges: tuple[float, ...]
    form: tuple[int, ...]
    expected: tuple[int, ...]


@dataclass(frozen=True)
class Study:
    """What was found between two forms.

    Attributes:
        lines: in the order of the operations.
        culprit: the operation at fault; None: none errs by more than its precision explains, or no one is, see
            ``same_model``.
        matched: share of the form's tensors.
        tensors: that the form's operations make.
        unfused: names of tensors that do not exist as the file runs.
        decisions: beats that are decided otherwise, and where that was sealed.
        same_model: False where the two seem to be no forms of one model, see ``strangers``.
        histogram: of the worst operation's tensor; None: no operation was measured.
        symptoms: of the culprit; None: there is none.
        dropped: names of operations at the end of the reference, which only move values and which the form lacks.
    """

    lines: tuple[Line, ...]
    culprit: Line | None
    matched: float
    tensors: int
    unfused: tuple[str, ...] = ()
    decisions: tuple[Sealed, ...] = ()
    same_model: bool = True
    histogram: Histogram | None = None
    symptoms: Symptoms | None = None
    dropped: tuple[str, ...] = ()

    @property
    def worst(self) -> Line | None:
        """The culprit, else the line that errs most by itself; None: there are no lines."""
        return self.culprit or next(iter(self.ranked()), None)

    def ranked(self) -> list[Line]:
        """The lines, the worst first: by how much their own error is above what is explained."""
        return sorted(self.lines, key=lambda line: -line.excess)


class Values:
    """What the tensors of one file hold for the same beats, read one at a time and kept on disk.

    Attributes:
        disturbed: tensors whose reading changed the answers.
    """

    def __init__(self, taps: Taps, x: np.ndarray, folder: Path):
        self.taps, self.x, self.folder = taps, x, folder
        folder.mkdir()
        self.files: dict[str, Path] = {}
        self.disturbed: set[str] = set()
        self.answers = taps.read(taps.wiring.output, x)[1]

    def __call__(self, name: str) -> np.ndarray:
        if name not in self.files:
            values, answers = self.taps.read(name, self.x)
            if not same_bits(answers, self.answers).all():
                self.disturbed.add(name)
            path = self.folder / f"{len(self.files)}.npy"
            np.save(path, values)
            self.files[name] = path
        found: np.ndarray = np.load(self.files[name])
        return found


def study(
    form: Taps, reference: Taps, x: np.ndarray, seal: Callable[[Matching], tuple[Sealed, ...]] | None = None
) -> Study:
    """Match the tensors of two forms, and measure each operation.

    Args:
        x: beats ``(N, C, L)`` float32.
        seal: looks into decisions that change, once all is matched; None: there are none.

    Raises:
        EcgEdgeError: their outputs cannot be held against each other.
    """
    with tempfile.TemporaryDirectory() as scratch:
        mine, theirs = Values(form, x, Path(scratch) / "form"), Values(reference, x, Path(scratch) / "reference")
        if mine.answers[0].size != theirs.answers[0].size:
            return without_the_last(form, reference, x, mine.answers[0].size, theirs.answers[0].size)
        both = match(form, reference, theirs)
        lines = measured(both, mine)
        culprit = at_fault(both, lines)
        for _ in range(PUT_RIGHT):
            if culprit is None or not lacking(both, culprit):
                break
            lines = measured(both, mine)
            culprit = at_fault(both, lines)
        made = sum(name in both.tensors for op in form.wiring.operations for name in op.outputs)
        same_model = not strangers(both, lines)
        decisions = seal(both) if seal and same_model else ()
        found = Study(tuple(lines), culprit if same_model else None, share(both), made, tuple(sorted(mine.disturbed)),
                      decisions, same_model)  # fmt: skip
        if found.worst is None:
            return found
        wrong = symptoms_of(both, found.culprit) if found.culprit else None
        return replace(found, histogram=histogram_of(both, found.worst, mine), symptoms=wrong)


def symptoms_of(both: Matching, line: Line) -> Symptoms | None:
    """In which way a line is wrong."""
    sources, inside = both.sources(line.tensor)
    expected = both.value(line.tensor)
    found = local(both, line.tensor, sources, inside, expected)
    return None if found is None else symptoms(found[0], expected, both.tensors[line.tensor], LIMIT * found[1])


class Ending(Taps):
    """Taps that count a tensor before the output as the output."""

    def __init__(self, whole: Taps, output: str):
        self.whole, self.wiring = whole, replace(whole.wiring, output=output)
        self.answers: dict[int, np.ndarray] = {}

    def read(self, tensor: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if id(x) not in self.answers:
            self.answers = {id(x): self.whole.read(self.wiring.output, x)[0]}
        return self.whole.read(tensor, x)[0], self.answers[id(x)]

    def between(self, inputs: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        return self.whole.between(inputs, output)


def without_the_last(form: Taps, reference: Taps, x: np.ndarray, size: int, other: int) -> Study:
    """Two forms of other sizes: the form may lack a crop, or whatever moves values at the end of the reference.

    Args:
        size, other: values a beat of the form and of the reference.

    Raises:
        EcgEdgeError: it gives nothing that the reference has there.
    """
    behind, name, dropped = (
        {n: op for op in reference.wiring.operations for n in op.outputs},
        reference.wiring.output,
        [],
    )
    while (op := behind.get(name)) and kind(op.op) in LAYOUTS and len(op.inputs) == 1:
        dropped.append(op.name)
        name = op.inputs[0]
        if reference.read(name, x)[0][0].size != size:
            continue
        found = study(form, Ending(reference, name), x)
        last = next((line for line in found.lines if line.tensor == form.wiring.output), None)
        if found.same_model and last is not None and last.excess <= LIMIT:
            return replace(found, culprit=last, dropped=tuple(dropped[::-1]))
    told = f"{size} values a beat and {other}"
    raise EcgEdgeError(f"the two forms give {told}: they are not of one model", "name two forms of one model")


def histogram_of(both: Matching, line: Line, mine: Values) -> Histogram | None:
    """The spread of a line's tensor, as it ran and in the reference; None where no value is finite."""
    expected, step = both.value(line.tensor).ravel(), both.tensors[line.tensor].scale
    held = mine(line.tensor).ravel()
    held, expected = (each[np.isfinite(each)].astype(np.float64) for each in (held, expected))
    if not held.size or not expected.size:
        return None
    low, high = float(min(held.min(), expected.min())), float(max(held.max(), expected.max()))
    if step:  # bins of whole steps, else some are given two of them and others one
        width = step * max(1, math.ceil((high - low) / step / BINS))
        low -= step / 2
        edges = low + width * np.arange(max(1, math.ceil((high + step / 2 - low) / width)) + 1)
    else:
        edges = np.linspace(low, high, BINS + 1) if high > low else np.array([low - 0.5, low + 0.5])
    counts = [tuple(int(count) for count in np.histogram(each, edges)[0]) for each in (held, expected)]
    return Histogram(line.tensor, line.reference, tuple(float(edge) for edge in edges), *counts)


def strangers(both: Matching, lines: Sequence[Line]) -> bool:
    """Whether all operations with weights compute something else: two models, or one that was trained again.

    A file with a fault has others that are right. Where one line alone has weights it may be the faulty one, unless
    hardly anything else is matched. Several operations that are measured as one may come near the reference in
    another model, too: both were trained for the same answers.
    """
    weighted = [line for line in lines if any(has_weights(op.op) for op in both.sources(line.tensor)[1])]
    enough = len(weighted) > 1 or (len(weighted) == 1 and share(both) < LITTLE)
    return enough and all(
        line.excess > LIMIT and line.local_snr < (ALIKE if line.others else STRANGE) for line in weighted
    )


def measured(both: Matching, mine: Values) -> list[Line]:
    """A line for each tensor of the form that is matched, in the order of the operations."""
    lines = [
        measure(both, name, mine, place)
        for place, op in enumerate(both.form.wiring.operations)
        for name in op.outputs
        if name in both.found
    ]
    return [replace(line, unfused=line.tensor in mine.disturbed) for line in lines if line]


def lacking(both: Matching, line: Line) -> bool:
    """Whether what looks wrong is only given too little: an operation before it lacks what the reference does next.

    A Relu that was dropped is such: what the form gives is what the reference has before it, and means what that has
    behind it. The match is then put right, and the operation before is the one to measure.
    """
    for source in both.sources(line.tensor)[0]:
        was = both.found[source]
        for op in both.reference.wiring.operations:
            if op.inputs != (was.reference,):
                continue
            both.found[source] = replace(was, reference=op.outputs[0])
            if both.read(op.outputs[0])[0].size == both.read(was.reference)[0].size and is_right(
                both, line.tensor, LIMIT
            ):
                return True
        both.found[source] = was
    return False


def is_right(both: Matching, name: str, limit: float, but: frozenset[str] = frozenset()) -> bool:
    """Whether a tensor comes out as its precision allows, given the reference's values of the matched ones before."""
    sources, inside = both.sources(name, but)
    expected = both.value(name)
    found = local(both, name, sources, inside, expected) if sources else None
    return found is not None and noise.rms(found[0], expected) <= limit * found[1]


def measure(both: Matching, name: str, mine: Values, place: int) -> Line | None:
    """One line; None where the operation cannot run alone."""
    sources, inside = both.sources(name)
    expected, tensor = both.value(name), both.tensors[name]
    found = local(both, name, sources, inside, expected)
    if found is None:
        return None
    made, allowed = found
    held, off = mine(name).reshape(expected.shape), noise.rms(made, expected)
    main = main_of(inside)
    return Line(
        operation=main.name,
        op=main.op,
        others=tuple(op.name for op in inside if op is not main),
        tensor=name,
        reference=both.found[name].reference,
        how=both.found[name].how,
        depth=place / max(1, len(both.form.wiring.operations) - 1),
        snr=noise.snr(held, expected),
        steps=in_steps(noise.rms(held, expected), tensor),
        local_snr=noise.decibel(off, expected),
        local_steps=in_steps(off, tensor),
        explained=noise.decibel(allowed, expected),
        excess=min(off / allowed, noise.MOST_TIMES) if allowed else (noise.MOST_TIMES if off else 0.0),
        beyond=noise.beyond(expected, tensor),
    )


def local(
    both: Matching, name: str, sources: Sequence[str], inside: Sequence[Operation], expected: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """What the operations before a tensor make of the reference's values, and the rms that may be off."""
    exact = {source: both.value(source) for source in sources}
    try:
        made = both.form.between(exact, name).reshape(expected.shape)
        shaken = shaken_by(both, exact, name)
    except EcgEdgeError:
        return None
    worst = max(inside, key=lambda op: op.rounding)
    there = both.found[name].reference if name in both.found else ""
    other = next((each for each in both.reference.wiring.tensors if each.name == there), None)
    behind = both.behind.get(there)
    moved = None if shaken is None else shaken.reshape(expected.shape)
    return made, noise.explained(both.tensors[name], worst, [*exact.values()], made, expected, moved, other, behind)


def shaken_by(both: Matching, exact: Mapping[str, np.ndarray], name: str) -> np.ndarray | None:
    scales = {source: both.tensors[source].scale for source in exact}
    if not any(scales.values()):
        return None
    moved = {
        source: noise.shake(values, scales[source] or 0.0, seed) if scales[source] else values
        for seed, (source, values) in enumerate(exact.items())
    }
    return both.form.between(moved, name)


def in_steps(error: float, tensor: Tensor) -> float | None:
    return None if tensor.scale is None else min(error / tensor.scale, noise.MOST_TIMES)


def main_of(inside: Sequence[Operation]) -> Operation:
    """The operation that several are told by: one with weights, else the last."""
    return next((op for op in inside if op.rounding or "conv" in op.op.lower()), inside[0])


def at_fault(both: Matching, lines: Sequence[Line]) -> Line | None:
    """The line that errs most by itself, where that is more than explained and does not go away behind it."""
    clipped = {line.tensor for line in lines if line.excess > LIMIT and line.beyond > CLIPS}
    for line in sorted(lines, key=lambda each: -each.excess):
        if line.excess <= LIMIT:
            return None
        if clipped & {*both.sources(line.tensor)[0]} and line.tensor not in clipped:
            continue  # it is given values that its inputs cannot hold
        if not heals(both, line):
            return line
    return None


def heals(both: Matching, line: Line) -> bool:
    """Whether what comes next is right although this is not: then it means something else in the reference.

    A small error of integers is no such: a mean over it, or the next rounding, hides it.
    """
    if line.local_steps is not None and line.local_snr > MISTAKEN:
        return False
    after = [
        name
        for op in both.form.wiring.operations
        for name in op.outputs
        if name in both.found and line.tensor in both.sources(name)[0]
    ]
    return bool(after) and all(is_right(both, name, HEALED, frozenset({line.tensor})) for name in after)
