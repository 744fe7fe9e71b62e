"""The host's C compiler: a folder of C becomes a shared library, and answers."""

from __future__ import annotations

import ctypes
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ecgedge import EcgEdgeError
from ecgedge_c.cmsis_nn import ON_THE_HOST, CmsisNn
from ecgedge_c.folder import Interface, interface

STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic")
QUICK = ("-std=c99", "-O3", "-ffp-contract=off", "-fPIC", "-shared")
SECONDS = 300  # for one file


def compiler() -> list[str]:
    """The command of the host's compiler, by ``CC``, else ``cc``, ``gcc`` or ``clang``. Raises EcgEdgeError."""
    if told := os.environ.get("CC"):
        return shlex.split(told)
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return [found]
    raise EcgEdgeError("there is no C compiler here", "install gcc or clang, or name one in CC")


def native() -> tuple[str, ...]:
    """What has a compiler use all of this processor."""
    return ("-march=native",) if platform.machine() in ("x86_64", "AMD64") else ("-mcpu=native",)


def run(command: Sequence[str | Path], what: str) -> str:
    """Run a compiler's program; what it printed. Raises EcgEdgeError with its first error where it fails."""
    try:
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EcgEdgeError(f"{what}: {command[0]} cannot be run: {error}"[:300], "install it") from error
    if done.returncode:
        lines = (
            [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["it failed"]
        )
        raise EcgEdgeError(f"{what}: {lines[0].strip()}"[:300], "another version of the compiler may take it")
    return done.stdout


class Library:
    """A compiled model: a copy of its own, so that no other shares its arena."""

    def __init__(self, folder: Path, cmsis_nn: CmsisNn | None = None):
        self.told: Interface = interface(folder)
        with tempfile.TemporaryDirectory() as scratch:
            made, theirs = Path(scratch) / "model.so", list[str | Path]()
            if cmsis_nn:
                library = Path(scratch) / "cmsis_nn.so"
                theirs = [*cmsis_nn.options, *ON_THE_HOST]
                run([*compiler(), *QUICK, "-w", *theirs, "-o", library, *cmsis_nn.sources], "CMSIS-NN")
                self.theirs = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
            run([*compiler(), *QUICK, *native(), *STRICT, *theirs, "-o", made, folder / "model.c"], str(folder))
            self.library = ctypes.CDLL(str(made))  # which stays after its file is gone
        function = self.library[f"{self.told.name}_run"]
        function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_void_p], None
        self.function: Callable[[int, int], None] = function

    def answer(self, stored: np.ndarray) -> np.ndarray:
        """What it gives for inputs ``(N, ...)`` as it takes them, ``(N, values)``."""
        given = np.ascontiguousarray(stored, self.told.dtype).reshape(len(stored), -1)
        found = np.empty((len(given), self.told.outputs), self.told.dtype)
        for x, y in zip(given, found, strict=True):
            self.function(x.ctypes.data, y.ctypes.data)
        return found
