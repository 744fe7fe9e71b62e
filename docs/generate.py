"""Write a page for each command into ``docs/commands``, from the command line itself.

``python docs/generate.py [--check]``
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from ecgedge.cli import main as group

FOLDER = Path(__file__).with_name("commands")
WIDTH = 100
MADE = "<!-- made by docs/generate.py; do not edit -->"


def contexts(context: click.Context) -> Iterator[click.Context]:
    """The context of a command, then of the commands below it, in the order in which they are listed."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            yield from contexts(context_of(context.command.commands[name], context))


def context_of(command: click.Command, parent: click.Context) -> click.Context:
    return click.Context(command, parent=parent, info_name=command.name, **command.context_settings)


def help_of(context: click.Context) -> str:
    lines = context.get_help().splitlines()
    text = "\n".join(line.rstrip() for line in lines)
    return f"```\n{text}\n```\n"


def page(context: click.Context) -> str:
    """A command's page: what its ``--help`` prints, and a section for each command below it."""
    own, *below = contexts(context)
    parts = [f"# {own.command_path}\n", MADE + "\n", help_of(own)]
    for inner in below:
        parts += [f"## {inner.command_path}\n", help_of(inner)]
    return "\n".join(parts)


def render() -> dict[str, str]:
    """All pages by the names of their files: one a command, and ``index.md``, which lists them."""
    top = click.Context(group, info_name="ecgedge", terminal_width=WIDTH, **group.context_settings)
    pages = {f"{name}.md": page(context_of(group.commands[name], top)) for name in group.list_commands(top)}
    rows = [
        f"| [`ecgedge {name}`]({name}.md) | {group.commands[name].get_short_help_str(limit=200)} |"
        for name in group.list_commands(top)
    ]
    table = "\n".join(["| command | what it does |", "|---|---|", *rows]) + "\n"
    pages["index.md"] = "\n".join(["# Commands\n", MADE + "\n", table, help_of(top)])
    return pages


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, remove those of no command; with ``--check`` only say what is stale. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Write docs/commands.")
    parser.add_argument("--check", action="store_true", help="exit 1 where a page is stale, write nothing")
    check = parser.parse_args(arguments).check
    pages = render()
    found = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.md")}
    if not check:
        FOLDER.mkdir(exist_ok=True)
        for name in found.keys() - pages.keys():
            (FOLDER / name).unlink()
        for name, text in pages.items():
            (FOLDER / name).write_text(text, encoding="utf-8")
        return 0
    stale = sorted(name for name in found.keys() | pages.keys() if found.get(name) != pages.get(name))
    if stale:
        print(f"docs/commands is stale ({', '.join(stale)}): run python docs/generate.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
