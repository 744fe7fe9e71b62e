"""``ecgedge data``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecgedge.cli import common
from ecgedge.cli.cutting import SECONDS, asked_of, classes_of, cut_options
from ecgedge.cli.options import column_options, dataset_option, label_options, normalize_option, split_names
from ecgedge.errors import EcgEdgeError
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
@label_options
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
@click.option("--url", help="Download this zip, with ECG5000_TRAIN.txt and ECG5000_TEST.txt. Default: the archive's.")
def fetch(url: str | None) -> None:
    """Download ECG5000 into the user cache and check it, unless it is there.

    \b
    ecgedge data fetch
    """
    from ecgedge.data.finding import fetch_ecg5000

    found, fresh = fetch_ecg5000(url)
    common.say(f"{'downloaded' if fresh else 'already there, and whole'}: {found.describe()}")
    common.say(found.source)


@data.command()
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("beats.npz"),
    show_default=True,
    help="Write the data set into this file.",
)
@cut_options
@click.option("--window", type=SECONDS, metavar="SECONDS", help="Cut segments of that length, instead of beats.")
@click.option(
    "--leads",
    metavar="NAME|N,...",
    help="Take these leads, in that order, as in II,V1. Default: all that are voltages.",
)
@click.option(
    "--classes",
    metavar="aami|FILE",
    help="Put the annotations' symbols into these classes, and leave others out. Default: each symbol is a class.",
)
@click.option(
    "--label-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read the class of all that is cut from a record from this file of lines record,class.",
)
@click.option(
    "--test", metavar="RECORD,...", help="Make these records the test part. Default: whoever reads the data splits it."
)
@click.option(
    "--recipe",
    "named",
    metavar="NAME",
    help="Cut by a recipe; mitbih-aami: the classes of AAMI, trained on DS1, tested on DS2.",
)
@click.option("--normalize", is_flag=True, help="Bring each lead of each beat to mean 0 and standard deviation 1.")
def cut(records: tuple[Path, ...], out: Path, window: float | None, leads: str | None,
        classes: str | None, label_file: Path | None, test: str | None, named: str | None, normalize: bool,
        **given: Any) -> None:  # fmt: skip
    """Cut beats or segments from WFDB and EDF records, or folders of them, into a data set.

    Its recipe is kept in it and is part of its digest; ecgedge predict RECORD --like takes it from there. The patient
    of a beat is its record: splits and folds keep each on one side. Needs ecgedge[records].

    \b
    ecgedge data cut mitdb --annotation atr --before 0.3 --after 0.5 --resample 200 -o beats.npz
    ecgedge data cut mitdb --recipe mitbih-aami --resample 200 --filter highpass:0.5
    ecgedge data cut ptb-xl --window 10 --label-file rhythms.csv --leads II,V1
    """
    from ecgedge.commands.cut import cut as make
    from ecgedge.data.readers import read_names
    from ecgedge.data.records import Recipe, records_in
    from ecgedge.data.records.named import NAMED

    common.check_ending(out, (".npz",), "a data set")
    found = records_in(records)
    start, subjects = Recipe(classes=classes_of(classes)), None
    held_out = split_names(test, "--test")
    if named is not None:
        if named.lower() not in NAMED:
            raise EcgEdgeError(f"--recipe {named[:40]}: no such recipe", f"known: {', '.join(NAMED)}")
        if test or classes:
            told = "--test" if test else "--classes"
            raise EcgEdgeError(
                f"--recipe {named[:40]} says which records and classes: {told} has no place", "leave it out"
            )
        of_name = NAMED[named.lower()]
        found, held_out, subjects, start = of_name.check(found), of_name.test, of_name.subjects, of_name.recipe
        common.note(of_name.told)
    recipe = asked_of(given, window).heeded(start, split_names(leads, "--leads"), normalize)
    if label_file is not None and recipe.annotation is not None:
        raise EcgEdgeError("--label-file and --annotation both tell classes", "leave one of them out")
    if recipe.window is None and recipe.annotation is None and not recipe.detect:
        raise EcgEdgeError("where are the beats?", "say --annotation NAME, such as atr; --detect; or --window SECONDS")
    told_classes = read_names(label_file).by_label if label_file else None
    if recipe.detect and told_classes is None and given["annotation"] is None:
        told = "the beats that are detected have no class"
        raise EcgEdgeError(
            told, "say --annotation NAME as well, such as atr, or --label-file FILE with a class a record"
        )
    made = make(found, out, recipe, classes=told_classes, test=held_out, subjects=subjects)
    what = "beats" if recipe.window is None else "segments"
    counts = ", ".join(f"{name} {count:,}" for name, count in made.counts.items())
    common.say(f"{out}: {sum(made.counts.values()):,} {what} of {made.length} samples at {made.rate:g} a second")
    common.say(f"leads {', '.join(made.leads)}; {made.records:,} records; {counts}")
    if made.left:
        common.note(f"left out: {made.left}")
    common.say(f"next: ecgedge data show {out}")


def describe(found: Dataset) -> str:
    """Name, source, length and digest, and a table of what each split holds."""
    import numpy as np
    from tabulate import tabulate

    kind = "label" if found.multilabel else "class"
    rows: list[list[object]] = [["split", "beats", *(f"{kind} {label}" for label in found.labels), "range"]]
    for name, split in (("train", found.train), ("test", found.test)):
        counts = split.y.sum(axis=0) if found.multilabel else np.bincount(split.y, minlength=found.classes)
        rows.append([name, len(split), *counts, f"{split.x.min():.2f} .. {split.x.max():.2f}"])
    if found.classes > WIDE:
        rows = [list(column) for column in zip(*rows, strict=True)]
    heads, *cells = escape.cells(rows)
    table = tabulate(cells, heads)
    name, source = escape.line(found.name), escape.line(found.source)
    called = f" ({escape.line(', '.join(found.lead_names))})" if found.lead_names else ""
    leads = f"leads    {found.leads}{called}\n" if found.leads > 1 or called else ""
    length = f"length   {found.length} samples\n" + cut_told(found)
    return f"data     {name}\nsource   {source}\n{leads}{length}digest   {found.digest}\n\n{table}"


def cut_told(found: Dataset) -> str:
    """How the beats were cut from records, and of how many patients they are; empty of other data."""
    told = ""
    if found.recipe:
        from ecgedge.data.records import Recipe

        told = f"cut      {escape.line(Recipe.from_json(found.recipe, found.name).describe())}\n"
    if found.train.groups is not None and found.test.groups is not None:
        counts = [len(set(part.groups.tolist())) for part in (found.train, found.test) if part.groups is not None]
        told += f"patients {counts[0]:,} for training, {counts[1]:,} for testing\n"
    return told


def raw_beats(found: Dataset) -> str:
    """The warning that beats are not z-normalised; empty where (nearly) all are."""
    from ecgedge.data.normalizing import not_normalized

    total = len(found.train) + len(found.test)
    wrong = int(not_normalized(found.train.x).sum() + not_normalized(found.test.x).sum())
    if wrong <= FEW * total:
        return ""
    return (
        f"{wrong:,} of {total:,} beats are not z-normalised, and the built-in weights expect beats of mean 0 and "
        "standard deviation 1; --normalize makes them so"
    )
