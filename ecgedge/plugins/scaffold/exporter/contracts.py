"""What ecgedge expects of the exporter, run by pytest and by ``ecgedge plugins check``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ecgedge_acme.part import Acme

from ecgedge import Artifact, TensorSpec, tell_artifact
from ecgedge.testing import ExporterContract, FakeRuntime, draw, write_fake


class TestAcme(ExporterContract):
    part = Acme()
    runtimes = (FakeRuntime(),)  # for the source; leave it out where an installed runtime takes it

    def source(self, folder: Path) -> Artifact:
        """What it converts. For ONNX files: ``make_artifact("cnn-ae", "onnx", folder)``."""
        write_fake(folder / "five-classes.fake", draw(5)[:, 0])
        beats, scores = ((None, 140), "float32", "NL"), ((None, 5), "float32", "NC")
        given, returned = TensorSpec("beats", *beats), TensorSpec("scores", *scores)
        return tell_artifact(folder / "five-classes.fake", "fake", given, returned)

    def answers(self, artifact: Artifact, beats: np.ndarray) -> np.ndarray:
        """The result's are computed here; leave this out where an installed runtime takes it."""
        if artifact.format == "acme":
            return beats[:, 0] @ np.load(artifact.path).T
        return super().answers(artifact, beats)
