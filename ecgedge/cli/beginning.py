"""What a matrix begins with, how long it will take, and each row as soon as its quality is known."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from ecgedge.cli import common
from ecgedge.errors import counted
from ecgedge.files import escape

if TYPE_CHECKING:
    from ecgedge.commands.planning import Plan
    from ecgedge.run.row import Row


def announcing(tell: Callable[[float, str], None], plan: Plan, offers_quick: bool) -> Callable[[float, str], None]:
    """A line of progress that is announced when it is first needed: by then what was asked for can be begun."""
    is_told = False

    def announced(done: float, text: str) -> None:
        nonlocal is_told
        if not is_told:
            announce(plan, offers_quick)
        is_told = True
        tell(done, text)

    return announced


def announce(plan: Plan, offers_quick: bool) -> None:
    """Say how many cells there are, and how long they may take; to standard error, as all that is no result.

    Args:
        offers_quick: nobody asked for the profile: the other one is told of, too.
    """
    from ecgedge.run import pace

    profile = plan.request.preset
    found = pace.expected(plan.cells, profile)
    by = (
        "as they took here before"
        if found.seen
        else f"by a rule of {pace.START:g} s and {pace.RULE[profile]:g} s a cell"
    )
    models = len({cell.model for cell in plan.cells})
    common.aside(
        f"{counted(len(plan.cells), 'cell')} of {counted(models, 'model')}, profile {profile}: "
        f"about {lasting(found.seconds)}, {by}"
    )
    if named := without_original(plan):
        common.note(
            f"{', '.join(named)} as it came, before graph passes, is not asked for: --quantizer as-it-came adds it"
        )
    if offers_quick and profile != "quick":  # as a run that is measured again may say
        sooner = lasting(pace.expected(plan.cells, "quick").seconds)
        common.aside(f"a first answer in about {sooner}: --profile quick (500 test beats, fewer timed calls)")


def without_original(plan: Plan) -> list[str]:
    """The user's files that go through graph passes where ``--quantizer`` left out what they were before."""
    from ecgedge.plan.plan import AS_IT_CAME, source_of

    rewritten = {cell.model for cell in plan.cells if cell.is_whole and not cell.route and cell.passes}
    theirs = {name for name in rewritten if not source_of(plan.sources[name]).part}
    return sorted(theirs - {cell.model for cell in plan.cells if cell.quantizer == AS_IT_CAME})


def lasting(seconds: float) -> str:
    """A time as one says it that is not known well."""
    if seconds < 90:
        return f"{max(round(seconds, -1), 10):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def row_lines() -> Callable[[Row], None]:
    """What prints each row as soon as its quality is known, above the line of progress where there is one."""
    live, told = sys.stderr.isatty(), 0

    def tell(row: Row) -> None:
        nonlocal told
        told += 1
        if live:
            click.echo("\r\x1b[K", escape.raw(sys.stderr), nl=False)
        common.aside(f"{judged_line(row)}{'' if told > 1 else '; times follow, when all of its forms are timed'}")

    return tell


def judged_line(row: Row) -> str:
    """A row before it is timed."""
    from ecgedge.report.table import STATUSES
    from ecgedge.run.metrics import METRICS, QUALITY

    place = f", {row.board}" if row.board else ""
    name = f"{row.model} {row.format} {row.precision_words} on {row.runtime}{place}"
    if row.status != "ok":
        return f"{name}: {escape.style(row.status, STATUSES[row.status])}: {row.reason}"
    told = [f"{metric.name} {metric.told(row)}" for metric in (METRICS["size"], QUALITY[row.task])]
    return f"{name}: {', '.join(told)}"
