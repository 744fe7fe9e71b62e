"""The hooks. A plugin implements any of them; each yields parts and does nothing else.

Parts are collected before any work is done, so that they can be listed, filtered and selected by
name: a hook must not import a framework, and neither must the making of a part.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from ecgedge.api.parts import Exporter, GraphPass, Model, Quantizer, Runtime

API_VERSION = 1  # of the hooks and kinds: it grows when a plugin that kept to them would break
hookspec = pluggy.HookspecMarker("ecgedge")
hookimpl = pluggy.HookimplMarker("ecgedge")


@hookspec
def ecgedge_models() -> Iterable[Model]:  # type: ignore[empty-body]
    """Networks that can be trained, converted and measured.

    Example:

        @hookimpl
        def ecgedge_models():
            return [TwoLayerCnn()]
    """


@hookspec
def ecgedge_exporters() -> Iterable[Exporter]:  # type: ignore[empty-body]
    """Conversions from one format to another.

    Example:

        @hookimpl
        def ecgedge_exporters():
            return [AcmeExporter()]
    """


@hookspec
def ecgedge_quantizers() -> Iterable[Quantizer]:  # type: ignore[empty-body]
    """The last step of a route: what gives a file its precision.

    Example:

        @hookimpl
        def ecgedge_quantizers():
            return [AcmeInt8()]
    """


@hookspec
def ecgedge_runtimes() -> Iterable[Runtime]:  # type: ignore[empty-body]
    """What loads and runs a file on a device.

    Example:

        @hookimpl
        def ecgedge_runtimes():
            return [AcmeRuntime(device="cpu")]
    """


@hookspec
def ecgedge_passes() -> Iterable[GraphPass]:  # type: ignore[empty-body]
    """Graph passes, ONNX -> ONNX, for those who want them by name.

    Example:

        @hookimpl
        def ecgedge_passes():
            return [SplitLargeKernels()]
    """
