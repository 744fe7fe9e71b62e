"""One file: which way it is made, and for which runtime. Pure, as the plan of a matrix is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ecgedge.api.parts import Exporter, Quantizer, Runtime
from ecgedge.errors import EcgEdgeError, meant_by, unknown
from ecgedge.plan.plan import Cell, Source, Way, cell_of, instead, quantizer_words, takers, ways


@dataclass(frozen=True)
class FileAsked:
    """What a single file is to be.

    Attributes:
        format: of it.
        quantizer: a name or a precision.
        route: the exporters on the way, all and in order; None: the shortest way there is.
        runtime: that it is for; None: the first that takes it and works here.
        passes: instead of those that the consumer of the ONNX graph wants.
    """

    format: str
    quantizer: str = "none"
    route: tuple[str, ...] | None = None
    runtime: str | None = None
    passes: tuple[str, ...] | None = None


def plan_file(
    label: str,
    source: Source,
    asked: FileAsked,
    exporters: Mapping[str, Exporter],
    quantizers: Mapping[str, Quantizer],
    runtimes: Mapping[str, Runtime],
    works: Callable[[Runtime], bool],
) -> Cell:
    """The one cell that makes a file: as ``plan`` has it, on the first runtime that works here.

    Where no runtime works here the passes are those for the first that takes the format, and the cell has no runtime.

    Args:
        works: whether a runtime can work here.

    Raises:
        EcgEdgeError: there is no such way, no such part, or the runtime that is named cannot be used; says what can.
    """
    way = find_way(label, source, asked, exporters, quantizers)
    taking = takers(way.format, runtimes)
    if asked.runtime is not None:
        if asked.runtime not in runtimes:
            raise unknown("runtime", asked.runtime, sorted(runtimes))
        taking = [runtime for runtime in taking if runtime.name == asked.runtime]
        if not taking:
            names = ", ".join(runtime.name for runtime in takers(way.format, runtimes)) or "none"
            raise EcgEdgeError(f"runtime {asked.runtime} does not take {way.format}", f"choose from: {names}")
    willing = [runtime for runtime in taking if way.precision not in runtime.refuses]
    if asked.runtime is not None and not willing:
        reason = taking[0].refuses[way.precision] or "no reason given"
        raise EcgEdgeError(f"{asked.runtime} cannot run {way.precision}: {reason}", "name another runtime")
    chosen = next(filter(works, willing), None)
    cell = cell_of(label, source, way, chosen or next(iter(taking), None), exporters, quantizers, asked.passes)
    return cell if chosen else replace(cell, runtime="")


def find_way(
    label: str,
    source: Source,
    asked: FileAsked,
    exporters: Mapping[str, Exporter],
    quantizers: Mapping[str, Quantizer],
) -> Way:
    """The shortest way to a file, or that of the route which is asked for. Raises EcgEdgeError as ``plan_file``."""
    for name in asked.route or ():
        if name not in exporters:
            raise unknown("exporter", name, sorted(exporters))
    everything = list(ways(source, exporters, quantizers))
    found = [way for way in everything if not way.refused]
    formats = sorted({way.format for way in found})
    if asked.format not in formats:
        refused = next((way.refused for way in everything if way.format == asked.format), "")
        if refused:
            told = f"no way from {label} to {asked.format}: it is {source.precision}, and {refused}"
            raise EcgEdgeError(told, instead(source, asked.format, exporters, quantizers))
        told = f"no way from {source.format} to {asked.format!r}"
        raise EcgEdgeError(told, f"{meant_by([asked.format], formats)}choose from: {', '.join(formats)}")
    near = [way for way in found if way.format == asked.format]
    if asked.route is not None:
        near = [way for way in near if way.route == asked.route] or through_none(asked, source, near)
    fitting = [way for way in near if asked.quantizer in words_of(way, source, quantizers)]
    if not fitting:
        words = sorted({word for way in near for word in listed_words(way, source, quantizers)})
        known = f": {label} is {source.precision} already" if source.quantized else ""
        told = f"{asked.format} cannot be {asked.quantizer!r}{known}"
        raise EcgEdgeError(told, f"{meant_by([asked.quantizer], words)}choose from: {', '.join(words)}")
    return min(fitting, key=lambda way: len(way.route))


def through_none(asked: FileAsked, source: Source, near: Sequence[Way]) -> list[Way]:
    """Raise EcgEdgeError where no way takes the route that is asked for, with those that there are."""
    known = sorted({",".join(way.route) for way in near if way.route}, key=lambda route: (route.count(","), route))
    told = f"no way from {source.format} to {asked.format} through {','.join(asked.route or ())}"
    raise EcgEdgeError(told, f"choose from: {'; '.join(known)}" if known else "leave --exporter out")


def words_of(way: Way, source: Source, quantizers: Mapping[str, Quantizer]) -> set[str]:
    """What a user may call the quantizer of a way. One that leaves a quantized source as it is makes no fp32 of it."""
    if source.quantized:
        return {way.quantizer, "none"}
    return quantizer_words(way.quantizer, quantizers[way.quantizer].precision)


def listed_words(way: Way, source: Source, quantizers: Mapping[str, Quantizer]) -> set[str]:
    """Those of the words that an error lists."""
    return {"none"} if source.quantized else {way.quantizer, quantizers[way.quantizer].precision}
