"""``ecgedge sweep``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ecgedge.cli import boundary, common, rendering
from ecgedge.cli.options import (
    NORMALIZE,
    FiniteRange,
    asked_of_columns,
    calibration_option,
    chosen_passes,
    column_options,
    form_options,
    limit_options,
    normalize_option,
    opset_option,
    options_of,
    part_option,
    passes_options,
    quantizer_options,
    recipe_options,
)
from ecgedge.errors import EcgEdgeError, MachineError, counted
from ecgedge.report import FORMATS

if TYPE_CHECKING:  # numpy and the core are imported when a command runs, so that --help is quick
    from ecgedge.commands.sweep import SweepPlan
    from ecgedge.report.swept import SweepReport
    from ecgedge.sweep.request import SweepRequest

ALIKE = ("models", "exporters", "quantizers", "runtimes", "calibration", "timeout", "memory")
SAID_ANEW = ("resume", "cluster", "jobs", "printed")  # by whoever resumes


@click.command()
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    metavar="ecg5000|synthetic|PATH",
    help="Train and score on this folder, file or zip. May be given again. Default: as matrix finds one.",
)
@normalize_option
@column_options
@click.option(
    "--seed",
    "seeds",
    type=click.IntRange(0, 2**31),
    multiple=True,
    metavar="N",
    help="Train once with this seed of all that is drawn at random. May be given again. Default: 0, 1 and 2.",
)
@click.option("--model", "models", multiple=True, metavar="NAME", help="Train this model. Default: all that can be.")
@form_options
@rendering.output_option(list(FORMATS), files=True)
@click.option("--profile", type=click.Choice(["quick", "full"]), default="full", show_default=True,
              help="Score 500 test beats (quick), or all (full).")  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the sweep into this folder. Default: runs/sweep-DATE-TIME."
)
@click.option("--resume", type=click.Path(path_type=Path), metavar="SWEEP",
              help="Go on with this interrupted sweep, as it was asked for then. Of the other options it takes only "
                   "--cluster and --jobs.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="List data sets, cells and skips, do nothing.")
@click.option("--cluster", metavar="tcp://HOST:PORT|local:N",
              help="Hand the work to Dask: a scheduler, which is trusted, or N workers on this machine.")  # fmt: skip
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Do so many trainings at a time, without a cluster. Default: one a core.",
)
@click.option("--training-timeout", type=FiniteRange(min=0, min_open=True), default=3600, show_default=True,
              metavar="SECONDS", help="End a training after so long.")  # fmt: skip
@limit_options
@calibration_option
@opset_option
@quantizer_options
@passes_options
@part_option
@recipe_options
@click.pass_context
def sweep(ctx: click.Context, out: Path | None, resume: Path | None, dry_run: bool, cluster: str | None,
          jobs: int | None, **asked: Any) -> None:  # fmt: skip
    """Train models on several data sets with several seeds, convert and score them, and compare the forms.

    One table: the mean of each form over seeds and data sets, its spread, and its rank. Nothing is timed.

    \b
    ecgedge sweep --dataset a.csv --dataset b.csv --model tcn --model vgg
    ecgedge sweep --dataset a.csv --seed 0 --seed 1 --quantizer full-int8 --out runs/int8
    ecgedge sweep --dataset a.csv --cluster local:2
    ecgedge sweep --resume runs/int8
    """
    from ecgedge.cluster.dask import workers_of
    from ecgedge.commands import sweep as work

    if cluster and jobs:
        raise EcgEdgeError("--jobs is of this machine's own processes, --cluster has workers", "leave one of them out")
    if cluster:
        workers_of(cluster)
    known = None
    if resume:
        refuse_others(ctx)
        request, about = work.take_up(resume.resolve())
        known = resume.resolve(), about
    else:
        request = request_of(ctx, asked)
    plan = work.plan_sweep(request, keep=not dry_run)
    if dry_run:
        list_plan(plan)
        return
    begun = work.begin(plan, out, known, shlex.join(["ecgedge", *sys.argv[1:]]))
    printed = request.matrix.printed
    try:
        tell = common.progress_line(plan.total)
        report = work.carry_out_sweep(begun, cluster, jobs, lambda done, what: tell(max(done - 1, 0), what))
    except (KeyboardInterrupt, MachineError) as error:
        show(work.publish(begun.folder), printed)
        if isinstance(error, MachineError):
            raise
        common.say(f"interrupted; go on with: {work.resume_sweep(begun.folder, cluster)}", err=True)
        ctx.exit(boundary.INTERRUPTED)
    show(report, printed)
    bad = sum(count for status, count in report.summary.counts().items() if status != "ok")
    if bad:
        common.say(f"{bad:,} of {plan.total:,} cells did not work; logs in {begun.folder / work.LOGS}", err=True)
        ctx.exit(1)


def refuse_others(ctx: click.Context) -> None:
    """Raise EcgEdgeError where an option goes with ``--resume`` that the sweep has an answer to."""
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if parameter.name not in SAID_ANEW and source is not ParameterSource.DEFAULT:
            told = f"--resume goes on with what was asked for then, so {parameter.opts[0]} has no place"
            raise EcgEdgeError(told, "leave it out")


def request_of(ctx: click.Context, asked: Mapping[str, Any]) -> SweepRequest:
    """What the options ask for."""
    from ecgedge.api.training import Recipe
    from ecgedge.run import MatrixRequest
    from ecgedge.sweep.request import SEEDS, SweepRequest

    matrix = MatrixRequest(
        normalize=bool(ctx.meta.get(NORMALIZE)),
        **asked_of_columns(),
        formats=rendering.formats_of_files(asked["formats"]),
        preset=asked["profile"],
        passes=chosen_passes(asked["passes"], asked["no_optimize"]),
        options=options_of(asked),
        printed=asked["printed"],
        **{name: asked[name] for name in ALIKE},
    )
    recipe = {name: asked[name] for name in vars(Recipe()) if asked.get(name) is not None}
    return SweepRequest(matrix, asked["datasets"], asked["seeds"] or SEEDS, recipe, asked["training_timeout"])


def list_plan(plan: SweepPlan) -> None:
    for cell in plan.cells:
        route = " -> ".join([cell.model, *cell.route, cell.quantizer])
        common.say(f"cell  {route}  =>  {cell.format} {cell.precision} on {cell.runtime}")
    for skip in plan.skips:
        common.say(f"skip  {skip.model}  {skip.format} on {skip.runtime}: {skip.reason}")
    for data in plan.data.values():
        common.say(f"data  {data.told}")
    seeds = len(plan.request.seeds)
    factors = (counted(len(plan.cells), "cell"), counted(len(plan.data), "data set"), counted(seeds, "seed"))
    common.say(f"{' x '.join(factors)} = {counted(plan.total, 'cell')}, {counted(plan.trainings, 'training')}")


def show(report: SweepReport, printed: str) -> None:
    """Print a sweep in the form that was asked for, and where it is."""
    from ecgedge.report.sweep import FILES
    from ecgedge.report.sweep import FORMATS as FORMS

    click.echo(FORMS[printed](report).rstrip("\n"))
    click.echo(err=printed != "table")
    common.say(f"sweep: {report.folder} ({', '.join(FILES)})", err=printed != "table")
