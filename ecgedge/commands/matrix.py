"""``ecgedge matrix``: planned, measured, and told in a folder; for the command line and for scripts."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api.precisions import BUILT_IN, Precision
from ecgedge.cluster.conversions import Terms, make_there
from ecgedge.cluster.dask import Cluster, Errands, workers_of
from ecgedge.commands import there, tracked
from ecgedge.commands.certifying import Certifying, certify_files
from ecgedge.commands.loading import limits_of
from ecgedge.commands.planning import Plan, options_asked, plan_matrix
from ecgedge.commands.publishing import publish, publish_if_begun
from ecgedge.commands.run import Run, resume_command
from ecgedge.convert.lab import Lab, open_lab
from ecgedge.convert.opening import with_threshold
from ecgedge.data import kept
from ecgedge.data.dataset import Dataset
from ecgedge.data.drawing import stratified
from ecgedge.errors import EcgEdgeError, MachineError, machine_error
from ecgedge.files.locks import usable_folder
from ecgedge.files.notices import note, warn
from ecgedge.measure import machine
from ecgedge.measure.bench import PROFILES
from ecgedge.measure.machine import EnergyCounter
from ecgedge.plan.options import settled_options
from ecgedge.plan.plan import Cell
from ecgedge.plugins import Parts
from ecgedge.run import RUN, MatrixRequest, RunFolder
from ecgedge.run.begin import AboutBoard, beginning, describe_run, write_run, writing
from ecgedge.run.brought import bring_answers
from ecgedge.run.device import OnBoard
from ecgedge.run.journal import Journal
from ecgedge.run.matrix import measure_cells
from ecgedge.run.measuring import STEPS, Judged
from ecgedge.run.resume import asked_then, check_same
from ecgedge.tracking import connect
from ecgedge.tracking.matrix import EXPERIMENT
from ecgedge.workers import availability

Progress = Callable[[float, int, str], object]

SAID_ANEW: dict[str, Any] = {  # of no measurement
    "printed": "table", "sent": False, "place": ".", "requirements": (), "optimize": None, "relative_to": None,
}  # fmt: skip


def run_matrix(
    request: MatrixRequest | None = None,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    *,
    resume: bool = False,
    trust: bool = False,
    mlflow: str | None = None,
    cluster: str | None = None,
) -> Run:
    """Measure every combination of model, format, precision and runtime that is asked for.

    Nothing is printed. Warnings and notes go through ``logging``, under the name ``ecgedge``. Cells that fail are rows
    that say why, and no exception. Ctrl-C, and what ``progress`` raises, end the run and go on as they are; what is
    measured by then lies in the folder, and ``resume`` goes on with it.

    Args:
        request: None: every built-in model, on the data that is found first; with ``resume``: as it was asked then.
        folder: of the run; it is made, or empty. None: ``runs/DATE-TIME``.
        progress: is called with how many steps are done, of how many (three a cell: it is converted, scored, timed),
            and what comes next; the text is empty at the end.
        resume: go on with the run in ``folder``, where there is one; else it begins.
        trust: the user vouches for code that files bring.
        mlflow: address of an MLflow server that the run is sent to.
        cluster: whose workers convert, see ``cluster.dask.Cluster``; it is trusted. None: this machine does.

    Raises:
        EcgEdgeError: what is asked for names something that is not there, or cannot be measured together; or the run in
            the folder is another one.
        MachineError: the machine failed, such as a full disk; the hint says how to go on.
        KeyboardInterrupt: the user's.
    """
    if cluster:
        workers_of(cluster)
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
        models = measure(begun, progress or (lambda *_: None), trust, mlflow, cluster)
    except MachineError:
        publish_if_begun(begun.folder)
        raise
    except EcgEdgeError:  # such as of another process that writes it
        raise
    except BaseException as error:
        if publish_if_begun(begun.folder):
            error.add_note(f"to go on with the run: run_matrix(folder={str(begun.folder)!r}, resume=True)")
        raise
    told = publish(begun.folder, matrix.request)
    for text in [*told.warnings(trust), *([f"nothing is chosen: {told.failure}"] if told.failure else [])]:
        warn(text)
    if mlflow:
        tracked.send(mlflow, told.run, told.kept.records, models, resume_command(begun.folder, mlflow, trust))
    return told.run


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
    request = replace(request, options=options_asked(request, matrix.parts))
    now, then = (
        replace(each, **SAID_ANEW).record() for each in (asked_then(request, matrix.parts.models), matrix.request)
    )
    if differing := [name for name in now if now[name] != then[name]]:
        name = differing[0]
        told = f"{name} was {then[name]!r} then, and is {now[name]!r} now"
        raise EcgEdgeError(f"{known.path} holds the run of another request: {told}"[:300], "name another folder")


def decided_by(request: MatrixRequest) -> dict[str, Any]:
    """By which a row is to be chosen, and what times are told against, which may be said anew."""
    return {name: getattr(request, name) for name in ("requirements", "optimize", "relative_to")}


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
                         availability.used(matrix.cells, matrix.parts), command,
                         declared_precisions(matrix.cells, matrix.parts), told_of_boards(matrix))  # fmt: skip
    if known:
        check_same(known.about, about, known.path)
        return Begun(matrix, known.path, known.about, energy, resumed=True)
    return Begun(matrix, new_folder(folder), about, energy, resumed=False)


def told_of_boards(matrix: Plan) -> dict[str, AboutBoard]:
    """What ``run.json`` says of each board."""
    return {
        name: AboutBoard(
            cpu=each.facts.cpu,
            isa=each.facts.isa,
            cores=each.facts.cores,
            system=each.facts.system,
            libraries=each.facts.libraries,
            emulated=each.board.emulated,
            governor=each.facts.governor,
            memory_kib=each.facts.memory_kib,
        )
        for name, each in matrix.boards.items()
    }


def declared_precisions(cells: Sequence[Cell], parts: Parts) -> dict[str, Precision]:
    """Those of cells, and those that their runtimes compute in, that parts declare."""
    names = {cell.precision for cell in cells} | {parts.runtimes[cell.runtime].computes for cell in cells}
    return {name: each for name, each in sorted(parts.precisions.items()) if name in names - BUILT_IN.keys()}


def new_folder(named: Path | None) -> Path:
    """The folder of a new run, made and empty."""
    folder = named or Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    if folder.is_dir() and any(folder.iterdir()):
        raise EcgEdgeError(f"{folder} is not empty", "name a new folder with --out")
    return usable_folder(folder)


def measure(
    begun: Begun,
    progress: Progress,
    trust: bool = False,
    uri: str | None = None,
    cluster: str | None = None,
    judged: Judged = lambda _: None,
) -> dict[str, Path]:
    """Make, score and time what the journal does not hold yet.

    Args:
        uri: of the MLflow server that the run is sent to.
        cluster: whose workers convert; None: this machine does.
        judged: is called with the row of each cell as soon as its quality is known.

    Returns:
        The SavedModel of each cell that has one, where the run is sent to MLflow.

    Raises:
        MachineError: the machine failed; the hint says how to go on.
    """
    matrix, request, folder = begun.plan, begun.plan.request, begun.folder
    limits, total = limits_of(request), STEPS * len(matrix.cells)
    with (
        writing(folder, resume_command(folder, uri, trust, cluster)),
        contextlib.closing(Journal(folder)) as journal,
        contextlib.ExitStack() as closed,
    ):
        with beginning(folder):
            lab = open_lab(matrix.parts, matrix.data, matrix.sources, folder, scored_beats(matrix.data, request),
                           calibration=request.calibration, seed=request.seed, options=request.options,
                           unavailable=matrix.unavailable, limits=limits,
                           batch_sizes=request.batch_sizes)  # fmt: skip
            closed.callback(lab.close)
            lab.brought = matrix.brought
            if not begun.resumed:
                write_run(folder, begun.about, lab)
            if matrix.answered:
                bring_answers(RunFolder.read(Path(request.brought or "")), matrix.answered, folder)
        lab.sources = {
            name: with_threshold(source, matrix.data, lambda given, _: lab.outputs_of(given, "train"), note)
            for name, source in matrix.sources.items()
        }
        journal.append("start", time=time.strftime("%Y-%m-%dT%H:%M:%S%z"), load=machine.load())
        if cluster:
            convert_there(begun, lab, journal, cluster, lambda text: progress(0, total, text))
        boards = boards_of(matrix, folder, closed)
        measure_cells(matrix.cells, matrix.skips, lab, journal, request.preset, begun.energy,
                      lambda done, text: progress(done, total, text), boards, judged)  # fmt: skip
        if request.portability:
            for board in boards:  # each is reached anew, for the kernels of one file after the other
                board.close()
            certify_files(Certifying(matrix.parts, matrix.data, lab, journal, limits,
                                     [each.board for each in matrix.boards.values()], request.threads,
                                     lambda text: progress(total, total, text)))  # fmt: skip
            progress(total, total, "")
        return tracked.saved_models(matrix.cells, journal.records, lab) if uri else {}


def convert_there(begun: Begun, lab: Lab, journal: Journal, cluster: str, tell: Callable[[str], object]) -> None:
    """Have the workers of a cluster make what the cells need that were not scored yet, before anything is timed here.

    Raises:
        EcgEdgeError: the cluster cannot be used.
        MachineError: the machine, or the cluster, failed.
    """
    matrix, request = begun.plan, begun.plan.request
    left = [cell for cell in matrix.cells if not journal.of("scored", cell.id) and not lab.comes_along(cell)]
    if not left:
        return
    (logs := begun.folder / "logs").mkdir(exist_ok=True)
    quantizers = [matrix.parts.quantizers[name] for name in dict.fromkeys(cell.quantizer for cell in left)]
    terms = Terms(
        options=settled_options(quantizers, request.options),
        unavailable=dict(matrix.unavailable),
        calibration=request.calibration,
        seed=request.seed,
        limits=limits_of(request),
        logs=logs.resolve(),
        versions=there.digest_of_facts(),
    )
    try:
        data = kept.keep(matrix.data)
    except OSError as error:
        raise machine_error(f"{kept.folder()} cannot be written", error) from error
    tell(f"the cluster {cluster}")
    with contextlib.closing(Cluster(cluster, Errands(there.convert, there.facts))) as crew:
        make_there(lab, left, crew, data, terms, lambda done, of: tell(f"conversions on {cluster}, {done} of {of}"))


def boards_of(matrix: Plan, folder: Path, closed: contextlib.ExitStack) -> list[OnBoard]:
    """The boards that cells run on, each ours until it is let go."""
    found = [
        OnBoard(each.board, each.facts.cores, folder / "logs" / f"{name}.log") for name, each in matrix.boards.items()
    ]
    for board in found:
        closed.callback(board.close)
    return found


def scored_beats(data: Dataset, request: MatrixRequest) -> np.ndarray:
    """Indices of the test beats to score, in order."""
    count = PROFILES[request.preset].beats or len(data.test)
    return np.sort(stratified(data.test.y, count, request.seed))
