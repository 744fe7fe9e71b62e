"""Stand-ins for parts that do not work in this process: same methods, carried out by a worker.

A part in an environment of its own needs one, and so does whatever opens a file that anybody may have made: what that
does to a process, it does to one that has limits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api.artifact import Artifact
from ecgedge.api.graph import Graph
from ecgedge.api.parts import Context, Exporter, Quantizer, Runtime, Session
from ecgedge.api.records import answered, pack
from ecgedge.devices.host import Host
from ecgedge.errors import ConversionError, EcgEdgeError
from ecgedge.workers.client import Child, ChildError, Limits

PIECE = 4096  # beats that are asked for at once; the limit of time is for each


class Bug(Exception):
    """What nobody foresaw in a worker; the traceback there is its text."""


def failure(error: ChildError, about: str, limits: Limits, host: Host | None = None) -> Exception:
    """What a command raises where a child failed.

    Args:
        about: what it was to work on.
        limits: that it had.
        host: the interpreter that it ran in; None: ours.
    """
    told = str(error).partition("; see ")[0]
    if error.why == "late":
        return EcgEdgeError(f"{about} did not end within {limits.seconds:g} s", error.hint)
    if error.why == "memory":
        return EcgEdgeError(f"{about} needs more memory: {told}"[:300], error.hint if limits.memory else "")
    if error.why == "bug" and host is None:
        return Bug(f"{told}\n\n{error.trace}")
    return ConversionError(f"{f'in environment {host.environment}' if host else about}: {told}")


class Errand:
    """A worker in an interpreter, and a folder for what goes to and fro.

    Args:
        host: the interpreter; None: ours.
        kept: it serves several in turn, and ends by ``end`` alone.
    """

    def __init__(
        self,
        host: Host | None,
        threads: int | None = None,
        limits: Limits | None = None,
        network: bool = False,
        kept: bool = False,
    ):
        self.limits, self.kept = limits or Limits(), kept
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = Path(self.scratch.name)
        self.child = Child(self.folder / "log", threads, self.limits.memory, host, network=network)

    def ask(self, do: str, about: str | Path, **request: Any) -> Any:
        """As ``Child.ask``.

        Args:
            about: what the worker is to work on, as an error names it.

        Raises:
            EcgEdgeError: it is late, or has not enough memory.
            ConversionError: it dies, or what it makes is wrong.
            Bug: anything else.
        """
        try:
            return self.child.ask(do, self.limits.seconds, **request)
        except ChildError as error:
            told = failure(error, str(about), self.limits, self.child.host)
            raise told from (None if error.why == "bug" else error)

    def close(self) -> None:
        if not self.kept:
            self.end()

    def end(self) -> None:
        self.child.close()
        self.scratch.cleanup()

    def __enter__(self) -> Errand:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Workers:
    """The workers of one command: one for each interpreter, started when it is first asked.

    Args:
        hosts: the interpreters that are not ours, by the environment.
        threads: see ``Child``.
    """

    def __init__(self, hosts: Mapping[str, Host], limits: Limits, threads: int = 1):
        self.hosts, self.limits, self.threads = hosts, limits, threads
        self.errands: dict[tuple[str | None, bool], Errand] = {}

    def runtime(self, part: Runtime) -> RuntimeElsewhere:
        """What stands in for a runtime. Its sessions end with these workers at the latest."""
        return RuntimeElsewhere(part, self.hosts.get(part.environment or ""), lambda _: self.errand(part))

    def errand(self, part: Runtime) -> Errand:
        host = self.hosts.get(part.environment or "")
        key = host.environment if host else None, part.needs_network
        if key not in self.errands:
            self.errands[key] = Errand(host, self.threads, self.limits, part.needs_network, kept=True)
        return self.errands[key]

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for errand in self.errands.values():
            errand.end()


def at_hand(part: Any, hosts: Mapping[str, Host]) -> Any:
    """A part that can be used in this process: itself, or what stands in for it where it works elsewhere."""
    host = hosts.get(part.environment or "")
    if host is None or part.kind == "model":  # a model is built where it is used
        return part
    if part.kind == "runtime":
        return RuntimeElsewhere(part, host, partial(Errand, host, network=part.needs_network))
    return (ExporterElsewhere if part.kind == "exporter" else QuantizerElsewhere)(part, host)


class RuntimeElsewhere(Runtime):
    """A runtime whose work is done by a worker.

    Args:
        host: the interpreter that it works in; None: ours.
        errand: hands out a worker for so many threads.
    """

    def __init__(self, part: Runtime, host: Host | None, errand: Callable[[int | None], Errand]):
        self.part, self.host, self.errand = part, host, errand
        self.name, self.needs, self.libraries = part.name, part.needs, part.libraries
        self.environment, self.device, self.computes = part.environment, part.device, part.computes
        self.accepts, self.suffixes, self.wants = part.accepts, part.suffixes, part.wants
        self.refuses, self.needs_network = part.refuses, part.needs_network
        self.folders, self.on_request = part.folders, part.on_request

    def available(self) -> str | None:
        with self.errand(None) as errand:
            return errand.ask("available", f"runtime {self.name}", runtime=self.name)

    def make_whole(self, path: Path, output: str | None, out: Path) -> Path:
        with self.errand(None) as errand:
            request = {"path": str(path), "output": output, "out": str(out)}
            return Path(errand.ask("make_whole", path, runtime=self.name, **request))

    def code_in(self, path: Path) -> str | None:
        with self.errand(None) as errand:
            return errand.ask("code_in", path, runtime=self.name, path=str(path))

    def inspect(self, path: Path) -> Artifact:
        with self.errand(None) as errand:
            told = errand.ask("inspect", path, runtime=self.name, path=str(path))
        return answered(told, f"runtime {self.name}")

    def try_out(self, artifact: Artifact) -> tuple[str, Graph | None]:
        """What class scores a file gives, by those of a few beats, and the graph that ran: see ``Worker.try_out``."""
        with self.errand(None) as errand:
            told = errand.ask("try_out", artifact.path, runtime=self.name, artifact=pack(artifact))
        return told["scores"], Graph.from_record(told["graph"]) if told["graph"] else None

    def prove(self, bundle: Path) -> str:
        """Why a bundle does not pass the check that it brings; empty where it does."""
        with self.errand(None) as errand:
            return errand.ask("prove", "the bundle's own check", folder=str(bundle))

    def load(self, artifact: Artifact, threads: int) -> SessionElsewhere:
        return SessionElsewhere(self.errand(threads), self.name, artifact, threads)


class SessionElsewhere(Session):
    """Beats and answers go through files: for answers, not to be timed.

    Attributes:
        about: the file, as errors name it.
    """

    def __init__(self, errand: Errand, runtime: str, artifact: Artifact, threads: int):
        self.errand, self.about = errand, artifact.path
        opened = errand.ask("open", self.about, runtime=runtime, artifact=pack(artifact), threads=threads)
        self.number, self.batch, self.bulk = opened["session"], opened["batch"], opened["bulk"]
        self.beats, self.answers = (errand.folder / f"{what}-{self.number}.npy" for what in ("beats", "answers"))

    def ask(self, do: str, **request: Any) -> Any:
        return self.errand.ask(do, self.about, session=self.number, **request)

    def bind(self, x: np.ndarray) -> None:
        np.save(self.beats, x)

    def invoke(self) -> None:
        self.ask("invoke", beats=str(self.beats), out=str(self.answers))

    def fetch(self) -> np.ndarray:
        return np.load(self.answers)

    def infer(self, x: np.ndarray) -> np.ndarray:
        """As ``measure.infer``, in the worker; in pieces of whole batches, so that the batches are the same."""
        return np.concatenate(list(self.pieces(x, max(1, PIECE // self.bulk) * self.bulk)))

    def pieces(self, x: np.ndarray, size: int) -> Iterator[np.ndarray]:
        for start in range(0, len(x), size):
            np.save(self.beats, x[start : start + size])
            self.ask("infer", beats=str(self.beats), out=str(self.answers))
            yield np.load(self.answers)

    def graph(self) -> Graph | None:
        told = self.ask("graph")
        return None if told is None else Graph.from_record(told)

    def figures(self) -> Mapping[str, int | float | str]:
        return self.ask("figures")

    def close(self) -> None:
        if self.errand.child.process:
            self.ask("close")
        self.errand.close()


class ExporterElsewhere(Exporter):
    """An exporter in an environment of its own."""

    def __init__(self, part: Exporter, host: Host):
        self.part, self.host = part, host
        self.name, self.needs, self.libraries = part.name, part.needs, part.libraries
        self.environment, self.accepts, self.produces = part.environment, part.accepts, part.produces
        self.needs_network = part.needs_network
        self.fixed_batch, self.wants, self.options = part.fixed_batch, part.wants, part.options

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        return convert(self, self.host, source, out, context)


class QuantizerElsewhere(Quantizer):
    """A quantizer in an environment of its own."""

    def __init__(self, part: Quantizer, host: Host):
        self.part, self.host = part, host
        self.name, self.needs, self.libraries = part.name, part.needs, part.libraries
        self.environment, self.accepts, self.produces = part.environment, part.accepts, part.produces
        self.needs_network = part.needs_network
        self.fixed_batch, self.wants, self.options = part.fixed_batch, part.wants, part.options
        self.precision, self.calibrates = part.precision, part.calibrates

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        return convert(self, self.host, source, out, context)


def convert(part: Exporter | Quantizer, host: Host, source: Artifact, out: Path, context: Context) -> Artifact:
    """One conversion in an environment."""
    with Errand(host, network=part.needs_network) as errand:
        np.save(errand.folder / "beats.npy", context.beats)
        used = {"seed": context.seed, "batch": context.batch, "options": dict(context.options)}
        used |= {"beats": str(errand.folder / "beats.npy")}
        request = {"kind": part.kind, "part": part.name, "source": pack(source), "out": str(out), "context": used}
        return answered(errand.ask("convert", source.path, **request), f"{part.kind} {part.name}")
