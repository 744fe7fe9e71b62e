"""Stand-ins for parts that work in an environment of their own: same methods, carried out by a worker there."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.artifacts import Artifact
from ecgedge.errors import ConversionError
from ecgedge.graph import Graph
from ecgedge.kinds import Context, Exporter, Quantizer, Runtime, Session
from ecgedge.process import Child, ChildError, Host
from ecgedge.records import answered, pack

SECONDS = 300  # for one answer


class Errand:
    """A worker in an environment, and a folder for what goes to and fro."""

    def __init__(self, host: Host, threads: int | None = None):
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = Path(self.scratch.name)
        self.child = Child(self.folder / "log", threads, host=host)

    def ask(self, do: str, **request: Any) -> Any:
        """As ``Child.ask``. Raises ConversionError where the worker fails or dies."""
        try:
            return self.child.ask(do, SECONDS, **request)
        except ChildError as error:
            told = str(error).partition("; see ")[0]
            raise ConversionError(f"in environment {self.child.host.environment}: {told}") from None  # type: ignore[union-attr]

    def close(self) -> None:
        self.child.close()
        self.scratch.cleanup()

    def __enter__(self) -> Errand:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def at_hand(part: Any, hosts: Mapping[str, Host]) -> Any:
    """A part that can be used in this process: itself, or what stands in for it where it works elsewhere."""
    host = hosts.get(part.environment or "")
    return STAND_INS[part.kind](part, host) if host and part.kind in STAND_INS else part


class RuntimeElsewhere(Runtime):
    """A runtime in an environment of its own; its sessions have a process each."""

    def __init__(self, part: Runtime, host: Host):
        self.part, self.host = part, host
        self.name, self.needs, self.libraries = part.name, part.needs, part.libraries
        self.environment, self.device, self.computes = part.environment, part.device, part.computes
        self.accepts, self.suffixes, self.wants = part.accepts, part.suffixes, part.wants
        self.refuses = part.refuses
        self.folders, self.on_request = part.folders, part.on_request

    def available(self) -> str | None:
        with Errand(self.host) as errand:
            return errand.ask("available", runtime=self.name)

    def make_whole(self, path: Path, output: str | None, out: Path) -> Path:
        with Errand(self.host) as errand:
            request = {"path": str(path.absolute()), "output": output, "out": str(out.absolute())}
            made = Path(errand.ask("make_whole", runtime=self.name, **request))
        return out if made == out.absolute() else path

    def code_in(self, path: Path) -> str | None:
        with Errand(self.host) as errand:
            return errand.ask("code_in", runtime=self.name, path=str(path.absolute()))

    def inspect(self, path: Path) -> Artifact:
        with Errand(self.host) as errand:
            return answered(errand.ask("inspect", runtime=self.name, path=str(path.absolute())), f"runtime {self.name}")

    def load(self, artifact: Artifact, threads: int) -> Session:
        return SessionElsewhere(Errand(self.host, threads), self.name, artifact, threads)


class SessionElsewhere(Session):
    """Beats and answers go through files: for answers, not to be timed."""

    def __init__(self, errand: Errand, runtime: str, artifact: Artifact, threads: int):
        self.errand, self.batch = errand, artifact.input.batch
        self.beats, self.answers = errand.folder / "beats.npy", errand.folder / "answers.npy"
        errand.ask("open", runtime=runtime, artifact=pack(artifact), threads=threads)

    def bind(self, x: np.ndarray) -> None:
        np.save(self.beats, x)

    def invoke(self) -> None:
        self.errand.ask("invoke", beats=str(self.beats), out=str(self.answers))

    def fetch(self) -> np.ndarray:
        return np.load(self.answers)

    def graph(self) -> Graph | None:
        told = self.errand.ask("graph")
        return None if told is None else Graph.from_record(told)

    def figures(self) -> Mapping[str, int | float | str]:
        return self.errand.ask("figures")

    def close(self) -> None:
        self.errand.close()


class ExporterElsewhere(Exporter):
    """An exporter in an environment of its own."""

    def __init__(self, part: Exporter, host: Host):
        self.part, self.host = part, host
        self.name, self.needs, self.libraries = part.name, part.needs, part.libraries
        self.environment, self.accepts, self.produces = part.environment, part.accepts, part.produces
        self.fixed_batch, self.wants, self.options = part.fixed_batch, part.wants, part.options

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        return convert(self, self.host, source, out, context)


class QuantizerElsewhere(Quantizer):
    """A quantizer in an environment of its own."""

    def __init__(self, part: Quantizer, host: Host):
        self.part, self.host = part, host
        self.name, self.needs, self.libraries = part.name, part.needs, part.libraries
        self.environment, self.accepts, self.produces = part.environment, part.accepts, part.produces
        self.fixed_batch, self.wants, self.options = part.fixed_batch, part.wants, part.options
        self.precision, self.calibrates = part.precision, part.calibrates

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        return convert(self, self.host, source, out, context)


def convert(part: Exporter | Quantizer, host: Host, source: Artifact, out: Path, context: Context) -> Artifact:
    """One conversion in an environment."""
    with Errand(host) as errand:
        np.save(errand.folder / "beats.npy", context.beats)
        used = {"seed": context.seed, "batch": context.batch, "options": dict(context.options)}
        used |= {"beats": str(errand.folder / "beats.npy")}
        request = {"kind": part.kind, "part": part.name, "source": pack(source), "out": str(out), "context": used}
        return answered(errand.ask("convert", **request), f"{part.kind} {part.name}")


STAND_INS: dict[str, Any] = {
    "exporter": ExporterElsewhere,
    "quantizer": QuantizerElsewhere,
    "runtime": RuntimeElsewhere,
}  # a model is built where it is used
