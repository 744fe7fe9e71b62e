"""OpenVINO for ecgedge: a runtime in float32 and one in bfloat16, and full int8 through NNCF."""

from __future__ import annotations

from collections.abc import Iterable

from ecgedge import Quantizer, Runtime, hookimpl
from ecgedge_openvino.quantizer import OpenVinoInt8
from ecgedge_openvino.runtime import OpenVinoRuntime

ECGEDGE_API = 1  # the version of the hooks that it is written for


@hookimpl
def ecgedge_runtimes() -> Iterable[Runtime]:
    return OpenVinoRuntime("openvino", "f32"), OpenVinoRuntime("openvino-bf16", "bf16")


@hookimpl
def ecgedge_quantizers() -> Iterable[Quantizer]:
    return (OpenVinoInt8(),)
