"""``ecgedge data``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ecgedge.cli import common
from ecgedge.cli.options import column_options, dataset_option, normalize_option
from ecgedge.files import escape

if TYPE_CHECKING:
    from ecgedge.data.dataset import Dataset

WIDE = 10  # classes that fit beside each other; more are told below each other
FEW = 0.01  # of the beats: as many may be not z-normalised without a warning


@click.group(invoke_without_command=True)
@dataset_option
@click.pass_context
def data(ctx: click.Context, dataset: str | None) -> None:
    """Show which data would be used: counts per class, length, range, digest.

    \b
    ecgedge data --dataset synthetic
    ecgedge data show my-beats.csv
    ecgedge data fetch
    """
    if ctx.invoked_subcommand is None:
        click.echo(describe(common.load_data(dataset)))


@data.command()
@click.argument("path", required=False)
@column_options
@normalize_option
@click.pass_context
def show(ctx: click.Context, path: str | None) -> None:
    """Show a folder, file or zip, and warn where its beats are not z-normalised.

    \b
    ecgedge data show my-beats.csv
    ecgedge data show my-beats.csv --normalize
    ecgedge data show their-beats.csv --label-column last --ignore-column patient
    """
    asked = ctx.parent.params["dataset"] if ctx.parent else None
    found = common.load_data(path or asked)
    click.echo(describe(found))
    if told := raw_beats(found):
        common.warn(told)


@data.command()
@click.option("--url", help="Of a zip with ECG5000_TRAIN.txt and ECG5000_TEST.txt. Default: the archive's.")
def fetch(url: str | None) -> None:
    """Download ECG5000 into the user cache and check it, unless it is there.

    \b
    ecgedge data fetch
    """
    from ecgedge.data.dataset import fetch_ecg5000

    found, fresh = fetch_ecg5000(url)
    common.say(f"{'downloaded' if fresh else 'already there, and whole'}: {found.describe()}")
    common.say(found.source)


def describe(found: Dataset) -> str:
    """Name, source, length and digest, and a table of what each split holds."""
    import numpy as np
    from tabulate import tabulate

    rows: list[list[object]] = [["split", "beats", *(f"class {label}" for label in found.labels), "range"]]
    for name, split in (("train", found.train), ("test", found.test)):
        counts = np.bincount(split.y, minlength=found.classes)
        rows.append([name, len(split), *counts, f"{split.x.min():.2f} .. {split.x.max():.2f}"])
    if found.classes > WIDE:
        rows = [list(column) for column in zip(*rows, strict=True)]
    heads, *cells = escape.cells(rows)
    table = tabulate(cells, heads)
    name, source = escape.line(found.name), escape.line(found.source)
    called = f" ({escape.line(', '.join(found.lead_names))})" if found.lead_names else ""
    leads = f"leads    {found.leads}{called}\n" if found.leads > 1 or called else ""
    length = f"length   {found.length} samples\n"
    return f"data     {name}\nsource   {source}\n{leads}{length}digest   {found.digest}\n\n{table}"


def raw_beats(found: Dataset) -> str:
    """The warning that beats are not z-normalised; empty where (nearly) all are."""
    from ecgedge.data.dataset import not_normalized

    total = len(found.train) + len(found.test)
    wrong = int(not_normalized(found.train.x).sum() + not_normalized(found.test.x).sum())
    if wrong <= FEW * total:
        return ""
    return (
        f"{wrong:,} of {total:,} beats are not z-normalised, and the built-in weights expect beats of mean 0 and "
        "standard deviation 1; --normalize makes them so"
    )
