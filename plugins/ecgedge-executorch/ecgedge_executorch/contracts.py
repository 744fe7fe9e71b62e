"""What ecgedge expects of the parts, run by pytest and by ``ecgedge plugins check executorch``."""

from __future__ import annotations

from pathlib import Path

from ecgedge import Artifact
from ecgedge.testing import ExporterContract, QuantizerContract, RuntimeContract, make_artifact
from ecgedge_executorch.exporter import ExecuTorchExporter
from ecgedge_executorch.quantizer import ExecuTorchInt8
from ecgedge_executorch.runtime import ExecuTorchRuntime

RUNTIME = ExecuTorchRuntime()


class TestRuntime(RuntimeContract):
    """A process has one number of threads, and refuses two sessions with different ones: see the tests."""

    part = RUNTIME
    test_threads_do_not_change_answers = None  # it opens both sessions at once

    def artifact(self, folder: Path) -> Artifact:
        return make_artifact("base-cnn", "executorch", folder)


class TestRuntimeOfInt8(RuntimeContract):
    part = RUNTIME
    test_threads_do_not_change_answers = None  # as above

    def artifact(self, folder: Path) -> Artifact:
        return make_artifact("cnn-ae", "executorch", folder, "executorch-full-int8")


class TestExporter(ExporterContract):
    part = ExecuTorchExporter()
    runtimes = (RUNTIME,)

    def source(self, folder: Path) -> Artifact:
        return make_artifact("cnn-ae", "torch", folder)


class TestInt8(QuantizerContract):
    part = ExecuTorchInt8()
    runtimes = (RUNTIME,)

    def source(self, folder: Path) -> Artifact:
        return make_artifact("cnn-ae", "torch", folder)
