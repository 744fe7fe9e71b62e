"""What commands that tell of a run share: its folder read, the choice, the formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecgedge.errors import EcgEdgeError
from ecgedge.report import FORMATS, Report

if TYPE_CHECKING:
    from ecgedge.api.artifact import Artifact
    from ecgedge.plan.plan import Cell
    from ecgedge.plugins import Parts
    from ecgedge.run import MatrixRequest
    from ecgedge.run.row import Row
    from ecgedge.run.rows import Noise

format_option = click.option(
    "--format", type=click.Choice(list(FORMATS)), default="table", show_default=True, help="Of what is printed."
)


def printed_format(formats: Sequence[str]) -> str:
    """The one of ``--format`` that says how to print; the others say which files are wanted."""
    told = [name for name in formats if name in FORMATS]
    if len(told) > 1:
        raise EcgEdgeError(f"--format names two ways to print: {' and '.join(told)}", "leave one of them out")
    return told[0] if told else "table"


def check_requirements(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """The expressions as they are, once they have been understood."""
    from ecgedge.choose import parse_requirement

    for text in texts:
        parse_requirement(text)
    return texts


def check_metric(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    from ecgedge.choose import find_metric

    return name and find_metric(name).name


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--require`` and ``--optimize``; ``with_choice`` does what they ask for."""
    required = click.option(
        "--require", "requirements", multiple=True, metavar="EXPR", callback=check_requirements,
        help='Of a row, such as "accuracy>=0.94", "size<=200KB" or "format==tflite".',
    )  # fmt: skip
    optimized = click.option(
        "--optimize", metavar="METRIC", callback=check_metric,
        help="Name the best row in this: latency_p50, size, accuracy, ... Else: the Pareto front.",
    )  # fmt: skip
    return required(optimized(command))


def check_choice(cells: list[Cell], sources: dict[str, Artifact], parts: Parts, request: MatrixRequest) -> None:
    """Raise EcgEdgeError where no row of these cells could be chosen: before they are measured, not after."""
    from ecgedge import choose

    if not cells or not choice_asked(request):
        return
    planned = [planned_row(cell, sources[cell.model], parts.runtimes[cell.runtime].device) for cell in cells]
    required = [choose.parse_requirement(text) for text in request.requirements]
    known = [each for each in required if not (isinstance(each, choose.Wanted) and each.field == "verdict")]
    choose.settle(planned, known, choose.find_metric(request.optimize) if request.optimize else None)


def planned_row(cell: Cell, source: Artifact, device: str) -> Row:
    """What is known of the row of a cell before it is measured."""
    from ecgedge.run.row import Identity, Outcome, Row, Setup

    identity = Identity(
        id=cell.id,
        model=cell.model,
        task=source.task.kind,
        format=cell.format,
        precision=cell.precision,
        runtime=cell.runtime,
    )
    setup = Setup(device=device, route=[*cell.route], quantizer=cell.quantizer, threads=cell.threads, batch=1)
    return Row(identity=identity, outcome=Outcome(status="ok"), setup=setup)


def choice_asked(request: MatrixRequest) -> bool:
    """Whether a choice is wanted."""
    return bool(request.requirements or request.optimize)


def read_report(folder: Path) -> Report:
    """The report of a run that lies in a folder; warns where the run is not finished.

    Raises:
        EcgEdgeError: there is no run, or it has no rows yet.
    """
    from ecgedge.cli import common
    from ecgedge.cli.run_folder import resume_command
    from ecgedge.run import RunFolder
    from ecgedge.run.rows import noise_of

    run = RunFolder.read(folder)
    hint = f"finish it: {resume_command(folder)}"
    try:
        rows = run.rows()
    except FileNotFoundError:
        raise EcgEdgeError(f"{folder} has no rows yet", hint) from None
    done, planned = sum(row.status != "skipped" for row in rows), len(run.about["cells"])
    if done < planned:
        common.warn(f"{folder} is not finished: {done} of {planned} cells have a row ({hint})")
    return make_report(folder, run.about, rows, noise_of(run.with_samples(), run.about["rounds"], folder))


def make_report(folder: Path, run: Mapping[str, Any], rows: Sequence[Row], noise: Mapping[str, Noise]) -> Report:
    """A report whose best values are marked."""
    from ecgedge.choose import METRICS, Evidence, best_values

    best = best_values(rows, METRICS.values(), Evidence(folder))
    return Report(folder, run, rows, noise, frozenset(best))


def with_choice(report: Report, requirements: Sequence[str], optimize: str | None) -> Report:
    """The report with its choice, or for want of a metric its Pareto fronts.

    Raises:
        EcgEdgeError: what is asked for does not fit this run.
    """
    from ecgedge.choose import Evidence, decide, find_metric, parse_requirement

    asked = [parse_requirement(text) for text in requirements]
    choices = decide(report.rows, asked, find_metric(optimize) if optimize else None, Evidence(report.folder))
    return replace(report, choices=choices)


def nothing_qualifies(report: Report) -> bool:
    """Whether a choice was asked for and every row fails it, of every task."""
    return bool(report.choices) and not any(choice.qualified for choice in report.choices)
