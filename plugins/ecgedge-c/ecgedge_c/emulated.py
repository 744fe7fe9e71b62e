"""The C of a model on emulated microcontrollers: answers, flash, RAM and instructions, never times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ecgedge import Artifact, Figure, Graph, Runtime, Session
from ecgedge_c import boards, folder
from ecgedge_c.emulator import Emulator
from ecgedge_c.runtime import CODE
from ecgedge_c.targets import Target, targets

FIGURES = (
    Figure("flash", "B", help="code and constants of the linked image, by the linker", exact=True),
    Figure("ram", "B", help="variables, by the linker, and the stack as deep as it was", exact=True),
    Figure("instructions", "instructions", help="of one beat, as the emulator counts them", exact=True),
)


class EmulatedSession(Session):
    """A core of its own; beats are answered one after another."""

    def __init__(self, artifact: Artifact, target: Target):
        self.artifact, self.target = artifact, target
        self.emulator = Emulator(artifact.path, target)
        self.batch = artifact.input.batch

    def bind(self, x: np.ndarray) -> None:
        self.x = self.artifact.input.encode(x)

    def invoke(self) -> None:
        self.y = self.emulator.answer(self.x)

    def fetch(self) -> np.ndarray:
        return self.artifact.output.decode(self.y)

    def graph(self) -> Graph:
        return folder.graph(self.artifact.path, self.target.device)

    def figures(self) -> Mapping[str, int | float | str]:
        cost = self.emulator.cost()
        fits, too_small = boards.judged(self.target.name, cost.flash, cost.ram)
        return {
            "flash": cost.flash,
            "ram": cost.ram,
            "stack_bytes": cost.stack,
            "instructions": cost.instructions,
            "fits": fits,
            "too_small": too_small,
        }

    def close(self) -> None:
        self.emulator.close()


class EmulatedRuntime(Runtime):
    """A core that QEMU emulates; left out unless it is asked for, as it takes its time."""

    accepts = ("c",)
    figures = FIGURES
    on_request = True

    def __init__(self, target: Target):
        self.target = target
        self.name, self.device, self.emulated = f"c-{target.name}", target.device, target.name

    def available(self) -> str | None:
        return self.target.missing()

    def code_in(self, path: Path) -> str | None:
        return CODE

    def inspect(self, path: Path) -> Artifact:
        return folder.inspect(path)

    def load(self, artifact: Artifact, threads: int) -> Session:
        return EmulatedSession(artifact, self.target)


def targets_as_runtimes() -> Iterable[Runtime]:
    """One runtime for each target."""
    return tuple(EmulatedRuntime(target) for target in targets())
