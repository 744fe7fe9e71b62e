"""What ecgedge expects of the runtime, run by pytest and by ``ecgedge plugins check``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ecgedge_acme.part import Acme

from ecgedge import Artifact
from ecgedge.testing import RuntimeContract, draw


class TestAcme(RuntimeContract):
    part = Acme()

    def artifact(self, folder: Path) -> Artifact:
        """Something that it can load. For ONNX files: ``make_artifact("cnn-ae", "onnx", folder)``."""
        path = folder / "five-classes.acme"
        with path.open("wb") as file:
            np.savez(file, weights=draw(5)[:, 0].T)
        return self.part.inspect(path)
