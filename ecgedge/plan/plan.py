"""Pure: parts and filters in, cells and skips out. Nothing is imported, run or looked up here."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ecgedge.api.artifact import Artifact
from ecgedge.api.parts import ANY, Exporter, Quantizer, Runtime
from ecgedge.api.precisions import find
from ecgedge.errors import EcgEdgeError, unknown

AS_IT_CAME = "as-it-came"  # the quantizer that a user's file has which no pass touches


@dataclass(frozen=True)
class Source:
    """What a row starts from: a trained model, or a file that the user brought.

    Attributes:
        format: of the checkpoint or file.
        part: name of the model part that rebuilds it; empty for a file.
        precision: that it has already.
    """

    format: str
    part: str = ""
    precision: str = "fp32"

    @property
    def quantized(self) -> bool:
        """Whether it has its precision already, which it keeps."""
        return self.precision != "fp32"


def source_of(artifact: Artifact) -> Source:
    """What rows start from that begin with an artifact."""
    return Source(artifact.format, artifact.model.name if artifact.model else "", artifact.precision)


@dataclass(frozen=True)
class Way:
    """A way from a source to a file: exporters, in order, then a quantizer; the file's format and precision.

    Attributes:
        refused: why an exporter on it cannot take what has the precision of the source, one line; empty: all can.
    """

    route: tuple[str, ...]
    quantizer: str
    format: str
    precision: str
    refused: str = ""


@dataclass(frozen=True)
class Cell:
    """One row of the matrix, as data.

    Attributes:
        board: on which it is loaded, answers and is timed; None: this machine.
    """

    model: str
    route: tuple[str, ...]  # exporters, in order
    quantizer: str
    format: str
    precision: str
    runtime: str
    threads: int = 1
    passes: tuple[str, ...] = ()  # for the ONNX graph on the way, in order
    board: str | None = None

    @property
    def id(self) -> str:
        return on_board(".".join([self.model, *self.route, self.quantizer, self.runtime]), self.board)

    @property
    def is_whole(self) -> bool:
        """Whether it is an fp32 form that others are held against: a user's file as it came is none."""
        return self.precision == "fp32" and self.quantizer != AS_IT_CAME


def on_board(name: str, board: str | None) -> str:
    """The name of what is done on a board; as it is for this machine."""
    return f"{name}@{board}" if board else name


def is_parent(other: Cell, cell: Cell) -> bool:
    """Whether a cell is the fp32 form of another, made with the same passes as that."""

    def form(one: Cell) -> tuple[object, ...]:
        return one.model, one.route, one.format, one.runtime, one.board

    return form(other) == form(cell) and other.is_whole and not cell.is_whole


@dataclass(frozen=True)
class Skip:
    """A model that cannot run on a runtime here, or on a board, and why."""

    model: str
    format: str
    runtime: str
    reason: str
    board: str | None = None

    @property
    def id(self) -> str:
        return on_board(f"{self.model}.{self.runtime}", self.board)


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
    made: Container[str] = (),
    answered: Container[str] = (),
) -> tuple[list[Cell], list[Skip]]:
    """Every distinct way from a model to a runtime, within the filters.

    Args:
        sources: by the name that their rows bear; two checkpoints of one model are two entries.
        unavailable: (kind, name) of the parts that cannot work here, with the reason.
        passes: instead of those that the consumers of ONNX graphs want.
        made: names of cells whose file is at hand, so that no exporter and no quantizer has to work here.
        answered: models whose answers are at hand, so that they need not run here for that.

    Raises:
        EcgEdgeError: a filter names nothing, or no combination passes all of them.
    """
    cells: list[Cell] = []
    lost: list[Lost] = []
    for cell in requested(sources, exporters, quantizers, runtimes, filters, threads, passes):
        steps = [*(("exporter", name) for name in cell.route), ("quantizer", cell.quantizer)]
        if cell.id in made:
            steps = []
        if not (cell.id in made and cell.model in answered):
            steps.insert(0, ("model", sources[cell.model].part))
        used = [*steps, ("runtime", cell.runtime)]
        refused = runtimes[cell.runtime].refuses.get(cell.precision)
        if at_fault := next((part for part in used if part in unavailable), None):
            lost.append(Lost(cell, *at_fault, unavailable[at_fault]))
        elif refused:
            lost.append(Lost(cell, "precision", cell.precision, refused))
        else:
            cells.append(cell)
    lost += refused_cells(sources, exporters, quantizers, runtimes, filters)
    if not cells and not lost:
        raise impossible(filters, list(combinations(sources, exporters, quantizers, runtimes, threads)))
    return cells, skips_of(lost)


def requested(
    sources: Mapping[str, Source],
    exporters: Mapping[str, Exporter],
    quantizers: Mapping[str, Quantizer],
    runtimes: Mapping[str, Runtime],
    filters: Filters,
    threads: int = 1,
    passes: tuple[str, ...] | None = None,
) -> Iterator[Cell]:
    """The combinations within the filters, whether they can work here or not; see ``plan``.

    Raises:
        EcgEdgeError: a filter names nothing.
    """
    check_names(filters, exporters, quantizers, runtimes)
    for cell in combinations(sources, exporters, quantizers, runtimes, threads, passes):
        if asked_for(cell, filters, quantizers[cell.quantizer], runtimes[cell.runtime]) and wanted(cell, filters):
            yield cell


@dataclass(frozen=True)
class Lost:
    """A cell that cannot run here: the kind and name of what is at fault, and why."""

    cell: Cell
    kind: str
    name: str
    reason: str


def refused_cells(
    sources: Mapping[str, Source],
    exporters: Mapping[str, Exporter],
    quantizers: Mapping[str, Quantizer],
    runtimes: Mapping[str, Runtime],
    filters: Filters,
) -> Iterator[Lost]:
    """Cells within the filters that no way leads to, since an exporter refuses the precision of their source."""
    for label, source in sources.items():
        found = list(ways(source, exporters, quantizers))
        reached = {way.format for way in found if not way.refused}
        for way in found:
            for runtime in takers(way.format, runtimes) if way.refused and way.format not in reached else ():
                cell = cell_of(label, source, way, runtime, exporters, quantizers, None)
                if asked_for(cell, filters, quantizers[cell.quantizer], runtime) and wanted(cell, filters):
                    todo = instead(source, way.format, exporters, quantizers)
                    yield Lost(cell, "precision", source.precision, f"{way.refused}; {todo}")


def instead(source: Source, format: str, exporters: Mapping[str, Exporter], quantizers: Mapping[str, Quantizer]) -> str:
    """What to bring in the place of a quantized file that cannot become a format, and what quantizes that on the way.

    Named are the quantizers that give the precision of the file, else those of integers, else all.
    """
    found = [way for way in ways(Source(source.format), exporters, quantizers) if way.format == format]
    able = [way for way in found if not way.refused and way.precision != "fp32"]
    alike = [way for way in able if way.precision == source.precision]
    integers = [way for way in able if find(way.precision).products]
    names = list(dict.fromkeys(way.quantizer for way in alike or integers or able))
    quantized = f": {', '.join(names)} quantize{'s' if len(names) == 1 else ''} it on the way" if names else ""
    return f"bring the float file that it was made of{quantized}"


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
        for way in ways(source, exporters, quantizers):
            if source.quantized and way.route:  # it is measured as it is
                continue
            for runtime in takers(way.format, runtimes):
                used = passes_of(source.format, (), quantizers[way.quantizer], runtime, passes)
                if way.quantizer == AS_IT_CAME and not used:  # as ``none`` has it
                    continue
                if runtime.refuses.get(way.precision) != "":
                    yield cell_of(label, source, way, runtime, exporters, quantizers, passes, threads)


def ways(source: Source, exporters: Mapping[str, Exporter], quantizers: Mapping[str, Quantizer]) -> Iterator[Way]:
    """Every way from a source to a file. What is quantized goes through quantizers that leave it as it is.

    Only a user's own file can stay as it came.
    """
    for route, exported in routes(source.format, exporters):
        reasons = (exporters[name].refuses.get(source.precision, "") for name in route)
        refused = next(filter(None, reasons), "")
        for quantizer in quantizers.values():
            if quantizer.name == AS_IT_CAME and (source.part or route or source.quantized):
                continue
            if takes(quantizer.accepts, exported) and not (source.quantized and quantizer.precision != "fp32"):
                precision = source.precision if source.quantized else quantizer.precision
                yield Way(route, quantizer.name, quantizer.produces or exported, precision, refused)


def takers(format: str, runtimes: Mapping[str, Runtime]) -> list[Runtime]:
    """The runtimes that take a format, in the order in which they are tried: the first that works here is used."""
    return [runtime for runtime in runtimes.values() if takes(runtime.accepts, format)]


def cell_of(
    label: str,
    source: Source,
    way: Way,
    runtime: Runtime | None,
    exporters: Mapping[str, Exporter],
    quantizers: Mapping[str, Quantizer],
    passes: tuple[str, ...] | None,
    threads: int = 1,
) -> Cell:
    """The cell of a way on a runtime, None where none takes its format.

    What is quantized, or stays as it came, goes through no passes.
    """
    chain = [exporters[name] for name in way.route]
    bare = source.quantized or way.quantizer == AS_IT_CAME
    used = () if bare else passes_of(source.format, chain, quantizers[way.quantizer], runtime, passes)
    place = runtime.name if runtime else ""
    return Cell(label, way.route, way.quantizer, way.format, way.precision, place, threads, used)


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
    """What a user may call a quantizer; every fp32 one is also ``none``, but for that of a file as it came."""
    return {name, precision} | ({"none"} if precision == "fp32" and name != AS_IT_CAME else set())


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
    if AS_IT_CAME in filters.quantizers:
        told.append(f"{AS_IT_CAME} is a form of a user's ONNX file that graph passes would rewrite, and of no other")
    subject = " ".join(asked[:-1]) or "these models"
    return EcgEdgeError(f"no cell has {' and '.join(asked)}", f"with {subject} there are: {'; '.join(told)}")
