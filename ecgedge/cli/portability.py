"""``ecgedge portability``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecgedge.cli import common
from ecgedge.cli.options import (
    NORMALIZE,
    asked_of_columns,
    dataset_option,
    file_options,
    limit_options,
    told_files,
    trusted,
)
from ecgedge.files import escape

if TYPE_CHECKING:
    from ecgedge.portability.certificate import Certificate, Saturating, Tried
    from ecgedge.portability.record import Portability

COLUMNS = ("kernels", "on", "beats", "equal", "largest", "steps", "flips", "ran")
LAYERS = ("layer", "pairs", "can", "did", "beats", "sums cut", "most lost", "changed", "steps")
VERDICTS = ("exact", "equivalent", "fragile")  # best first
WIDEST = 38  # characters of a name
SETS = ("avx512_vnni", "avx_vnni", "amx_int8", "avx512f", "avx2", "asimddp", "i8mm")  # of which a processor is told


@click.command()
@click.argument("target", metavar="FILE|RUN")
@click.argument("row", nargs=-1, metavar="[ROW]")
@click.option(
    "--runtime",
    metavar="NAME",
    help="Try the kernels of this runtime. Default: the row's, else the first that takes it and works here.",
)
@click.option("--device", "devices", metavar="NAME", multiple=True,
              help="Try it on this board, too (ecgedge board ls). May be given again.")  # fmt: skip
@click.option(
    "--emulate/--no-emulate",
    default=True,
    show_default=True,
    help="Try it on other x86-64 cores, too, emulated, where this machine can (QEMU's user mode).",
)
@click.option(
    "--beats",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="Give so many test beats to emulators and the integer model; all else gets all of them.",
)
@click.option(
    "--require",
    type=click.Choice(VERDICTS[:2]),
    help="Exit with 1 where the verdict is worse, or one way alone was tried.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Keep the certificate with all answers in this folder, for ecgedge check to verify.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@dataset_option
@file_options
@limit_options
@click.pass_context
def portability(ctx: click.Context, target: str, row: tuple[str, ...], runtime: str | None, devices: tuple[str, ...],
                emulate: bool, beats: int, require: str | None, out: Path | None, as_json: bool, dataset: str | None,
                timeout: float, memory: int | None) -> None:  # fmt: skip
    """Say whether a file answers the same with other kernels, and on other processors.

    Of a run, ROW is the id of a row or words that only it has; without it, the row that the run suggests. The same
    bytes get the same certificate again, unless what is tried has changed.

    \b
    ecgedge portability tcn.onnx
    ecgedge portability tcn.tflite --device pi4 --device arm64
    ecgedge portability runs/int8 tflite full-int8
    """
    from ecgedge.commands.portability import portability as look_into
    from ecgedge.portability.record import check_free

    if out:
        check_free(out)
    found = look_into(target, row=row, runtime=runtime, devices=devices, emulate=emulate, beats=beats, data=dataset,
                      normalize=bool(ctx.meta.get(NORMALIZE)), **asked_of_columns(), told=told_files(), trust=trusted(),
                      timeout=timeout, memory=memory)  # fmt: skip
    is_run = Path(target).is_dir() and found.artifact.path.absolute() != Path(target).absolute()
    if out:
        found.write(out)
    if as_json:
        click.echo(json.dumps(found.record(), indent=1, allow_nan=False))
    else:
        show(str(found.artifact.path) if row or is_run else target, found)
    if require and (
        len(found.certificate.tried) == 1 or VERDICTS.index(found.certificate.verdict) > VERDICTS.index(require)
    ):
        ctx.exit(1)  # one way alone says nothing of others


def show(target: str, found: Portability) -> None:
    """Print what was tried, where sums can be cut off, the verdict, and what was not tried."""
    from ecgedge.measure.processor import instruction_flags
    from ecgedge.portability.wording import lines

    certificate, artifact = found.certificate, found.artifact
    common.say(f"{target}: {artifact.format} {artifact.precision} on {found.runtime}; data: {found.data}")
    here = [name for name in SETS if name in instruction_flags()]
    common.say(
        f"this machine: {', '.join(here) or 'instructions not told'}; which of them ran, the libraries do not tell"
    )
    if found.since:
        common.say(f"as found on {found.since}: the file and what is tried have not changed")
    click.echo()
    click.echo(tried_table(certificate.tried))
    click.echo()
    if certificate.saturation:
        common.say("sums of two u8 x s8 products that 16 bits cannot hold, as without VNNI:")
        click.echo(layer_table(certificate))
        click.echo()
    names = ("normal", "anomaly") if artifact.task.kind == "anomaly" else artifact.task.labels
    for line in lines(certificate, names):
        common.say(line)
    for finding in certificate.findings:
        common.say(f"- {finding.text}")
        if finding.remedy:
            common.say(f"  {finding.remedy}")
    for missed in certificate.not_tried:
        common.say(f"not tried: {missed.what}: {missed.why}")


def tried_table(tried: tuple[Tried, ...]) -> str:
    from ecgedge.report.grid import table

    cells = [
        [
            escape.line(each.family),
            shortened(each.place),
            f"{each.beats:,}",
            "base" if not i else share(each.equal),
            "" if not i else f"{each.largest:.3g}",
            "" if not i or each.steps is None else f"{each.steps:.0f}",
            "" if not i else f"{len(each.flips):,}",
            shortened(each.ran),
        ]
        for i, each in enumerate(tried)
    ]
    return table(list(COLUMNS), cells, 2, False)


def layer_table(certificate: Certificate) -> str:
    from ecgedge.report.grid import table

    def row(layer: Saturating) -> list[str]:
        did = [f"{layer.did:,}", f"{layer.beats:,}", f"{layer.cut:,}", f"{layer.largest:,}", share(layer.changed)]
        return [shortened(layer.layer.removeprefix("/")), f"{layer.pairs:,}", f"{layer.can:,}",
                *(did if layer.seen else ["-"] * len(did)), f"{layer.steps}" if layer.seen else "-"]  # fmt: skip

    return table(list(LAYERS), [row(layer) for layer in certificate.saturation], 1, False)


def share(part: float) -> str:
    """In per cent; never rounded to all or to nothing."""
    if part in (0.0, 1.0):
        return f"{part:.0%}"
    return f"{min(max(part, 0.0001), 0.9999):.2%}"


def shortened(text: str) -> str:
    """Its end, where it is long: the names of nodes begin alike."""
    text = escape.line(text)
    return text if len(text) <= WIDEST else ".." + text[-WIDEST + 2 :]
