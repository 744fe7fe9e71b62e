"""What plugin authors test with: contracts of the kinds of parts, a judge of graphs, tiny parts that need numpy only.

A contract is a plain class of test methods. Derive from it, say what is under test, and let pytest
collect it::

    class TestMyRuntime(RuntimeContract):
        part = MyRuntime()

        def artifact(self, folder):
            return make_artifact("cnn-ae", "onnx", folder)
"""

from ecgedge.testing.contract import Contract, draw, make_artifact
from ecgedge.testing.conversions import ExporterContract, QuantizerContract
from ecgedge.testing.fakes import (
    FakeExporter,
    FakeInt8,
    FakeModel,
    FakeRuntime,
    FakeSession,
    read_fake,
    write_fake,
    write_fake_checkpoint,
)
from ecgedge.testing.judging import judge_graph
from ecgedge.testing.models import ModelContract
from ecgedge.testing.passes import PassContract
from ecgedge.testing.runtimes import RuntimeContract

__all__ = [
    "Contract",
    "ExporterContract",
    "FakeExporter",
    "FakeInt8",
    "FakeModel",
    "FakeRuntime",
    "FakeSession",
    "ModelContract",
    "PassContract",
    "QuantizerContract",
    "RuntimeContract",
    "draw",
    "judge_graph",
    "make_artifact",
    "read_fake",
    "write_fake",
    "write_fake_checkpoint",
]
