"""What ecgedge expects of the parts, run by ``ecgedge plugins check nimbus``."""

from __future__ import annotations

from pathlib import Path

from ecgedge import Artifact, TensorSpec, tell_artifact
from ecgedge.testing import FakeRuntime, QuantizerContract, RuntimeContract, draw, write_fake
from ecgedge_nimbus.engine import Nimbus
from ecgedge_nimbus.quantizer import NimbusW4


def tiny(folder: Path) -> Artifact:
    """Five beats as the matrix of a classifier."""
    write_fake(folder / "five-classes.fake", draw(5)[:, 0])
    beats, scores = ((None, 1, 140), "float32", "NCL"), ((None, 5), "float32", "NC")
    return tell_artifact(folder / "five-classes.fake", "fake", TensorSpec("x", *beats), TensorSpec("y", *scores))


class TestNimbus(RuntimeContract):
    part = Nimbus()

    def artifact(self, folder: Path) -> Artifact:
        return tiny(folder)


class TestNimbusW4(QuantizerContract):
    part = NimbusW4()
    runtimes = (Nimbus(), FakeRuntime())
    tolerance = 0.2

    def source(self, folder: Path) -> Artifact:
        return tiny(folder)
