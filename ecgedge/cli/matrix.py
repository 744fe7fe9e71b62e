"""``ecgedge matrix``."""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecgedge.cli import common
from ecgedge.errors import EcgEdgeError

if TYPE_CHECKING:
    import numpy as np

    from ecgedge.artifacts import Artifact
    from ecgedge.dataset import Dataset
    from ecgedge.plan import Cell, Skip
    from ecgedge.plugins import Parts


@click.command()
@common.dataset_option
@click.option(
    "--model", "models", multiple=True, metavar="NAME|FOLDER", help="A model or checkpoint. Default: all models."
)
@click.option("--artifact", "files", multiple=True, metavar="FILE", help="Also, or only, a file made elsewhere.")
@common.file_options
@click.option("--exporter", "exporters", multiple=True, metavar="NAME", help="Routes through these only.")
@click.option("--format", "formats", multiple=True, metavar="NAME", help="torch, onnx, tflite, ...")
@click.option("--quantizer", "quantizers", multiple=True, metavar="NAME", help="A precision, or one quantizer.")
@click.option("--runtime", "runtimes", multiple=True, metavar="NAME", help="torch, cpu, cuda, tflite, ...")
@click.option("--profile", type=click.Choice(["quick", "full"]), default="full", show_default=True,
              help="quick: 500 test beats and few timed calls; full: all beats.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run. Default: runs/DATE-TIME.")
@click.option("--dry-run", is_flag=True, help="List cells and skips, do nothing.")
@common.threads_option
@common.calibration_option
@common.opset_option
@common.seed_option
@click.pass_context
def matrix(ctx: click.Context, dataset: str | None, models: tuple[str, ...], files: tuple[str, ...],
           exporters: tuple[str, ...], formats: tuple[str, ...],
           quantizers: tuple[str, ...], runtimes: tuple[str, ...], profile: str, out: Path | None, dry_run: bool,
           threads: int, calibration: int, opset: int | None, seed: int) -> None:  # fmt: skip
    """Measure every combination of model, format, precision and runtime.

    \b
    ecgedge matrix --profile quick
    ecgedge matrix --model tcn --model vgg --quantizer full-int8 --out runs/int8
    ecgedge matrix --artifact theirs.onnx --model tcn
    """
    from ecgedge.matrix import run_matrix
    from ecgedge.plan import Filters, Source, plan

    parts = common.load_parts()
    data = common.load_data(dataset)
    sources = find_sources(models, parts, data) if models or not files else {}
    sources |= find_files(files, list(sources), parts, data)
    reasons = common.unavailable(parts)
    cells, skips = plan(
        {
            name: Source(source.format, source.model.name if source.model else "", source.precision != "fp32")
            for name, source in sources.items()
        },
        parts.exporters,
        parts.quantizers,
        parts.runtimes,
        Filters(formats, quantizers, runtimes, exporters),
        reasons,
        threads,
    )
    if dry_run:
        list_plan(cells, skips, data)
        return
    folder = run_folder(out)
    index = scored_beats(data, profile, seed)
    run = write_run(folder, data, len(index), profile=profile, seed=seed, calibration=calibration)
    lab = common.open_lab(
        parts, data, sources, folder, index, calibration=calibration, seed=seed, opset=opset, unavailable=reasons
    )
    show = common.progress_line(len(cells), lambda cell: f"{cell.model} {cell.format} {cell.precision} {cell.runtime}")
    rows: list[dict[str, Any]] = []
    try:
        lab.sources = {name: common.with_threshold(source, data, lab.outputs_of) for name, source in sources.items()}
        run_matrix(cells, skips, lab, profile, rows, show)
    finally:  # also what was done before an interruption is worth reading
        lab.close()
        publish(in_order(rows, list(sources)), run, folder)
    if not cells:
        common.warn("no cell could run here")
    if bad := [row for row in rows if row["status"] not in ("ok", "skipped")]:
        click.echo(f"{len(bad)} of {len(cells)} cells did not work; logs in {folder / 'logs'}", err=True)
        ctx.exit(1)


def find_sources(models: tuple[str, ...], parts: Parts, data: Dataset) -> dict[str, Artifact]:
    """The trained models by the name of their rows; without a choice, all that have weights and fit the data."""
    sources: dict[str, Artifact] = {}
    for name in models:
        label = name if name in parts.models else Path(name).resolve().name
        if label in sources:
            raise EcgEdgeError(f"two models would both be called {label!r}", "rename a checkpoint's folder")
        sources[label] = common.fit_to_data(common.find_model(name, parts), data)
    if models:
        return sources
    misfits: list[EcgEdgeError] = []
    for name, part in parts.models.items():
        if part.pretrained():
            found = common.find_model(name, parts)
            try:
                sources[name] = common.fit_to_data(found, data)
            except EcgEdgeError as error:
                misfits.append(error)
    if not sources:
        raise misfits[0] if misfits else EcgEdgeError("no model has trained weights", "ecgedge train MODEL")
    for misfit in misfits:
        common.warn(f"{misfit.message}; left out")
    return sources


def find_files(files: tuple[str, ...], taken: list[str], parts: Parts, data: Dataset) -> dict[str, Artifact]:
    """Files made elsewhere, by the name of their rows: that of the file."""
    sources: dict[str, Artifact] = {}
    for file in files:
        label = Path(file).name
        if label in (*taken, *sources):
            raise EcgEdgeError(f"two rows would both be called {label!r}", "rename a file")
        sources[label] = replace(common.fit_to_data(common.find_artifact(file, parts), data), name=label)
    return sources


def run_folder(out: Path | None) -> Path:
    """The folder of this run, made and empty."""
    folder = out or Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    if folder.is_dir() and any(folder.iterdir()):
        raise EcgEdgeError(f"{folder} is not empty", "name a new folder with --out")
    return common.usable_folder(folder)


def list_plan(cells: list[Cell], skips: list[Skip], data: Dataset) -> None:
    for cell in cells:
        route = " -> ".join([cell.model, *cell.route, cell.quantizer])
        click.echo(f"cell  {route}  =>  {cell.format} {cell.precision} on {cell.runtime}")
    for skip in skips:
        click.echo(f"skip  {skip.model}  {skip.format} on {skip.runtime}: {skip.reason}")
    click.echo(f"{len(cells)} cells, {len(skips)} skips; data: {data.describe()}")


def scored_beats(data: Dataset, profile: str, seed: int) -> np.ndarray:
    """Indices of the test beats to score, in order."""
    import numpy as np

    from ecgedge.dataset import stratified
    from ecgedge.measure import PROFILES

    count = PROFILES[profile].beats or len(data.test)
    return np.sort(stratified(data.test.y, count, seed))


def write_run(folder: Path, data: Dataset, beats: int, **asked: Any) -> dict[str, Any]:
    """``run.json``: what was asked, of which data, on which machine."""
    from ecgedge import machine

    run = {
        "command": shlex.join(["ecgedge", *sys.argv[1:]]),
        "data": data.describe(),
        "data_source": data.source,
        "data_digest": data.digest,
        "labels": list(data.labels),  # label i is class i
        "beats": beats,
        **asked,
        "machine": machine.describe(),
        "versions": machine.versions(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    (folder / "run.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    return run


def in_order(rows: list[dict[str, Any]], models: list[str]) -> list[dict[str, Any]]:
    """Model by model, what was skipped last."""
    return sorted(rows, key=lambda row: (models.index(row["model"]), row["status"] == "skipped"))


def publish(rows: list[dict[str, Any]], run: dict[str, Any], folder: Path) -> None:
    """Write the reports and print the table."""
    from ecgedge import report

    files = report.write_files(rows, run, folder)
    click.echo(f"data: {run['data']}\n{run['beats']:,} test beats scored, profile {run['profile']}\n")
    click.echo(report.render(rows))
    click.echo(f"\nrun: {folder} ({', '.join(['rows.jsonl', *(file.name for file in files)])})")
