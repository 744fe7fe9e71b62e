"""``ecgedge data``."""

from __future__ import annotations

import click

from ecgedge.cli import common


@click.command()
@common.dataset_option
def data(dataset: str | None) -> None:
    """Show which data would be used: counts per class, length, range, digest.

    \b
    ecgedge data --dataset synthetic
    """
    import numpy as np
    from tabulate import tabulate

    found = common.load_data(dataset)
    click.echo(
        f"data     {found.name}\nsource   {found.source}\nlength   {found.length} samples\ndigest   {found.digest}\n"
    )
    rows = []
    for name, split in (("train", found.train), ("test", found.test)):
        counts = np.bincount(split.y, minlength=found.classes)
        rows.append([name, len(split), *counts, f"{split.x.min():.2f} .. {split.x.max():.2f}"])
    click.echo(tabulate(rows, ["split", "beats", *(f"class {label}" for label in found.labels), "range"]))
