"""An emulated core that answers beats: they go in and out through pipes that the program opens by semihosting."""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgedge import EcgEdgeError
from ecgedge_c.cmsis_nn import CmsisNn
from ecgedge_c.folder import interface
from ecgedge_c.targets import Target, link

SECONDS = 120  # for one beat
COUNTED = ("-icount", "shift=0")  # an instruction is a nanosecond of the emulated clock
QUIET = ("-display", "none", "-monitor", "none", "-serial", "none",
         "-semihosting-config", "enable=on,target=native")  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """What a model takes of a core.

    Attributes:
        flash: bytes of the image, by the linker.
        ram: bytes of its variables, by the linker, and of its stack as deep as it was.
        stack: of these, the stack.
        instructions: of one beat, the most of those that were run.
    """

    flash: int
    ram: int
    stack: int
    instructions: int


class Emulator:
    """A model on an emulated core, from its first beat on; ``close`` ends it."""

    def __init__(self, model: Path, target: Target, cmsis_nn: CmsisNn | None = None):
        self.told, self.target = interface(model), target
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = Path(self.scratch.name)
        self.image = link(model, target, self.folder, cmsis_nn)
        self.most = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        for name in ("in", "out"):
            (self.folder / name).unlink(missing_ok=True)
            os.mkfifo(self.folder / name, 0o600)
        self.given, self.returned = (os.open(self.folder / name, os.O_RDWR) for name in ("in", "out"))
        command = [*self.target.emulator, *QUIET, *COUNTED, "-kernel", str(self.image.path)]
        self.process = subprocess.Popen(
            command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def answer(self, stored: np.ndarray) -> np.ndarray:
        """What it gives for inputs ``(N, ...)`` as it takes them, ``(N, values)``."""
        told = self.told
        given = np.ascontiguousarray(stored, told.dtype).reshape(len(stored), -1)
        found = np.empty((len(given), told.outputs), told.dtype)
        for number, one in enumerate(given):
            os.write(self.given, one.tobytes())
            found[number] = np.frombuffer(self.read(found[number].nbytes), told.dtype)
            self.most = max(self.most, int.from_bytes(self.read(4), "little"))
        return found

    def read(self, count: int) -> bytes:
        """So many bytes of its output. Raises EcgEdgeError where it ends, or says nothing for long."""
        content, until = b"", time.monotonic() + SECONDS
        while len(content) < count:
            ready, _, _ = select.select([self.returned], [], [], 0.5)
            if ready:
                content += os.read(self.returned, count - len(content))
                continue
            assert self.process
            if self.process.poll() is not None:
                said = self.process.stderr.read().decode(errors="replace") if self.process.stderr else ""
                told = " ".join(said.split())[:200] or f"exit code {self.process.returncode}"
                raise EcgEdgeError(f"{self.target.name}: the emulator ended: {told}", "see whether the model fits it")
            if time.monotonic() > until:
                raise EcgEdgeError(f"{self.target.name}: no answer in {SECONDS} seconds", "name another target")
        return content

    def cost(self) -> Cost:
        """What all beats so far have taken; the core is started anew for those that follow."""
        os.close(self.given)
        stack = int.from_bytes(self.read(4), "little")
        self.stop()
        self.start()
        instructions = round(self.most * self.target.instructions_per_tick)
        return Cost(self.image.flash, self.image.static + stack, stack, instructions)

    def stop(self) -> None:
        """End the process, whatever it does."""
        if self.process is None:
            return
        try:
            self.process.wait(0.5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stderr:
            self.process.stderr.close()
        self.process = None
        os.close(self.returned)

    def close(self) -> None:
        if self.process is None:
            return
        os.close(self.given)
        self.process.terminate()
        self.stop()
        self.scratch.cleanup()
