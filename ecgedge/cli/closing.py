"""What a matrix ends with: the choice, and the commands that go on from there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ecgedge.choose import Choice
    from ecgedge.commands.run import Run
    from ecgedge.report.lines import Note

COLUMN = 26  # behind what a command does, where it begins


def conclude(run: Run, printed: str) -> None:
    """Print the choice, where the report has none yet, and what to do next: to standard error where data is printed."""
    from ecgedge.commands.of_run import choices_of
    from ecgedge.report import render

    choices = choices_of(run)
    if printed == "table" and choices and not run.told.choices:
        click.echo(err=False)
        click.echo(render(replace(run.told, choices=choices), printed, only_choice=True).rstrip("\n"))
    notes = [*following(run, choices)]
    if notes:
        click.echo(err=printed != "table")
    for note in notes:
        for line in note.lines():
            click.echo(line, err=printed != "table")


def following(run: Run, choices: Sequence[Choice]) -> Iterator[Note]:
    """The commands that go on with the row that each choice suggests, and one for each task that names one winner."""
    from ecgedge.bundle import TARGETS
    from ecgedge.commands.run import command_line
    from ecgedge.report.columns import several_places
    from ecgedge.report.lines import Note

    folder = str(run.folder)
    for choice in choices:
        if (found := choice.suggestion) is None:
            continue
        row = found.row
        place = f", {choice.device}" if several_places(run.rows) else ""
        form = f"{row.model} {row.format} {row.precision_words} on {row.runtime}{place}"
        yield Note(": ".join(filter(None, (f"next: {form} is {found.why}", found.advice))))
        if row.format in TARGETS:
            yield told(command_line("bundle", folder, row.id), "pack it for the device")
        if not row.emulated:
            yield told(command_line("explain", folder, row.id), "see where its time goes")
    if run.request.wants_choice:
        return
    several = len({choice.task for choice in choices}) > 1
    for task in dict.fromkeys(choice.task for choice in choices):
        timed = any(row.latency for choice in choices if choice.task == task for row in choice.considered)
        only = ["--require", f"task=={task}"] if several else []
        metric = "latency_p50" if timed else "size"
        line = command_line("choose", folder, "--optimize", metric, "--require", "verdict!=worse", *only)
        yield told(line, f"name one winner, {task}" if several else "name one winner")


def told(command: str, what: str) -> Note:
    """What to do, and by which command."""
    from ecgedge.report.lines import Note

    return Note(f"  {what}", command, COLUMN)
