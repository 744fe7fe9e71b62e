"""``ecgedge matrix``."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecgedge.cli import boundary, common, rendering, run_folder, tracked
from ecgedge.cli.options import (
    NORMALIZE,
    batch_sizes_option,
    calibration_option,
    chosen_passes,
    cuda_graph_option,
    dataset_option,
    file_options,
    limit_options,
    limits_of,
    mlflow_option,
    opset_option,
    options_of,
    passes_options,
    quantizer_options,
    seed_option,
    threads_option,
    told_columns,
    told_files,
    trusted,
)
from ecgedge.errors import EcgEdgeError, MachineError
from ecgedge.report import FORMATS, Report

if TYPE_CHECKING:  # numpy and the core are imported when a command runs, so that --help is quick
    import numpy as np

    from ecgedge.api.artifact import Artifact
    from ecgedge.convert.opening import Opener
    from ecgedge.data.dataset import Dataset
    from ecgedge.plan.plan import Cell, Skip
    from ecgedge.plugins import Parts
    from ecgedge.run import MatrixRequest
    from ecgedge.run.row import Row

log = logging.getLogger(__name__)

ALIKE = (  # options that are named as what they ask for
    "models", "files", "exporters", "quantizers", "runtimes", "seed", "threads", "calibration", "batch_sizes",
    "timeout", "memory", "requirements", "optimize",
)  # fmt: skip


@click.command()
@dataset_option
@click.option(
    "--model", "models", multiple=True, metavar="NAME|FOLDER", help="A model or checkpoint. Default: all models."
)
@click.option("--artifact", "files", multiple=True, metavar="FILE", help="Also, or only, a file made elsewhere.")
@file_options
@click.option("--exporter", "exporters", multiple=True, metavar="NAME", help="Routes through these only.")
@click.option("--format", "formats", multiple=True, metavar="NAME",
              help=f"Of the files: torch, onnx, tflite, ...; or of what is printed: {', '.join(FORMATS)}.")  # fmt: skip
@click.option("--quantizer", "quantizers", multiple=True, metavar="NAME", help="A precision, or one quantizer.")
@click.option("--runtime", "runtimes", multiple=True, metavar="NAME", help="torch, cpu, cuda, tflite, ...")
@click.option("--profile", type=click.Choice(["quick", "full"]), default="full", show_default=True,
              help="quick: 500 test beats and few timed calls; full: all beats.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run. Default: runs/DATE-TIME.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN",
              help="Go on with an interrupted run, as asked then; only --mlflow and --trust go with it.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="List cells and skips, do nothing.")
@limit_options
@rendering.choice_options
@batch_sizes_option
@threads_option
@calibration_option
@opset_option
@quantizer_options
@passes_options
@cuda_graph_option
@seed_option
@mlflow_option("mlflow")
@click.pass_context
def matrix(ctx: click.Context, out: Path | None, resume: Path | None, dry_run: bool, **asked: Any) -> None:
    """Measure every combination of model, format, precision and runtime.

    \b
    ecgedge matrix --profile quick
    ecgedge matrix --model tcn --model vgg --quantizer full-int8 --out runs/int8
    ecgedge matrix --artifact theirs.onnx --model tcn
    ecgedge matrix --model tcn --no-optimize
    ecgedge matrix --require "accuracy>=0.93" --require "size<=200KB" --optimize latency_p50
    ecgedge matrix --mlflow http://localhost:5000
    ecgedge matrix --resume runs/int8
    """
    from ecgedge.convert import opening
    from ecgedge.convert.lab import open_lab
    from ecgedge.measure import machine
    from ecgedge.run.journal import Journal
    from ecgedge.run.matrix import measure_cells
    from ecgedge.tracking import connect
    from ecgedge.tracking.matrix import EXPERIMENT
    from ecgedge.workers import availability

    resume = resume and resume.resolve()
    known = run_folder.take_up(ctx, resume) if resume else None
    uri = run_folder.mlflow_uri(known.request, asked["mlflow"]) if known else asked["mlflow"]
    if uri and not dry_run:
        connect(uri, EXPERIMENT)
    parts = common.load_parts()
    request = run_folder.asked_then(known.request, parts) if known else request_of(ctx, asked)
    data = common.load_data(request.data)
    limits = limits_of(request.timeout, request.memory)
    with opening.opener(parts, limits, request.told, trusted()) as opener:
        is_of_models = request.models or not request.files
        sources = find_sources(request.models, data, opener) if is_of_models else {}
        sources |= find_files(request.files, list(sources), data, opener)
    reasons = availability.unavailable(parts)
    cells, skips = plan_cells(sources, parts, request, reasons)
    rendering.check_choice(cells, sources, parts, request)
    if dry_run:
        list_plan(cells, skips, data)
        return
    energy = machine.EnergyCounter.find()
    run = run_folder.describe_run(request, data, sources, cells, skips, energy, availability.used(cells, parts))
    folder = resume or run_folder.new_folder(out)
    if known:
        run_folder.check_same(known.about, run, folder)
        run = known.about
    with run_folder.writing(folder, uri):
        journal = Journal(folder)
        with run_folder.beginning(folder):
            lab = open_lab(parts, data, sources, folder, scored_beats(data, request.preset, request.seed),
                                  calibration=request.calibration, seed=request.seed, options=request.options,
                                  unavailable=reasons, seconds=limits.seconds, memory=limits.memory,
                                  batch_sizes=request.batch_sizes)  # fmt: skip
            if not known:
                run_folder.write_run(folder, run, lab)
        interrupted, stopped, saved_models = False, None, {}
        try:
            with run_folder.writing(folder, uri):
                lab.sources = {
                    name: opening.with_threshold(
                        source, data, lambda given, _: lab.outputs_of(given, "train"), common.aside
                    )
                    for name, source in sources.items()
                }
                journal.append("start", time=time.strftime("%Y-%m-%dT%H:%M:%S%z"), load=machine.load())
                measure_cells(cells, skips, lab, journal, request.preset, energy, common.progress_line(2 * len(cells)))
            saved_models = tracked.saved_models(cells, journal.records, lab) if uri else {}
        except KeyboardInterrupt:
            interrupted = True
        except MachineError as error:
            stopped = error
        finally:
            lab.close()
            journal.close()
    if interrupted or stopped:
        with contextlib.suppress(Exception):  # what is done is told as far as it can be
            publish(journal.records, run, folder, list(sources), None, request.printed, quiet=True)
        if stopped:
            raise stopped
        common.say(f"interrupted; go on with: {run_folder.resume_command(folder, uri)}", err=True)
        ctx.exit(boundary.INTERRUPTED)
    told = publish(journal.records, run, folder, list(sources), request, request.printed)
    if uri:
        tracked.send(uri, run, told.rows, journal.records, folder, saved_models)
    if not cells:
        common.warn("no cell could run here")
    if bad := [row for row in told.rows if row.status not in ("ok", "skipped")]:
        common.say(f"{len(bad)} of {len(cells)} cells did not work; logs in {folder / 'logs'}", err=True)
    if bad or rendering.nothing_qualifies(told):
        ctx.exit(1)


def request_of(ctx: click.Context, asked: Mapping[str, Any]) -> MatrixRequest:
    """What the options ask for."""
    from ecgedge.run import MatrixRequest

    columns = told_columns()
    return MatrixRequest(
        data=asked["dataset"],
        normalize=bool(ctx.meta.get(NORMALIZE)),
        label_column=columns.label,
        ignore_columns=columns.ignore,
        told=told_files(),
        formats=tuple(name for name in asked["formats"] if name not in FORMATS),
        preset=asked["profile"],
        passes=chosen_passes(asked["passes"], asked["no_optimize"]),
        options=options_of(asked),
        printed=rendering.printed_format(asked["formats"]),
        sent=asked["mlflow"] is not None,
        **{name: asked[name] for name in ALIKE},
    )


def plan_cells(
    sources: dict[str, Artifact], parts: Parts, request: MatrixRequest, unavailable: Mapping[tuple[str, str], str]
) -> tuple[list[Cell], list[Skip]]:
    """The cells and skips that were asked for."""
    from ecgedge.plan.plan import Filters, plan, source_of

    named = {name: source_of(source) for name, source in sources.items()}
    asked = (request.formats, request.quantizers, request.runtimes, request.exporters)
    filters = Filters(*map(tuple, asked))
    return plan(named, parts.exporters, parts.quantizers, parts.runtimes, filters, unavailable, request.threads,
                None if request.passes is None else tuple(request.passes))  # fmt: skip


def find_sources(models: Sequence[str], data: Dataset, opener: Opener) -> dict[str, Artifact]:
    """The trained models by the name of their rows; without a choice, all that have weights and fit the data."""
    from ecgedge.api.artifact import file_name

    sources: dict[str, Artifact] = {}
    for name in models:
        label = name if name in opener.parts.models else file_name(Path(name).resolve().name)
        if label in sources:
            raise EcgEdgeError(f"two models would both be called {label!r}", "rename a checkpoint's folder")
        sources[label] = opener.fit_to_data(opener.find_model(name), data)
    if models:
        return sources
    misfits: list[EcgEdgeError] = []
    for name, part in opener.parts.models.items():
        if part.pretrained():
            found = opener.find_model(name)
            try:
                sources[name] = opener.fit_to_data(found, data)
            except EcgEdgeError as error:
                misfits.append(error)
    if not sources:
        raise misfits[0] if misfits else EcgEdgeError("no model has trained weights", "ecgedge train MODEL")
    for misfit in misfits:
        common.warn(f"{misfit.message}; left out")
    return sources


def find_files(files: Sequence[str], taken: list[str], data: Dataset, opener: Opener) -> dict[str, Artifact]:
    """Files made elsewhere, by the name of their rows: that of the file. One that hangs or dies fails in its cells."""
    from ecgedge.api.artifact import file_name

    sources: dict[str, Artifact] = {}
    for file in files:
        label = file_name(Path(file).name)
        if label in (*taken, *sources):
            raise EcgEdgeError(f"two rows would both be called {label!r}", "rename a file")
        artifact = opener.find_artifact(file, alone=len(files) == 1, must_run=False)
        sources[label] = opener.fit_to_data(artifact, data)
    return sources


def list_plan(cells: list[Cell], skips: list[Skip], data: Dataset) -> None:
    for cell in cells:
        route = " -> ".join([cell.model, *cell.route, cell.quantizer])
        common.say(f"cell  {route}  =>  {cell.format} {cell.precision} on {cell.runtime}")
    for skip in skips:
        common.say(f"skip  {skip.model}  {skip.format} on {skip.runtime}: {skip.reason}")
    common.say(f"{len(cells)} cells, {len(skips)} skips; data: {data.describe()}")


def scored_beats(data: Dataset, profile: str, seed: int) -> np.ndarray:
    """Indices of the test beats to score, in order."""
    import numpy as np

    from ecgedge.data.dataset import stratified
    from ecgedge.measure.bench import PROFILES

    count = PROFILES[profile].beats or len(data.test)
    return np.sort(stratified(data.test.y, count, seed))


def in_order(rows: list[Row], models: list[str]) -> list[Row]:
    """Model by model, what was skipped last."""
    return sorted(rows, key=lambda row: (models.index(row.model), row.status == "skipped"))


def publish(
    records: list[dict[str, Any]],
    run: dict[str, Any],
    folder: Path,
    models: list[str],
    request: MatrixRequest | None,
    printed: str,
    quiet: bool = False,
) -> Report:
    """Write rows and reports, make the choice where the request asks for one, and print all of it.

    What cannot be written costs a warning, unless ``quiet``, and nothing else.

    Raises:
        EcgEdgeError: the choice cannot be made; everything else is written and printed.
    """
    from ecgedge.report import files, render
    from ecgedge.run.rows import noise_of, rows_of

    rows = in_order(rows_of(records, run["rounds"], folder), models)
    told = rendering.make_report(folder, run, rows, noise_of(records, run["rounds"], folder))
    results = [attempt(folder / name, partial(make, told)) for name, make in files.TEXTS.items()]
    failure = None
    try:
        if request and rendering.choice_asked(request):
            told = rendering.with_choice(told, request.requirements, request.optimize)
    except EcgEdgeError as error:
        failure = error
    results.append(attempt(folder / "report.html", partial(render, told, "html")))
    written = [path.name for path, reason in results if not reason]
    lost = {path.name: reason for path, reason in results if reason}
    if lost and not quiet:
        again = run_folder.resume_command(folder)
        told_lost = "; ".join(f"{name}: {reason}" for name, reason in lost.items())
        common.warn(f"not written: {told_lost} (the run is whole, and to write it again: {again})")
    click.echo(render(told, printed).rstrip("\n"))
    click.echo(err=printed != "table")
    common.say(f"run: {folder} ({', '.join(written)})", err=printed != "table")
    if failure:
        raise failure
    return told


def attempt(path: Path, make: Callable[[], str]) -> tuple[Path, str]:
    """Write what ``make`` returns; why that cannot be done, else empty. A report never costs a run."""
    from ecgedge.plugins import one_line
    from ecgedge.report import files

    try:
        files.write(path, make())
    except Exception as error:  # of the disk, or of the report's own code
        log.info("%s was not written", path, exc_info=error)
        return path, (isinstance(error, OSError) and error.strerror) or one_line(error)
    return path, ""
