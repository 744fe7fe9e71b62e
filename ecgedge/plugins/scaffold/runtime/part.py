"""A runtime. Here numpy multiplies with a matrix; put your engine in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from ecgedge import (
    Artifact,
    EcgEdgeError,
    Figure,
    Graph,
    Node,
    Option,
    Runtime,
    Session,
    TensorSpec,
    Weight,
    tell_artifact,
)


class AcmeSession(Session):
    """A loaded model: ``invoke`` is what is timed, ``bind`` and ``fetch`` are the host's work."""

    def __init__(self, weights: np.ndarray, artifact: Artifact):
        self.weights, self.given, self.returned = weights, artifact.input, artifact.output
        self.batch = artifact.input.batch  # None: any number of beats a call

    def bind(self, x: np.ndarray) -> None:
        self.x = self.given.encode(x)  # (N, C, L) float32 in the layout and type of the file

    def invoke(self) -> None:
        self.y = self.x @ self.weights

    def fetch(self) -> np.ndarray:
        return self.returned.decode(self.y)

    def graph(self) -> Graph:
        """What really runs, in the engine's own words: the precision is checked by it, and the placement."""
        size, takes = self.weights.size, ("float32", "float32")
        node = Node("product", "Multiply", "acme", "cpu", takes, takes[:1], (0, size), kind="multiplies", macs=size)
        return Graph((node,), (Weight("weights", "float32", 4 * size),), input="float32", output="float32")

    def figures(self) -> dict[str, int | float | str]:
        return {"weights_bytes": self.weights.nbytes}

    # def measured(self):  # for a device with a clock of its own: all calls since this was last asked
    #     taken, self.taken = self.taken, []  # nanoseconds, to which each invoke adds its own
    #     return Measured(tuple(taken), clock="cycle counter of the acme at 32 MHz")


class Acme(Runtime):
    """Runs ``.acme`` files: an archive of numpy with ``weights`` ``(L, C)``."""

    name = "acme"
    needs = ()  # top-level import names of your engine, such as ("onnxruntime",)
    libraries = ()  # distributions whose versions change what it gives, such as ("onnxruntime",)
    # environment = "acme"  # for an engine in an environment of its own, which acme.lock beside this file describes
    accepts = ("acme",)  # "onnx" here brings every ONNX file of the matrix
    suffixes = (".acme",)
    options = (Option("order", str, "C", "How it lies in memory.", choices=("C", "F")),)  # --option acme.order=F
    figures = (Figure("weights_bytes", "B", help="of the matrix as it lies in memory", exact=True),)  # to require by
    # blocks = Blocks(calls=20, pause_s=2, reload=False)  # for a device that is slow, gets hot, or is slow to load

    def inspect(self, path: Path) -> Artifact:
        length, classes = read_weights(path).shape
        beats = TensorSpec("beats", (None, length), "float32", "NL")
        return tell_artifact(path, "acme", beats, TensorSpec("scores", (None, classes), "float32", "NC"))

    def load(self, artifact: Artifact, threads: int, order: Literal["C", "F"] = "C") -> Session:
        return AcmeSession(np.asarray(read_weights(artifact.path), order=order), artifact)


def read_weights(path: Path) -> np.ndarray:
    """The weights ``(L, C)`` of a file. Raises EcgEdgeError where it is damaged."""
    try:
        weights = np.load(path)["weights"]
        if weights.ndim == 2:
            return weights
    except Exception as error:  # numpy raises many kinds
        raise EcgEdgeError(f"{path} cannot be read as an acme file", "make it again") from error
    raise EcgEdgeError(f"{path} holds no matrix", "make it again")
