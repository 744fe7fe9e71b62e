"""CMSIS-NN, Arm's kernels for its microcontrollers, where its sources are at hand: none of them come along."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ecgedge import EcgEdgeError

CALLED = "arm_convolve_1x1_s8_fast"
HEADERS = ("arm_nnfunctions.h", "cmsis_compiler.h")  # of CMSIS-NN, and of CMSIS itself
ON_THE_HOST = ("-D__GNUC_PYTHON__", "-D__RESTRICT=__restrict")  # its words for another processor: plain C
NAME = re.compile(r"\barm_\w+")


@dataclass(frozen=True)
class CmsisNn:
    """What a model's C is compiled with: folders of headers, and the files of the functions that it calls."""

    includes: tuple[Path, ...]
    sources: tuple[Path, ...]

    @property
    def options(self) -> tuple[str, ...]:
        return ("-DECGEDGE_CMSIS_NN", *(word for folder in self.includes for word in ("-isystem", str(folder))))


def find(folder: Path) -> CmsisNn:
    """Headers and sources somewhere in a folder, as its repository and CMSIS packs have them.

    Raises:
        EcgEdgeError: they are not there.
    """
    includes = []
    for name in HEADERS:
        found = sorted(folder.rglob(name))
        if not found:
            raise EcgEdgeError(f"{folder} has no {name}", "name a folder that holds CMSIS-NN and CMSIS core")
        includes.append(found[0].parent)
    files = {file.stem: file for file in sorted(folder.rglob("arm_*.c"))}
    if CALLED not in files:
        raise EcgEdgeError(f"{folder} has no {CALLED}.c", "name a folder that holds CMSIS-NN's sources")
    needed, left = dict[str, Path](), [CALLED]
    while left:
        name = left.pop()
        if name in files and name not in needed:
            needed[name] = files[name]
            left += NAME.findall(files[name].read_text(encoding="utf-8", errors="replace"))
    return CmsisNn(tuple(dict.fromkeys(includes)), tuple(needed.values()))
