"""``ecgedge convert``."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecgedge.cli import common
from ecgedge.errors import ConversionError, EcgEdgeError

if TYPE_CHECKING:
    from ecgedge.artifacts import Artifact
    from ecgedge.matrix import Lab
    from ecgedge.plan import Cell
    from ecgedge.plugins import Parts


@click.command()
@click.argument("source", metavar="MODEL|CHECKPOINT|FILE")
@click.option("--to", "format", required=True, metavar="FORMAT", help="onnx, saved_model, tflite, ...")
@click.option("--quantize", "quantizer", default="none", show_default=True, metavar="Q",
              help="none, fp16, dynamic, full-int8, or one quantizer.")  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Default: NAME-PRECISION.FORMAT here.")
@click.option("--force", is_flag=True, help="Replace OUT where it exists.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Of a file whose format fixes it.")
@common.dataset_option
@common.calibration_option
@common.opset_option
@common.seed_option
def convert(source: str, format: str, quantizer: str, out: Path | None, force: bool, batch: int, dataset: str | None,
            calibration: int, opset: int | None, seed: int) -> None:  # fmt: skip
    """Make one artifact and prove that it answers as its source does.

    \b
    ecgedge convert tcn --to tflite --quantize full-int8 -o tcn.tflite
    """
    import numpy as np

    from ecgedge.matrix import produce
    from ecgedge.process import ChildError

    parts = common.load_parts()
    data = common.load_data(dataset)
    origin = common.fit_to_data(common.find_artifact(source, parts), data)
    cell = choose(origin, format, quantizer, parts)
    for kind, name in [*(("exporter", name) for name in cell.route), ("quantizer", cell.quantizer)]:
        common.require(parts.find(kind, name))
    target = out or Path(f"{origin.name}-{cell.precision}.{format}")
    if target.exists() and not force:
        raise EcgEdgeError(f"{target} exists", "name another with -o, or --force")
    common.usable_folder(target.absolute().parent)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        lab = common.open_lab(
            parts,
            data,
            {origin.name: origin},
            folder,
            np.arange(len(data.test)),
            calibration=calibration,
            seed=seed,
            opset=opset,
            unavailable=common.unavailable(parts),
        )
        try:
            artifact = produce(cell, lab, batch)
            place(artifact, target)
            summarize(artifact, target, cell, lab)
        except ChildError as error:
            shutil.copyfile(folder / "conversions.log", log := Path(f"{target}.log"))
            raise ConversionError(f"{error} (log: {log})") from None
        finally:
            lab.close()


def choose(origin: Artifact, format: str, quantizer: str, parts: Parts) -> Cell:
    """The shortest route to that format and precision.

    Raises:
        EcgEdgeError: there is none; says what there is.
    """
    from ecgedge.plan import Cell, quantizer_words, routes, takes

    cells = [
        Cell(origin.name, route, q.name, q.produces or exported, q.precision, runtime="")
        for route, exported in routes(origin.format, parts.exporters)
        for q in parts.quantizers.values()
        if takes(q.accepts, exported)
    ]
    formats = sorted({cell.format for cell in cells})
    if format not in formats:
        raise EcgEdgeError(f"no way from {origin.format} to {format!r}", f"choose from: {', '.join(formats)}")
    near = [cell for cell in cells if cell.format == format]
    fitting = [cell for cell in near if quantizer in quantizer_words(cell.quantizer, cell.precision)]
    if not fitting:
        words = sorted({word for cell in near for word in (cell.precision, cell.quantizer)})
        raise EcgEdgeError(f"{format} cannot be {quantizer!r}", f"choose from: {', '.join(words)}")
    return min(fitting, key=lambda cell: len(cell.route))


def place(artifact: Artifact, target: Path) -> None:
    """Copy an artifact out of the store, whole or not at all."""
    from ecgedge.artifacts import copy_to, digest_of

    fresh = target.with_name(f".{target.name}.new")
    copy_to(artifact.path, fresh)
    if target.is_dir():
        shutil.rmtree(target)
    fresh.replace(target)
    if digest_of(target) != artifact.digest:
        raise OSError(f"{target} was not written as it was made")


def summarize(artifact: Artifact, target: Path, cell: Cell, lab: Lab) -> None:
    """Print what was made and, where a runtime takes it, how it answers."""
    import numpy as np

    from ecgedge.artifacts import pack
    from ecgedge.matrix import judge, reference
    from ecgedge.plan import takes

    route = " -> ".join([artifact.name, *cell.route, cell.quantizer])
    click.echo(f"{target}: {artifact.format} {artifact.precision}, {artifact.size_bytes:,} bytes")
    click.echo(f"route      {route}")
    click.echo(f"input      {artifact.input.name} {list(artifact.input.shape)} {artifact.input.dtype}")
    click.echo(f"output     {artifact.output.name} {list(artifact.output.shape)} {artifact.output.dtype}")
    click.echo(f"sha256     {artifact.digest}")
    runtime = next(
        (part for (kind, _), part in lab.parts.items() if kind == "runtime" and takes(part.accepts, artifact.format)),
        None,
    )
    if runtime is None:
        click.echo(f"parity     checked by its exporter; no runtime takes {artifact.format}")
        return
    file = lab.folder / "outputs.npy"
    lab.converter.ask(
        "outputs",
        300,
        runtime=runtime.name,
        artifact=pack(artifact),
        beats=str(lab.beats_file),
        out=str(file),
        threads=1,
    )
    verdict = judge(np.load(file), reference(artifact.name, lab), artifact, lab)
    if verdict["status"] != "ok":
        raise ConversionError(f"{target} is wrong: {verdict['reason']}")
    click.echo(
        f"parity     largest difference to its source {verdict['max_abs_diff']:.2g}, "
        f"{verdict['changed_decisions']} of {len(lab.scored):,} decisions changed"
    )
    figures = ("accuracy", "macro_f1") if artifact.task.kind == "classification" else ("auroc", "auprc", "f1")
    click.echo(f"quality    {', '.join(f'{key} {verdict[key]:.4f}' for key in figures)} ({lab.data.name})")
