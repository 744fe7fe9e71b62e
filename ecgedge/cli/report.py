"""``ecgedge report``."""

from __future__ import annotations

from pathlib import Path

import click

from ecgedge.cli import rendering
from ecgedge.report import FORMATS


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@rendering.output_option(list(FORMATS))
@rendering.out_option
@rendering.choice_options
@rendering.relative_option
def report(run: Path, printed: str, out: Path | None, requirements: tuple[str, ...], optimize: str | None,
           relative_to: str | None) -> None:  # fmt: skip
    """Tell of a run again, in any format, without running anything.

    \b
    ecgedge report runs/int8
    ecgedge -v report runs/int8                       # with the name and the file of each row
    ecgedge report runs/int8 -o int8.html
    """
    from ecgedge.commands.run import open_run, told_by
    from ecgedge.report import render

    form = rendering.form_for(out, printed)
    told = told_by(open_run(run).told, requirements, optimize, relative_to)
    text = render(rendering.told_as_asked(told), form)
    if out:
        rendering.write(out, text)
    else:
        click.echo(text.rstrip("\n"))
