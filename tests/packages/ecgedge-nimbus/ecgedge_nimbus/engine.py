"""The engine: a matrix product in integers, or in float32, under names of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import (
    Artifact,
    Blocks,
    EcgEdgeError,
    Figure,
    Graph,
    Measured,
    Node,
    Option,
    Profile,
    Runtime,
    Session,
    Step,
    TensorSpec,
    Weight,
    artifact_from,
)
from ecgedge.testing import read_fake
from ecgedge_nimbus.quantizer import unpack

DEVICE = "nimbus-7"
NANOSECONDS = 10  # of a cycle; one multiplication in each lane takes one


@dataclass(frozen=True)
class Matrix:
    """What a file holds.

    Attributes:
        weights: ``(C, L)``, float32 or integers of 4 bits.
        scales: of the integers, one a class.
        step: of the activations; None: they stay float32.
    """

    weights: np.ndarray
    scales: np.ndarray
    step: float | None


class NimbusSession(Session):
    copies = "outside"

    def __init__(self, matrix: Matrix, lanes: int):
        self.matrix, self.lanes = matrix, lanes
        self.cycles: list[int] = []  # of each call that nobody was told of yet

    def bind(self, x: np.ndarray) -> None:
        step = self.matrix.step
        self.x = x[:, 0] if step is None else np.clip(np.rint(x[:, 0] / step), -127, 127).astype(np.int32)

    def invoke(self) -> None:
        pieces = np.array_split(self.matrix.weights, self.lanes)
        dtype = np.float32 if self.matrix.step is None else np.int32
        self.y = np.concatenate([self.x @ piece.T.astype(dtype) for piece in pieces], axis=1)
        self.cycles.append(len(self.x) * self.matrix.weights.size // self.lanes)

    def fetch(self) -> np.ndarray:
        step = self.matrix.step
        scaled = self.y if step is None else self.y * (step * self.matrix.scales)
        return scaled.astype(np.float32)

    def graph(self) -> Graph:
        small = self.matrix.step is not None
        taken, weight, given = ("int8", "int4", "int32") if small else ("float32",) * 3
        size = self.matrix.weights.size
        nodes = (
            Node("in", "Sniff", "Nimbus", DEVICE, ("float32",), (taken,), kind="quantizes" if small else "moves"),
            Node("all", "Weave", "Nimbus", DEVICE, (taken, weight), (given,), (0, size), kind="multiplies", macs=size),
            Node("out", "Breathe", "Nimbus", DEVICE, (given,), ("float32",), kind="quantizes" if small else "moves"),
        )
        weights = (Weight("w", weight, (size + 1) // 2 if small else 4 * size, weight),)
        return Graph(nodes, weights, input="float32", output="float32")

    def profile(self, calls: int) -> Profile:
        each = {"in": ("Sniff", 0.01), "all": ("Weave", 0.07), "out": ("Breathe", 0.02)}
        return Profile(tuple(Step(op, name, (name,), (us,) * calls) for name, (op, us) in each.items()))

    def figures(self) -> Mapping[str, int | float | str]:
        return {"sram_bytes": self.sram, "lanes": self.lanes}

    @property
    def sram(self) -> int:
        return self.matrix.weights.size // 2 + 4 * len(self.matrix.weights)

    def measured(self) -> Measured:
        cycles, self.cycles = self.cycles, []
        return Measured(
            latencies_ns=tuple(NANOSECONDS * each for each in cycles),
            clock="Nimbus cycle counter at 100 MHz",
            energy_uj=0.25 * len(cycles),
            energy_source="Nimbus power rail",
            memory_bytes=self.sram,
            memory_source="Nimbus SRAM",
        )


class Nimbus(Runtime):
    """Runs the tiny test model, and what ``NimbusW4`` makes of it."""

    name, device = "nimbus", DEVICE
    accepts, suffixes = ("fake", "nimbus"), (".nimbus",)
    options = (Option("lanes", int, 1, "Rows of its array that work at once.", choices=(1, 2, 4)),)
    blocks = Blocks(calls=25, pause_s=0.01, reload=False)
    figures = (Figure("sram_bytes", "B", help="of the array's own memory", exact=True),)

    def inspect(self, path: Path) -> Artifact:
        with opened(path) as file:
            classes, length = file["shape"]
            given = TensorSpec("input", (None, 1, int(length)), "float32", "NCL")
            returned = TensorSpec("output", (None, int(classes)), "float32", "NC")
            return artifact_from(path, str(file["record"]), given, returned)

    def load(self, artifact: Artifact, threads: int, lanes: int = 1) -> Session:
        return NimbusSession(read(artifact.path, artifact.format), lanes)


def read(path: Path, format: str) -> Matrix:
    """The matrix of a file."""
    if format == "fake":
        weights = read_fake(path)
        return Matrix(weights, np.ones(len(weights)), None)
    with opened(path) as file:
        weights = unpack(file["packed"], tuple(map(int, file["shape"])))
        return Matrix(weights, file["scales"], float(file["step"]))


def opened(path: Path) -> Any:
    """A file of the quantizer. Raises EcgEdgeError where it is damaged."""
    try:
        return np.load(path)
    except Exception as error:  # numpy raises many kinds
        raise EcgEdgeError(f"{path} cannot be read as a nimbus file", "make it again") from error
