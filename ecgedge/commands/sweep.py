"""``ecgedge sweep``: models trained on several data sets with several seeds, converted, scored, and told together."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from ecgedge.api.parts import Model
from ecgedge.cluster import travel
from ecgedge.cluster.crew import Crew
from ecgedge.cluster.dask import Cluster, Errands
from ecgedge.commands import there
from ecgedge.commands.loading import data_of, limits_of, load_parts
from ecgedge.commands.planning import plan_cells
from ecgedge.commands.publishing import attempt
from ecgedge.commands.run import resume_command
from ecgedge.data import kept
from ecgedge.errors import EcgEdgeError, MachineError, cut, machine_error, told_by_system, unknown
from ecgedge.files.locks import usable_folder, whole_file
from ecgedge.files.notices import warn
from ecgedge.measure import machine
from ecgedge.measure.machine import usable_cores
from ecgedge.passes import check_names
from ecgedge.plan.options import chosen, settled_options
from ecgedge.plan.plan import Cell, Skip, Source, is_parent
from ecgedge.plugins import Parts
from ecgedge.report.sweep import FILES
from ecgedge.report.swept import SweepReport
from ecgedge.run import MatrixRequest, is_name
from ecgedge.run.journal import line
from ecgedge.run.reading import check_entries
from ecgedge.run.resume import asked_then, difference
from ecgedge.sweep.carry import Tell, carry_out
from ecgedge.sweep.job import Job, Made, Terms
from ecgedge.sweep.journal import ROWS, SCHEMA, Journal, read_about, records, write_about
from ecgedge.sweep.request import SweepRequest
from ecgedge.sweep.statistics import Summary
from ecgedge.sweep.threads import Threads
from ecgedge.sweep.work import workplace
from ecgedge.training import unheeded
from ecgedge.workers import availability

LOGS = "logs"


@dataclass(frozen=True)
class KnownData:
    """What has to be known of a data set to have others work with it.

    Attributes:
        told: its size, for people.
        file: the digest of its file in the cache, see ``data.kept``; empty where it was not written.
        multilabel: several labels may hold for a beat.
    """

    name: str
    told: str
    source: str
    digest: str
    file: str
    multilabel: bool

    def task_of(self, model: Model) -> str:
        """What a model that is trained on it is judged as."""
        return "multilabel" if self.multilabel and model.task == "classification" else model.task


@dataclass(frozen=True)
class SweepPlan:
    """A sweep that can be carried out.

    Attributes:
        data: the data sets, by their names.
        models: those that are trained.
        cells: of each data set and seed, model by model.
        options: of parts, with what quantizers settle by this machine's processor.
    """

    request: SweepRequest
    parts: Parts
    data: Mapping[str, KnownData]
    models: Mapping[str, Model]
    cells: Sequence[Cell]
    skips: Sequence[Skip]
    unavailable: availability.Reasons
    options: Mapping[str, Any]

    @property
    def total(self) -> int:
        """How many cells there are in all."""
        return len(self.cells) * len(self.data) * len(self.request.seeds)

    @property
    def trainings(self) -> int:
        """How many models are trained in all."""
        return len({cell.model for cell in self.cells}) * len(self.data) * len(self.request.seeds)


def plan_sweep(asked: SweepRequest, keep: bool = True) -> SweepPlan:
    """Find the data sets, the models and the parts, and lay out the cells.

    Args:
        keep: the data sets are written into the cache, to be worked with.

    Raises:
        EcgEdgeError: something that is asked for is not there, or no cell is left.
    """
    parts, matrix = load_parts(), asked.matrix
    check_names(matrix.passes or (), parts.passes)
    matrix = replace(matrix, options=chosen(matrix.options, [*parts.steps, *parts.models.values()]))
    models = find_models(matrix.models, parts)
    for model in models.values():
        if idle := unheeded(model, asked.recipe):
            warn(f"the training of {model.name} does not heed {', '.join(idle)}")
    named = {name: Source(model.produces, model.name) for name, model in models.items()}
    cells, skips, reasons, _ = plan_cells(named, parts, matrix)
    data = find_data(asked, keep)
    options = settled_options([parts.quantizers[name] for name in {cell.quantizer for cell in cells}], matrix.options)
    ordered = sorted(cells, key=lambda cell: ([*models].index(cell.model), cell.precision != "fp32"))
    return SweepPlan(replace(asked, matrix=matrix), parts, data, models, ordered, skips, reasons, options)


def find_models(names: Sequence[str], parts: Parts) -> dict[str, Model]:
    """The models that are trained; without a choice, all that can be."""
    known = {name: part for name, part in parts.models.items() if part.produces == "torch" or part.fits_itself}
    for name in names:
        if name not in known:
            if name in parts.models:
                raise EcgEdgeError(f"{name} is no torch model ({parts.models[name].produces})", "leave it out")
            raise unknown("model", name, sorted(known))
        availability.require(known[name])
    found = {name: known[name] for name in names} or {
        name: part for name, part in known.items() if availability.is_installed(part)
    }
    if not found:
        raise EcgEdgeError("no model can be trained here", "install one; for all built-in ones: ecgedge[all]")
    return found


def find_data(asked: SweepRequest, keep: bool) -> dict[str, KnownData]:
    """The data sets by their names; none stays in memory.

    Raises:
        EcgEdgeError: two have the same name, or one cannot be read.
        MachineError: the cache cannot be written.
    """
    found: dict[str, KnownData] = {}
    for place in asked.data or (None,):
        data = data_of(replace(asked.matrix, data=place))
        if data.name in found:
            told = f"two data sets would both be called {data.name!r}: {found[data.name].source} and {data.source}"
            raise EcgEdgeError(told, "rename one")
        try:
            file = kept.keep(data) if keep else ""
        except OSError as error:
            raise machine_error(f"{kept.folder()} cannot be written", error) from error
        found[data.name] = KnownData(data.name, data.describe(), data.source, data.digest, file, data.multilabel)
    return found


# -- the folder


@dataclass(frozen=True)
class BegunSweep:
    """A sweep that has a folder.

    Attributes:
        about: its ``sweep.json``.
    """

    plan: SweepPlan
    folder: Path
    about: dict[str, Any]


def take_up(folder: Path) -> tuple[SweepRequest, dict[str, Any]]:
    """What an interrupted sweep was asked for, and its ``sweep.json``; the folder may be a stranger's.

    Raises:
        EcgEdgeError: there is none, it is damaged, or something in the folder is no file or folder.
    """
    about = read_about(folder)
    check_entries(folder)
    request = SweepRequest.from_record(about["request"])
    place = request.matrix.place
    places = [asked_then(MatrixRequest(data=each, place=place), ()).data for each in request.data]
    return replace(request, data=tuple(each for each in places if each)), about


def begin(plan: SweepPlan, folder: Path | None, known: tuple[Path, dict[str, Any]] | None, command: str) -> BegunSweep:
    """Have a folder for a sweep, or that of one that would make the same.

    Raises:
        EcgEdgeError: the folder is not empty, or cannot be used; or what would be made now is not the same.
    """
    about = {
        "schema": SCHEMA,
        "command": command,
        "request": plan.request.record(),
        "data": [
            {"name": each.name, "data": each.told, "source": each.source, "digest": each.digest, "file": each.file}
            for each in plan.data.values()
        ],
        "seeds": [*plan.request.seeds],
        "cells": [cell.id for cell in plan.cells],
        "skips": [{"model": skip.model, "format": skip.format, "runtime": skip.runtime, "reason": skip.reason}
                  for skip in plan.skips],
        "machine": machine.describe(),
        "versions": machine.versions(),
        "facts": dict(there.facts()),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }  # fmt: skip
    if known:
        check_same(known[1], about, known[0])
        return BegunSweep(plan, known[0], known[1])
    for name in plan.data:
        for cell in plan.cells:
            if not is_name(row := f"{name}.s{max(plan.request.seeds)}.{cell.id}"):
                raise EcgEdgeError(f"no row can be called {cut(row)!r}", f"rename the files of {cut(name)!r}")
    target = folder or Path("runs") / time.strftime("sweep-%Y%m%d-%H%M%S")
    if target.is_dir() and any(target.iterdir()):
        raise EcgEdgeError(f"{target} is not empty", "name a new folder with --out")
    usable_folder(target)
    (target / LOGS).mkdir()
    write_about(target, about)
    return BegunSweep(plan, target, about)


def check_same(then: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Raise EcgEdgeError where a sweep cannot go on, since what it would make is no longer the same."""
    data = [{each["name"]: each["digest"] for each in about["data"]} for about in (then, now)]
    pairs = [("the data", *data), *((what, then.get(key, {}), now[key]) for key, what in (
        ("cells", "what can run here"), ("versions", "a library"), ("facts", "ecgedge or a plugin"),
    ))]  # fmt: skip
    for what, before, after in pairs:
        if before != after:
            raise EcgEdgeError(
                f"{folder} cannot be resumed: {what} has changed ({difference(before, after)})",
                "bring it back as it was, or start a new sweep",
            )


# -- the work


def jobs_of(begun: BegunSweep, journal: Journal) -> Iterator[Job]:
    """What the journal does not hold yet: a job for each data set, seed and model, in this order."""
    plan, matrix = begun.plan, begun.plan.request.matrix
    terms = Terms(
        recipe=dict(plan.request.recipe),
        options=dict(plan.options),
        unavailable=dict(plan.unavailable),
        calibration=matrix.calibration,
        profile=matrix.preset,
        limits=limits_of(matrix),
        training_timeout=plan.request.training_timeout,
        logs=(begun.folder / LOGS).resolve(),
        versions=there.digest_of_facts(),
    )
    for name in plan.data:
        for seed in plan.request.seeds:
            for model, part in plan.models.items():
                cells = tuple(cell for cell in plan.cells if cell.model == model)
                job = Job(name, plan.data[name].file, seed, model, plan.data[name].task_of(part), cells, terms)
                left = tuple(cell for cell in cells if job.row_id(cell) not in journal.done)
                if not left:
                    continue
                parents = tuple(
                    each for each in cells if each not in left and any(is_parent(each, cell) for cell in left)
                )
                key = journal.checkpoints.get(job.id, "")
                checkpoint = key if key and travel.has_entry(key) else ""
                yield replace(job, cells=left, beside=parents, checkpoint=checkpoint)


def carry_out_sweep(begun: BegunSweep, cluster: str | None, jobs: int | None, tell: Tell) -> SweepReport:
    """Carry out what the journal does not hold yet; what is done is told at the end, whatever ends it.

    Args:
        cluster: see ``Cluster``; None: processes of this machine.
        jobs: how many of these at a time; None: as many as there are cores.

    Raises:
        MachineError: the machine failed; the hint says how to go on.
        EcgEdgeError: the cluster cannot be used, or somebody else writes into the folder.
    """
    plan, folder = begun.plan, begun.folder
    with going_on(folder, resume_sweep(folder, cluster)), contextlib.closing(Journal(folder)) as journal:
        if len(journal.done) < plan.total:
            with contextlib.closing(crew_of(plan, cluster, jobs)) as crew:
                journal.append("start", time=time.strftime("%Y-%m-%dT%H:%M:%S%z"))
                carry_out(jobs_of(begun, journal), crew, journal, tell)
    tell(plan.total, "")
    return publish(folder)


@contextlib.contextmanager
def going_on(folder: Path, command: str) -> Iterator[None]:
    """Whatever the machine did is told with how to go on."""
    try:
        yield
    except MachineError as error:
        mend = (error.hint or "mend that").removesuffix(", then do it again")
        raise MachineError(error.message, f"{mend}, then: {command}") from error
    except OSError as error:
        place = f"{error.filename or folder} cannot be {'written' if told_by_system(error) else 'used'}"
        told = machine_error(place, error)
        raise MachineError(told.message, f"{told.hint.removesuffix(', then do it again')}, then: {command}") from error


def crew_of(plan: SweepPlan, cluster: str | None, jobs: int | None) -> Crew[Job, Made]:
    """Who does it."""
    if cluster:
        return Cluster(cluster, Errands(there.carry_out, there.facts))
    return Threads(partial(workplace, plan.parts), jobs or usable_cores() or 1)


def resume_sweep(folder: Path, cluster: str | None = None) -> str:
    """The command line that goes on with a sweep."""
    return resume_command(folder, cluster=cluster).replace(" matrix --resume", " sweep --resume")


# -- what is told


def publish(folder: Path) -> SweepReport:
    """Write rows and reports of what is done; what cannot be written is a warning."""
    lost: dict[str, str] = {}
    try:
        with whole_file(folder / ROWS) as file:
            report = read_report(folder, file)
    except OSError as error:
        lost[ROWS], report = error.strerror or str(error), read_report(folder)
    for name, make in FILES.items():
        path, reason = attempt(folder / name, partial(make, report))
        if reason:
            lost[path.name] = reason
    if lost:
        told = "; ".join(f"{name}: {reason}" for name, reason in lost.items())
        warn(f"not written: {told} (the sweep is whole, and to write it again: {resume_sweep(folder)})")
    return report


def read_report(folder: Path, rows: IO[bytes] | None = None) -> SweepReport:
    """What a sweep's folder says.

    Args:
        rows: takes the rows on the way, a line each.

    Raises:
        EcgEdgeError: there is no sweep, or it is damaged.
    """
    about = read_about(folder)
    names = [each["name"] for each in about["data"]]
    summary, cpu = Summary(names), dict[str, float]()
    trained: set[str] = set()
    for record, _ in records(folder):
        for row in record.get("rows", ()):
            summary.add(row)
            if rows:
                rows.write(line(row))
        for name, seconds in record.get("cpu", {}).items():
            cpu[name] = cpu.get(name, 0.0) + seconds
        if record.get("checkpoint"):
            trained.add(record["job"])
    planned = len(about["cells"]) * len(about["data"]) * len(about["seeds"])
    return SweepReport(folder, about, summary, summary.rankings(), planned, cpu, len(trained))
