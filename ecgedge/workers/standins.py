"""Stand-ins for parts that do not work in this process: same methods, carried out by a worker.

A part in an environment of its own needs one, and so does whatever opens a file that anybody may have made: what that
does to a process, it does to one that has limits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, get_origin, get_type_hints

import numpy as np

from ecgedge.api import tasks
from ecgedge.api.artifact import Artifact
from ecgedge.api.graph import Graph
from ecgedge.api.measured import Measured
from ecgedge.api.parts import Context, Exporter, Part, Quantizer, Runtime, Session
from ecgedge.api.profile import Profile
from ecgedge.api.taps import Taps
from ecgedge.data.synthetic import synthetic_beats
from ecgedge.devices.host import Host
from ecgedge.errors import ConversionError, EcgEdgeError
from ecgedge.workers import protocol
from ecgedge.workers.client import Child, ChildError, Limits, WorkerClient
from ecgedge.workers.protocol import A, Question, answered, pack

BEATS = 16  # by which a file is told that says nothing of itself
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
        worker: makes the worker, which logs to a file, where that is none of this machine's own; a board's has no host.
    """

    def __init__(
        self,
        host: Host | None,
        threads: int | None = None,
        limits: Limits | None = None,
        network: bool = False,
        kept: bool = False,
        worker: Callable[[Path], WorkerClient] | None = None,
    ):
        self.limits, self.kept, self.host = limits or Limits(), kept, host
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = Path(self.scratch.name)
        log = self.folder / "log"
        self.child: WorkerClient = (
            worker(log) if worker else Child(log, threads, self.limits.memory, host, network=network)
        )

    def ask(self, question: Question[A], about: str | Path) -> A:
        """As ``Child.ask``.

        Args:
            about: what the worker is to work on, as an error names it.

        Raises:
            EcgEdgeError: it is late, or has not enough memory.
            ConversionError: it dies, or what it makes is wrong.
            Bug: anything else.
        """
        try:
            return self.child.ask(question, self.limits.seconds)
        except ChildError as error:
            told = failure(error, str(about), self.limits, self.host)
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
    """The workers of one command: one for each interpreter and number of threads, started when it is first asked.

    Args:
        hosts: the interpreters that are not ours, by the environment.
        threads: see ``Child``.
    """

    def __init__(self, hosts: Mapping[str, Host], limits: Limits, threads: int = 1):
        self.hosts, self.limits, self.threads = hosts, limits, threads
        self.errands: dict[tuple[str | None, bool, int | None], Errand] = {}

    def runtime(self, part: Runtime) -> RuntimeElsewhere:
        """What stands in for a runtime. Its sessions end with these workers at the latest."""
        host = self.hosts.get(part.environment or "")
        return RuntimeElsewhere(part, host, lambda _: self.errand(part))

    def errand(self, part: Part) -> Errand:
        """The worker of a part."""
        return self.of_threads(part, self.threads)

    def of_threads(self, part: Part, threads: int | None) -> Errand:
        """A worker of a part with another number of threads than usual; None: as many as its libraries want."""
        host = self.hosts.get(part.environment or "")
        key = host.environment if host else None, part.needs_network, threads
        if key not in self.errands:
            self.errands[key] = Errand(host, threads, self.limits, part.needs_network, kept=True)
        return self.errands[key]

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for errand in self.errands.values():
            errand.end()


def at_hand(part: Any, hosts: Mapping[str, Host], workers: Workers | None = None) -> Any:
    """A part that can be used in this process: itself, or what stands in for it where it works elsewhere.

    Args:
        workers: that do its work; None: one for each session and each conversion.
    """
    host = hosts.get(part.environment or "")
    if host is None or part.kind == "model":  # a model is built where it is used
        return part
    errand = partial(workers.of_threads, part) if workers else partial(Errand, host, network=part.needs_network)
    if part.kind == "runtime":
        return RuntimeElsewhere(part, host, errand)
    return (ExporterElsewhere if part.kind == "exporter" else QuantizerElsewhere)(part, host, errand)


def declared(kind: type[Part]) -> tuple[str, ...]:
    """The fields that the contract of a kind of parts declares, which a stand-in has as its part has them."""
    return tuple(name for name, hint in get_type_hints(kind).items() if get_origin(hint) is not ClassVar)


def take_fields(stand_in: Part, part: Part, kind: type[Part]) -> None:
    """Give a stand-in all fields of the part."""
    for name in declared(kind):
        setattr(stand_in, name, getattr(part, name))


class RuntimeElsewhere(Runtime):
    """A runtime whose work is done by a worker.

    Args:
        host: the interpreter that it works in; None: ours.
        errand: hands out a worker for so many threads.
    """

    def __init__(self, part: Runtime, host: Host | None, errand: Callable[[int | None], Errand]):
        self.part, self.host, self.errand = part, host, errand
        take_fields(self, part, Runtime)

    def available(self) -> str | None:
        with self.errand(None) as errand:
            return errand.ask(protocol.Available(self.name), f"runtime {self.name}")

    def make_whole(self, path: Path, output: str | None, out: Path) -> Path:
        with self.errand(None) as errand:
            return errand.ask(protocol.MakeWhole(self.name, path, output, out), path)

    def code_in(self, path: Path) -> str | None:
        with self.errand(None) as errand:
            return errand.ask(protocol.CodeIn(self.name, path), path)

    def inspect(self, path: Path) -> Artifact:
        with self.errand(None) as errand:
            told = errand.ask(protocol.Inspect(self.name, path), path)
        return answered(told, f"runtime {self.name}")

    def try_out(self, artifact: Artifact) -> tuple[str, Graph | None]:
        """What class scores a file gives that says nothing of itself, by those of a few synthetic beats, and the graph
        that ran; None: it is not told."""
        beats = synthetic_beats(BEATS, artifact.input.length or 140, artifact.input.leads or 1)
        with self.errand(None) as errand, closing(SessionElsewhere(errand, self.name, artifact, 1)) as session:
            outputs, graph = session.infer(beats), session.graph()
        found = outputs.reshape(len(outputs), -1)
        if found.shape[1] == 1:
            return tasks.told_apart(found), graph
        return tasks.told_scores(found, artifact.output.scale or 0.0), graph

    def prove(self, bundle: Path) -> str:
        """Why a bundle does not pass the check that it brings; empty where it does."""
        with self.errand(None) as errand:
            return errand.ask(protocol.Prove(bundle), "the bundle's own check")

    def taps(self, artifact: Artifact, threads: int) -> TapsElsewhere | None:
        return taps_by(self.errand(threads), self.name, artifact, threads)

    def load(self, artifact: Artifact, threads: int, **options: Any) -> SessionElsewhere:
        return SessionElsewhere(self.errand(threads), self.name, artifact, threads, options)


class SessionElsewhere(Session):
    """Beats and answers go through files: for answers, not to be timed.

    Attributes:
        about: the file, as errors name it.
    """

    def __init__(
        self, errand: Errand, runtime: str, artifact: Artifact, threads: int, options: Mapping[str, Any] | None = None
    ):
        self.errand, self.about = errand, artifact.path
        opened = self.ask(protocol.Open(runtime, pack(artifact), threads, options or {}))
        self.closed = False
        self.number, self.bulk = opened.session, opened.bulk
        self.batch, self.copies = opened.batch, opened.copies
        self.beats, self.answers = (errand.folder / f"{what}-{self.number}.npy" for what in ("beats", "answers"))

    def ask(self, question: Question[A]) -> A:
        return self.errand.ask(question, self.about)

    def bind(self, x: np.ndarray) -> None:
        np.save(self.beats, x)

    def invoke(self) -> None:
        self.ask(protocol.Invoke(self.number, self.beats, self.answers))

    def fetch(self) -> np.ndarray:
        return np.load(self.answers)

    def infer(self, x: np.ndarray) -> np.ndarray:
        """As ``bench.infer``, in the worker; in pieces of whole batches, so that the batches are the same."""
        return np.concatenate(list(self.pieces(x, max(1, PIECE // self.bulk) * self.bulk)))

    def pieces(self, x: np.ndarray, size: int) -> Iterator[np.ndarray]:
        for start in range(0, len(x), size):
            np.save(self.beats, x[start : start + size])
            self.ask(protocol.Infer(self.number, self.beats, self.answers))
            yield np.load(self.answers)

    def graph(self) -> Graph | None:
        return self.ask(protocol.GraphOf(self.number))

    def figures(self) -> Mapping[str, int | float | str]:
        return self.ask(protocol.FiguresOf(self.number))

    def profile(self, calls: int) -> Profile | None:
        return self.ask(protocol.ProfileOf(self.number, calls))

    def measured(self) -> Measured | None:
        return self.ask(protocol.MeasuredOf(self.number))

    def close(self) -> None:
        if self.errand.child.is_running and not self.closed:
            self.ask(protocol.Close(self.number))
        self.closed = True
        self.errand.close()


class TapsElsewhere(Taps):
    """Taps in a worker: what is read goes through files.

    Attributes:
        about: the file, as errors name it.
    """

    def __init__(self, errand: Errand, opened: protocol.Tapped, about: Path):
        self.errand, self.number, self.wiring, self.about = errand, opened.taps, opened.wiring, about

    def file(self, what: str | int) -> Path:
        return self.errand.folder / f"taps-{self.number}-{what}.npy"

    def read(self, tensor: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        beats, out, answers = map(self.file, ("beats", "out", "answers"))
        np.save(beats, x)
        self.errand.ask(protocol.ReadTensor(self.number, tensor, beats, (out, answers)), self.about)
        return np.load(out), np.load(answers)

    def between(self, inputs: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        files, out = tuple(self.file(place) for place in range(len(inputs))), self.file("out")
        for path, values in zip(files, inputs.values(), strict=True):
            np.save(path, values)
        self.errand.ask(protocol.RunBetween(self.number, tuple(inputs), files, output, out), self.about)
        made: np.ndarray = np.load(out)
        return made

    def close(self) -> None:
        if self.errand.child.is_running:
            self.errand.ask(protocol.CloseTaps(self.number), self.about)
        self.errand.close()


def taps_by(errand: Errand, runtime: str, artifact: Artifact, threads: int) -> TapsElsewhere | None:
    """An artifact open to be tapped in a worker; None: its runtime cannot."""
    opened = errand.ask(protocol.Tap(runtime, pack(artifact), threads), artifact.path)
    return None if opened is None else TapsElsewhere(errand, opened, artifact.path)


class ExporterElsewhere(Exporter):
    """An exporter in an environment of its own."""

    def __init__(self, part: Exporter, host: Host, errand: Callable[[int | None], Errand]):
        self.part, self.host, self.errand = part, host, errand
        take_fields(self, part, Exporter)

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        return convert(self, self.errand, source, out, context, "exporter")


class QuantizerElsewhere(Quantizer):
    """A quantizer in an environment of its own."""

    def __init__(self, part: Quantizer, host: Host, errand: Callable[[int | None], Errand]):
        self.part, self.host, self.errand = part, host, errand
        take_fields(self, part, Quantizer)

    def settle(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return self.part.settle(options)  # as a matrix does: here, where the store's key is made

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        return convert(self, self.errand, source, out, context, "quantizer")


def convert(
    part: Part,
    worker: Callable[[int | None], Errand],
    source: Artifact,
    out: Path,
    context: Context,
    kind: protocol.ConverterKind,
) -> Artifact:
    """One conversion in an environment, by a worker that is handed out."""
    with worker(None) as errand:
        beats, labelled = errand.folder / "beats.npy", None
        np.save(beats, context.beats)
        if context.labelled:
            labelled = errand.folder / "labelled.npz"
            np.savez(labelled, x=context.labelled[0], y=context.labelled[1])
        terms = protocol.Terms(beats, context.seed, context.batch, dict(context.options), labelled)
        question = protocol.Convert(kind, part.name, pack(source), out, terms)
        return answered(errand.ask(question, source.path), f"{kind} {part.name}")
