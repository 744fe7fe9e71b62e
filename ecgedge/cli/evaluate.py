"""``ecgedge evaluate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ecgedge.cli import common
from ecgedge.cli.options import dataset_option, file_options, limit_options, limits_of, threads_option
from ecgedge.errors import ConversionError, EcgEdgeError
from ecgedge.files import escape

if TYPE_CHECKING:
    from ecgedge.api.artifact import Artifact
    from ecgedge.plugins import Parts
    from ecgedge.workers.standins import RuntimeElsewhere, Workers


@click.command()
@click.argument("target", metavar="FILE|MODEL")
@click.option("--runtime", "runtime_name", metavar="NAME", help="Default: the first that takes it and works here.")
@dataset_option
@file_options
@threads_option
@limit_options
def evaluate(
    target: str, runtime_name: str | None, dataset: str | None, threads: int, timeout: float, memory: int | None
) -> None:
    """Score a model or a file on the test beats.

    \b
    ecgedge evaluate inception
    ecgedge evaluate tcn.tflite --dataset path/to/ECG5000
    """
    from ecgedge.api import tasks
    from ecgedge.api.artifact import Anomaly
    from ecgedge.convert.opening import with_threshold

    parts = common.load_parts()
    data = common.load_data(dataset)
    with common.opener(parts, limits_of(timeout, memory), threads) as opener:
        artifact = opener.fit_to_data(opener.find_artifact(target), data)
        runtime = pick_runtime(artifact, runtime_name, parts, opener.workers)
        session = runtime.load(artifact, threads)
        artifact = with_threshold(artifact, data, lambda _, split: session.infer(split.x), common.aside)
        outputs = session.infer(data.test.x)
    if reason := tasks.wrong(outputs, data.test.x, artifact.task):
        raise ConversionError(f"{target} gives no answers: {reason}")
    figures = tasks.evaluate(outputs, data.test.x, data.test.y, artifact.task)
    common.say(f"{target}: {artifact.format} {artifact.precision} on {runtime.name}; data: {data.describe()}")
    click.echo()
    if isinstance(artifact.task, Anomaly):
        print_anomaly(figures, tasks.score_name(artifact.task.window))
    else:
        print_classification(figures)


def pick_runtime(artifact: Artifact, name: str | None, parts: Parts, workers: Workers) -> RuntimeElsewhere:
    """The named runtime, or the first that takes the format and works here."""
    from ecgedge.plan.plan import takes
    from ecgedge.plugins import missing, one_line

    fitting = [part for part in parts.runtimes.values() if takes(part.accepts, artifact.format)]
    if name:
        chosen = parts.find("runtime", name)
        if chosen not in fitting:
            names = ", ".join(part.name for part in fitting)
            raise EcgEdgeError(f"runtime {name} does not take {artifact.format}", f"choose from: {names}")
        fitting = [chosen]
    reasons = []
    for part in fitting:
        ready = workers.runtime(part)
        try:
            reason = missing(part) or ready.available()
        except Exception as error:  # of its library, or of its author
            reason = one_line(error)
        if not reason:
            return ready
        reasons.append(f"{part.name}: {reason}")
    raise EcgEdgeError(f"no runtime for {artifact.format} works here", "; ".join(reasons) or "install one")


def print_classification(figures: dict[str, Any]) -> None:
    click.echo(f"accuracy {figures['accuracy']:.4f}")
    click.echo(f"macro-F1 {figures['macro_f1']:.4f}\n")
    click.echo(f"{'class':>10} {'precision':>10} {'recall':>10} {'f1':>10} {'support':>10}")
    for label, row in figures["per_class"].items():
        figures_of = f"{row['precision']:>10.4f} {row['recall']:>10.4f} {row['f1']:>10.4f} {row['support']:>10,}"
        click.echo(f"{escape.line(label):>10} {figures_of}")


def print_anomaly(figures: dict[str, Any], score: str) -> None:
    for name in ("auroc", "auprc"):
        value = figures[name]
        click.echo(f"{name.upper()} {'not defined: one class is missing' if value is None else f'{value:.4f}'}")
    click.echo(f"\nat the threshold {figures['threshold']:.6g} ({score}):")
    click.echo(f"F1 {figures['f1']:.4f}")
    click.echo(f"precision {figures['anomaly_precision']:.4f}")
    click.echo(f"recall {figures['anomaly_recall']:.4f}")
    click.echo(f"support: {figures['support']['normal']:,} normal, {figures['support']['anomaly']:,} anomalies")
