"""The command line: a group of commands, one file each."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ecgedge.cli import rendering
from ecgedge.cli.board import board
from ecgedge.cli.boundary import Front
from ecgedge.cli.bundle import bundle
from ecgedge.cli.check import check
from ecgedge.cli.choose import choose
from ecgedge.cli.compare import compare
from ecgedge.cli.convert import convert
from ecgedge.cli.data import data
from ecgedge.cli.diverge import diverge
from ecgedge.cli.doctor import doctor
from ecgedge.cli.env import env
from ecgedge.cli.evaluate import evaluate
from ecgedge.cli.explain import explain
from ecgedge.cli.matrix import matrix
from ecgedge.cli.notices import printed_notices
from ecgedge.cli.plugins import plugins
from ecgedge.cli.portability import portability
from ecgedge.cli.predict import predict
from ecgedge.cli.report import report
from ecgedge.cli.store import store
from ecgedge.cli.summary import summary
from ecgedge.cli.sweep import sweep
from ecgedge.cli.train import train


def show_versions(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from ecgedge.measure.machine import versions  # reads the metadata of every library

        for name, version in versions().items():
            click.echo(f"{name} {version}")
        ctx.exit()


SETTINGS = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
    "color": True,  # click takes nothing out: ``escape.Shown`` knows our colours from a stranger's
}


@click.group(cls=Front, context_settings=SETTINGS)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=show_versions,
              help="Print the versions of ecgedge and of the libraries it works with.")  # fmt: skip
@click.option(
    "-v", "--verbose", is_flag=True, help="Say what is converted, what the store had, and the file of each row."
)
@click.option(
    "--plugins-dir", type=click.Path(path_type=Path), help="Load the plugins in this folder's .py files, too."
)
@click.pass_context
def main(ctx: click.Context, verbose: bool, plugins_dir: Path | None) -> None:
    """Which form of an ECG model should run on this device?

    \b
    ecgedge matrix                     every model, format, precision and runtime, measured
    ecgedge choose RUN                 which file of that to ship, and why
    ecgedge convert tcn --to tflite    one artifact, verified
    """
    ctx.with_resource(printed_notices(verbose))
    ctx.meta[rendering.VERBOSE] = verbose
    if plugins_dir:
        os.environ["ECGEDGE_PLUGINS_DIR"] = str(plugins_dir.resolve())


for command in (
    matrix,
    choose,
    report,
    check,
    compare,
    convert,
    explain,
    diverge,
    portability,
    evaluate,
    predict,
    bundle,
    train,
    sweep,
    summary,
    plugins,
    env,
    board,
    data,
    store,
    doctor,
):
    main.add_command(command)
