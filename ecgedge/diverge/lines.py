"""Each operation of a form by itself, given the reference's values: what it errs, and what its precision explains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecgedge.api.taps import Operation, Tensor
from ecgedge.diverge import noise
from ecgedge.diverge.match import Matching, Read
from ecgedge.errors import EcgEdgeError


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
class Strip:
    """The operations of one more stage, held against those of the nearest stage before it.

    Attributes:
        form, against: names of the two stages.
        lines: in the order of the operations of ``form``.
        beats: for which their tensors were read.
    """

    form: str
    against: str
    lines: tuple[Line, ...]
    beats: int


def measured(both: Matching, read: Read) -> Iterator[tuple[int, Line]]:
    """A line for each tensor of the form that is matched, with the place of its operation, in the order of these.

    Args:
        read: the values of a tensor of the form, as it ran.
    """
    for place, op in enumerate(both.form.wiring.operations):
        for name in op.outputs:
            if name in both.found and (line := measure(both, name, read)):
                yield place, line


def measure(both: Matching, name: str, read: Read) -> Line | None:
    """One line, whose depth is not known yet; None where the operation cannot run alone."""
    sources, inside = both.sources(name)
    expected, tensor = both.value(name), both.tensors[name]
    found = local(both, name, sources, inside, expected)
    if found is None:
        return None
    made, allowed = found
    held, off = read(name).reshape(expected.shape), noise.rms(made, expected)
    main = main_of(inside)
    return Line(
        operation=main.name,
        op=main.op,
        others=tuple(op.name for op in inside if op is not main),
        tensor=name,
        reference=both.found[name].reference,
        how=both.found[name].how,
        depth=0.0,
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
