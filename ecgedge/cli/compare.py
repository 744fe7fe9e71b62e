"""``ecgedge compare``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ecgedge.cli import common, rendering


@click.command()
@click.argument("run_a", type=click.Path(path_type=Path))
@click.argument("run_b", type=click.Path(path_type=Path))
@click.option("--tolerance", "tolerances", multiple=True, metavar="METRIC=VALUE",
              help="Let B be so much worse: latency and size in %, accuracy and recall in points, auroc; figures that "
              "runtimes declare in %, shares in points. Default: latency=5%, size=1%, of such a figure that is not "
              "exact 5% or 1 point, else 0.")  # fmt: skip
@click.option("--allow-missing", is_flag=True, help="Count a cell that B lacks as no regression.")
@rendering.output_option(["table", "json", "md", "html"])
@rendering.out_option
@click.option(
    "--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write JUnit XML into this file, too, for CI."
)
@click.pass_context
def compare(ctx: click.Context, run_a: Path, run_b: Path, tolerances: tuple[str, ...], allow_missing: bool,
            printed: str, out: Path | None, junit: Path | None) -> None:  # fmt: skip
    """Say, cell by cell, whether run B is better, the same or worse than run A.

    Exits with 1 where a cell has become worse beyond the tolerance, does not work any more, or is missing.

    \b
    ecgedge compare runs/before runs/after
    ecgedge compare runs/before runs/after -o compare.html
    ecgedge compare runs/before runs/after --tolerance latency=10% --tolerance accuracy=0.2 --junit compare.xml
    """
    from ecgedge.compare import compare_runs, metrics_of, read_run, read_tolerances, write_junit
    from ecgedge.report import comparison as told

    form = rendering.form_for(out, printed)
    before, after = read_run(run_a), read_run(run_b)
    allowed = read_tolerances(tolerances, metrics_of(before, after))
    found = compare_runs(before, after, allowed, allow_missing=allow_missing)
    if junit:
        with common.written(junit) as file:
            write_junit(found, file)
    if form == "html":
        from ecgedge.report.html.comparison import render

        text = render(found)
    elif form == "json":
        text = json.dumps(told.as_data(found), indent=1, allow_nan=False)
    else:
        text = told.markdown(found) if form == "md" else told.render(found)
    if out:
        rendering.write(out, text)
        for line in told.summary(found):
            common.say(line)
    else:
        click.echo(text.rstrip("\n"))
    if found.regressions:
        ctx.exit(1)
