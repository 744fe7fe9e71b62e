"""Cores that are emulated, as data, and the image of a model for one of them."""

from __future__ import annotations

import re
import shutil
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from ecgedge import EcgEdgeError
from ecgedge_c.cmsis_nn import CmsisNn
from ecgedge_c.compiler import run
from ecgedge_c.folder import interface

INCLUDE = Path(
    str(resources.files("ecgedge_c").joinpath("support").joinpath("include"))
)  # of a core without a C library
CTYPES = {"int8": "int8_t", "float32": "float"}
OPTIONS = (
    "-std=c99", "-O2", "-ffp-contract=off", "-ffreestanding", "-fno-tree-loop-distribute-patterns", "-nostdlib",
    "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-Wall", "-Wextra", "-Werror",
)  # fmt: skip
SECTION = re.compile(r"^(\.\w+)\s+(\d+)\s+\d+$", re.MULTILINE)
TOO_LARGE = re.compile(r"region `(\w+)' overflowed by (\d+) bytes")


@dataclass(frozen=True)
class Target:
    """A core that QEMU emulates.

    Attributes:
        compiler: the program, for ``flags``.
        emulator: the command, but for the image.
        memory: the regions FLASH and RAM, as the linker wants them.
        instructions_per_tick: of its timer, where each instruction is counted.
    """

    name: str
    compiler: str
    flags: tuple[str, ...]
    emulator: tuple[str, ...]
    memory: str
    instructions_per_tick: float

    @property
    def device(self) -> str:
        return f"{self.name} (emulated)"

    @property
    def is_arm(self) -> bool:
        return self.compiler.startswith("arm-")

    def missing(self) -> str | None:
        """What is not installed, one line; None where all is."""
        for program in (self.compiler, self.emulator[0]):
            if shutil.which(program) is None:
                return f"{program} is not installed: apt-get install {PACKAGES[program]}"
        return None


PACKAGES = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf",
    "qemu-system-arm": "qemu-system-arm",
    "qemu-system-riscv32": "qemu-system-misc",
}


@dataclass(frozen=True)
class Image:
    """A linked program: the model and the harness that feeds it.

    Attributes:
        flash: bytes of code, constants and initial values, by the linker.
        static: bytes of variables, by the linker; the stack comes on top.
    """

    path: Path
    flash: int
    static: int


@cache
def targets() -> tuple[Target, ...]:
    """All, as ``targets.toml`` has them."""
    text = resources.files("ecgedge_c").joinpath("targets.toml").read_text(encoding="utf-8")
    return tuple(
        Target(one["name"], one["compiler"], tuple(one["flags"]), tuple(one["emulator"]), one["memory"],
               float(one["instructions_per_tick"]))
        for one in tomllib.loads(text)["targets"]
    )  # fmt: skip


def link(model: Path, target: Target, out: Path, cmsis_nn: CmsisNn | None = None) -> Image:
    """The image of a folder of C, in the folder ``out``.

    Args:
        cmsis_nn: whose convolutions it calls in the place of its own.

    Raises:
        EcgEdgeError: it does not fit the emulated machine's memory, or the compiler refuses it.
    """
    told = interface(model)
    support = Path(str(resources.files("ecgedge_c").joinpath("support")))
    script, image = out / "image.ld", out / "image.elf"
    script.write_text(f"MEMORY {{ {target.memory} }}\n" + (support / "image.ld").read_text(encoding="utf-8"))
    names = (
        f"-DECGEDGE_NAME={told.name}",
        f"-DECGEDGE_UPPER={told.name.upper()}",
        f"-DECGEDGE_TYPE={CTYPES[told.dtype]}",
    )
    theirs, objects = (cmsis_nn.options if cmsis_nn else ()), list[Path]()
    for source in cmsis_nn.sources if cmsis_nn else ():
        objects.append(out / f"{source.stem}.o")
        compiled = [
            target.compiler,
            *target.flags,
            *OPTIONS,
            "-fbuiltin",
            "-w",
            *theirs,
            "-I",
            INCLUDE,
            "-c",
            "-o",
            objects[-1],
        ]
        run([*compiled, source], f"{source.name} for {target.name}")
    command: list[str | Path] = [
        target.compiler, *target.flags, *OPTIONS, *names, *theirs, "-I", INCLUDE, "-I", model,
        "-T", script, "-o", image, model / "model.c", support / "harness.c", *objects, "-lgcc",
    ]  # fmt: skip
    try:
        run(command, f"{model} on {target.name}")
    except EcgEdgeError as error:
        if large := TOO_LARGE.search(str(error)):
            told_large = f"{large[1]} of the machine that is emulated lacks {int(large[2]):,} bytes"
            raise EcgEdgeError(f"{model} on {target.name}: {told_large}", "name another target") from error
        raise
    size = target.compiler.removesuffix("gcc") + "size"
    sizes = {name: int(count) for name, count in SECTION.findall(run([size, "-A", image], "its size"))}
    part = lambda *names: sum(sizes.get(name, 0) for name in names)  # noqa: E731
    return Image(image, part(".text", ".rodata", ".data"), part(".data", ".bss"))
