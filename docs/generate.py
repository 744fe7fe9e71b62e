"""Write ``docs/commands.md`` from the command line itself: ``python docs/generate.py [--check]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from ecgedge.cli import main as group

PAGE = Path(__file__).with_name("commands.md")
WIDTH = 100
HEAD = """# Commands

What `--help` prints, for the group and for every command.
This page is made by `docs/generate.py`; do not edit it.
"""


def contexts() -> Iterator[click.Context]:
    """The context of the group, then of each command in the order in which the group lists them."""
    top = click.Context(group, info_name="ecgedge", terminal_width=WIDTH, **group.context_settings)
    yield top
    yield from below(top, group)


def below(parent: click.Context, commands: click.Group) -> Iterator[click.Context]:
    for name in commands.list_commands(parent):
        command = commands.commands[name]
        context = click.Context(command, parent=parent, info_name=name, **command.context_settings)
        yield context
        if isinstance(command, click.Group):
            yield from below(context, command)


def render() -> str:
    """The page: a heading and the help text of each command."""
    sections = []
    for context in contexts():
        lines = context.get_help().splitlines()
        text = "\n".join(line.rstrip() for line in lines)
        sections.append(f"## {context.command_path}\n\n```\n{text}\n```\n")
    return "\n".join([HEAD, *sections])


def main(arguments: list[str] | None = None) -> int:
    """Rewrite the page; with ``--check`` only say whether it is stale. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Write docs/commands.md.")
    parser.add_argument("--check", action="store_true", help="exit 1 where the page is stale, write nothing")
    text = render()
    if not parser.parse_args(arguments).check:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print("docs/commands.md is stale: run python docs/generate.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
