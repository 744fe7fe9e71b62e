"""``ecgedge board``."""

from __future__ import annotations

from pathlib import Path

import click

from ecgedge.cli import common
from ecgedge.files import escape


@click.group()
def board() -> None:
    """Look after the boards that are reached over SSH, in ECGEDGE_BOARDS or in your configuration.

    \b
    ecgedge board add pi4 --ssh pi@raspberrypi.local
    ecgedge board ls
    """


@board.command()
@click.argument("name")
@click.option("--ssh", required=True, metavar="USER@HOST",
              help="Where ssh finds it; a Host of your configuration will do.")  # fmt: skip
@click.option("--ssh-config", type=click.Path(path_type=Path), help="A configuration for ssh instead of yours.")
@click.option("--python", help="The interpreter there. [default: python3]")
@click.option("--cache", metavar="PATH", help="Where files are kept there. [default: ~/.cache/ecgedge-board]")
@click.option("--cache-limit", type=int, default=1024, show_default=True, metavar="MIB",
              help="How much of files that nobody uses is kept there.")  # fmt: skip
def add(name: str, ssh: str, ssh_config: Path | None, python: str | None, cache: str | None, cache_limit: int) -> None:
    """Name a board. It is not asked.

    \b
    ecgedge board add pi4 --ssh pi@raspberrypi.local
    """
    from ecgedge.devices import boards

    boards.add(boards.Board(name, ssh, ssh_config.absolute() if ssh_config else None, python, cache, cache_limit))
    common.say(f"board {name} is {ssh}")


@board.command("ls")
def list_boards() -> None:
    """List the boards that have a name. None of them is asked.

    \b
    ecgedge board ls
    """
    from tabulate import tabulate

    from ecgedge.devices import boards

    rows = [[one.name, one.ssh, one.python or "-", one.ssh_config or "-"] for one in boards.boards().values()]
    if rows:
        click.echo(tabulate(escape.cells(rows), ["name", "ssh", "python", "ssh configuration"]) + "\n")
    common.say(f"in {boards.registry()}")


@board.command("rm")
@click.argument("name")
def remove(name: str) -> None:
    """Forget a board. What lies on it stays there.

    \b
    ecgedge board rm pi4
    """
    from ecgedge.devices import boards

    gone = boards.remove(name)
    common.say(f"forgot board {name}, {gone.ssh}; its files stay in {gone.cache or '~/.cache/ecgedge-board'} there")
