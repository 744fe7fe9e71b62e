"""What ecgedge expects of the quantizer, run by pytest and by ``ecgedge plugins check``."""

from __future__ import annotations

from pathlib import Path

from ecgedge_acme.part import Acme

from ecgedge import Artifact, TensorSpec, tell_artifact
from ecgedge.testing import FakeRuntime, QuantizerContract, draw, write_fake


class TestAcme(QuantizerContract):
    part = Acme()
    runtimes = (FakeRuntime(),)  # leave it out where an installed runtime takes source and result
    tolerance = 0.05  # what the precision may cost

    def source(self, folder: Path) -> Artifact:
        """What it quantizes. For ONNX files: ``make_artifact("cnn-ae", "onnx", folder)``."""
        write_fake(folder / "five-classes.fake", draw(5)[:, 0])
        beats, scores = ((None, 140), "float32", "NL"), ((None, 5), "float32", "NC")
        given, returned = TensorSpec("beats", *beats), TensorSpec("scores", *scores)
        return tell_artifact(folder / "five-classes.fake", "fake", given, returned)
