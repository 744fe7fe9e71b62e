"""``ecgedge board``."""

from __future__ import annotations

from pathlib import Path

import click

from ecgedge.cli import common
from ecgedge.errors import EcgEdgeError
from ecgedge.files import escape

VENV = "on Debian and Raspberry Pi OS: sudo apt install python3-venv"
LEAST_STEPS = 3  # of a setup: a venv, numpy and one runtime


@click.group()
def board() -> None:
    """Look after the boards that are reached over SSH, or emulated, in ECGEDGE_BOARDS or in your configuration.

    \b
    ecgedge board add pi4 --ssh pi@raspberrypi.local
    ecgedge board setup pi4
    ecgedge board check pi4
    """


@board.command()
@click.argument("name")
@click.option(
    "--ssh", metavar="USER@HOST", help="Reach it at this address by ssh; a Host of your configuration will do."
)
@click.option("--ssh-config", type=click.Path(path_type=Path), help="Let ssh read this configuration instead of yours.")
@click.option("--python", help="Run this interpreter there, also for the venv of setup. [default: python3]")
@click.option("--emulated", metavar="CORE",
              help="Let this machine play an Arm core by QEMU, such as cortex-a76, in place of a board. It answers; "
              "its times say nothing.")  # fmt: skip
@click.option("--rootfs", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Take the emulated core's files from this folder; docker/arm64-rootfs.sh makes them.")  # fmt: skip
@click.option("--cache", metavar="PATH", help="Keep files there in this folder. [default: ~/.cache/ecgedge-board]")
@click.option("--cache-limit", type=int, default=1024, show_default=True, metavar="MIB",
              help="Keep no more than this of files there that nobody uses.")  # fmt: skip
def add(
    name: str,
    ssh: str | None,
    ssh_config: Path | None,
    python: str | None,
    emulated: str | None,
    rootfs: Path | None,
    cache: str | None,
    cache_limit: int,
) -> None:
    """Name a board. It is not asked; that is what check is for.

    \b
    ecgedge board add pi4 --ssh pi@raspberrypi.local
    ecgedge board add arm64 --emulated cortex-a76 --rootfs arm64
    """
    from ecgedge.devices import boards
    from ecgedge.devices.emulated import Emulator

    where = {"ssh_config": ssh_config and ssh_config.absolute(), "rootfs": rootfs and rootfs.absolute()}
    made = boards.Board(name, ssh, python=python, cache=cache, cache_mib=cache_limit, emulated=emulated, **where)
    boards.check(made)
    if emulated:
        Emulator(made).close()  # tells what is missing
    boards.add(made)
    common.say(f"board {name} is {made.place}; ecgedge board check {name}")


@board.command("ls")
def list_boards() -> None:
    """List the boards that have a name. None of them is asked.

    \b
    ecgedge board ls
    """
    from tabulate import tabulate

    from ecgedge.devices import boards

    rows = [[one.name, one.place, one.python or "-", one.ssh_config or "-"] for one in boards.boards().values()]
    if rows:
        click.echo(tabulate(escape.cells(rows), ["name", "where", "python", "ssh configuration"]) + "\n")
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
    common.say(f"forgot board {name}, {gone.place}; its files stay in {gone.files} there")


@board.command()
@click.argument("name")
@click.pass_context
def check(ctx: click.Context, name: str) -> None:
    """Reach a board and say what is missing there, with the command that mends it.

    Exit code 1 where it cannot be used as it is.

    \b
    ecgedge board check pi4
    """
    from ecgedge.devices import boards
    from ecgedge.workers import board_check

    bad = False
    for found in board_check.examine(boards.find(name)):
        common.say(found.told)
        if found.mend:
            common.say(f"  {found.mend}")
        bad |= found.is_fatal
    ctx.exit(1 if bad else 0)


@board.command()
@click.argument("name")
def setup(name: str) -> None:
    """Make a venv on a board, anew, with what the runtimes need, in the versions that this machine has.

    It lies in the board's cache, and workers run in it from then on. Nothing else is changed there. A runtime for
    which no wheel fits the board is told, and the others serve.

    \b
    ecgedge board setup pi4
    """
    from ecgedge.devices import boards
    from ecgedge.workers import board_check

    one = boards.find(name)
    wanted = board_check.requirements()
    common.say(f"on board {name}, in {one.files}/venv: {', '.join(wanted)}")
    failed: list[tuple[str, str]] = []
    done = 0
    for step, trouble in board_check.setup(one, wanted):
        common.say(f"{step}: {trouble or 'done'}")
        done += not trouble
        failed += [(step, trouble)] if trouble else []
    if done < LEAST_STEPS or (failed and failed[0][0] == wanted[0]):
        step, trouble = failed[0] if failed else ("setup", "the board does not say which steps were done")
        told = f"board {name} is not ready: {step}: {trouble}"
        raise EcgEdgeError(told, VENV if step == "venv" else "")
    common.say(f"board {name} is ready; ecgedge board check {name}")
