"""The C of a model, compiled by the host's compiler and called in this process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ecgedge import Artifact, EcgEdgeError, Figure, Graph, Runtime, Session
from ecgedge_c import folder
from ecgedge_c.compiler import Library, compiler

CODE = "C, which is compiled and run"


class CSession(Session):
    """A library of its own; beats are answered one after another."""

    def __init__(self, artifact: Artifact, device: str):
        self.artifact, self.device = artifact, device
        self.library = Library(artifact.path)
        self.batch = artifact.input.batch

    def bind(self, x: np.ndarray) -> None:
        told = self.library.told
        self.x = np.ascontiguousarray(self.artifact.input.encode(x), told.dtype).reshape(len(x), -1)
        self.y = np.empty((len(x), told.outputs), told.dtype)
        self.places = [(one.ctypes.data, answer.ctypes.data) for one, answer in zip(self.x, self.y, strict=True)]

    def invoke(self) -> None:
        for x, y in self.places:
            self.library.function(x, y)

    def fetch(self) -> np.ndarray:
        return self.artifact.output.decode(self.y)

    def graph(self) -> Graph:
        """The operations that were exported, each of them a call in ``model.c``."""
        return folder.graph(self.artifact.path, self.device)

    def figures(self) -> Mapping[str, int | float | str]:
        return {"activations_bytes": self.library.told.arena}


class CRuntime(Runtime):
    """Compiles a folder of C with ``cc`` and calls it. One thread, whatever is asked for."""

    name = "c"
    needs = ()
    accepts = ("c",)
    folders = (folder.GRAPH,)
    figures = (Figure("activations_bytes", "B", help="of the one static arena", exact=True),)

    def available(self) -> str | None:
        try:
            compiler()
        except EcgEdgeError as error:
            return error.message
        return None

    def code_in(self, path: Path) -> str | None:
        return CODE

    def inspect(self, path: Path) -> Artifact:
        return folder.inspect(path)

    def load(self, artifact: Artifact, threads: int) -> Session:
        return CSession(artifact, self.device)
