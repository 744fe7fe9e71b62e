"""What ecgedge expects of the parts, run by pytest and by ``ecgedge plugins check c``.

The specimens are ``cnn-ae`` with its shipped weights as TFLite, calibrated on synthetic beats: ``ecgedge convert
cnn-ae --to tflite --quantize full-int8 --dataset synthetic``, and the same with ``fp32``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecgedge import Artifact, Context
from ecgedge.testing import ExporterContract, RuntimeContract, draw
from ecgedge_c import tflite
from ecgedge_c.converters import CExporter, convert
from ecgedge_c.emulated import EmulatedRuntime
from ecgedge_c.runtime import CRuntime
from ecgedge_c.targets import targets

SPECIMENS = Path(__file__).with_name("specimens")
HOST, EXPORTER = CRuntime(), CExporter()
[CORE] = (EmulatedRuntime(target) for target in targets() if target.name == "cortex-m55")


def specimen(name: str) -> Artifact:
    """The TFLite file ``cnn-ae-NAME``, by the record that it carries."""
    return tflite.inspect(SPECIMENS / f"cnn-ae-{name}.tflite")


def exported(name: str, folder: Path, **options: bool) -> Artifact:
    """A specimen as C, by these options of the exporter."""
    return convert(specimen(name), folder / "exported", Context(draw(20), options=options))


class TestExporter(ExporterContract):
    """Held against LiteRT's reference kernels: XNNPACK, which ecgedge's runtime ``tflite`` uses, rounds elsewhere."""

    part = EXPORTER
    runtimes = (HOST,)

    def source(self, folder: Path) -> Artifact:
        return specimen("full-int8")

    def answers(self, artifact: Artifact, beats: np.ndarray) -> np.ndarray:
        if artifact.format != "tflite":
            return super().answers(artifact, beats)
        stored = artifact.input.encode(beats)
        found = tflite.answer(tflite.reference(artifact.path.read_bytes()), stored)
        return artifact.output.decode(found.reshape(len(beats), *artifact.output.shape[1:]))


class TestExporterOfFloats(ExporterContract):
    part = EXPORTER
    runtimes = (HOST,)

    def source(self, folder: Path) -> Artifact:
        return specimen("fp32")


class TestFullInt8(RuntimeContract):
    part = HOST

    def artifact(self, folder: Path) -> Artifact:
        return exported("full-int8", folder)


class TestFp32(RuntimeContract):
    part = HOST

    def artifact(self, folder: Path) -> Artifact:
        return exported("fp32", folder)


class TestEmulated(RuntimeContract):
    part = CORE

    def artifact(self, folder: Path) -> Artifact:
        return exported("full-int8", folder)
