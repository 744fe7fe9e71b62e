"""A runtime: ONNX files, run by the evaluator that comes with the onnx package."""

from typing import Any

import numpy as np

from ecgedge import Artifact, Runtime, Session, hookimpl


class ReferenceSession(Session):
    def __init__(self, artifact: Artifact, evaluator: Any):
        self.artifact, self.evaluator = artifact, evaluator
        self.batch = artifact.input.batch

    def bind(self, x: np.ndarray) -> None:
        self.given = {self.artifact.input.name: self.artifact.input.encode(x)}

    def invoke(self) -> None:
        [self.answers] = self.evaluator.run([self.artifact.output.name], self.given)

    def fetch(self) -> np.ndarray:
        return self.artifact.output.decode(self.answers)


class Reference(Runtime):
    name = "reference"
    needs = libraries = ("onnx",)
    accepts = ("onnx",)

    def load(self, artifact: Artifact, threads: int) -> Session:
        from onnx.reference import ReferenceEvaluator  # heavy, so only where a file is loaded

        return ReferenceSession(artifact, ReferenceEvaluator(str(artifact.path)))


@hookimpl
def ecgedge_runtimes() -> list[Runtime]:
    return [Reference()]
