"""What all cells of a run share: the data, the parts, the store, and the process in which conversions run."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.api.artifact import Artifact
from ecgedge.api.graph import Graph
from ecgedge.api.parts import Exporter, Part, Quantizer, Runtime
from ecgedge.convert.fallback import Passes, usable_passes
from ecgedge.convert.store import Store, key_of, maker_of, open_store, passes_maker
from ecgedge.data.dataset import Dataset, Split, calibration_beats, digest_of_beats, judging_beats
from ecgedge.devices.host import Host
from ecgedge.errors import EcgEdgeError, MachineError, machine_error
from ecgedge.files.locks import gate, turn
from ecgedge.plan.plan import Cell, takers
from ecgedge.workers import availability, protocol
from ecgedge.workers.client import Child, ChildError
from ecgedge.workers.hosts import hosts
from ecgedge.workers.protocol import answered, pack
from ecgedge.workers.session import open_session

if TYPE_CHECKING:
    from ecgedge.plugins import Parts

QUIETLY = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}  # what waits leaves the cores to others
STEPS = ("exporter", "quantizer", "runtime")  # the kinds that carry out a cell


@dataclass
class Lab:
    """What all cells of a run share.

    Attributes:
        sources: the trained models by the name that their rows bear.
        parts: exporters, quantizers and runtimes by (kind, name), with (distribution, version).
        index: of the test beats that are scored, in order.
        calibration: training beats for the quantizers, ``(N, 1, L)``.
        judging: training beats on which quantizers measure what they cost.
        folder: for what children print.
        hosts: the interpreters of parts that work in an environment of their own, by its name.
        installed: versions of the distributions there, by environment and canonical name.
        seconds: the limit of each step.
        memory: bytes that a child's data may take; None: no limit.
        batch_sizes: beats a call whose throughput is measured; None: ``bench.BATCHES``, and more where that pays.
        gate: the file by which runs on this machine take turns; None: they do not.
        unasked: it is not known yet which of the runtimes can work here: each is asked before it is used first.
    """

    data: Dataset
    sources: dict[str, Artifact]
    parts: Mapping[tuple[str, str], Any]
    owners: Mapping[tuple[str, str], tuple[str, str]]
    index: np.ndarray
    calibration: np.ndarray
    judging: Split
    store: Store
    folder: Path
    gate: Path | None
    seed: int = 0
    seconds: float = 300
    memory: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    batch_sizes: tuple[int, ...] | None = None
    hosts: Mapping[str, Host] = field(default_factory=dict)
    installed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    unasked: bool = False

    def __post_init__(self) -> None:
        self.scored: Split = self.data.test.take(self.index)
        self.log = self.folder / "conversions.log"
        self.converters: dict[tuple[Host | None, bool], Child] = {}
        self.usable: dict[tuple[Any, ...], Passes] = {}
        self.told: dict[str, str | None] = {}
        self.scratch = tempfile.TemporaryDirectory()
        try:
            self.write_beats()
        except OSError as error:
            raise machine_error(f"{self.scratch.name} cannot be written", error) from error

    def write_beats(self) -> None:
        """What all children read."""
        self.files = {name: Path(self.scratch.name) / f"{name}.npy" for name in ("calibration", "scored", "train")}
        for name, beats in (
            ("calibration", self.calibration),
            ("scored", self.scored.x),
            ("train", self.data.train.x),
        ):
            np.save(self.files[name], beats)
        self.files["judging"] = Path(self.scratch.name) / "judging.npz"
        np.savez(self.files["judging"], x=self.judging.x, y=self.judging.y)

    def make(self, cell: Cell, batch: int = 1) -> Artifact:
        """The artifact of a cell: its model through its exporters and its quantizer."""
        return self.way(cell, batch)[-1]

    def way(self, cell: Cell, batch: int = 1) -> list[Artifact]:
        """Each artifact from the model to that of the cell.

        Where its passes make a step fail, those that can be used are found once, and used for every batch.

        Raises:
            ChildError: it cannot be made, with any of its passes or without.
        """
        key = self.sources[cell.model].digest, cell.route, cell.quantizer, cell.passes
        if key in self.usable:
            return self.walk(cell, self.usable[key], batch)
        self.usable[key], made = usable_passes(self, cell, batch)
        return made

    def walk(self, cell: Cell, passes: Passes, batch: int) -> list[Artifact]:
        """Each artifact on the way of a cell, with these passes."""
        artifact, made = self.sources[cell.model], []
        steps: list[tuple[protocol.ConverterKind, str]] = [("exporter", name) for name in cell.route]
        for kind, name in [*steps, ("quantizer", cell.quantizer)]:
            artifact = self.convert(self.optimize(artifact, passes, batch), kind, name, batch)
            made.append(artifact)
        return made

    def options_of(self, part: Exporter | Quantizer | Runtime) -> dict[str, Any]:
        """What the user asked for of the options that a part understands."""
        return {key: value for key, value in self.options.items() if key in part.options}

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
        maker = passes_maker(passes.names)
        fixes = "fix_batch" in passes.names
        terms = protocol.Terms(self.files["calibration"], self.seed, batch if fixes else 1)
        more: dict[str, Any] = {"length": int(self.calibration.shape[-1])} if fixes else {}
        more |= {"left_out": dict(passes.left_out)} if passes.left_out else {}

        def build(out: Path) -> Artifact:
            left_out = dict(passes.left_out)
            return self.ask(
                protocol.Optimize(tuple(passes.names), pack(source), out, terms, left_out), None, "optimize"
            )

        return self.store.make(key_of(source, maker, batch=terms.batch, **more), f"{source.name}.onnx", maker, build)

    def convert(self, source: Artifact, kind: protocol.ConverterKind, name: str, batch: int) -> Artifact:
        """One step, from the store where the same step was done before."""
        part: Exporter | Quantizer = self.parts[kind, name]
        options = self.options_of(part)
        if isinstance(part, Quantizer):
            options = part.settle(options)
        maker = maker_of(part, *self.owners[kind, name], options, self.installed.get(part.environment or ""))
        used, labelled = batch if part.fixed_batch else 1, None
        drawn: dict[str, Any] | None = None  # only what is calibrated depends on beats and seed
        if isinstance(part, Quantizer) and part.calibrates:
            drawn = {"beats": digest_of_beats(self.calibration), "seed": self.seed}
            if part.judges:
                labelled = self.files["judging"]
                drawn |= {"judging": digest_of_beats(self.judging.x), "classes": self.judging.y.tolist()}
        key = key_of(source, maker, batch=used, calibration=drawn)
        terms = protocol.Terms(self.files["calibration"], self.seed, used, options, labelled)

        def build(out: Path) -> Artifact:
            return self.ask(protocol.Convert(kind, name, pack(source), out, terms), part, f"{kind} {name}")

        made = self.store.make(key, f"{source.name}.{part.produces or source.format}", maker, build)
        return replace(made, model=source.model if made.format == source.format else None)

    def child(self, part: Part, log: Path, threads: int | None = None) -> Child:
        """A process for what a part does, in the interpreter that it works in."""
        host = self.hosts.get(part.environment or "")
        return Child(log, threads, self.memory, host, network=part.needs_network)

    def converter(self, part: Part | None) -> Child:
        """The process in which the conversions of a part run, and of all others that work where it does.

        None stands for ecgedge itself.
        """
        host = self.hosts.get(part.environment or "") if part else None
        key = host, bool(part and part.needs_network)
        if key not in self.converters:
            self.converters[key] = Child(self.log, None, self.memory, host, QUIETLY, network=key[1])
        return self.converters[key]

    def ask(self, question: protocol.Question[protocol.Packed], by: Part | None, who: str) -> Artifact:
        """What a part, or ecgedge itself, makes of a source.

        Args:
            by: the part; None: ecgedge itself.
            who: that is, as an error names it.
        """
        with self.turn():
            return answered(self.converter(by).ask(question, self.seconds), who)

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
        runtimes = [self.parts["runtime", on]] if on else self.runtimes_for(artifact.format)
        if not runtimes:
            raise EcgEdgeError(
                f"no runtime takes the format {artifact.format!r} of {artifact.name}", "install one that does"
            )
        file = Path(self.scratch.name) / "returned.npy"
        packed = pack(artifact)
        errors: list[ChildError | EcgEdgeError] = []
        for runtime in runtimes:
            try:
                question = protocol.Open(runtime.name, packed, 1)
                with self.turn(), open_session(self.converter(runtime), question, self.seconds) as session:
                    session.infer(self.files[beats], file)
                    told = session.graph() if graph else None
                return Ran(np.load(file), runtime, told)
            except MachineError:
                raise
            except (ChildError, EcgEdgeError) as error:  # a broken runtime must not take the reference from the others
                errors.append(error)
        raise errors[0]

    def runtimes_for(self, format: str) -> list[Runtime]:
        """All that take a format and work here, in order."""
        runtimes = {name: part for (kind, name), part in self.parts.items() if kind == "runtime"}
        return [part for part in takers(format, runtimes) if self.lacks(part) is None]

    def lacks(self, runtime: Runtime) -> str | None:
        """Why a runtime cannot work here, in one line; None where it can.

        Raises:
            MachineError: the machine is at fault.
        """
        if ("runtime", runtime.name) not in self.parts:
            return "it is not installed"
        if not self.unasked:
            return None
        if runtime.name not in self.told:
            try:
                asked = protocol.Available(runtime.name)
                self.told[runtime.name] = self.converter(runtime).ask(asked, availability.SECONDS)
            except MachineError:
                raise
            except (ChildError, EcgEdgeError) as error:
                self.told[runtime.name] = str(error)
        return self.told[runtime.name]

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Convert and measure while no other run on this machine does."""
        with turn(self.gate) if self.gate else contextlib.nullcontext():
            yield

    def close(self) -> None:
        """End the converters, and take away the copies of the data."""
        for converter in self.converters.values():
            converter.close()
        self.scratch.cleanup()


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
    seconds: float = 300,
    memory: int | None = None,
    batch_sizes: Sequence[int] | None = None,
    unasked: bool = False,
) -> Lab:
    """What cells share: the test beats of ``index``, calibration beats, the store, the converter.

    Args:
        options: of the parts.
        unavailable: parts that are left out.
        batch_sizes, unasked: see ``Lab``.
    """
    return Lab(
        data=data,
        sources=sources,
        parts={
            (kind, name): part
            for kind in STEPS
            for name, part in parts.of(kind).items()
            if (kind, name) not in unavailable
        },
        owners={key: (owner.distribution, owner.version) for key, owner in parts.owners.items()},
        index=index,
        calibration=calibration_beats(data, calibration, seed),
        judging=judging_beats(data, calibration, seed),
        store=open_store(),
        folder=folder,
        gate=gate(),
        seed=seed,
        seconds=seconds,
        memory=memory,
        options=options,
        batch_sizes=tuple(batch_sizes) if batch_sizes else None,
        hosts=hosts(parts),
        installed=availability.installed(parts),
        unasked=unasked,
    )


@dataclass(frozen=True)
class Ran:
    """What an artifact answered, on which runtime, and the graph that ran where that was asked for and is told."""

    outputs: np.ndarray
    runtime: Runtime
    graph: Graph | None
