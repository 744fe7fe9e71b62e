"""What the errors of two forms say, and what mends it. Each finding is a function; ``FINDINGS`` lists them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ecgedge.diverge.chain import Stage
from ecgedge.diverge.fault import CLIPS, MISTAKEN
from ecgedge.diverge.lines import Line
from ecgedge.diverge.match import LAYOUTS, kind
from ecgedge.diverge.study import Study
from ecgedge.diverge.symptoms import Symptoms

NORMS = ("batchnorm", "batchnormalization")
SOFTMAX = ("softmax", "logsoftmax")
MOST_LISTED = 8  # channels that a line names
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
    """All that findings are drawn from: the stages, the operations of two of them, and which parted.

    Attributes:
        converted: the model whose conversion the stages are; empty: they are of two files.
    """

    stages: Sequence[Stage]
    study: Study | None
    form: str
    parted: str | None
    converted: str = ""

    @property
    def stage(self) -> Stage | None:
        """The stage whose operations were looked at."""
        return next((stage for stage in self.stages if stage.name == self.form), None)


def find(
    stages: Sequence[Stage], study: Study | None, form: str, parted: str | None, converted: str = ""
) -> list[Finding]:
    """All that is true of these forms."""
    found = Found(stages, study, form, parted, converted)
    return [replace(finding, name=check.__name__) for check in FINDINGS for finding in check(found)]


def no_forms_of_one_model(found: Found) -> Iterator[Finding]:
    """Nothing with weights computes what the reference does: no one operation is at fault."""
    study = found.study
    if study and not study.same_model:
        yield Finding(
            "these seem to be no forms of one model: no operation with weights computes what the reference does, and "
            f"{study.matched:.0%} of the tensors are matched",
            f"the conversion of {found.converted} went wrong as a whole at {found.form}: convert with --no-optimize or "
            "another --exporter, and report it"
            if found.converted
            else "name two forms of one model, with the weights of one training",
        )


def dropped(found: Found) -> Iterator[Finding]:
    """The form ends before the reference does: a crop, or whatever moves values last, is missing."""
    if found.study and found.study.dropped and (line := found.study.culprit):
        yield Finding(
            f"{', '.join(found.study.dropped)} of the reference is missing behind {line.operation}: the form gives "
            f"what {line.reference} holds, and ends there",
            "export with another exporter (--exporter), or write a crop on two axes: y.flatten(1)[:, :L]",
            line.operation,
        )


def clipped(found: Found) -> Iterator[Finding]:
    """The culprit's tensor cannot hold what the reference has there, and all that it can hold is right."""
    line = culprit_of(found)
    if line and is_clipped(found):
        yield Finding(
            f"{line.operation}: {line.beyond:.1%} of the reference's values are outside what {line.tensor} can hold",
            f"calibrate on more beats (--calibration N), or leave the layer in float: {mixed(found)}",
            line.operation,
        )


def moved(found: Found) -> Iterator[Finding]:
    """The culprit only moves values: its layout is wrong, or it drops some."""
    line = culprit_of(found)
    if line and kind(line.op) in LAYOUTS and not is_clipped(found) and not (found.study and found.study.dropped):
        yield Finding(
            f"{line.operation} only moves values, and they arrive elsewhere: a wrong layout, padding or crop",
            "convert without the pass or exporter that wrote it: --no-optimize, --exporter; else report it there",
            line.operation,
        )


def norm_in_training(found: Found) -> Iterator[Finding]:
    """The culprit normalises, or comes out as the reference does but for a factor and an offset a channel."""
    line = computes_wrong(found)
    is_affine = signs(found).by_channel and not signs(found).shifted
    if line and (kind(line.op) in NORMS or (is_affine and line.local_steps is None)):
        how = "is a batch norm" if kind(line.op) in NORMS else "is right but for a factor and an offset in each channel"
        yield Finding(
            f"{line.operation} {how}: its statistics are not those of the reference",
            "export in evaluation mode: network.eval() before torch.onnx.export, without training=; else its epsilon "
            "or a scale was changed",
            line.operation,
        )


def lost_bias(found: Found) -> Iterator[Finding]:
    """The culprit comes out as the reference does but for an offset in each channel: what is added is another."""
    line = computes_wrong(found)
    if line and signs(found).shifted and kind(line.op) not in NORMS:
        yield Finding(
            f"{line.operation} is right but for an offset in each channel: what it adds is not the reference's",
            "its bias was lost or changed: convert again without the pass or exporter that wrote it: --no-optimize, "
            "--exporter",
            line.operation,
        )


def dead_channels(found: Found) -> Iterator[Finding]:
    """Channels of the culprit hold one value for all beats, and vary in the reference."""
    line, dead = computes_wrong(found), signs(found).dead
    if line and dead:
        count = len(dead)
        yield Finding(
            f"{line.operation}: {count} channel{'' if count == 1 else 's'} of {line.tensor} hold"
            f"{'s' if count == 1 else ''} one value where the reference varies: {listed(dead)}",
            f"its weights there were lost or rounded to nothing: quantize by channel, or {mixed(found)}"
            if line.local_steps is not None
            else "its weights there were lost: convert again, --no-optimize",
            line.operation,
        )


def swapped_channels(found: Found) -> Iterator[Finding]:
    """Channels of the culprit hold what the reference has in others."""
    line, swapped = computes_wrong(found), signs(found).swapped
    if line and swapped:
        yield Finding(
            f"{line.operation}: channels {listed(swapped)} of {line.tensor} hold what the reference has in others",
            "its weights are in another order: convert again without the pass or exporter that wrote it: "
            "--no-optimize, --exporter",
            line.operation,
        )


def by_a_pass(found: Found) -> Iterator[Finding]:
    """The stage that parts is that of a graph pass."""
    head, _, name = found.form.rpartition(", ")
    is_counted = name.endswith((" pass", " passes"))  # all of them together
    if found.stage and found.parted == found.form and head == found.stage.format and not is_counted:
        yield Finding(
            f"pass {name} moves the answers by more than rounding: it is not right for this graph",
            "convert with --no-optimize, and report the graph with the name of the pass",
        )


def integer_softmax(found: Found) -> Iterator[Finding]:
    """A softmax in integers, which keeps few steps for small probabilities."""
    for line in found.study.lines if found.study and found.study.same_model else ():
        if kind(line.op) in SOFTMAX and line.local_steps is not None and line is not culprit_of(found):
            yield Finding(
                f"{line.operation} is a softmax in integers: probabilities below {1 / 512:.1%} become 0, "
                f"{line.local_snr:.0f} dB alone",
                "leave it out of the file: logits decide alike (export the network without its softmax), or "
                f"{mixed(found)}",
                line.operation,
            )


def at_fault(found: Found) -> Iterator[Finding]:
    """The culprit computes something else, and nothing above says in which way."""
    line = computes_wrong(found)
    if line and not any(any(check(found)) for check in WAYS):
        size = "" if line.local_steps is None else f", {line.local_steps:.1f} steps"
        is_rough = line.local_steps is not None and line.local_snr > MISTAKEN
        yield Finding(
            f"{line.operation} errs by itself: {line.local_snr:.0f} dB{size} where its precision explains "
            f"{line.explained:.0f} dB",
            f"leave it in float: {mixed(found)}" if is_rough else
            "its weights or attributes are not the reference's: convert again, --no-optimize or --exporter; a finer "
            "precision does not mend it",
            line.operation,
        )  # fmt: skip


def loud_channel(found: Found) -> Iterator[Finding]:
    """An operation to which correct rounding leaves next to nothing: one channel, or a few values, took the range."""
    if line := coarsest(found):
        yield Finding(
            f"{line.operation}: correct rounding alone leaves {line.local_snr:.0f} dB, as one channel or a few large "
            "values take the range of what it is given or gives",
            f"leave it in float: {mixed(found)} (--fix tries it), or scale the channel down before it is quantized",
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


def computes_wrong(found: Found) -> Line | None:
    """The culprit, where it computes something, and is wrong within what its tensor can hold, too."""
    line = culprit_of(found)
    missing = found.study.dropped if found.study else ()
    return None if line is None or missing or is_clipped(found) or kind(line.op) in LAYOUTS else line


def is_clipped(found: Found) -> bool:
    """Whether the culprit is right but for values that its tensor cannot hold."""
    line = culprit_of(found)
    return line is not None and line.beyond > CLIPS and (found.study is None or signs(found).right_within)


def signs(found: Found) -> Symptoms:
    return (found.study.symptoms if found.study else None) or Symptoms()


def mixed(found: Found) -> str:
    """The command that leaves what int8 hurts in float, as far as it is known."""
    stage = found.stage
    name = found.converted or "MODEL"
    return f"ecgedge convert {name} --to {stage.format} --quantize mixed" if stage else "--quantize mixed"


def listed(channels: Sequence[int]) -> str:
    more = f" and {len(channels) - MOST_LISTED} more" if len(channels) > MOST_LISTED else ""
    return f"{', '.join(map(str, channels[:MOST_LISTED]))}{more}"


def culprit_of(found: Found) -> Line | None:
    return found.study.culprit if found.study else None


WAYS = (norm_in_training, lost_bias, dead_channels, swapped_channels)  # in which the culprit may be wrong
FINDINGS = (
    no_forms_of_one_model, dropped, clipped, moved, *WAYS, by_a_pass, at_fault, integer_softmax, loud_channel,
    adds_up, nothing_parts,
)  # fmt: skip
