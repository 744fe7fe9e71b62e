"""``ecgedge diverge``: the first place where two forms of a model part."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.api.artifact import Anomaly, Artifact
from ecgedge.commands.diverge_look import Look, settled_task
from ecgedge.diverge.diverged import Diverged as Diverged
from ecgedge.errors import ConversionError, EcgEdgeError

if TYPE_CHECKING:  # the rest is imported when something is looked into: ``import ecgedge`` is to stay quick
    from ecgedge.commands.of_run import RowOfRun
    from ecgedge.convert.lab import Lab
    from ecgedge.convert.opening import Opener
    from ecgedge.data.dataset import Dataset
    from ecgedge.devices.link import Link
    from ecgedge.diverge.chain import Answered
    from ecgedge.diverge.fix import Fixed
    from ecgedge.plugins import Parts
    from ecgedge.run import MatrixRequest, Told
    from ecgedge.workers.survey import Surveyed

SCORED = 500  # test beats that every stage answers


def diverge(
    target: str | os.PathLike[str],
    *,
    row: str | Sequence[str] = (),
    against: str | os.PathLike[str] | None = None,
    to: str | None = None,
    quantizer: str = "none",
    runtime: str | None = None,
    against_runtime: str | None = None,
    device: str | None = None,
    beats: int = SCORED,
    fix: bool = False,
    max_drop: float = 0.1,
    each_stage: bool = False,
    whole: bool = False,
    data: str | os.PathLike[str] | None = None,
    normalize: bool = False,
    label_column: str | None = None,
    ignore_columns: str | Sequence[str] = (),
    leads: str | Sequence[str] = (),
    layout: str | None = None,
    group_column: str | None = None,
    label_file: str | os.PathLike[str] | None = None,
    class_names: str | os.PathLike[str] | None = None,
    calibration: int = 400,
    seed: int = 0,
    told: Told | None = None,
    trust: bool = False,
    options: Mapping[str, Any] | None = None,
    threads: int = 1,
    timeout: float = 300,
    memory: int | None = None,
) -> Diverged:
    """Find the stage and the operation from which on two forms of a model answer otherwise.

    Args:
        target: the name of a model, a folder of a checkpoint, a file, or the folder of a run.
        row: of a run: the id of a row, or words that only it has; empty: the row that the run suggests.
        against: another form of the same model, which counts as right; None, of a row of a run: its fp32 form there,
            else the trained model.
        to: instead of that, the format into which ``target`` is converted: every stage on the way is looked at.
        quantizer: with ``to``, a precision or the name of a quantizer.
        runtime: that runs the form, or the last stage; None: that of the row, else the first that takes it and works.
        against_runtime: that runs the other form.
        device: a board, by its name, on which the form, or the last stage, runs; None: that of the row, else this
            machine.
        beats: test beats that every stage answers, drawn stratified with the seed.
        fix: with ``to``: where the last stage loses more than ``max_drop`` hundredths of accuracy or AUROC on these
            beats, try other precisions until one does not.
        each_stage: look into the operations of every stage that can be looked into, on fewer beats, not of one alone.
        whole: measure every operation of a long form, not those around the one that errs most alone.
        data: where it lies, as for ``MatrixRequest``; so ``normalize``, ``label_column``, ``ignore_columns``,
            ``leads``, ``layout``, ``group_column``, ``label_file``, ``class_names``. None, of a row of a run: that of
            the run, with all that.
        calibration: training beats that int8 is calibrated on, with ``to``.
        seed: of all that is drawn at random.
        told: what is to be known of files without a record.
        trust: code that a file brings may run.
        options: of the parts, as ``MatrixRequest`` has them.
        threads: of the models.
        timeout: seconds that a step in a child process may take.
        memory: millions of bytes that a child process may take; None: no limit.

    Raises:
        EcgEdgeError: there is no such file, the two are no forms of one model, or no runtime runs them.
        ConversionError: a stage cannot be made, or gives no answers.
    """
    from ecgedge.commands.loading import data_of, limits_of, load_parts, settled
    from ecgedge.commands.of_run import check_row, row_of_run
    from ecgedge.convert.opening import opener
    from ecgedge.data.drawing import stratified
    from ecgedge.plan.options import chosen
    from ecgedge.run import Told

    is_run = check_row(target, row)
    check_asked(os.fspath(target), is_run, against is not None, to, quantizer, fix)
    asked = settled(
        data=data, normalize=normalize, label_column=label_column, ignore_columns=ignore_columns, leads=leads,
        layout=layout, group_column=group_column, label_file=label_file, class_names=class_names, told=told or Told(),
        options=options or {}, threads=threads, timeout=timeout, memory=memory, calibration=calibration, seed=seed,
    )  # fmt: skip
    parts, limits = load_parts(), limits_of(asked)
    found = row_of_run(target, row, parts, trust) if is_run else None
    if found:
        runtime, device = runtime or found.row.runtime, device or found.row.board
        asked = with_data_of(found, asked) if data is None else asked
    held, given = data_of(asked), chosen(asked.options, parts.steps, parts.models.values())
    index = np.sort(stratified(held.test.y, max(beats, held.classes), seed))
    with opener(parts, limits, asked.told, trust, threads) as opened, ExitStack() as kept:
        scratch = Path(kept.enter_context(tempfile.TemporaryDirectory()))
        look = Look(parts, opened, held, index, given, threads, limits, runtime, against_runtime,
                    *reached(device, parts, scratch, kept), whole)  # fmt: skip
        if to is None:
            name, other = os.fspath(against or ""), None
            if found and against is None:
                name, other = reference_of(found, parts, trust)
            form = found.artifact if found else opened.find_artifact(os.fspath(target), alone=False)
            other = other or opened.find_artifact(name, alone=False)
            if found and look.against_runtime is None and other.format == form.format:
                look = replace(look, against_runtime=runtime)
            called = found.row.id if found else os.fspath(target)
            right = opened.fit_to_data(other, held)
            forms = [(name, right), (called, fitted(opened, form, right, held))]
            return look.into(forms, each_stage)

        from ecgedge.convert.lab import open_lab
        from ecgedge.workers.availability import not_installed

        form = opened.fit_to_data(opened.find_artifact(os.fspath(target)), held)
        lab = open_lab(parts, held, {form.name: form}, scratch, index, calibration=calibration, seed=seed,
                       options=given, unavailable=not_installed(parts), limits=limits, unasked=True)  # fmt: skip
        kept.callback(lab.close)
        forms = made_on_the_way(lab, parts, form, to, quantizer, runtime, look)
        fixed = mended(lab, parts, forms, to, quantizer, os.fspath(target), max_drop, look) if fix else None
        return replace(look.into(forms, each_stage, os.fspath(target)), fixed=fixed)


def check_asked(target: str, is_run: bool, is_against: bool, to: str | None, quantizer: str, fix: bool) -> None:
    """Raise EcgEdgeError where what is asked for does not go together."""
    if is_run and to is not None:
        raise EcgEdgeError(f"--to {to} converts a model, and {target} is a run, whose rows are converted",
                           "leave it out, or name the model instead")  # fmt: skip
    if not is_run and is_against == (to is not None):
        told = "--against and --to are given both" if to is not None else "there is no other form to compare it with"
        raise EcgEdgeError(f"{target}: {told}", "--against FORM, or --to FORMAT for all stages of a conversion")
    if quantizer != "none" and to is None:
        raise EcgEdgeError(f"--quantize {quantizer} is for a conversion", "add --to FORMAT, or leave it out")
    if fix and to is None:
        raise EcgEdgeError("--fix converts once more, and nothing is converted", "add --to FORMAT, or leave it out")


def with_data_of(found: RowOfRun, asked: MatrixRequest) -> MatrixRequest:
    """With the data that a run was scored on."""
    was = found.run.request
    return replace(
        asked, data=was.data, normalize=was.normalize, label_column=was.label_column, ignore_columns=was.ignore_columns,
        leads=was.leads, layout=was.layout, group_column=was.group_column, label_file=was.label_file,
        class_names=was.class_names,
    )  # fmt: skip


def reference_of(found: RowOfRun, parts: Parts, trust: bool) -> tuple[str, Artifact | None]:
    """What a row of a run is held against, and its file: its fp32 form there, else the trained model by its name.

    Raises:
        EcgEdgeError: there is neither.
    """
    from ecgedge.commands.of_run import row_of_run

    row = found.row
    sibling = next((each for each in found.run.rows if each.form == row.form and each.status == "ok"
                    and each.precision == "fp32" and each.id != row.id and row.precision != "fp32"), None)  # fmt: skip
    if sibling is not None and sibling.file is not None and sibling.file.path is not None:
        return sibling.id, row_of_run(found.run.folder, [sibling.id], parts, trust).artifact
    if row.model not in parts.models:
        told = f"{row.id} has no fp32 form in {found.run.folder}, and there is no model {row.model} here"
        raise EcgEdgeError(told, "--against FORM")
    return row.model, None


def fitted(opened: Opener, form: Artifact, right: Artifact, held: Dataset) -> Artifact:
    """A form as it is used on the data; one that reconstructs more or fewer samples means what the right one does."""
    from ecgedge.api.records.rules import USER

    shape = form.output.shape[1:]
    is_of_user = form.maker.get("part") == USER and None not in shape
    size = math.prod(int(axis or 0) for axis in shape)
    if isinstance(right.task, Anomaly) and is_of_user and size != held.test.x[0].size:
        return replace(form, task=right.task)
    return opened.fit_to_data(form, held)


def reached(device: str | None, parts: Parts, scratch: Path, kept: ExitStack) -> tuple[Surveyed | None, Link | None]:
    """A board and the way there, open until ``kept`` ends; None: this machine was meant."""
    from ecgedge.devices import boards
    from ecgedge.devices.link import Link
    from ecgedge.workers.survey import survey

    if device in (None, boards.HOST):
        return None, None
    board = boards.find(str(device))
    return survey(board, parts, parts.runtimes), kept.enter_context(Link(board, scratch / "board.log"))


def made_on_the_way(
    lab: Lab, parts: Parts, source: Artifact, to: str, quantizer: str, runtime: str | None, look: Look
) -> list[tuple[str, Artifact]]:
    """Every form between a model and a file, by what was done last: exporters, graph passes, quantizers.

    Passes are looked at one by one only where all of them together move the answers.
    """
    from ecgedge.convert.fallback import Passes
    from ecgedge.plan.file import FileAsked, plan_file
    from ecgedge.plan.plan import source_of, takes
    from ecgedge.workers.client import ChildError

    asked = FileAsked(to, quantizer, None, runtime, None)
    cell = plan_file(source.name, source_of(source), asked, parts.exporters, parts.quantizers, parts.runtimes,
                     lambda part: lab.lacks(part) is None)  # fmt: skip
    try:
        lab.way(cell)
    except ChildError as error:
        raise ConversionError(f"{source.name} cannot be converted: {error.plain}") from None
    passes = lab.usable[source.digest, cell.route, cell.quantizer, cell.passes]
    forms, artifact = [(source.format, source)], source

    def optimized(artifact: Artifact) -> Artifact:
        done = lab.optimize(artifact, passes, 1)
        applied = [name for name in done.passes if name not in artifact.passes]
        if not applied:
            return done
        forms.append((f"{done.format}, {len(applied)} pass{'' if len(applied) == 1 else 'es'}", done))
        pair = [look.answered(name, form, None) for name, form in ((forms[-2]), (forms[-1]))]
        if is_parted(pair, look):
            forms.pop()
            for count, name in enumerate(applied, 1):
                forms.append((f"{done.format}, {name}", lab.optimize(artifact, Passes(tuple(applied[:count])), 1)))
        return done

    for name in cell.route:
        artifact = lab.convert(optimized(artifact), "exporter", name, 1)
        forms.append((artifact.format, artifact))
    artifact = optimized(artifact)
    floats = [part for part in parts.quantizers.values() if part.precision == "fp32" and takes(part.accepts,
              artifact.format) and part.produces == cell.format and part.name != cell.quantizer]  # fmt: skip
    if floats and artifact.format != cell.format:
        forms.append((f"{cell.format} fp32", lab.convert(artifact, "quantizer", floats[0].name, 1)))
    made = lab.convert(artifact, "quantizer", cell.quantizer, 1)
    if made.digest != forms[-1][1].digest:
        forms.append((f"{made.format} {made.precision}", made))
    return forms


def mended(lab: Lab, parts: Parts, forms: Sequence[tuple[str, Artifact]], to: str, quantizer: str, target: str,
           allowed: float, look: Look) -> Fixed:  # fmt: skip
    """Other precisions of the last form, until one loses no more than is allowed."""
    from ecgedge.api import tasks
    from ecgedge.diverge.chain import as_one
    from ecgedge.diverge.fix import CHEAPEST, mend, quality

    first = look.answered(*forms[0], look.against_runtime)
    task, x, y = settled_task(forms[0][1], first, look.x), look.x, look.data.test.y[look.index]
    right, decided = quality(first.outputs, x, y, task), as_one(tasks.decide(first.outputs, x, task))

    def drop_of(artifact: Artifact) -> tuple[float, int]:
        found = look.answered(artifact.precision, artifact, look.runtime).outputs
        changed = int((as_one(tasks.decide(found, x, task)) != decided).sum())
        return right - quality(found, x, y, task), changed

    def make(precision: str) -> Artifact:
        return made_on_the_way(lab, parts, forms[0][1], to, precision, look.runtime, look)[-1][1]

    def command(precision: str) -> str:
        return f"ecgedge convert {target} --to {to} --quantize {precision}"

    others = [precision for precision in CHEAPEST if precision != quantizer]
    return mend(drop_of(forms[-1][1])[0], allowed, make, drop_of, command, others)


def is_parted(pair: Sequence[Answered], look: Look) -> bool:
    """Whether two forms part by more than their precision explains."""
    from ecgedge.diverge.chain import stages_of

    return stages_of(pair, look.x, settled_task(pair[0].artifact, pair[0], look.x), look.index)[1].parts
