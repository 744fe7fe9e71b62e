"""TensorFlow Lite Micro for ecgedge: what a microcontroller's interpreter makes of a TFLite file, on the host."""

from __future__ import annotations

from collections.abc import Iterable

from ecgedge import Runtime, hookimpl
from ecgedge_tflm.runtime import TflmRuntime

ECGEDGE_API = 1  # the version of the hooks that it is written for


@hookimpl
def ecgedge_runtimes() -> Iterable[Runtime]:
    return (TflmRuntime(),)
