"""``ecgedge report``."""

from __future__ import annotations

from pathlib import Path

import click

from ecgedge.cli import common, rendering
from ecgedge.files import escape
from ecgedge.report import FORMATS


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@rendering.output_option(list(FORMATS))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write it into this file. Default: printed.")
@rendering.choice_options
@rendering.relative_option
def report(run: Path, printed: str, out: Path | None, requirements: tuple[str, ...], optimize: str | None,
           relative_to: str | None) -> None:  # fmt: skip
    """Tell of a run again, in any format, without running anything.

    \b
    ecgedge report runs/int8
    ecgedge -v report runs/int8                       # with the name and the file of each row
    ecgedge report runs/int8 --output markdown -o int8.md
    """
    from ecgedge.commands.run import open_run, told_by
    from ecgedge.report import render

    told = told_by(open_run(run).told, requirements, optimize, relative_to)
    text = render(rendering.told_as_asked(told), printed).rstrip("\n")
    if not out:
        click.echo(text)
        return
    with common.written(out, "w", encoding="utf-8", newline="") as file:
        file.write(escape.terminal(escape.unstyle(text)) + "\n")
