"""Help pages in groups: of the commands, and of the options of a command that has many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from ecgedge.errors import EcgEdgeError, cut

COMMANDS = {  # by what they are for; one that is not here comes last
    "Measure": ("matrix", "sweep", "evaluate", "explain", "diverge", "portability"),
    "Decide": ("choose", "report", "compare", "check"),
    "Make": ("train", "convert", "bundle", "predict", "summary"),
    "Look after": ("data", "board", "plugins", "env", "store", "doctor"),
}


def write_commands(group: click.Group, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """The commands in their groups, each with its whole first sentence."""
    known = {name: command for name, command in group.commands.items() if not command.hidden}
    named = {name for names in COMMANDS.values() for name in names}
    sections = COMMANDS | {"Besides": tuple(sorted(known.keys() - named))}
    for title, names in sections.items():
        if rows := [(name, known[name].get_short_help_str(limit=200)) for name in names if name in known]:
            with formatter.section(title):
                formatter.write_dl(rows, col_max=14)


class Grouped(click.Command):
    """A command whose options are listed in groups, and that says where an argument that it does not take belongs.

    Attributes:
        groups: names of parameters by the title of their group; what is in none comes last.
        instead: what to do with an argument, in one line.
    """

    def __init__(
        self, *arguments: Any, groups: Mapping[str, Sequence[str]], instead: Callable[[str], str], **more: Any
    ):
        super().__init__(*arguments, **more)
        self.groups, self.instead = groups, instead

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True
        left = super().parse_args(ctx, args)
        if left and not ctx.resilient_parsing:
            raise EcgEdgeError(
                f"ecgedge {self.name} takes options alone, and got {cut(left[0])!r}", self.instead(left[0])
            )
        return left

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        named = {name for names in self.groups.values() for name in names}
        names = [parameter.name or "" for parameter in self.get_params(ctx)]
        sections = {**self.groups, "Other options": [name for name in names if name not in named]}
        records = {parameter.name: parameter.get_help_record(ctx) for parameter in self.get_params(ctx)}
        for title, members in sections.items():
            if rows := [record for name in members if (record := records.get(name))]:
                with formatter.section(title):
                    formatter.write_dl(rows)
