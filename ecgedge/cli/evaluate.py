"""``ecgedge evaluate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ecgedge.cli import common
from ecgedge.cli.options import (
    NORMALIZE,
    asked_of_columns,
    dataset_option,
    file_options,
    limit_options,
    part_option,
    threads_option,
    told_files,
    trusted,
)
from ecgedge.files import escape

if TYPE_CHECKING:
    from ecgedge.commands.evaluate import Classified, Detected, Labelled


@click.command()
@click.argument("target", metavar="FILE|MODEL")
@click.option(
    "--runtime", metavar="NAME", help="Run it on this runtime. Default: the first that takes it and works here."
)
@dataset_option
@file_options
@part_option
@threads_option
@limit_options
@click.pass_context
def evaluate(ctx: click.Context, target: str, runtime: str | None, dataset: str | None, chosen: dict[str, str],
             threads: int, timeout: float, memory: int | None) -> None:  # fmt: skip
    """Score a model or a file on the test beats.

    \b
    ecgedge evaluate inception
    ecgedge evaluate tcn.tflite --dataset path/to/ECG5000
    """
    from ecgedge.commands import evaluate as command

    found = command.evaluate(
        target,
        runtime=runtime,
        data=dataset,
        normalize=bool(ctx.meta.get(NORMALIZE)),
        **asked_of_columns(),
        told=told_files(),
        trust=trusted(),
        options=chosen,
        threads=threads,
        timeout=timeout,
        memory=memory,
    )
    artifact = found.artifact
    common.say(f"{target}: {artifact.format} {artifact.precision} on {found.runtime}; data: {found.data}")
    click.echo()
    if isinstance(found.scores, command.Detected):
        print_anomaly(found.scores)
    elif isinstance(found.scores, command.Labelled):
        print_labels(found.scores)
    else:
        print_classification(found.scores)


def print_classification(scores: Classified) -> None:
    click.echo(f"accuracy {scores.accuracy:.4f}")
    click.echo(f"macro-F1 {scores.macro_f1:.4f}\n")
    click.echo(f"{'class':>10} {'precision':>10} {'recall':>10} {'f1':>10} {'support':>10}")
    for label, of in scores.per_class.items():
        figures = f"{of.precision:>10.4f} {of.recall:>10.4f} {of.f1:>10.4f} {of.support:>10,}"
        click.echo(f"{escape.line(label):>10} {figures}")


def print_labels(scores: Labelled) -> None:
    for name, value in (("macro AUROC", scores.macro_auroc), ("macro AUPRC", scores.macro_auprc)):
        click.echo(f"{name} {'not defined: of no label are there both kinds' if value is None else f'{value:.4f}'}")
    click.echo(f"mean F1 {scores.mean_f1:.4f}\nECE {scores.ece:.4f}\nexact match {scores.exact_match:.4f}\n")
    heads = ("AUROC", "AUPRC", "f1", "precision", "recall", "threshold", "support")
    click.echo(f"{'label':>10} " + " ".join(f"{head:>9}" for head in heads))
    for label, of in scores.per_label.items():
        figures = (of.auroc, of.auprc, of.f1, of.precision, of.recall, of.threshold)
        told = " ".join(f"{'-' if value is None else f'{value:.4f}':>9}" for value in figures)
        click.echo(f"{escape.line(label):>10} {told} {of.support:>9,}")


def print_anomaly(scores: Detected) -> None:
    for name, value in (("AUROC", scores.auroc), ("AUPRC", scores.auprc)):
        click.echo(f"{name} {'not defined: one class is missing' if value is None else f'{value:.4f}'}")
    click.echo(f"\nat the threshold {scores.threshold:.6g} ({scores.score}):")
    click.echo(f"F1 {scores.f1:.4f}")
    click.echo(f"precision {scores.precision:.4f}")
    click.echo(f"recall {scores.recall:.4f}")
    click.echo(f"support: {scores.normal:,} normal, {scores.anomalies:,} anomalies")
