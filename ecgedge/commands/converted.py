"""What a conversion made: verified as a matrix judges its rows, and beside another form of it, timed in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ecgedge.api.artifact import Artifact
from ecgedge.errors import ConversionError, EcgEdgeError

if TYPE_CHECKING:  # the rest is imported when something is converted: ``import ecgedge`` is to stay quick
    from ecgedge.convert.lab import Lab
    from ecgedge.evaluate.judgement import Judgement
    from ecgedge.plan.plan import Cell
    from ecgedge.plugins import Parts
    from ecgedge.run.turns import Pair, Setting


@dataclass(frozen=True)
class Verification:
    """How a file answers, and whether it is what it claims to be.

    Attributes:
        data: the name of the data set.
        beats: test beats that it was run on, of ``test_beats``.
        max_abs_diff: the largest difference of an output to its source's; None where no runtime here takes its source.
        changed_decisions: of these beats; None likewise.
        figures: accuracy and macro_f1, or auroc, auprc and f1; None for one that is not defined on these beats.
        loss: what its precision costs, where that is more than chance; empty where it is not.
        rejected: why a matrix rejects the file though it is of use; empty where it does not.
    """

    data: str
    beats: int
    test_beats: int
    max_abs_diff: float | None
    changed_decisions: int | None
    figures: Mapping[str, float | None]
    loss: str = ""
    rejected: str = ""


@dataclass(frozen=True)
class Comparison:
    """A file beside another form of it: the same without graph passes, or the same in full int8.

    Attributes:
        pair: the other form's time and this one's, in turns; None where they were not timed.
        runtime: that both ran on.
        size_bytes: of the other form; None where it could not be made.
        reason: why there is less than that, in one line, in which "it" is the other form.
    """

    pair: Pair | None = None
    runtime: str = ""
    size_bytes: int | None = None
    reason: str = ""


FIGURES_OF = {  # the figures that a result is told by
    "classification": ("accuracy", "macro_f1"), "multilabel": ("macro_auroc", "mean_f1"),
    "anomaly": ("auroc", "auprc", "f1"),
}  # fmt: skip


def verify_file(artifact: Artifact, cell: Cell, lab: Lab) -> Verification | None:
    """Judge a result as the matrix judges its rows; None where no runtime takes its format.

    Raises:
        ConversionError: it must not be kept.
    """
    from ecgedge.evaluate import precision_check, verdicts
    from ecgedge.evaluate.verdicts import Answers

    if not cell.runtime:
        return None
    source, scored = lab.sources[cell.model], lab.beats.scored
    was = lab.run(source, "scored", graph=True) if lab.runtimes_for(source.format) else None
    here = lab.run(artifact, "scored", graph=True, on=cell.runtime)
    answers = Answers(here.outputs, scored.x, scored.y, lab.beats.index)
    terms = lab.tools.terms(artifact, here.runtime)
    found = verdicts.judge(answers, was.outputs if was else None, artifact.task, terms)
    if found.status != "ok":
        raise ConversionError(f"the result is wrong and was not kept: {found.reason}")
    parent = was.graph if was and (source.format, source.precision) == (artifact.format, "fp32") else None
    claims = precision_check.judge_file(here.graph, artifact, source, here.runtime, parent, lab.tools.precisions)
    amounts = here.graph is not None and precision_check.amounts_to_it(here.graph, terms.precision, artifact.notes)
    if claims.status != "ok" and not amounts:
        raise ConversionError(f"the result is not {artifact.precision} and was not kept: {claims.reason}")
    names = FIGURES_OF[artifact.task.judged_as]
    return Verification(
        data=lab.beats.data.name,
        beats=len(scored),
        test_beats=len(lab.beats.data.test),
        max_abs_diff=found.parity.max_abs_diff if found.parity else None,
        changed_decisions=found.parity.changed_decisions if found.parity else None,
        figures={name: found.flat[name] for name in names},
        loss=loss_of(found),
        rejected=claims.reason,
    )


def loss_of(found: Judgement) -> str:
    """What a precision costs, where that is more than chance; empty where it is not."""
    verdict = found.parity.verdict if found.parity else None
    lost = [verdict.text] if verdict and verdict.result == "worse" else []
    return ", ".join([*lost, *(gate.text for gate in found.gates)])


def warn_of(artifact: Artifact, proof: Verification | None, parts: Parts) -> None:
    """Tell what a user must not overlook: passes that were left out, a claim that fails, a loss."""
    from ecgedge.files.notices import warn
    from ecgedge.passes.optimize import left_out_notes

    if artifact.notes.get("left_out"):
        warn(left_out_notes(artifact.notes["left_out"])["text"])
    if proof and proof.rejected:
        warn(f"a matrix rejects this file: {proof.rejected}")
    if proof and proof.loss:
        mixed = any(
            part.precision == "mixed" and (part.produces or artifact.format) == artifact.format
            for part in parts.quantizers.values()
        )
        remedy = "; --quantize mixed leaves the layers that cost most in float" if mixed else ""
        warn(f"{proof.loss}{remedy if artifact.precision == 'full-int8' else ''}")


def measure_gain(artifact: Artifact, cell: Cell, batch: int, lab: Lab) -> Comparison | None:
    """What graph passes are worth for a user's ONNX file: it is made without them too, and both are timed in turns.

    A batch that had to be fixed for the file to be made at all is fixed in both.
    """
    source = lab.sources[cell.model]
    fixed = ("fix_batch",) if "fix_batch" in artifact.passes and "fix_batch" not in cell.passes else ()
    changed = set(artifact.passes) - set(source.passes) - set(fixed)
    if source.format != "onnx" or not changed or not cell.runtime:
        return None
    return compared(replace(cell, passes=fixed), artifact, cell.runtime, batch, lab, made_once)


def measure_cost(artifact: Artifact, cell: Cell, batch: int, lab: Lab) -> Comparison | None:
    """What the layers that were left in float cost: full-int8 is made too, and both are timed in turns."""
    part = lab.tools.parts["quantizer", cell.quantizer]
    whole = [
        other.name
        for (kind, _), other in lab.tools.parts.items()
        if kind == "quantizer" and other.precision == "full-int8"
        and (other.accepts, other.produces) == (part.accepts, part.produces)
    ]  # fmt: skip
    if not artifact.notes.get("left") or not whole:
        return None
    return compared(replace(cell, quantizer=whole[0], precision="full-int8"), artifact, cell.runtime, batch, lab)


def made_once(lab: Lab, cell: Cell, batch: int) -> Artifact:
    """The artifact of a cell that is only looked at: what fails is not tried in other ways, which may take longer than
    to make what the user asked for."""
    from ecgedge.convert.fallback import Passes

    tools = replace(lab.tools, options={"attempts": 1, **lab.tools.options})
    *_, made = replace(lab, tools=tools).walk(cell, Passes(cell.passes), batch)
    return made


def compared(
    other: Cell,
    artifact: Artifact,
    runtime: str,
    batch: int,
    lab: Lab,
    make: Callable[[Lab, Cell, int], Artifact] | None = None,
) -> Comparison:
    """An artifact beside another form of it, both timed in turns where a runtime takes them.

    Args:
        make: the other form; None: as all are made.
    """
    from ecgedge.run.turns import time_in_turns
    from ecgedge.workers.client import ChildError, plainly

    try:
        form = make(lab, other, batch) if make else lab.make(other, batch)
        pair = time_in_turns((form, artifact), (runtime, runtime), setting_of(lab)) if runtime else None
        return Comparison(pair, runtime, form.size_bytes)
    except (ChildError, ConversionError, EcgEdgeError) as error:
        told = plainly(error).partition("; see ")[0].replace(str(artifact.path), "the result")
        return Comparison(reason=lab.store.unnamed(told, lab.sources[other.model].name))


def setting_of(lab: Lab) -> Setting:
    """What timing in turns needs of a lab."""
    from ecgedge.run.turns import Setting

    runtimes = [part for (kind, _), part in lab.tools.parts.items() if kind == "runtime"]
    at, limits = lab.converters, lab.converters.limits
    hosts = {part.name: at.hosts[part.environment] for part in runtimes if part.environment in at.hosts}
    networked = frozenset(part.name for part in runtimes if part.needs_network)
    return Setting(at.folder, lab.beats.files["scored"], at.gate, seed=lab.seed, seconds=limits.seconds,
                   memory=limits.memory, hosts=hosts, networked=networked,
                   options={part.name: lab.tools.options_of(part) for part in runtimes},
                   blocks={part.name: part.blocks for part in runtimes if part.blocks})  # fmt: skip
