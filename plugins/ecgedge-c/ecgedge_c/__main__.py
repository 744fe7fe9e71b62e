"""``python -m ecgedge_c FOLDER``: what a folder of C takes of each emulated core, and which boards it fits."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import numpy as np

from ecgedge import EcgEdgeError
from ecgedge.testing import draw
from ecgedge_c import boards, cmsis_nn, folder
from ecgedge_c.cmsis_nn import CmsisNn
from ecgedge_c.compiler import Library
from ecgedge_c.emulator import Emulator
from ecgedge_c.source import WITHOUT_CMSIS_NN
from ecgedge_c.targets import Target, targets


class Reporting(click.Command):
    """The user's mistakes are one or two lines, and exit code 2."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except EcgEdgeError as error:
            click.echo(f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""), err=True)
            ctx.exit(2)


@click.command(cls=Reporting, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("--target", "names", multiple=True, metavar="NAME", help="One of the cores. Default: all.")
@click.option("--image", type=click.Path(path_type=Path), help="Keep the linked image of the one --target here.")
@click.option("--beats", type=click.IntRange(1), default=5, show_default=True, help="How many synthetic ones run.")
@click.option(
    "--cmsis-nn",
    "theirs",
    type=click.Path(path_type=Path),
    help="A folder with the sources of CMSIS-NN and CMSIS core: its convolutions, on Cortex-M.",
)
def main(model: Path, names: tuple[str, ...], image: Path | None, beats: int, theirs: Path | None) -> None:
    """What the C in FOLDER, which ecgedge convert --to c made, takes of microcontrollers. It is compiled and run."""
    chosen = chosen_targets(names)
    if image and len(chosen) != 1:
        raise EcgEdgeError("--image is of one core", "name it with --target")
    artifact = folder.inspect(model)
    kernels = cmsis_nn.find(theirs) if theirs else None
    if kernels and WITHOUT_CMSIS_NN in (model / "model.c").read_text(encoding="utf-8"):
        todo = "convert it with --option c-full-int8.cmsis_nn=true"
        raise EcgEdgeError(f"{model} has no convolutions for CMSIS-NN", todo)
    drawn = draw(beats, artifact.input.length or 140, leads=artifact.input.leads or 1)
    stored = artifact.input.encode(drawn).reshape(beats, -1)
    expected = Library(model).answer(stored)
    for target in chosen:
        if reason := target.missing():
            click.echo(f"{target.name:<11} not run: {reason}")
            continue
        if kernels and not target.is_arm:
            click.echo(f"{target.name:<11} not run: CMSIS-NN is for Arm's cores")
            continue
        tell(model, target, stored, expected, image, kernels)


def chosen_targets(names: tuple[str, ...]) -> list[Target]:
    """Those that are named, else all. Raises EcgEdgeError for a name that there is not."""
    known = {target.name: target for target in targets()}
    for name in names:
        if name not in known:
            raise EcgEdgeError(f"no core {name!r}", f"choose from: {', '.join(known)}")
    return [known[name] for name in names or known]


def tell(
    model: Path, target: Target, stored: np.ndarray, expected: np.ndarray, image: Path | None, kernels: CmsisNn | None
) -> None:
    """Two lines of one core. Raises EcgEdgeError where it answers otherwise than this machine."""
    core = Emulator(model, target, kernels)
    try:
        found = core.answer(stored)
        cost = core.cost()
        if image:
            shutil.copyfile(core.image.path, image)
    finally:
        core.close()
    wrong = int((found != expected).any(axis=1).sum())
    if wrong and expected.dtype != np.float32:
        raise EcgEdgeError(
            f"{target.name}: {wrong} of {len(stored)} beats are answered otherwise than here", "report it"
        )
    fits, too_small = boards.judged(target.name, cost.flash, cost.ram)
    click.echo(
        f"{target.name:<11} flash {cost.flash:,} B, RAM {cost.ram:,} B (stack {cost.stack:,}), "
        f"{cost.instructions:,} instructions a beat; {len(stored) - wrong} of {len(stored)} beats as here"
    )
    lacking = f"; too small: {too_small}" if too_small != "none" else ""
    click.echo(f"{'':<11} " + (fits if fits == boards.UNKNOWN else f"fits {fits}{lacking}"))


if __name__ == "__main__":
    main(prog_name="python -m ecgedge_c")
