"""What a matrix is asked for, found and laid out in cells."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ecgedge import choose
from ecgedge.api.artifact import Artifact, file_name
from ecgedge.api.options import Value
from ecgedge.api.parts import Runtime
from ecgedge.commands.loading import data_of, limits_of, load_parts
from ecgedge.convert.opening import Opener, opener
from ecgedge.data.dataset import Dataset
from ecgedge.devices import boards
from ecgedge.devices.boards import Board
from ecgedge.errors import EcgEdgeError, counted
from ecgedge.files.notices import note, warn
from ecgedge.passes import check_names
from ecgedge.plan.options import check_used, chosen
from ecgedge.plan.plan import Cell, Filters, Skip, Source, plan, requested, source_of, takers
from ecgedge.plugins import Parts
from ecgedge.report.relative import references
from ecgedge.run import MatrixRequest, RunFolder, brought
from ecgedge.run.metrics import with_figures
from ecgedge.run.resume import asked_then
from ecgedge.run.row import Identity, Outcome, Row, Setup
from ecgedge.workers import availability
from ecgedge.workers.survey import Surveyed, survey

LATER = ("verdict", "portability")  # words that no row says of itself before it is measured


@dataclass(frozen=True)
class Plan:
    """A matrix that can be measured.

    Attributes:
        sources: the trained models and files, by the name that their rows bear.
        unavailable: (kind, name) of the parts that cannot work here, with the reason; a runtime that works on a board
            is none of them.
        boards: those that cells run on, by name.
        brought: files that cannot be made here and come from another run, by the names of their cells on this machine.
        answered: models that cannot run here, whose answers come from that run.
    """

    request: MatrixRequest
    parts: Parts
    data: Dataset
    sources: dict[str, Artifact]
    cells: list[Cell]
    skips: list[Skip]
    unavailable: availability.Reasons
    boards: dict[str, Surveyed] = field(default_factory=dict)
    brought: dict[str, Artifact] = field(default_factory=dict)
    answered: tuple[str, ...] = ()


def plan_matrix(asked: MatrixRequest | RunFolder, trust: bool = False) -> Plan:
    """Find the data, the models and the parts that are asked for, or were by a run, and lay them out in cells.

    Raises:
        EcgEdgeError: something that is asked for is not there; no cell is left; or no row could be chosen.
    """
    parts = load_parts()
    request = asked_then(asked.request, parts.models) if isinstance(asked, RunFolder) else asked
    check_names(request.passes or (), parts.passes)
    request = replace(request, options=options_asked(request, parts))
    named = named_boards(request)
    data = data_of(request)
    with opener(parts, limits_of(request), request.told, trust) as opened:
        is_of_models = request.models or not request.files
        sources = find_sources(request.models, data, opened) if is_of_models else {}
        sources |= find_files(request.files, list(sources), data, opened)
    files, answers = dict[str, Artifact](), set[str]()
    if request.brought:
        run = RunFolder.read(Path(request.brought))
        files, answers = brought.files_of(run, sources, trust), brought.answered(run, sources, data)
    cells, skips, reasons, surveyed = plan_cells(sources, parts, request, named, files, answers)
    lost = {name for name, source in sources.items() if ("model", source_of(source).part) in reasons}
    matrix = Plan(request, parts, data, sources, cells, skips, reasons, surveyed, brought.needed(cells, files, reasons),
                  tuple(sorted(lost & answers & {cell.model for cell in cells})))  # fmt: skip
    if matrix.brought:
        tell_brought(matrix)
    check_choice(matrix)
    return matrix


def tell_brought(matrix: Plan) -> None:
    """Say what comes from another run, and since which parts cannot work here."""
    lacking = [name for cell in matrix.cells for name in brought.lacking(cell, matrix.unavailable)]
    count = len({file.digest for file in matrix.brought.values()})
    files = counted(count, "file")
    answers = f", and what {' and '.join(matrix.answered)} answer{'s' * (len(matrix.answered) == 1)}"
    note(f"from {matrix.request.brought}: {files}{answers * bool(matrix.answered)}; "
         f"{', '.join(dict.fromkeys([*lacking, *matrix.answered]))} cannot work here")  # fmt: skip


def options_asked(request: MatrixRequest, parts: Parts) -> dict[str, Value]:
    """The options of parts that are asked for, each of its type. Raises EcgEdgeError as ``chosen``."""
    return chosen(request.options, parts.steps, parts.models.values())


def named_boards(request: MatrixRequest) -> list[Board]:
    """The boards that are asked for. Raises EcgEdgeError where there is none of such a name, or one is named twice."""
    devices = [*request.devices]
    if twice := next((name for name in devices if devices.count(name) > 1), None):
        raise EcgEdgeError(f"device {twice} is named twice", "name it once")
    return [boards.find(name) for name in devices if name != boards.HOST]


def plan_cells(
    sources: Mapping[str, Artifact | Source],
    parts: Parts,
    request: MatrixRequest,
    named_boards: Sequence[Board] = (),
    made: Container[str] = (),
    answered: Container[str] = (),
) -> tuple[list[Cell], list[Skip], availability.Reasons, dict[str, Surveyed]]:
    """The cells and skips that were asked for, device by device, what cannot work here, and the boards.

    Runtimes that none of them needs are not asked, since a library takes seconds to load.

    Args:
        made: names of cells, as this machine has them, whose files are at hand.
        answered: models whose answers are at hand.

    Raises:
        EcgEdgeError: as ``plan``; an option was chosen of a part that none of them has to do with; or a board cannot be
            reached.
    """
    named = {name: each if isinstance(each, Source) else source_of(each) for name, each in sources.items()}
    asked = (request.formats, request.quantizers, request.runtimes, request.exporters)
    given = (named, parts.exporters, parts.quantizers, parts.runtimes, Filters(*map(tuple, asked)))
    within = [*requested(*given)]
    exporting = [parts.exporters[name] for name in {name for cell in within for name in cell.route}]
    quantizing = [parts.quantizers[name] for name in {cell.quantizer for cell in within} if name]
    running = [runtime for source in named.values() for runtime in takers(source.format, parts.runtimes)]
    running += [parts.runtimes[name] for name in {cell.runtime for cell in within} if name]
    check_used(request.options, [*exporting, *quantizing, *running])
    asked_of = dict.fromkeys(cell.runtime for cell in within)
    is_here = not named_boards or boards.HOST in request.devices
    reasons = availability.unavailable(parts, asked_of if is_here else ())
    passes = None if request.passes is None else tuple(request.passes)
    cells, skips = plan(*given, reasons, request.threads, passes, made, answered) if is_here else ([], [])
    found = {board.name: survey(board, parts, asked_of) for board in named_boards}
    for name, board in found.items():
        there = {key: reason for key, reason in reasons.items() if key[0] != "runtime"} | board.reasons
        more, left = plan(*given, there, request.threads, passes, made, answered)
        cells += [replace(cell, board=name) for cell in more]
        skips += [replace(skip, board=name) for skip in left]
    working = {("runtime", cell.runtime) for cell in cells}
    return cells, skips, {key: reason for key, reason in reasons.items() if key not in working}, found


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


def check_choice(matrix: Plan) -> None:
    """Raise EcgEdgeError where no row of these cells could be chosen, or be the reference of times: before they are
    measured, not after."""
    request = matrix.request
    runtimes = {cell.runtime for cell in matrix.cells} or matrix.parts.runtimes.keys()
    metrics = with_figures([figure for name in runtimes for figure in matrix.parts.runtimes[name].figures])
    required = [choose.parse_requirement(text, metrics) for text in request.requirements]
    metric, there = choose.parse_optimize(request.optimize, metrics) if request.optimize is not None else (None, None)
    required += [there] if there else []
    if not matrix.cells or not (request.wants_choice or request.relative_to is not None):
        return
    planned = [
        planned_row(cell, matrix.sources[cell.model].task.judged_as, matrix.parts.runtimes[cell.runtime],
                    matrix.boards[cell.board].board.emulated if cell.board else None)
        for cell in matrix.cells
    ]  # fmt: skip
    if request.relative_to is not None:
        references(planned, request.relative_to)
    if not request.wants_choice:
        return
    words = [each for each in required if isinstance(each, choose.Wanted)]
    if not request.portability and (asked := next((each for each in words if each.field == "portability"), None)):
        raise EcgEdgeError(f"no row can meet {asked.text}: no file is tried with other kernels", "add --portability")
    known = [each for each in required if each not in words or each.field not in LATER]
    choose.settle(planned, known, metric)


def planned_row(cell: Cell, task: str, runtime: Runtime, emulated: str | None = None) -> Row:
    """What is known of the row of a cell before it is measured."""
    return Row(
        identity=Identity(id=cell.id, model=cell.model, task=task, format=cell.format, precision=cell.precision,
                          runtime=cell.runtime, board=cell.board),
        outcome=Outcome(status="ok"),
        setup=Setup(device=runtime.device, route=[*cell.route], quantizer=cell.quantizer, threads=cell.threads, batch=1,
                    emulated=emulated or runtime.emulated),
    )  # fmt: skip
