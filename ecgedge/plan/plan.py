"""Pure: parts and filters in, cells and skips out. Nothing is imported, run or looked up here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ecgedge.api.parts import ANY, Exporter, Quantizer, Runtime
from ecgedge.errors import EcgEdgeError, unknown


@dataclass(frozen=True)
class Source:
    """What a row starts from: a trained model, or a file that the user brought.

    Attributes:
        format: of the checkpoint or file.
        part: name of the model part that rebuilds it; empty for a file.
        quantized: it has its precision already, so nothing is made of it.
    """

    format: str
    part: str = ""
    quantized: bool = False


@dataclass(frozen=True)
class Cell:
    """One row of the matrix, as data."""

    model: str
    route: tuple[str, ...]  # exporters, in order
    quantizer: str
    format: str
    precision: str
    runtime: str
    threads: int = 1
    passes: tuple[str, ...] = ()  # for the ONNX graph on the way, in order

    @property
    def id(self) -> str:
        return ".".join([self.model, *self.route, self.quantizer, self.runtime])


@dataclass(frozen=True)
class Skip:
    """A model that cannot run on a runtime here, and why."""

    model: str
    format: str
    runtime: str
    reason: str

    @property
    def id(self) -> str:
        return f"{self.model}.{self.runtime}"


@dataclass(frozen=True)
class Filters:
    """What the user asked for; empty means all. A quantizer is named by its name or its precision."""

    formats: tuple[str, ...] = ()
    quantizers: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    exporters: tuple[str, ...] = ()


def plan(
    sources: Mapping[str, Source],
    exporters: Mapping[str, Exporter],
    quantizers: Mapping[str, Quantizer],
    runtimes: Mapping[str, Runtime],
    filters: Filters,
    unavailable: Mapping[tuple[str, str], str],
    threads: int = 1,
    passes: tuple[str, ...] | None = None,
) -> tuple[list[Cell], list[Skip]]:
    """Every distinct way from a model to a runtime, within the filters.

    Args:
        sources: by the name that their rows bear; two checkpoints of one model are two entries.
        unavailable: (kind, name) of the parts that cannot work here, with the reason.
        passes: instead of those that the consumers of ONNX graphs want.

    Raises:
        EcgEdgeError: a filter names nothing, or no combination passes all of them.
    """
    check_names(filters, exporters, quantizers, runtimes)
    cells: list[Cell] = []
    lost: list[Lost] = []
    for cell in combinations(sources, exporters, quantizers, runtimes, threads, passes):
        requested = asked_for(cell, filters, quantizers[cell.quantizer], runtimes[cell.runtime])
        if not (requested and wanted(cell, filters)):
            continue
        used = [("model", sources[cell.model].part), *(("exporter", name) for name in cell.route)]
        used += [("quantizer", cell.quantizer), ("runtime", cell.runtime)]
        refused = runtimes[cell.runtime].refuses.get(cell.precision)
        if at_fault := next((part for part in used if part in unavailable), None):
            lost.append(Lost(cell, *at_fault, unavailable[at_fault]))
        elif refused:
            lost.append(Lost(cell, "precision", cell.precision, refused))
        else:
            cells.append(cell)
    if not cells and not lost:
        raise impossible(filters, list(combinations(sources, exporters, quantizers, runtimes, threads)))
    return cells, skips_of(lost)


@dataclass(frozen=True)
class Lost:
    """A cell that cannot run here: the kind and name of what is at fault, and why."""

    cell: Cell
    kind: str
    name: str
    reason: str


def skips_of(lost: Sequence[Lost]) -> list[Skip]:
    """One skip for each model and runtime; runtimes that cannot run for one and the same reason share one.

    It stands under the first of them, and names all.
    """
    told: dict[tuple[str, str], dict[tuple[str, str], list[str]]] = {}  # names by kind and reason, of model and runtime
    formats: dict[tuple[str, str], str] = {}
    for one in lost:
        place = one.cell.model, one.cell.runtime
        formats.setdefault(place, one.cell.format)
        names = told.setdefault(place, {}).setdefault((one.kind, one.reason), [])
        names += [one.name] if one.name not in names else []
    leaders: dict[tuple[str, str], list[str]] = {}  # names of the runtimes by model and reason
    skips = []
    for (model, runtime), reasons in told.items():
        if {kind for kind, _ in reasons} == {"runtime"}:
            [[(_, reason), names]] = reasons.items()
            if leaders.setdefault((model, reason), names) is not names:
                leaders[model, reason] += names
                continue
        skips.append((model, runtime))
    return [Skip(place[0], formats[place], place[1], "; ".join(worded(told[place]))) for place in skips]


def worded(reasons: Mapping[tuple[str, str], Sequence[str]]) -> Iterator[str]:
    for (kind, reason), names in reasons.items():
        yield f"{'' if kind == 'precision' else f'{kind} '}{', '.join(names)}: {reason}"


def combinations(
    sources: Mapping[str, Source],
    exporters: Mapping[str, Exporter],
    quantizers: Mapping[str, Quantizer],
    runtimes: Mapping[str, Runtime],
    threads: int,
    passes: tuple[str, ...] | None = None,
) -> Iterator[Cell]:
    for label, source in sources.items():
        for route, exported in [((), source.format)] if source.quantized else routes(source.format, exporters):
            for quantizer in quantizers.values():
                if not takes(quantizer.accepts, exported) or (source.quantized and quantizer.precision != "fp32"):
                    continue
                format = quantizer.produces or exported
                for runtime in runtimes.values():
                    if takes(runtime.accepts, format) and runtime.refuses.get(quantizer.precision) != "":
                        chain = [exporters[name] for name in route]
                        wanted = () if source.quantized else passes_of(source.format, chain, quantizer, runtime, passes)
                        names = (quantizer.name, format, quantizer.precision, runtime.name)
                        yield Cell(label, route, *names, threads, wanted)


def passes_of(
    format: str,
    chain: Sequence[Exporter],
    quantizer: Quantizer,
    runtime: Runtime | None,
    asked: tuple[str, ...] | None = None,
) -> tuple[str, ...]:
    """The passes for the ONNX graph on a way: those asked for, else what its consumer wants; none where there is none.

    Args:
        format: of the source.
        chain: the exporters, in order. The consumer is the one that takes the graph, else the quantizer, else the
            runtime.
    """
    for exporter in chain:
        if format == "onnx":
            return exporter.wants if asked is None else asked
        format = exporter.produces
    if format != "onnx":
        return ()
    wanted = [asked, quantizer.wants, runtime.wants if runtime else ()]
    return next(names for names in wanted if names is not None)


def routes(
    format: str, exporters: Mapping[str, Exporter], seen: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every loop-free chain of exporters from a format, as (names, last format); the empty one first."""
    yield (), format
    for exporter in exporters.values():
        if takes(exporter.accepts, format) and exporter.produces not in (*seen, format):
            for names, last in routes(exporter.produces, exporters, (*seen, format)):
                yield (exporter.name, *names), last


def takes(accepts: tuple[str, ...], format: str) -> bool:
    return ANY in accepts or format in accepts


def wanted(cell: Cell, filters: Filters) -> bool:
    return (
        (not filters.formats or cell.format in filters.formats)
        and (not filters.quantizers or bool(quantizer_words(cell.quantizer, cell.precision) & set(filters.quantizers)))
        and (not filters.runtimes or cell.runtime in filters.runtimes)
        and (not filters.exporters or bool(set(filters.exporters) & set(cell.route)))
    )


def asked_for(cell: Cell, filters: Filters, quantizer: Quantizer, runtime: Runtime) -> bool:
    """Whether what works on request only is requested; a runtime is by a user's file in its format, too."""
    named = cell.runtime in filters.runtimes or cell.format in filters.formats
    return not ((quantizer.on_request and not filters.quantizers) or (runtime.on_request and cell.route and not named))


def quantizer_words(name: str, precision: str) -> set[str]:
    """What a user may call a quantizer; every fp32 one is also ``none``."""
    return {name, precision} | ({"none"} if precision == "fp32" else set())


def check_names(
    filters: Filters,
    exporters: Mapping[str, Exporter],
    quantizers: Mapping[str, Quantizer],
    runtimes: Mapping[str, Runtime],
) -> None:
    """Raise EcgEdgeError, with the choices, for a filter that names nothing."""
    formats = {format for runtime in runtimes.values() for format in runtime.accepts}
    words = {word for q in quantizers.values() for word in quantizer_words(q.name, q.precision)}
    for what, names, known in (
        ("exporter", filters.exporters, set(exporters)),
        ("format", filters.formats, formats),
        ("quantizer", filters.quantizers, words),
        ("runtime", filters.runtimes, set(runtimes)),
    ):
        for name in names:
            if name not in known:
                raise unknown(what, name, sorted(known))


def impossible(filters: Filters, everything: list[Cell]) -> EcgEdgeError:
    """The error for filters that exclude each other: it says what goes with the first of them."""
    asked, near = [], everything
    for option in ("format", "quantizer", "exporter", "runtime"):
        names = getattr(filters, f"{option}s")
        asked += [f"--{option} {name}" for name in names]
        narrowed = [cell for cell in near if wanted(cell, Filters(**{f"{option}s": names}))]
        if not narrowed:
            break
        near = narrowed
    told = [
        f"{what} {', '.join(sorted({getattr(cell, key) for cell in near}))}"
        for what, key in (("formats", "format"), ("precisions", "precision"), ("runtimes", "runtime"))
    ]
    subject = " ".join(asked[:-1]) or "these models"
    return EcgEdgeError(f"no cell has {' and '.join(asked)}", f"with {subject} there are: {'; '.join(told)}")
