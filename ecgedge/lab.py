"""What all cells of a run share: the data, the parts, the store, and the process in which conversions run."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.artifacts import Artifact
from ecgedge.dataset import Dataset, Split, digest_of_beats
from ecgedge.errors import EcgEdgeError
from ecgedge.kinds import Exporter, Part, Quantizer, Runtime
from ecgedge.locks import turn
from ecgedge.plan import Cell, takes
from ecgedge.process import Child, ChildError, Host
from ecgedge.records import from_record, pack
from ecgedge.store import Store, key_of, maker_of, passes_maker


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
        gate: the file by which runs on this machine take turns; None: they do not.
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
    hosts: Mapping[str, Host] = field(default_factory=dict)
    installed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scored: Split = self.data.test.take(self.index)
        self.log = self.folder / "conversions.log"
        self.converters: dict[Host | None, Child] = {}
        self.scratch = tempfile.TemporaryDirectory()
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
        *_, artifact = self.way(cell, batch)
        return artifact

    def way(self, cell: Cell, batch: int = 1) -> Iterator[Artifact]:
        """Each artifact from the model to that of the cell, as it is made."""
        artifact = self.sources[cell.model]
        for kind, name in [*(("exporter", name) for name in cell.route), ("quantizer", cell.quantizer)]:
            artifact = self.convert(self.optimize(artifact, cell.passes, batch), kind, name, batch)
            yield artifact

    def optimize(self, source: Artifact, names: tuple[str, ...], batch: int) -> Artifact:
        """An ONNX artifact through graph passes; anything else as it is."""
        if source.format != "onnx" or not names:
            return source
        maker = passes_maker(names)
        used = {"batch": batch if "fix_batch" in names else 1, "seed": self.seed}

        def build(out: Path) -> Artifact:
            return self.ask("optimize", None, out, source, used, passes=names)

        return self.store.make(key_of(source, maker, batch=used["batch"]), f"{source.name}.onnx", maker, build)

    def convert(self, source: Artifact, kind: str, name: str, batch: int) -> Artifact:
        """One step, from the store where the same step was done before."""
        part: Exporter | Quantizer = self.parts[kind, name]
        options = {key: value for key, value in self.options.items() if key in part.options}
        if isinstance(part, Quantizer):
            options = part.settle(options)
        maker = maker_of(part, *self.owners[kind, name], options, self.installed.get(part.environment or ""))
        used: dict[str, Any] = {"batch": batch if part.fixed_batch else 1, "seed": self.seed, "options": options}
        drawn: dict[str, Any] | None = None  # only what is calibrated depends on beats and seed
        if isinstance(part, Quantizer) and part.calibrates:
            drawn = {"beats": digest_of_beats(self.calibration), "seed": self.seed}
            if part.judges:
                used["labelled"] = str(self.files["judging"])
                drawn |= {"judging": digest_of_beats(self.judging.x), "classes": self.judging.y.tolist()}
        key = key_of(source, maker, batch=used["batch"], calibration=drawn)

        def build(out: Path) -> Artifact:
            return self.ask("convert", part, out, source, used, kind=kind, part=name)

        made = self.store.make(key, f"{source.name}.{part.produces or source.format}", maker, build)
        return replace(made, model=source.model if made.format == source.format else None)

    def child(self, part: Part, log: Path, threads: int | None = None) -> Child:
        """A process for what a part does, in the interpreter that it works in."""
        return Child(log, threads, self.memory, self.hosts.get(part.environment or ""))

    def converter(self, part: Part | None) -> Child:
        """The process in which the conversions of a part run, and of all others that work where it does.

        None stands for ecgedge itself.
        """
        host = self.hosts.get(part.environment or "") if part else None
        if host not in self.converters:
            self.converters[host] = Child(self.log, memory=self.memory, host=host)
        return self.converters[host]

    def ask(
        self, what: str, by: Part | None, out: Path, source: Artifact, used: Mapping[str, Any], **request: Any
    ) -> Artifact:
        """What a part, or ecgedge itself, makes of a source."""
        context = {"beats": str(self.files["calibration"]), **used}
        request |= {"source": pack(source), "out": str(out), "context": context}
        with self.turn():
            answer = self.converter(by).ask(what, self.seconds, **request)
        return from_record(Path(answer["path"]), answer["record"])

    def outputs_of(self, artifact: Artifact, beats: str) -> np.ndarray:
        """Outputs of an artifact on the first runtime that takes its format and does not fail, one thread.

        Args:
            beats: ``"scored"``, ``"train"`` or ``"calibration"``.

        Raises:
            EcgEdgeError: no runtime takes it.
            ChildError, EcgEdgeError: all fail; that of the first.
        """
        runtimes = self.runtimes_for(artifact.format)
        if not runtimes:
            raise EcgEdgeError(
                f"no runtime takes the format {artifact.format!r} of {artifact.name}", "install one that does"
            )
        file = Path(self.scratch.name) / "returned.npy"
        request = {"artifact": pack(artifact), "beats": str(self.files[beats]), "out": str(file), "threads": 1}
        errors: list[ChildError | EcgEdgeError] = []
        for runtime in runtimes:
            try:
                with self.turn():
                    self.converter(runtime).ask("outputs", self.seconds, **request, runtime=runtime.name)
                return np.load(file)
            except (
                ChildError,
                EcgEdgeError,
            ) as error:  # a runtime that is broken must not take the reference from the others
                errors.append(error)
        raise errors[0]

    def runtime_for(self, format: str) -> str | None:
        """The first runtime that takes a format."""
        return next((part.name for part in self.runtimes_for(format)), None)

    def runtimes_for(self, format: str) -> list[Runtime]:
        """All that take a format, in order."""
        runtimes = [part for (kind, _), part in self.parts.items() if kind == "runtime"]
        return [part for part in runtimes if takes(part.accepts, format)]

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
