"""What all cells of a run share, and how the artifact of one is made: step by step, each from the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.api.artifact import Artifact
from ecgedge.api.graph import Graph
from ecgedge.api.parts import Exporter, Quantizer, Runtime
from ecgedge.convert.beats import Beats, write_beats
from ecgedge.convert.converters import Converters
from ecgedge.convert.fallback import Passes, usable_passes
from ecgedge.convert.store import Store, key_of, open_store
from ecgedge.convert.tools import Tools, tools_of
from ecgedge.data.dataset import Dataset, digest_of_beats
from ecgedge.errors import EcgEdgeError, MachineError
from ecgedge.files.locks import gate
from ecgedge.plan.plan import Cell
from ecgedge.workers import availability, protocol
from ecgedge.workers.client import ChildError, Limits
from ecgedge.workers.hosts import hosts
from ecgedge.workers.protocol import pack

if TYPE_CHECKING:
    from ecgedge.plugins import Parts


@dataclass
class Lab:
    """What all cells of a run share.

    Attributes:
        sources: the trained models by the name that their rows bear.
        batch_sizes: beats a call whose throughput is measured; None: ``bench.BATCHES``, and more where that pays.
        unasked: it is not known yet which of the runtimes can work here: each is asked before it is used first.
        usable: the passes that were found to work, by what they were tried on.
        failed: what came of those that cannot be made, by cell and batch.
        told: why runtimes cannot work here, None where they can, of those that were asked.
        brought: files that cannot be made here, by the names of their cells on this machine.
    """

    sources: dict[str, Artifact]
    tools: Tools
    beats: Beats
    converters: Converters
    store: Store
    seed: int = 0
    batch_sizes: tuple[int, ...] | None = None
    unasked: bool = False
    usable: dict[tuple[Any, ...], Passes] = field(default_factory=dict)
    failed: dict[tuple[Cell, int], Exception] = field(default_factory=dict)
    told: dict[str, str | None] = field(default_factory=dict)
    brought: Mapping[str, Artifact] = field(default_factory=dict)

    def make(self, cell: Cell, batch: int = 1) -> Artifact:
        """The artifact of a cell: its model through its exporters and its quantizer. Raises as ``way``."""
        if found := self.comes_along(cell):
            return found
        if error := self.failed.get((cell, batch)):
            raise error
        return self.way(cell, batch)[-1]

    def comes_along(self, cell: Cell) -> Artifact | None:
        """The file of a cell that cannot be made here, of one beat a call where its batch is fixed; None for others."""
        return self.brought.get(replace(cell, board=None).id) if self.brought else None

    def way(self, cell: Cell, batch: int = 1) -> list[Artifact]:
        """Each artifact from the model to that of the cell.

        Where its passes make a step fail, those that can be used are found once, and used for every batch.

        Raises:
            ChildError: it cannot be made, with any of its passes or without.
        """
        key = self.sources[cell.model].digest, cell.route, cell.quantizer, cell.passes
        if key in self.usable:
            return [*self.walk(cell, self.usable[key], batch)]
        self.usable[key], made = usable_passes(self, cell, batch)
        return made

    def walk(self, cell: Cell, passes: Passes, batch: int) -> Iterator[Artifact]:
        """Each artifact on the way of a cell, with these passes, as it is made."""
        artifact = self.sources[cell.model]
        steps: list[tuple[protocol.ConverterKind, str]] = [("exporter", name) for name in cell.route]
        for kind, name in [*steps, ("quantizer", cell.quantizer)]:
            artifact = self.convert(self.optimize(artifact, passes, batch), kind, name, batch)
            yield artifact

    def changed_by(self, cell: Cell, passes: Passes, batch: int) -> tuple[str, ...]:
        """Which of these passes change the graph on the way of a cell."""
        artifact = self.sources[cell.model]
        for name in cell.route:
            if artifact.format == "onnx":
                break
            artifact = self.convert(artifact, "exporter", name, batch)
        found = self.optimize(artifact, passes, batch)
        return tuple(name for name in passes.names if name in found.passes and name not in artifact.passes)

    def optimize(self, source: Artifact, passes: Passes, batch: int) -> Artifact:
        """An ONNX artifact through graph passes; anything else as it is."""
        if source.format != "onnx" or not (passes.names or passes.left_out):
            return source
        maker = self.tools.passes_maker(passes.names)
        fixes = "fix_batch" in passes.names
        terms = protocol.Terms(self.beats.files["calibration"], self.seed, batch if fixes else 1)
        more: dict[str, Any] = {"length": int(self.beats.calibration.shape[-1])} if fixes else {}
        more |= {"left_out": dict(passes.left_out)} if passes.left_out else {}

        def build(out: Path) -> Artifact:
            left_out = dict(passes.left_out)
            return self.converters.ask(
                protocol.Optimize(tuple(passes.names), pack(source), out, terms, left_out), None, "optimize"
            )

        return self.store.make(key_of(source, maker, batch=terms.batch, **more), f"{source.name}.onnx", maker, build)

    def convert(self, source: Artifact, kind: protocol.ConverterKind, name: str, batch: int) -> Artifact:
        """One step, from the store where the same step was done before."""
        part: Exporter | Quantizer = self.tools.parts[kind, name]
        options = self.tools.options_of(part)
        if isinstance(part, Quantizer):
            options = part.settle(options)
        maker = self.tools.maker(kind, name, options)
        used, labelled = batch if part.fixed_batch else 1, None
        drawn: dict[str, Any] | None = None  # only what is calibrated depends on beats and seed
        if isinstance(part, Quantizer) and part.calibrates:
            drawn = {"beats": digest_of_beats(self.beats.calibration), "seed": self.seed}
            if part.judges:
                labelled = self.beats.files["judging"]
                drawn |= {"judging": digest_of_beats(self.beats.judging.x), "classes": self.beats.judging.y.tolist()}
        key = key_of(source, maker, batch=used, calibration=drawn)
        terms = protocol.Terms(self.beats.files["calibration"], self.seed, used, options, labelled)

        def build(out: Path) -> Artifact:
            return self.converters.ask(protocol.Convert(kind, name, pack(source), out, terms), part, f"{kind} {name}")

        made = self.store.make(key, f"{source.name}.{part.produces or source.format}", maker, build)
        return replace(made, model=source.model if made.format == source.format else None)

    def in_this_turn(self) -> Lab:
        """This lab, for who has its turn on this machine already."""
        return replace(self, converters=self.converters.without_gate())

    def outputs_of(self, artifact: Artifact, beats: str) -> np.ndarray:
        """Outputs of an artifact, see ``run``."""
        return self.run(artifact, beats).outputs

    def run(self, artifact: Artifact, beats: str, graph: bool = False, on: str | None = None) -> Ran:
        """An artifact on the first runtime that takes its format and does not fail, one thread.

        Args:
            beats: ``"scored"``, ``"train"`` or ``"calibration"``.
            graph: whether the runtime is to tell what ran.
            on: the runtime; None: the first.

        Raises:
            MachineError: the machine is at fault.
            EcgEdgeError: no runtime takes it.
            ChildError, EcgEdgeError: all fail; that of the first.
        """
        runtimes = [self.tools.parts["runtime", on]] if on else self.runtimes_for(artifact.format)
        if not runtimes:
            raise EcgEdgeError(
                f"no runtime takes the format {artifact.format!r} of {artifact.name}", "install one that does"
            )
        file = Path(self.beats.scratch.name) / "returned.npy"
        errors: list[ChildError | EcgEdgeError] = []
        for runtime in runtimes:
            try:
                with self.converters.turn(), self.converters.open(runtime, artifact) as session:
                    session.infer(self.beats.files[beats], file)
                    told = session.graph() if graph else None
                return Ran(np.load(file), runtime, told)
            except MachineError:
                raise
            except (ChildError, EcgEdgeError) as error:  # a broken runtime must not take the reference from the others
                errors.append(error)
        raise errors[0]

    def runtimes_for(self, format: str) -> list[Runtime]:
        """All that take a format and work here, in order."""
        return [part for part in self.tools.takers_of(format) if self.lacks(part) is None]

    def lacks(self, runtime: Runtime) -> str | None:
        """Why a runtime cannot work here, in one line; None where it can.

        Raises:
            MachineError: the machine is at fault.
        """
        if ("runtime", runtime.name) not in self.tools.parts:
            return "it is not installed"
        if not self.unasked:
            return None
        if runtime.name not in self.told:
            try:
                asked = protocol.Available(runtime.name)
                self.told[runtime.name] = self.converters.of(runtime).ask(asked, availability.SECONDS)
            except MachineError:
                raise
            except (ChildError, EcgEdgeError) as error:
                self.told[runtime.name] = str(error)
        return self.told[runtime.name]

    def close(self) -> None:
        """End the converters, and take away the copies of the data."""
        self.converters.close()
        self.beats.close()


def open_lab(
    parts: Parts,
    data: Dataset,
    sources: dict[str, Artifact],
    folder: Path,
    index: np.ndarray,
    calibration: int,
    seed: int,
    options: Mapping[str, Any],
    unavailable: Mapping[tuple[str, str], str],
    limits: Limits,
    batch_sizes: Sequence[int] | None = None,
    unasked: bool = False,
) -> Lab:
    """What cells share: the test beats of ``index``, calibration beats, the store, the converter.

    Args:
        options: of the parts.
        unavailable: parts that are left out.
        batch_sizes, unasked: see ``Lab``.
    """
    tools, store = tools_of(parts, options, unavailable), open_store()
    converters = Converters(folder, hosts(parts), limits, gate())
    sizes = tuple(batch_sizes) if batch_sizes else None
    beats = write_beats(data, index, calibration, seed)  # last: what fails before it leaves no files
    return Lab(sources, tools, beats, converters, store, seed, sizes, unasked)


@dataclass(frozen=True)
class Ran:
    """What an artifact answered, on which runtime, and the graph that ran where that was asked for and is told."""

    outputs: np.ndarray
    runtime: Runtime
    graph: Graph | None
