"""The row of a cell, group by group, from what scoring finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ecgedge.api.artifact import Artifact
from ecgedge.api.parts import Runtime
from ecgedge.convert.lab import Lab
from ecgedge.evaluate.judgement import Judgement
from ecgedge.files import typed_json
from ecgedge.plan.plan import Cell
from ecgedge.run.measurement import Elsewhere, Loading, Memory, Meters
from ecgedge.run.row import File, Identity, Outcome, Row, Setup
from ecgedge.workers.protocol import Opened


def started(cell: Cell, lab: Lab, profile: str, emulated: str | None = None) -> Row:
    """What is known of a cell before anything is done.

    Args:
        emulated: the core that its device or its runtime plays; None: none.
    """
    source, runtime = lab.sources[cell.model], lab.tools.parts["runtime", cell.runtime]
    return Row(
        identity=Identity(
            id=cell.id,
            model=cell.model,
            task=source.task.judged_as,
            format=cell.format,
            precision=cell.precision,
            runtime=cell.runtime,
            dataset=lab.beats.data.name,
            board=cell.board,
        ),
        setup=Setup(
            device=runtime.device,
            emulated=emulated,
            environment=runtime.environment,
            route=list(cell.route),
            quantizer=cell.quantizer,
            threads=cell.threads,
            batch=1,
            dataset_digest=lab.beats.data.digest,
            beats=len(lab.beats.scored),
            profile=profile,
            runtime_options=lab.tools.options_of(runtime) or None,
            blocks_asked=typed_json.known(runtime.blocks) if runtime.blocks else None,
        ),
        outcome=Outcome(status="ok"),
    )


def with_figures(row: Row, told: Mapping[str, float | str], runtime: Runtime) -> Row:
    """With what the runtime tells, and with the unit and direction of what it declares of that."""
    declared = [figure for figure in runtime.figures if figure.name in told]
    return replace(row, figures=dict(told), declared=declared)


def file_of(artifact: Artifact, path: str) -> File:
    return File(
        path=path,
        digest=artifact.digest,
        size_bytes=artifact.size_bytes,
        passes=list(artifact.passes),
        notes=dict(artifact.notes),
    )


def loaded(row: Row, opened: Opened) -> Row:
    """With what loading took, and by what it measures itself; of another device than the CPU also what is told of
    that."""
    told = opened.loaded
    if told is None:  # of a device without times
        return row
    sources = Meters(clock=told.clock, memory_source=told.memory_source, energy_source=told.energy_source)
    processors = None if told.processors is None else list(told.processors)
    memory = Memory(kib=told.memory_kib, base_kib=told.memory_base_kib)
    elsewhere = None if opened.device == "cpu" else Elsewhere(copies=opened.copies, memory_kib=told.device_memory_kib)
    loading = Loading(load_ms=told.load_ms, first_call_us=told.first_call_us, processors=processors)
    meters = None if sources == Meters() else sources
    return replace(row, meters=meters, loading=loading, memory=memory, elsewhere=elsewhere)


def judged(row: Row, found: tuple[Judgement, Judgement]) -> Row:
    """With the groups of two judgements; the first that is not ok says the status."""
    claims, answers = found
    status = next((each.status for each in found if each.status != "ok"), "ok")
    reason = "; ".join(each.reason for each in found if each.reason)
    return replace(
        row,
        outcome=Outcome(status=status, reason=reason),
        precision_check=claims.precision_check,
        quality=answers.quality,
        detection=answers.detection,
        labelling=answers.labelling,
        refit=answers.refit,
        losses=answers.losses,
        parity=answers.parity,
    )
