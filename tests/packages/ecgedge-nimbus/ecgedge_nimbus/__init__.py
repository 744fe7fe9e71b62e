"""An engine that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable

from ecgedge import Quantizer, Runtime, hookimpl
from ecgedge_nimbus.engine import Nimbus
from ecgedge_nimbus.quantizer import NimbusW4

ECGEDGE_API = 1


@hookimpl
def ecgedge_quantizers() -> Iterable[Quantizer]:
    return [NimbusW4()]


@hookimpl
def ecgedge_runtimes() -> Iterable[Runtime]:
    return [Nimbus()]
