"""Two forms of one model, operation by operation: what each errs by itself, and which one is at fault."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ecgedge.api.taps import Taps
from ecgedge.diverge.bisect import Found, Narrowed, narrowed
from ecgedge.diverge.fault import LIMIT, at_fault, lacking, strangers, symptoms_of
from ecgedge.diverge.histogram import Histogram, histogram_of
from ecgedge.diverge.lines import Line, measured
from ecgedge.diverge.match import LAYOUTS, Matching, counts_of, kind, made_by, match, share
from ecgedge.diverge.origins import Origin
from ecgedge.diverge.sealed import Sealed
from ecgedge.diverge.symptoms import Symptoms
from ecgedge.errors import EcgEdgeError, counted
from ecgedge.evaluate.parity import same_bits

PUT_RIGHT = 3  # matches at most that are mended by what comes after them


@dataclass(frozen=True)
class Study:
    """What was found between two forms.

    Attributes:
        lines: in the order of the operations.
        culprit: the operation at fault; None: none errs by more than its precision explains, or no one is, see
            ``same_model``.
        matched: share of the form's tensors.
        tensors: that the form's operations make; of a long one, those of the stretch that was walked.
        matched_by: how many of these are matched in which way, see ``Match``, the surest way first.
        unfused: names of tensors that do not exist as the file runs.
        decisions: beats that are decided otherwise, and where that was sealed.
        same_model: False where the two seem to be no forms of one model, see ``strangers``.
        histogram: of the worst operation's tensor; None: no operation was measured.
        symptoms: of the culprit; None: there is none.
        narrowed: of a long form, what was left out of the walk; None: nothing.
        dropped: names of operations at the end of the reference, which only move values and which the form lacks.
    """

    lines: tuple[Line, ...]
    culprit: Line | None
    matched: float
    tensors: int
    matched_by: Mapping[str, int]
    unfused: tuple[str, ...] = ()
    decisions: tuple[Sealed, ...] = ()
    same_model: bool = True
    histogram: Histogram | None = None
    symptoms: Symptoms | None = None
    narrowed: Narrowed | None = None
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
    form: Taps,
    reference: Taps,
    x: np.ndarray,
    seal: Callable[[Matching], tuple[Sealed, ...]] | None = None,
    told: Mapping[str, Origin] | None = None,
    whole: bool = False,
) -> Study:
    """Match the tensors of two forms, and measure each operation; of a long form those around the one that errs most.

    Args:
        x: beats ``(N, C, L)`` float32.
        seal: looks into decisions that change, once all is matched; None: there are none.
        told: what converters tell of tensors of the form that have another name in the reference.
        whole: measure each operation of a long form, too.

    Raises:
        EcgEdgeError: their outputs cannot be held against each other.
    """
    left_out: frozenset[str] = frozenset()
    with tempfile.TemporaryDirectory() as scratch:
        mine, theirs = Values(form, x, Path(scratch) / "form"), Values(reference, x, Path(scratch) / "reference")
        if mine.answers[0].size != theirs.answers[0].size:
            return without_the_last(form, reference, x, told, mine.answers[0].size, theirs.answers[0].size)
        stretch = None if whole else narrowed(form, reference, x, told or {})
        both, lines, culprit = walked(form, reference, mine, theirs, told, stretch)
        for _ in range(PUT_RIGHT):
            if culprit or stretch is None or not stretch.doubtful - left_out:
                break
            left_out |= stretch.doubtful  # they may mean something else in the reference
            stretch = narrowed(form, reference, x, told or {}, left_out)
            both, lines, culprit = walked(form, reference, mine, theirs, told, stretch)
        same_model = not strangers(both, lines)
        decisions = seal(replace(both, form=form, reference=reference)) if seal and same_model else ()
        found = Study(tuple(lines), culprit if same_model else None, share(both), len(made_by(both)), counts_of(both),
                      tuple(sorted(mine.disturbed)), decisions, same_model,
                      narrowed=stretch.told if stretch else None)  # fmt: skip
        if found.worst is None:
            return found
        wrong = symptoms_of(both, found.culprit) if found.culprit else None
        return replace(found, histogram=histogram_of(both, found.worst, mine), symptoms=wrong)


def walked(
    form: Taps,
    reference: Taps,
    mine: Values,
    theirs: Values,
    told: Mapping[str, Origin] | None,
    stretch: Found | None,
) -> tuple[Matching, list[Line], Line | None]:
    """All operations of two forms, or those of a stretch of them, matched and measured, and the one at fault."""
    if stretch:
        both = match(stretch.form, stretch.reference, theirs, told, stretch.start)
    else:
        both = match(form, reference, theirs, told)
    first, count = (stretch.form.first if stretch else 0), len(form.wiring.operations)

    def lines_of() -> list[Line]:
        return [
            replace(line, unfused=line.tensor in mine.disturbed, depth=(first + place) / max(1, count - 1))
            for place, line in measured(both, mine)
        ]

    lines = lines_of()
    culprit = at_fault(both, lines)
    for _ in range(PUT_RIGHT):
        if culprit is None or not lacking(both, culprit):
            break
        lines = lines_of()
        culprit = at_fault(both, lines)
    return both, lines, culprit


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


def without_the_last(
    form: Taps, reference: Taps, x: np.ndarray, told: Mapping[str, Origin] | None, size: int, other: int
) -> Study:
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
        found = study(form, Ending(reference, name), x, told=told)
        last = next((line for line in found.lines if line.tensor == form.wiring.output), None)
        if found.same_model and last is not None and last.excess <= LIMIT:
            return replace(found, culprit=last, dropped=tuple(dropped[::-1]))
    raise EcgEdgeError(
        f"the two forms give {counted(size, 'value')} a beat and {other}: they are not of one model",
        "name two forms of one model",
    )
