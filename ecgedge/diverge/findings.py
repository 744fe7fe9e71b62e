"""What the errors of two forms say, and what mends it. Each finding is a function; ``FINDINGS`` lists them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ecgedge.diverge.chain import Stage
from ecgedge.diverge.match import kind
from ecgedge.diverge.study import CLIPS, Line, Study

LAYOUTS = ("transpose", "reshape", "flatten", "slice", "stridedslice", "pad", "concat", "concatenation", "gather")
FEW_STEPS = 12.0  # dB, below which a tensor uses hardly any of its steps


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
        text: what was found.
        remedy: the command or change that mends it; empty: none is known.
        operation: that it is about; empty: all of it.
        name: of the function that found it.
    """

    text: str
    remedy: str = ""
    operation: str = ""
    name: str = ""


@dataclass(frozen=True)
class Found:
    """All that findings are drawn from: the stages, the operations of two of them, and which parted."""

    stages: Sequence[Stage]
    study: Study | None
    form: str
    parted: str | None

    @property
    def stage(self) -> Stage | None:
        """The stage whose operations were looked at."""
        return next((stage for stage in self.stages if stage.name == self.form), None)


def find(stages: Sequence[Stage], study: Study | None, form: str, parted: str | None) -> list[Finding]:
    """All that is true of these forms."""
    found = Found(stages, study, form, parted)
    return [replace(finding, name=check.__name__) for check in FINDINGS for finding in check(found)]


def no_forms_of_one_model(found: Found) -> Iterator[Finding]:
    """Nothing with weights computes what the reference does: no one operation is at fault."""
    study = found.study
    if study and not study.same_model:
        yield Finding(
            "these seem to be no forms of one model: no operation with weights computes what the reference does, and "
            f"{study.matched:.0%} of the tensors are matched",
            "name two forms of one model, with the weights of one training",
        )


def clipped(found: Found) -> Iterator[Finding]:
    """The culprit's tensor cannot hold what the reference has there."""
    line = culprit_of(found)
    if line and line.beyond > CLIPS:
        yield Finding(
            f"{line.operation}: {line.beyond:.1%} of the reference's values are outside what {line.tensor} can hold",
            "calibrate on more beats (--calibration N), or leave the layer in float: --quantize mixed",
            line.operation,
        )


def moved(found: Found) -> Iterator[Finding]:
    """The culprit only moves values: its layout is wrong, or it drops some."""
    line = culprit_of(found)
    if line and kind(line.op) in LAYOUTS and line.beyond <= CLIPS:
        yield Finding(
            f"{line.operation} only moves values, and they arrive elsewhere: a wrong layout, padding or crop",
            "convert without the pass or exporter that wrote it: --no-optimize, --exporter; else report it there",
            line.operation,
        )


def at_fault(found: Found) -> Iterator[Finding]:
    """The culprit computes something else."""
    line = culprit_of(found)
    if line and not (line.beyond > CLIPS or kind(line.op) in LAYOUTS):
        size = "" if line.local_steps is None else f", {line.local_steps:.1f} steps"
        quantized = line.local_steps is not None
        yield Finding(
            f"{line.operation} errs by itself: {line.local_snr:.0f} dB{size} where its precision explains "
            f"{line.explained:.0f} dB",
            "leave it in float: --quantize mixed" if quantized else
            "its weights or attributes are not the reference's: convert again, or export with batch norms in "
            "evaluation mode (network.eval())",
            line.operation,
        )  # fmt: skip


def loud_channel(found: Found) -> Iterator[Finding]:
    """An operation to which correct rounding leaves next to nothing: one channel, or a few values, took the range."""
    if line := coarsest(found):
        yield Finding(
            f"{line.operation}: correct rounding alone leaves {line.local_snr:.0f} dB, as one channel or a few large "
            "values take the range of what it is given or gives",
            "leave it in float: --quantize mixed (--fix tries it), or scale the channel down before it is quantized",
            line.operation,
        )


def adds_up(found: Found) -> Iterator[Finding]:
    """The stage parts, and no operation does."""
    is_form = found.parted and found.parted == found.form
    if is_form and found.study and found.study.same_model and not found.study.culprit and not coarsest(found):
        worst = min(found.study.lines, key=lambda line: line.local_snr, default=None)
        told = f"; the coarsest is {worst.operation}, {worst.local_snr:.0f} dB" if worst else ""
        yield Finding(
            f"no operation of {found.form} errs by more than its precision explains: roundings add up{told}",
            "a finer precision: --quantize mixed, or int16x8, or fp16",
        )


def nothing_parts(found: Found) -> Iterator[Finding]:
    """All stages answer as their precision allows, and no operation is at fault."""
    if not found.parted and not culprit_of(found):
        changed = len(found.stages[-1].changed)
        yield Finding(
            f"no stage parts by more than its precision explains; {changed} decision{'' if changed == 1 else 's'} "
            f"differ{'s' if changed == 1 else ''}"
        )


def coarsest(found: Found) -> Line | None:
    """Where no operation is at fault: the one that is left least by correct rounding, where that is next to nothing."""
    if culprit_of(found) or not found.study or not found.study.same_model:
        return None
    lines = [line for line in found.study.lines if line.local_steps is not None and line.local_snr < FEW_STEPS]
    return min(lines, key=lambda line: line.local_snr, default=None)


def culprit_of(found: Found) -> Line | None:
    return found.study.culprit if found.study else None


FINDINGS = (no_forms_of_one_model, clipped, moved, at_fault, loud_channel, adds_up, nothing_parts)
