"""``ecgedge summary``."""

from __future__ import annotations

import click

from ecgedge.cli import common
from ecgedge.errors import EcgEdgeError


@click.command()
@click.argument("model")
@click.option("--classes", type=click.IntRange(1), default=5, show_default=True, help="Build it for so many classes.")
@click.option(
    "--length", type=click.IntRange(1), default=140, show_default=True, help="Build it for beats of so many samples."
)
@click.option(
    "--leads", type=click.IntRange(1), help="Build it for beats of so many leads. Default: those of the model, or 1."
)
def summary(model: str, classes: int, length: int, leads: int | None) -> None:
    """Show the layers, shapes and parameter counts of a model.

    \b
    ecgedge summary vgg --classes 2 --length 96
    """
    from ecgedge.api.tensors import counted
    from ecgedge.workers.availability import require

    parts = common.load_parts()
    part = parts.find("model", model)
    require(part)
    if part.produces != "torch":
        raise EcgEdgeError(f"{model} is no torch model ({part.produces})", "only torch models have a summary")
    if leads and part.leads not in (None, leads):
        raise EcgEdgeError(f"{model} takes beats of {counted(part.leads)}", "leave --leads out")
    used = part.leads or leads or 1
    network = part.build(classes, length, **part.for_leads(used))

    import torchinfo  # heavy: brings torch

    columns = ("input_size", "output_size", "num_params", "mult_adds")
    click.echo(str(torchinfo.summary(network, (1, used, length), col_names=columns, verbose=0, device="cpu")))
