"""What ecgedge expects of the runtime, run by pytest and by ``ecgedge plugins check tflm``.

The specimens are ``cnn-ae`` with its shipped weights, calibrated on synthetic beats: ``ecgedge convert
cnn-ae --to tflite --quantize full-int8 --dataset synthetic``, and the same with ``fp32``.
"""

from __future__ import annotations

from pathlib import Path

from ecgedge import Artifact
from ecgedge.testing import RuntimeContract
from ecgedge_tflm.runtime import TflmRuntime

SPECIMENS = Path(__file__).with_name("specimens")
TFLM = TflmRuntime()


class TestFullInt8(RuntimeContract):
    part = TFLM

    def artifact(self, folder: Path) -> Artifact:
        return TFLM.inspect(SPECIMENS / "cnn-ae-full-int8.tflite")


class TestFp32(RuntimeContract):
    part = TFLM

    def artifact(self, folder: Path) -> Artifact:
        return TFLM.inspect(SPECIMENS / "cnn-ae-fp32.tflite")
