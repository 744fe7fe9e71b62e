"""What a matrix ends with: the choice, and the commands that go on from there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from ecgedge.cli import common

if TYPE_CHECKING:
    from ecgedge.choose import Choice
    from ecgedge.commands.run import Run

WIDE = 24  # characters of what a command does, behind which it begins


def conclude(run: Run, printed: str) -> None:
    """Print the choice, where the report has none yet, and what to do next: to standard error where data is printed."""
    from ecgedge.commands.of_run import choices_of
    from ecgedge.report import render

    choices = run.told.choices or choices_of(run)
    if printed == "table" and choices and not run.told.choices:
        click.echo(err=False)
        click.echo(render(replace(run.told, choices=choices), printed, only_choice=True).rstrip("\n"))
    lines = [*following(run, choices)]
    if lines:
        click.echo(err=printed != "table")
    for line in lines:
        common.say(line, err=printed != "table")


def following(run: Run, choices: Sequence[Choice]) -> Iterator[str]:
    """The commands that go on with the row that each choice suggests."""
    from ecgedge.bundle import TARGETS
    from ecgedge.commands.run import command_line
    from ecgedge.report.columns import several_places

    folder = str(run.folder)
    for choice in choices:
        if (found := choice.suggestion) is None:
            continue
        row = found.row
        place = f", {choice.device}" if several_places(run.rows) else ""
        form = f"{row.model} {row.format} {row.precision_words} on {row.runtime}{place}"
        yield ": ".join(filter(None, (f"next: {form} is {found.why}", found.advice)))
        if row.format in TARGETS:
            yield told(command_line("bundle", folder, row.id), "pack it for the device")
        if not row.emulated:
            yield told(command_line("explain", folder, row.id), "see where its time goes")
    if choices and not run.request.wants_choice:
        metric = "latency_p50" if choices[0].considered[0].latency else "size"
        tasks = ["--require", f"task=={choices[0].task}"] if len({each.task for each in choices}) > 1 else []
        limits = command_line("choose", folder, "--optimize", metric, "--require", "verdict!=worse", *tasks)
        yield told(limits, "name one winner")


def told(command: str, what: str) -> str:
    """What to do, and by which command."""
    return f"  {what + ':':<{WIDE}} {command}"
