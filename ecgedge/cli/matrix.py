"""``ecgedge matrix``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ecgedge.cli import boundary, common, rendering
from ecgedge.cli.beginning import announcing, row_lines
from ecgedge.cli.closing import conclude
from ecgedge.cli.grouped import Grouped
from ecgedge.cli.options import (
    NORMALIZE,
    asked_of_columns,
    batch_sizes_option,
    calibration_option,
    chosen_passes,
    cuda_graph_option,
    dataset_option,
    file_options,
    form_options,
    limit_options,
    mlflow_option,
    opset_option,
    options_of,
    part_option,
    passes_options,
    quantizer_options,
    seed_option,
    threads_option,
    told_files,
    trusted,
)
from ecgedge.errors import EcgEdgeError, MachineError, counted
from ecgedge.report import FORMATS

if TYPE_CHECKING:  # numpy and the core are imported when a command runs, so that --help is quick
    from ecgedge.commands.planning import Plan
    from ecgedge.commands.publishing import Published
    from ecgedge.run import MatrixRequest

ALIKE = (  # options that are named as what they ask for
    "models", "files", "exporters", "quantizers", "runtimes", "devices", "seed", "threads", "calibration",
    "batch_sizes", "timeout", "memory", "portability", "requirements", "optimize", "relative_to",
)  # fmt: skip
SAID_ANEW = ("resume", "mlflow", "trust", "cluster")  # what whoever resumes says for himself, and no run for him
OTHERWISE = (  # what whoever measures a run again may ask for otherwise
    "again", "mlflow", "trust", "cluster", "dry_run", "out", "dataset", "files", "devices", "requirements",
    "optimize", "relative_to", "printed",
)  # fmt: skip


GROUPS = {
    "What is measured": (
        "models", "files", "dataset", "normalize", "label_column", "ignore_column", "group", "leads", "layout",
        "label_file", "class_names",
    ),
    "In which forms, and where": ("formats", "quantizers", "runtimes", "devices", "exporters"),
    "How long, and what is made of it": (
        "profile", "portability", "requirements", "optimize", "relative_to", "printed", "out", "resume",
        "again", "dry_run", "mlflow",
    ),
    "How forms are made": (
        "calibration", "max_drop", "reduce_range", "opset", "passes", "no_optimize", "chosen", "seed", "cluster",
    ),
    "How they are run": ("threads", "batch_sizes", "cuda_graph", "timeout", "memory"),
    "What a file made elsewhere does not tell": (
        "task", "normal", "window", "output", "input_scale", "input_zero_point", "trust",
    ),
}  # fmt: skip


def rightly(word: str) -> str:
    """What to do with an argument."""
    option = "--artifact" if Path(word).suffix and not Path(word).is_dir() else "--model"
    return shlex.join(["ecgedge", "matrix", option, word])


@click.command(cls=Grouped, groups=GROUPS, instead=rightly)
@dataset_option
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME|FOLDER",
    help="Measure this model or checkpoint. Default: all models, or none where --artifact is given.",
)
@click.option("--artifact", "files", multiple=True, metavar="FILE",
              help="Measure this file, made elsewhere: alone, or beside the models that --model names.")  # fmt: skip
@file_options
@form_options
@rendering.output_option(list(FORMATS), files=True)
@click.option("--device", "devices", multiple=True, metavar="NAME",
              help="Measure on this board (ecgedge board ls), or on host, this machine. Default: host.")  # fmt: skip
@click.option("--profile", type=click.Choice(["quick", "full"]), default="full", show_default=True,
              help="Measure on 500 test beats with few timed calls (quick), or on all beats (full).")  # fmt: skip
@click.option("--portability", is_flag=True,
              help="Once all is timed, say of each ONNX and TFLite file whether it answers alike with other "
                   "kernels, and on other processors.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Write the run into this folder. Default: runs/DATE-TIME.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN",
              help="Go on with this interrupted run, as it was asked for then. Of the other options it takes only "
                   "--mlflow, --trust and --cluster.")  # fmt: skip
@click.option("--again", type=click.Path(path_type=Path), metavar="RUN",
              help="Measure anew what this run was asked for, here or on --device, under the same names; a file that "
                   "is not here is taken from its folder. --dataset and --artifact say where they are.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="List cells and skips, do nothing.")
@click.option("--cluster", metavar="tcp://HOST:PORT|local:N",
              help="Convert on Dask: a scheduler, which is trusted, or N workers on this machine.")  # fmt: skip
@limit_options
@rendering.choice_options
@rendering.relative_option
@batch_sizes_option
@threads_option
@calibration_option
@opset_option
@quantizer_options
@passes_options
@cuda_graph_option
@part_option
@seed_option
@mlflow_option("mlflow")
@click.pass_context
def matrix(ctx: click.Context, out: Path | None, resume: Path | None, again: Path | None, dry_run: bool,
           cluster: str | None, **asked: Any) -> None:  # fmt: skip
    """Measure every combination of model, format, precision and runtime.

    \b
    ecgedge matrix --profile quick
    ecgedge matrix --model tcn --model vgg --quantizer full-int8 --out runs/int8
    ecgedge matrix --artifact theirs.onnx --model tcn
    ecgedge matrix --model tcn --no-optimize
    ecgedge matrix --device host --device pi4
    ecgedge matrix --portability --require portable
    ecgedge matrix --require "accuracy>=0.93" --require "size<=200KB" --optimize latency_p50
    ecgedge matrix --mlflow http://localhost:5000
    ecgedge matrix --resume runs/int8
    ecgedge matrix --again runs/int8 --out runs/pi    # there: the same rows
    """
    from ecgedge.cluster.dask import workers_of
    from ecgedge.commands import matrix as work
    from ecgedge.commands import tracked
    from ecgedge.commands.again import tell_otherwise
    from ecgedge.commands.planning import plan_matrix
    from ecgedge.commands.publishing import publish, publish_if_begun
    from ecgedge.commands.run import nothing_qualifies, resume_command
    from ecgedge.run.measuring import STEPS
    from ecgedge.tracking import connect
    from ecgedge.tracking.matrix import EXPERIMENT

    if cluster:
        workers_of(cluster)
    known = None
    if resume and again:
        raise EcgEdgeError("--resume goes on with a run, and --again measures one anew", "leave one of them out")
    if resume:
        refuse_others(ctx, SAID_ANEW, "--resume goes on with what was asked for then")
        known = work.take_up(resume.resolve(), trusted())
    uri = work.mlflow_uri(known.request, asked["mlflow"]) if known else asked["mlflow"]
    if uri and not dry_run:
        connect(uri, EXPERIMENT)
    asking = request_again(ctx, again, asked) if again else None
    plan = plan_matrix(known or asking or request_of(ctx, asked), trusted())
    if again:
        tell_otherwise(again.resolve(), plan)
    if dry_run:
        list_plan(plan)
        return
    begun = work.begin(plan, out, known, shlex.join(["ecgedge", *sys.argv[1:]]))
    folder, printed, tell = begun.folder, plan.request.printed, common.progress_line(STEPS * len(plan.cells))
    if not known:
        tell = announcing(tell, plan, ctx.get_parameter_source("profile") is ParameterSource.DEFAULT)
    try:
        models = work.measure(begun, lambda done, _, text: tell(done, text), trusted(), uri, cluster, row_lines())
    except (KeyboardInterrupt, MachineError) as error:
        if told := publish_if_begun(folder):
            show(told, printed)
        if isinstance(error, MachineError) or not told:
            raise
        common.say(f"interrupted; go on with: {resume_command(folder, uri, trusted(), cluster)}", err=True)
        ctx.exit(boundary.INTERRUPTED)
    told = publish(folder, plan.request)
    for text in told.warnings(trusted()):
        common.warn(text)
    show(told, printed)
    if not told.failure:
        conclude(told.run, printed)
    if uri:
        tracked.send(uri, told.run, told.kept.records, models, resume_command(folder, uri, trusted()))
    if told.failure:
        raise told.failure
    if bad := told.run.broken:
        common.say(f"{len(bad)} of {len(plan.cells)} cells did not work; logs in {folder / 'logs'}", err=True)
    if bad or nothing_qualifies(told.run.told):
        ctx.exit(1)


def request_again(ctx: click.Context, run: Path, asked: Mapping[str, Any]) -> MatrixRequest:
    """What a run was asked for, with what is said otherwise here."""
    from ecgedge.commands.again import asked_again

    refuse_others(ctx, OTHERWISE, "--again measures what was asked for then")
    names = {"dataset": "data", **{name: name for name in OTHERWISE if name in ALIKE}, "printed": "printed"}
    said = {
        field: asked[name]
        for name, field in names.items()
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    return asked_again(run.resolve(), said)


def refuse_others(ctx: click.Context, allowed: Sequence[str], what: str) -> None:
    """Raise EcgEdgeError where an option goes with ``--resume`` or ``--again`` that the run has an answer to."""
    given = [
        parameter.opts[0]
        for parameter in ctx.command.params
        if parameter.name not in allowed
        and ctx.get_parameter_source(parameter.name or "") is not ParameterSource.DEFAULT
    ]
    if given:
        raise EcgEdgeError(f"{what}, so {given[0]} has no place", "leave it out")


def request_of(ctx: click.Context, asked: Mapping[str, Any]) -> MatrixRequest:
    """What the options ask for."""
    from ecgedge.run import MatrixRequest

    return MatrixRequest(
        data=asked["dataset"],
        normalize=bool(ctx.meta.get(NORMALIZE)),
        **asked_of_columns(),
        told=told_files(),
        formats=rendering.formats_of_files(asked["formats"]),
        preset=asked["profile"],
        passes=chosen_passes(asked["passes"], asked["no_optimize"]),
        options=options_of(asked),
        printed=asked["printed"],
        sent=asked["mlflow"] is not None,
        **{name: asked[name] for name in ALIKE},
    )


def list_plan(plan: Plan) -> None:
    for cell in plan.cells:
        route = " -> ".join([cell.model, *cell.route, cell.quantizer])
        place = f", {cell.board}" if cell.board else ""
        common.say(f"cell  {route}  =>  {cell.format} {cell.precision} on {cell.runtime}{place}")
    for skip in plan.skips:
        place = f", {skip.board}" if skip.board else ""
        common.say(f"skip  {skip.model}  {skip.format} on {skip.runtime}{place}: {skip.reason}")
    common.say(f"{counted(len(plan.cells), 'cell')}, {counted(len(plan.skips), 'skip')}; data: {plan.data.describe()}")


def show(told: Published, printed: str) -> None:
    """Print a run in the form that was asked for, and where it is; programs get the choice with it."""
    from ecgedge.commands.of_run import choices_of
    from ecgedge.report import render

    report = rendering.told_as_asked(told.run.told)
    if printed == "json" and not told.failure:
        report = replace(report, choices=choices_of(told.run))
    click.echo(render(report, printed).rstrip("\n"))
    click.echo(err=printed != "table")
    common.say(f"run: {told.run.folder} ({', '.join(told.written)})", err=printed != "table")
