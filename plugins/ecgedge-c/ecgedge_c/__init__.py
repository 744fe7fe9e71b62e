"""A network as C that needs nothing, for ecgedge: exported, proved on the host and under emulated microcontrollers."""

from __future__ import annotations

from collections.abc import Iterable

from ecgedge import Exporter, Quantizer, Runtime, hookimpl
from ecgedge_c.converters import CExporter, CFp32, CFullInt8
from ecgedge_c.emulated import targets_as_runtimes
from ecgedge_c.runtime import CRuntime

ECGEDGE_API = 1  # the version of the hooks that it is written for


@hookimpl
def ecgedge_exporters() -> Iterable[Exporter]:
    return (CExporter(),)


@hookimpl
def ecgedge_quantizers() -> Iterable[Quantizer]:
    return CFp32(), CFullInt8()


@hookimpl
def ecgedge_runtimes() -> Iterable[Runtime]:
    return (CRuntime(), *targets_as_runtimes())
