"""torch to TFLite without TensorFlow, for ecgedge: through LiteRT Torch, and to int8 through AI Edge Quantizer."""

from __future__ import annotations

from collections.abc import Iterable

from ecgedge import Exporter, Quantizer, hookimpl
from ecgedge_litert_torch.exporter import LitertTorchExporter
from ecgedge_litert_torch.quantizer import LitertFullInt8

ECGEDGE_API = 1  # the version of the hooks that it is written for


@hookimpl
def ecgedge_exporters() -> Iterable[Exporter]:
    return (LitertTorchExporter(),)


@hookimpl
def ecgedge_quantizers() -> Iterable[Quantizer]:
    return (LitertFullInt8(),)
