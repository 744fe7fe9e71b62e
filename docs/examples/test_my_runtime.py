from pathlib import Path

from my_runtime import Reference

from ecgedge import Artifact
from ecgedge.testing import RuntimeContract, make_artifact


class TestReference(RuntimeContract):
    part = Reference()

    def artifact(self, folder: Path) -> Artifact:
        return make_artifact("cnn-ae", "onnx", folder)
