"""``ecgedge matrix``: planned, measured, and told in a folder; for the command line and for scripts."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import choose
from ecgedge.api.artifact import Artifact, file_name
from ecgedge.commands import tracked
from ecgedge.commands.loading import load_data, load_parts
from ecgedge.commands.run import Run, make_run, resume_command, with_choice
from ecgedge.convert.lab import open_lab
from ecgedge.convert.opening import Opener, opener, with_threshold
from ecgedge.data.dataset import Dataset, stratified
from ecgedge.data.readers import Columns
from ecgedge.errors import EcgEdgeError, MachineError
from ecgedge.files.locks import usable_folder
from ecgedge.files.notices import note, warn
from ecgedge.measure import machine
from ecgedge.measure.bench import PROFILES
from ecgedge.measure.machine import EnergyCounter
from ecgedge.passes import check_names
from ecgedge.plan.plan import Cell, Filters, Skip, plan, source_of
from ecgedge.plugins import Parts, one_line
from ecgedge.report import files, render
from ecgedge.run import RUN, MatrixRequest, RunFolder
from ecgedge.run.begin import beginning, describe_run, write_run, writing
from ecgedge.run.journal import Journal
from ecgedge.run.matrix import measure_cells
from ecgedge.run.resume import asked_then, check_same
from ecgedge.run.row import Identity, Outcome, Row, Setup
from ecgedge.run.rows import noise_of, rows_of
from ecgedge.tracking import connect
from ecgedge.tracking.matrix import EXPERIMENT
from ecgedge.workers import availability
from ecgedge.workers.client import Limits

Progress = Callable[[float, int, str], object]

SAID_ANEW: dict[str, Any] = {  # of no measurement
    "printed": "table", "sent": False, "place": ".", "requirements": (), "optimize": None,
}  # fmt: skip

log = logging.getLogger(__name__)


def run_matrix(
    request: MatrixRequest | None = None,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    *,
    resume: bool = False,
    trust: bool = False,
    mlflow: str | None = None,
) -> Run:
    """Measure every combination of model, format, precision and runtime that is asked for.

    Nothing is printed. Warnings and notes go through ``logging``, under the name ``ecgedge``. Cells that fail are rows
    that say why, and no exception. Ctrl-C, and what ``progress`` raises, end the run and go on as they are; what is
    measured by then lies in the folder, and ``resume`` goes on with it.

    Args:
        request: None: every built-in model, on the data that is found first; with ``resume``: as it was asked then.
        folder: of the run; it is made, or empty. None: ``runs/DATE-TIME``.
        progress: is called with how many steps are done, of how many (two a cell: it is scored, it is timed), and what
            comes next; the text is empty at the end.
        resume: go on with the run in ``folder``, where there is one; else it begins.
        trust: the user vouches for code that files bring.
        mlflow: address of an MLflow server that the run is sent to.

    Raises:
        EcgEdgeError: what is asked for names something that is not there, or cannot be measured together; or the run in
            the folder is another one.
        MachineError: the machine failed, such as a full disk; the hint says how to go on.
        KeyboardInterrupt: the user's.
    """
    if resume and folder is None:
        raise EcgEdgeError("resume goes on with the run in a folder, and none is named", "folder=... names it")
    place = None if folder is None else Path(folder)
    is_begun = place is not None and (place / RUN).exists()
    known = take_up(place, trust) if place and resume and (is_begun or request is None) else None
    if mlflow:
        connect(mlflow, EXPERIMENT)
        request = request and replace(request, sent=True)
    matrix = plan_matrix(known or request or MatrixRequest(sent=bool(mlflow)), trust)
    if known and request:
        check_asked(request, matrix, known)
        matrix = replace(matrix, request=replace(matrix.request, **decided_by(request)))
    begun = begin(matrix, place, known, command_of(request or MatrixRequest()))
    try:
        models = measure(begun, progress or (lambda *_: None), trust, mlflow)
    except BaseException as error:
        if publish_if_begun(begun.folder) and not isinstance(error, MachineError):
            error.add_note(f"to go on with the run: run_matrix(folder={str(begun.folder)!r}, resume=True)")
        raise
    told = publish(begun.folder, matrix.request)
    for text in [*told.warnings(trust), *([f"nothing is chosen: {told.failure}"] if told.failure else [])]:
        warn(text)
    if mlflow:
        tracked.send(mlflow, told.run, told.kept.records, models, resume_command(begun.folder, mlflow, trust))
    return told.run


# -- what is asked for


@dataclass(frozen=True)
class Plan:
    """A matrix that can be measured.

    Attributes:
        sources: the trained models and files, by the name that their rows bear.
        unavailable: (kind, name) of the parts that cannot work here, with the reason.
    """

    request: MatrixRequest
    parts: Parts
    data: Dataset
    sources: dict[str, Artifact]
    cells: list[Cell]
    skips: list[Skip]
    unavailable: availability.Reasons


def plan_matrix(asked: MatrixRequest | RunFolder, trust: bool = False) -> Plan:
    """Find the data, the models and the parts that are asked for, or were by a run, and lay them out in cells.

    Raises:
        EcgEdgeError: something that is asked for is not there; no cell is left; or no row could be chosen.
    """
    parts = load_parts()
    request = asked_then(asked.request, parts.models) if isinstance(asked, RunFolder) else asked
    check_names(request.passes or ())
    data = load_data(request.data, request.normalize, Columns(request.label_column, tuple(request.ignore_columns)))
    with opener(parts, limits_of(request), request.told, trust) as opened:
        is_of_models = request.models or not request.files
        sources = find_sources(request.models, data, opened) if is_of_models else {}
        sources |= find_files(request.files, list(sources), data, opened)
    reasons = availability.unavailable(parts)
    cells, skips = plan_cells(sources, parts, request, reasons)
    matrix = Plan(request, parts, data, sources, cells, skips, reasons)
    check_choice(matrix)
    return matrix


def limits_of(request: MatrixRequest) -> Limits:
    """What a child process may take."""
    return Limits(request.timeout, request.memory and request.memory * 1_000_000)


def plan_cells(
    sources: Mapping[str, Artifact], parts: Parts, request: MatrixRequest, unavailable: availability.Reasons
) -> tuple[list[Cell], list[Skip]]:
    """The cells and skips that were asked for."""
    named = {name: source_of(source) for name, source in sources.items()}
    asked = (request.formats, request.quantizers, request.runtimes, request.exporters)
    passes = None if request.passes is None else tuple(request.passes)
    return plan(named, parts.exporters, parts.quantizers, parts.runtimes, Filters(*map(tuple, asked)), unavailable,
                request.threads, passes)  # fmt: skip


def find_sources(models: Sequence[str], data: Dataset, opened: Opener) -> dict[str, Artifact]:
    """The trained models by the name of their rows; without a choice, all that have weights and fit the data."""
    sources: dict[str, Artifact] = {}
    for name in models:
        label = name if name in opened.parts.models else file_name(Path(name).resolve().name)
        if label in sources:
            raise EcgEdgeError(f"two models would both be called {label!r}", "rename a checkpoint's folder")
        sources[label] = opened.fit_to_data(opened.find_model(name), data)
    if models:
        return sources
    misfits: list[EcgEdgeError] = []
    for name, part in opened.parts.models.items():
        if part.pretrained():
            found = opened.find_model(name)
            try:
                sources[name] = opened.fit_to_data(found, data)
            except EcgEdgeError as error:
                misfits.append(error)
    if not sources:
        raise misfits[0] if misfits else EcgEdgeError("no model has trained weights", "ecgedge train MODEL")
    for misfit in misfits:
        warn(f"{misfit.message}; left out")
    return sources


def find_files(names: Sequence[str], taken: Sequence[str], data: Dataset, opened: Opener) -> dict[str, Artifact]:
    """Files made elsewhere, by the name of their rows: that of the file. One that hangs or dies fails in its cells."""
    sources: dict[str, Artifact] = {}
    for name in names:
        label = file_name(Path(name).name)
        if label in (*taken, *sources):
            raise EcgEdgeError(f"two rows would both be called {label!r}", "rename a file")
        artifact = opened.find_artifact(name, alone=len(names) == 1, must_run=False)
        sources[label] = opened.fit_to_data(artifact, data)
    return sources


def choice_asked(request: MatrixRequest) -> bool:
    """Whether a choice is wanted."""
    return bool(request.requirements or request.optimize)


def check_choice(matrix: Plan) -> None:
    """Raise EcgEdgeError where no row of these cells could be chosen: before they are measured, not after."""
    request = matrix.request
    required = [choose.parse_requirement(text) for text in request.requirements]
    metric = choose.find_metric(request.optimize) if request.optimize else None
    if not matrix.cells or not choice_asked(request):
        return
    planned = [
        planned_row(cell, matrix.sources[cell.model].task.kind, matrix.parts.runtimes[cell.runtime].device)
        for cell in matrix.cells
    ]
    known = [each for each in required if not (isinstance(each, choose.Wanted) and each.field == "verdict")]
    choose.settle(planned, known, metric)


def planned_row(cell: Cell, task: str, device: str) -> Row:
    """What is known of the row of a cell before it is measured."""
    return Row(
        identity=Identity(id=cell.id, model=cell.model, task=task, format=cell.format, precision=cell.precision,
                          runtime=cell.runtime),
        outcome=Outcome(status="ok"),
        setup=Setup(device=device, route=[*cell.route], quantizer=cell.quantizer, threads=cell.threads, batch=1),
    )  # fmt: skip


# -- a run that is gone on with


def take_up(folder: Path, trust: bool = False) -> RunFolder:
    """An interrupted run, with what it was asked for.

    The folder may be a stranger's. No address and no trust is taken from it, and it is not worked in: who resumes
    says these anew.

    Raises:
        EcgEdgeError: there is no run in that folder, it is damaged or holds what no run holds.
    """
    run = RunFolder.read(folder)
    run.check_for_resume(trust)
    return run


def check_asked(request: MatrixRequest, matrix: Plan, known: RunFolder) -> None:
    """Raise EcgEdgeError where a request is another one than the run in the folder had; how it is told may differ."""
    now, then = (
        replace(each, **SAID_ANEW).record() for each in (asked_then(request, matrix.parts.models), matrix.request)
    )
    if differing := [name for name in now if now[name] != then[name]]:
        name = differing[0]
        told = f"{name} was {then[name]!r} then, and is {now[name]!r} now"
        raise EcgEdgeError(f"{known.path} holds the run of another request: {told}"[:300], "name another folder")


def decided_by(request: MatrixRequest) -> dict[str, Any]:
    """By which a row is to be chosen, which may be said anew."""
    return {"requirements": request.requirements, "optimize": request.optimize}


def mlflow_uri(request: MatrixRequest, said: str | None) -> str | None:
    """Where a run that is resumed is sent: as its user says, by the option or in the environment, never the run."""
    if uri := said or (os.environ.get("MLFLOW_TRACKING_URI") if request.sent else None):
        return uri
    if request.sent:
        note("the run was to be sent to MLflow; --mlflow URI says where, else it is not sent")
    return None


def command_of(request: MatrixRequest) -> str:
    """How a script asks for a matrix: the fields that are not as they are by themselves."""
    usual = MatrixRequest(place=request.place)
    fields = [each.name for each in dataclasses.fields(request)]
    said = [name for name in fields if getattr(request, name) != getattr(usual, name)]
    return f"run_matrix(MatrixRequest({', '.join(f'{name}={getattr(request, name)!r}' for name in said)}))"


# -- the run itself


@dataclass(frozen=True)
class Begun:
    """A run that has a folder.

    Attributes:
        about: its ``run.json``, to be written or as it was.
        resumed: whether it was there before.
    """

    plan: Plan
    folder: Path
    about: dict[str, Any]
    energy: EnergyCounter
    resumed: bool


def begin(matrix: Plan, folder: Path | None, known: RunFolder | None, command: str) -> Begun:
    """Have a folder for a run, or the one of a run that would measure the same.

    Args:
        folder: None: ``runs/DATE-TIME``.
        known: the run that is gone on with.
        command: by which it was asked for.

    Raises:
        EcgEdgeError: the folder is not empty, or cannot be used; or the run would no longer measure the same.
    """
    energy = EnergyCounter.find()
    about = describe_run(matrix.request, matrix.data, matrix.sources, matrix.cells, matrix.skips, energy,
                         availability.used(matrix.cells, matrix.parts), command)  # fmt: skip
    if known:
        check_same(known.about, about, known.path)
        return Begun(matrix, known.path, known.about, energy, resumed=True)
    return Begun(matrix, new_folder(folder), about, energy, resumed=False)


def new_folder(named: Path | None) -> Path:
    """The folder of a new run, made and empty."""
    folder = named or Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    if folder.is_dir() and any(folder.iterdir()):
        raise EcgEdgeError(f"{folder} is not empty", "name a new folder with --out")
    return usable_folder(folder)


def measure(begun: Begun, progress: Progress, trust: bool = False, uri: str | None = None) -> dict[str, Path]:
    """Make, score and time what the journal does not hold yet.

    Args:
        uri: of the MLflow server that the run is sent to.

    Returns:
        The SavedModel of each cell that has one, where the run is sent to MLflow.

    Raises:
        MachineError: the machine failed; the hint says how to go on.
    """
    matrix, request, folder = begun.plan, begun.plan.request, begun.folder
    limits, total = limits_of(request), 2 * len(matrix.cells)
    with (
        writing(folder, resume_command(folder, uri, trust)),
        contextlib.closing(Journal(folder)) as journal,
        contextlib.ExitStack() as closed,
    ):
        with beginning(folder):
            lab = open_lab(matrix.parts, matrix.data, matrix.sources, folder, scored_beats(matrix.data, request),
                           calibration=request.calibration, seed=request.seed, options=request.options,
                           unavailable=matrix.unavailable, seconds=limits.seconds, memory=limits.memory,
                           batch_sizes=request.batch_sizes)  # fmt: skip
            closed.callback(lab.close)
            if not begun.resumed:
                write_run(folder, begun.about, lab)
        lab.sources = {
            name: with_threshold(source, matrix.data, lambda given, _: lab.outputs_of(given, "train"), note)
            for name, source in matrix.sources.items()
        }
        journal.append("start", time=time.strftime("%Y-%m-%dT%H:%M:%S%z"), load=machine.load())
        measure_cells(matrix.cells, matrix.skips, lab, journal, request.preset, begun.energy,
                      lambda done, text: progress(done, total, text))  # fmt: skip
        return tracked.saved_models(matrix.cells, journal.records, lab) if uri else {}


def scored_beats(data: Dataset, request: MatrixRequest) -> np.ndarray:
    """Indices of the test beats to score, in order."""
    count = PROFILES[request.preset].beats or len(data.test)
    return np.sort(stratified(data.test.y, count, request.seed))


# -- what is told of it


@dataclass(frozen=True)
class Published:
    """A run, and what was written of it.

    Attributes:
        kept: what lies in its folder.
        written: names of the files.
        lost: why others are not there, by name.
        failure: why the choice that was asked for cannot be made.
    """

    run: Run
    kept: RunFolder
    written: list[str]
    lost: dict[str, str]
    failure: EcgEdgeError | None

    def warnings(self, trust: bool = False) -> list[str]:
        """What whoever asked for the run may want to mend, in one line each."""
        found = []
        if self.lost:
            again = resume_command(self.kept.path, trust=trust)
            told = "; ".join(f"{name}: {reason}" for name, reason in self.lost.items())
            found.append(f"not written: {told} (the run is whole, and to write it again: {again})")
        if not self.kept.about["cells"]:
            found.append("no cell could run here")
        return found


def publish(folder: Path, request: MatrixRequest | None = None) -> Published:
    """Write rows and reports of what is measured, with the choice where the request asks for one.

    What cannot be written, or chosen, is told, and costs nothing else.
    """
    kept = RunFolder.read(folder)
    rounds = kept.about["rounds"]
    rows = in_order(rows_of(kept.records, rounds, folder), list(kept.about["sources"]))
    run = make_run(kept, rows, noise_of(kept.records, rounds, folder))
    results = [attempt(folder / name, partial(make, run.told)) for name, make in files.TEXTS.items()]
    failure = None
    try:
        if request and choice_asked(request):
            run = replace(run, told=with_choice(run.told, request.requirements, request.optimize))
    except EcgEdgeError as error:
        failure = error
    results.append(attempt(folder / "report.html", partial(render, run.told, "html")))
    written = [path.name for path, reason in results if not reason]
    return Published(run, kept, written, {path.name: reason for path, reason in results if reason}, failure)


def publish_if_begun(folder: Path) -> Published | None:
    """What is done of a run that ended before its time, told as far as it can be; None where it had not begun."""
    with contextlib.suppress(Exception):
        return publish(folder)
    return None


def in_order(rows: Sequence[Row], models: Sequence[str]) -> list[Row]:
    """Model by model, what was skipped last."""
    return sorted(rows, key=lambda row: (models.index(row.model), row.status == "skipped"))


def attempt(path: Path, make: Callable[[], str]) -> tuple[Path, str]:
    """Write what ``make`` returns; why that cannot be done, else empty. A report never costs a run."""
    try:
        files.write(path, make())
    except Exception as error:  # of the disk, or of the report's own code
        log.info("%s was not written", path, exc_info=error)
        return path, (isinstance(error, OSError) and error.strerror) or one_line(error)
    return path, ""
