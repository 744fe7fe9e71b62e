"""ExecuTorch with XNNPACK for ecgedge: an exporter, full int8 through PT2E, and a runtime."""

from __future__ import annotations

from collections.abc import Iterable

from ecgedge import Exporter, Quantizer, Runtime, hookimpl
from ecgedge_executorch.exporter import ExecuTorchExporter
from ecgedge_executorch.quantizer import ExecuTorchInt8
from ecgedge_executorch.runtime import ExecuTorchRuntime

ECGEDGE_API = 1  # the version of the hooks that it is written for


@hookimpl
def ecgedge_exporters() -> Iterable[Exporter]:
    return (ExecuTorchExporter(),)


@hookimpl
def ecgedge_quantizers() -> Iterable[Quantizer]:
    return (ExecuTorchInt8(),)


@hookimpl
def ecgedge_runtimes() -> Iterable[Runtime]:
    return (ExecuTorchRuntime(),)
