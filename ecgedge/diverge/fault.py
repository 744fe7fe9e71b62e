"""Which operation is at fault, of those that err by more than their precision explains; or that no one is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ecgedge.diverge import noise
from ecgedge.diverge.lines import Line, local
from ecgedge.diverge.match import ALIKE, Matching, has_weights, share
from ecgedge.diverge.symptoms import Symptoms, symptoms

LIMIT = 2.0  # times what a precision explains, from which an operation is at fault
HEALED = 1.3  # times the same, up to which what comes after it is as right as it can be
CLIPS = 1e-3  # share of values, from which a tensor is told to clip
MISTAKEN = 20.0  # dB, up to which two tensors may have been taken for the same by mistake
STRANGE = 6.0  # dB, below which an operation with weights has nothing of the reference's
LITTLE = 0.5  # share of tensors matched, below which one such line alone says that


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


def symptoms_of(both: Matching, line: Line) -> Symptoms | None:
    """In which way a line is wrong."""
    sources, inside = both.sources(line.tensor)
    expected = both.value(line.tensor)
    found = local(both, line.tensor, sources, inside, expected)
    return None if found is None else symptoms(found[0], expected, both.tensors[line.tensor], LIMIT * found[1])
