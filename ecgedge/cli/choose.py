"""``ecgedge choose``."""

from __future__ import annotations

from pathlib import Path

import click

from ecgedge.cli import rendering
from ecgedge.report import FORMATS


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@rendering.choice_options
@rendering.relative_option
@rendering.output_option(list(FORMATS))
@rendering.out_option
@click.pass_context
def choose(ctx: click.Context, run: Path, requirements: tuple[str, ...], optimize: str | None, relative_to: str | None,
           printed: str, out: Path | None) -> None:  # fmt: skip
    """Choose the file of a run to ship: the best row that meets all requirements.

    Without --optimize: the Pareto front of quality, latency and size: no other row is better in one and as good in all.
    Exits with 1 where nothing qualifies, and names the nearest misses.

    \b
    ecgedge choose runs/int8
    ecgedge choose runs/int8 --require "accuracy>=0.94" --require "size<=200KB" --optimize latency_p50
    ecgedge choose runs/int8 --require "format==tflite" --require "verdict!=worse" --optimize size
    ecgedge choose runs/int8 -o choice.html
    """
    from ecgedge.commands.run import nothing_qualifies, open_run, told_by, with_choice
    from ecgedge.report import render

    form = rendering.form_for(out, printed)
    told = with_choice(told_by(open_run(run).told, (), None, relative_to), requirements, optimize)
    text = render(told, form, only_choice=True)
    if out:
        rendering.write(out, text)
    else:
        click.echo(text.rstrip("\n"))
    if nothing_qualifies(told):
        ctx.exit(1)
