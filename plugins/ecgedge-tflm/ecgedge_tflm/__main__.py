"""``python -m ecgedge_tflm FILE``: the arena of a TFLite file, agreement with LiteRT, and the boards that it fits."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click
import numpy as np

from ecgedge import Artifact, EcgEdgeError
from ecgedge.testing import draw
from ecgedge_tflm import agreement, boards, interpreter, model_file
from ecgedge_tflm.boards import Fit

SYNTHETIC = 500  # beats, where none are named


class Reporting(click.Command):
    """The user's mistakes are one or two lines, and exit code 2."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except EcgEdgeError as error:
            click.echo(f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""), err=True)
            ctx.exit(2)


@click.command(cls=Reporting, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--board",
    "names",
    multiple=True,
    metavar="NAME",
    help="One of the boards; exit code 1 where one is too small. Default: all, and exit code 0.",
)
@click.option(
    "--boards",
    "table",
    type=click.Path(path_type=Path),
    default=boards.OURS,
    show_default="ours",
    help="A file of other boards.",
)
@click.option(
    "--code",
    type=click.IntRange(0),
    metavar="BYTES",
    help="Flash that your firmware takes without the model, TFLM in it. Default: an estimate for TFLM alone.",
)
@click.option(
    "--beats",
    type=click.Path(path_type=Path),
    help="Beats for the comparison with LiteRT: a line each, perhaps with a label first. "
    f"Default: {SYNTHETIC} synthetic ones.",
)
@click.pass_context
def main(
    ctx: click.Context, file: Path, names: tuple[str, ...], table: Path, code: int | None, beats: Path | None
) -> None:
    """What TensorFlow Lite Micro makes of a TFLite FILE."""
    content = model_file.read(file)
    model = model_file.parse(content, file)
    artifact = model_file.artifact_of(model, file)
    wanted, kernels = boards.load(table, names), sorted(model_file.kernels_of(model))
    x = read_beats(beats, artifact)
    session = interpreter.open_interpreter(content)
    session.set_input(next(artifact.input.batches(x)), 0)
    session.invoke()
    arena = interpreter.measure_arena(session, content)

    click.echo(f"{file.name}: {artifact.precision}, {len(content):,} bytes")
    click.echo(f"kernels    {', '.join(kernels)}")
    click.echo(f"arena      {arena.total:,} bytes: head {arena.head:,}, tail {arena.tail:,}")
    click.echo(f"           {arena.smallest:,} bytes are the least that works, on this 64-bit host")
    tell_agreement(content, artifact, x, "synthetic beats" if beats is None else f"beats of {beats.name}")
    found = [boards.fit(board, len(content), arena.smallest, len(kernels), code) for board in wanted]
    tell_fits(found, code)
    ctx.exit(1 if names and not all(each.fits for each in found) else 0)


def tell_agreement(content: bytes, artifact: Artifact, beats: np.ndarray, of: str) -> None:
    if importlib.util.find_spec("ai_edge_litert") is None:
        click.echo("agreement  not measured: LiteRT is not installed; pip install ecgedge[tflite]")
        return
    unit = "LSB" if np.issubdtype(artifact.output.dtype, np.integer) else ""
    click.echo(f"agreement  with LiteRT on {len(beats):,} {of}")
    for each in agreement.compare(content, artifact, beats):
        largest = f"{each.largest:.0f} {unit}" if unit else f"{each.largest:.2g}"
        click.echo(
            f"           {each.kernels:<17}  {each.values:.4%} of the output values are equal, "
            f"{each.beats:.2%} of the beats; largest difference {largest}"
        )


def tell_fits(found: list[Fit], code: int | None) -> None:
    known = "as you say" if code is not None else "as estimated"
    click.echo(f"boards     flash: the model and {found[0].code:,} bytes of code, {known}")
    click.echo(f"           RAM: the arena and {found[0].board.margin:,} bytes beside it, as estimated")
    for each in found:
        verdict = "fits" if each.fits else f"too small: {each.lacking}"
        click.echo(
            f"           {each.board.name:<17}  flash {each.flash / 1024:.0f} of {each.board.flash / 1024:.0f} KiB, "
            f"RAM {each.ram / 1024:.0f} of {each.board.ram / 1024:.0f} KiB: {verdict} ({each.board.title})"
        )


def read_beats(path: Path | None, artifact: Artifact) -> np.ndarray:
    """Beats ``(N, 1, L)`` float32 of a text file, or synthetic ones. Raises EcgEdgeError."""
    length = int(artifact.input.shape[artifact.input.layout.index("L")] or 0)
    if path is None:
        return draw(SYNTHETIC, length)
    try:
        text = path.read_text(encoding="utf-8").replace(",", " ")
        rows = np.loadtxt(text.splitlines(), dtype=np.float32, ndmin=2)
    except (OSError, ValueError) as error:
        raise EcgEdgeError(f"{path} holds no beats: {error}"[:200], "a line of numbers for each beat") from error
    if rows.shape[1] not in (length, length + 1) or not len(rows):
        raise EcgEdgeError(f"{path}: lines of {rows.shape[1]} numbers", f"the model takes {length}, or a label before")
    return np.ascontiguousarray(rows[:, None, -length:])


if __name__ == "__main__":
    main(prog_name="python -m ecgedge_tflm")
