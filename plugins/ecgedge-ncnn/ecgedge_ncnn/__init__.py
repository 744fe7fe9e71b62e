"""ncnn for ecgedge: ONNX to its format in float32 and float16, and runtimes in float32 and bfloat16."""

from __future__ import annotations

from collections.abc import Iterable

from ecgedge import Exporter, Quantizer, Runtime, hookimpl
from ecgedge_ncnn.converters import NcnnExporter, NcnnFp16
from ecgedge_ncnn.runtime import NcnnRuntime

ECGEDGE_API = 1  # the version of the hooks that it is written for


@hookimpl
def ecgedge_exporters() -> Iterable[Exporter]:
    return (NcnnExporter(),)


@hookimpl
def ecgedge_quantizers() -> Iterable[Quantizer]:
    return (NcnnFp16(),)


@hookimpl
def ecgedge_runtimes() -> Iterable[Runtime]:
    return NcnnRuntime("ncnn", "fp32"), NcnnRuntime("ncnn-bf16", "bf16")
