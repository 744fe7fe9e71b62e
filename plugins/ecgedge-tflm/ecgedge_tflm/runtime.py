"""The interpreter of TensorFlow Lite Micro, run on the host: a microcontroller's answers, not its times."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import Artifact, Figure, Graph, Runtime, Session
from ecgedge_tflm import boards, interpreter, model_file

DEVICE = "tflm-host"


class TflmSession(Session):
    def __init__(self, content: bytes, artifact: Artifact):
        self.content, self.artifact = content, artifact
        self.model = model_file.parse(content, artifact.path)
        self.interpreter: Any = interpreter.open_interpreter(content)
        self.batch = artifact.input.batch

    def bind(self, x: np.ndarray) -> None:
        self.x = self.artifact.input.encode(x)

    def invoke(self) -> None:
        self.interpreter.reset()  # an LSTM forgets the beat before
        self.interpreter.set_input(self.x, 0)  # each time: activations may lie where it lay
        self.interpreter.invoke()

    def fetch(self) -> np.ndarray:
        return self.artifact.output.decode(self.interpreter.get_output(0))

    def graph(self) -> Graph | None:
        """The operations of the file: the interpreter runs each as it stands."""
        return model_file.graph_of(self.model, self.artifact, DEVICE)

    def figures(self) -> Mapping[str, int | float | str]:
        """The arena, and the boards that the file fits."""
        arena = interpreter.measure_arena(self.interpreter, self.content)
        kernels = len(model_file.kernels_of(self.model))
        found = [boards.fit(board, len(self.content), arena.smallest, kernels) for board in boards.load()]
        return {
            "arena_bytes": arena.total,
            "arena_head_bytes": arena.head,
            "arena_tail_bytes": arena.tail,
            "arena_smallest_bytes": arena.smallest,
            "fits": ", ".join(each.board.name for each in found if each.fits) or "none",
            "too_small": ", ".join(f"{each.board.name} ({each.lacking})" for each in found if not each.fits) or "none",
            "timing": "of the host, with reference kernels; no microcontroller's",
        }

    def close(self) -> None:
        self.interpreter = None


class TflmRuntime(Runtime):
    """Runs TFLite files in float32 or full int8; all else TFLM refuses. One thread, whatever is asked for."""

    name = "tflm"
    device = DEVICE
    needs = ("tflite_micro",)
    libraries = ("tflite-micro",)
    accepts = ("tflite",)
    suffixes = (".tflite",)
    figures = (
        Figure("arena_bytes", "B", help="memory of the interpreter beside the file, head and tail", exact=True),
        Figure("arena_head_bytes", "B", help="what operations share, one after another", exact=True),
        Figure("arena_tail_bytes", "B", help="what lasts as long as the interpreter", exact=True),
        Figure("arena_smallest_bytes", "B", help="the least arena in which it runs", exact=True),
    )

    def inspect(self, path: Path) -> Artifact:
        return model_file.artifact_of(model_file.parse(model_file.read(path), path), path)

    def load(self, artifact: Artifact, threads: int) -> Session:
        return TflmSession(model_file.read(artifact.path), artifact)
