"""A child process: takes requests as JSON lines on stdin, answers each with one line on stdout.

Whatever a library prints goes to stderr, so that it cannot be taken for an answer.
"""

from __future__ import annotations

import base64
import ctypes
import dataclasses
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from ecgedge import plugins
from ecgedge.api import tasks
from ecgedge.api.artifact import Artifact
from ecgedge.api.parts import Context, Session
from ecgedge.api.records import pack, unpack
from ecgedge.data.synthetic import synthetic_beats
from ecgedge.devices import launch
from ecgedge.errors import ConversionError, EcgEdgeError, MachineError, remedy, told_by_system
from ecgedge.files.locks import whole_file
from ecgedge.measure import bench
from ecgedge.measure.gpu_peaks import measure_gpu_peaks
from ecgedge.measure.peaks import measure_peaks
from ecgedge.measure.steadiness import reference
from ecgedge.passes.optimize import optimize
from ecgedge.plugins import Parts, one_line
from ecgedge.workers.client import NO_MEMORY, stream_over

PR_SET_PDEATHSIG = 1  # linux/prctl.h
Packed = dict[str, Any]  # an artifact, by records.pack
MOST_VALUES = 1 << 20  # of an answer to one beat
BEATS = 16  # synthetic ones, by which a file is told that says nothing of itself


def main() -> None:
    die_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout, sys.stderr = (stream_over(n, sys.stderr, forgives=True)[0] for n in (1, 2))  # both are the log
    if hasattr(os, "register_at_fork"):  # what a part forks must not keep the parent waiting for an answer
        os.register_at_fork(after_in_child=answers.close)
    worker = Worker(plugins.load())
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": getattr(worker, request.pop("do"))(**request)}
        except (Exception, SystemExit) as error:  # a part's code may raise anything; the parent decides what it means
            traceback.print_exc()
            answer = failure(error, request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends; exit at once where it has ended already.

    Elsewhere than on Linux the end of stdin tells, once the request at hand is done.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    stdin = select.poll()
    stdin.register(0, 0)
    if stdin.poll(0):  # the other end is closed
        sys.exit("the parent is gone")


def failure(error: BaseException, request: Mapping[str, Any]) -> dict[str, str]:
    """What the parent is told of an error: see ``Child.ask``."""
    text = str(error) if isinstance(error, EcgEdgeError | ConversionError) else one_line(error)
    if isinstance(error, MemoryError):
        return {"error": text, "why": "memory"}
    for told in (text, str(error.__cause__)):  # a runtime may have cut short what its library said
        if found := NO_MEMORY.search(told):
            return {"error": told[found.start() :].splitlines()[0], "why": "memory"}
    if isinstance(error, MachineError):
        return {"error": text, "machine": error.hint}
    if said := told_by_system(error):
        return {"error": text, "machine": f"{remedy(said)}, then do it again"}
    if isinstance(error, UnicodeError) and (path := path_in(request)):
        return {"error": f"{path}: a name in it is not UTF-8", "hint": "export it again, with plain names"}
    if isinstance(error, EcgEdgeError):
        return {"error": text, "hint": error.hint}
    if isinstance(error, ConversionError):
        return {"error": text, "why": "wrong"}
    return {"error": text, "why": "bug", "trace": traceback.format_exc()}


def path_in(request: Mapping[str, Any]) -> str | None:
    """The file that a request is about, where it is about one."""
    packed = request.get("artifact") or request.get("source") or {}
    found: str | None = request.get("path") or packed.get("path")
    return found


def save(outputs: np.ndarray, beats: np.ndarray, out: str) -> None:
    """Hand over the answers to some beats. Raises ConversionError where they are too many to be any."""
    if outputs.size > len(beats) * MOST_VALUES:
        raise ConversionError(f"it gives {outputs.size // len(beats):,} values a beat")
    with whole_file(Path(out)) as file:
        np.save(file, outputs)


class Worker:
    """What a child can be asked for: each method is a request."""

    def __init__(self, parts: Parts):
        self.parts = parts
        self.sessions: dict[int, Session] = {}
        self.numbers = itertools.count()

    def find(self, kind: str, name: str) -> Any:
        """The part of that name. Raises EcgEdgeError where there is none, or its plugin cannot be loaded here."""
        if name not in self.parts.of(kind) and self.parts.broken:
            told = "; ".join(f"plugin {owner} cannot be loaded: {reason}" for owner, reason in self.parts.broken)
            raise EcgEdgeError(told)
        return self.parts.find(kind, name)

    def missing(self, kind: str, part: str) -> str | None:
        """What a part needs and is not installed here."""
        return plugins.missing(self.find(kind, part))

    def available(self, runtime: str) -> str | None:
        """Why a runtime cannot run here."""
        part = self.find("runtime", runtime)
        return plugins.missing(part) or part.available()

    def convert(self, kind: str, part: str, source: Packed, out: str, context: dict[str, Any]) -> Packed:
        """Run one exporter or quantizer; answers the artifact."""
        beats = np.load(context.pop("beats"))
        if "labelled" in context:
            with np.load(context["labelled"]) as file:
                context["labelled"] = file["x"], file["y"]
        work = self.find(kind, part)
        step = work.convert if kind == "exporter" else work.quantize
        made = step(unpack(source, self.parts.models), Path(out), Context(beats, **context))
        if not isinstance(made, Artifact):
            raise ConversionError(f"{kind} {part} returned {made!r}, which is no artifact")
        return pack(made)

    def optimize(
        self, passes: list[str], source: Packed, out: str, context: dict[str, Any], left_out: dict[str, str]
    ) -> Packed:
        """Apply graph passes; answers the artifact, whose notes name those that were left out."""
        beats = np.load(context.pop("beats"))
        given = unpack(source, self.parts.models)
        return pack(optimize(given, Path(out), passes, Context(beats, **context), left_out))

    def outputs(
        self, runtime: str, artifact: Packed, beats: str, out: str, threads: int, graph: bool = False
    ) -> dict[str, Any] | None:
        """Outputs of an artifact for all beats, saved to ``out``; answers the graph that ran, where asked for."""
        session = self.find("runtime", runtime).load(unpack(artifact, self.parts.models), threads)
        loaded = np.load(beats)
        save(bench.infer(session, loaded), loaded, out)
        told = session.graph() if graph else None
        session.close()
        return told.record() if told else None

    def make_whole(self, runtime: str, path: str, output: str | None, out: str) -> str:
        """Where a file that the user brought lies in one piece and with one output."""
        return str(self.find("runtime", runtime).make_whole(Path(path), output, Path(out)))

    def code_in(self, runtime: str, path: str) -> str | None:
        """What code a file that the user brought would run."""
        told: str | None = self.find("runtime", runtime).code_in(Path(path))
        return told

    def inspect(self, runtime: str, path: str) -> Packed:
        """What a runtime reads in a file that the user brought."""
        artifact = self.find("runtime", runtime).inspect(Path(path))
        bench.check_size(artifact, artifact.input.batch or 1)
        return pack(artifact)

    def try_out(self, runtime: str, artifact: Packed) -> dict[str, Any]:
        """Run a file on a few synthetic beats, to tell what it does not say of itself.

        Answers ``scores``: what its outputs are where they are class scores; and ``graph``, None where it is not told.
        """
        given = unpack(artifact, self.parts.models)
        session = self.find("runtime", runtime).load(given, 1)
        outputs = bench.infer(session, synthetic_beats(BEATS, given.input.length or 140))
        scores = tasks.told_scores(outputs.reshape(len(outputs), -1), given.output.scale or 0.0)
        graph = session.graph()
        session.close()
        return {"scores": scores, "graph": graph.record() if graph else None}

    def open(self, runtime: str, artifact: Packed, threads: int) -> dict[str, Any]:
        """Load an artifact, for the next requests, which say the number that is answered, ``session``.

        Answers besides ``batch``, and ``bulk``: the beats that it is called with where it is asked for any number.
        """
        number, given = next(self.numbers), unpack(artifact, self.parts.models)
        self.sessions[number] = self.find("runtime", runtime).load(given, threads)
        batch = self.sessions[number].batch
        return {"session": number, "batch": batch, "bulk": batch or bench.BULK}

    def invoke(self, session: int, beats: str, out: str) -> None:
        """One call of a session that is open, for all beats at once; the answers are saved to ``out``."""
        opened = self.sessions[session]
        opened.bind(np.load(beats))
        opened.invoke()
        with whole_file(Path(out)) as file:
            np.save(file, opened.fetch())

    def infer(self, session: int, beats: str, out: str) -> None:
        """The answers of a session that is open for any number of beats, saved to ``out``."""
        loaded = np.load(beats)
        save(bench.infer(self.sessions[session], loaded), loaded, out)

    def graph(self, session: int) -> dict[str, Any] | None:
        """What a session that is open tells of its operations."""
        graph = self.sessions[session].graph()
        return graph.record() if graph else None

    def figures(self, session: int) -> dict[str, Any]:
        """What a session that is open tells besides."""
        return dict(self.sessions[session].figures())

    def close(self, session: int) -> None:
        """Give back what a session holds."""
        self.sessions.pop(session).close()

    def prove(self, folder: str) -> str:
        """Run the check that a bundle brings; answers why it fails, or nothing."""
        command = [sys.executable, "-B", "check.py"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
        return (done.stderr.strip().splitlines() or ["no reason given"])[-1] if done.returncode else ""

    def network(self) -> str:
        """What became of the network of this process: see ``launch.leave_network``."""
        return os.environ.get(launch.NETWORK, "")

    def load(
        self,
        runtime: str,
        artifact: Packed,
        beats: str,
        threads: int,
        seed: int,
        options: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Load the artifact that the next requests are about, on processors of its own; answers ``Bench.figures``."""
        cores = bench.pin(threads)
        self.beats = np.load(beats)
        part = self.find("runtime", runtime)
        loaded = unpack(artifact, self.parts.models)
        self.bench = bench.Bench(part, loaded, threads, self.beats, seed, options)
        return self.bench.figures | {"processors": cores}

    def score(self, out: str, more: dict[str, str]) -> dict[str, Any]:
        """Save the outputs for the beats, and for those of each other file in ``more``.

        Answers ``graph``, that which ran, and ``figures``, what the session tells besides.
        """
        for beats, outputs in ((self.beats, out), *((np.load(file), outputs) for file, outputs in more.items())):
            save(bench.infer(self.bench.session, beats), beats, outputs)
        graph = self.bench.session.graph()
        return {"graph": graph.record() if graph else None, "figures": dict(self.bench.session.figures())}

    def throughput(
        self, sized: dict[str, Packed], profile: str, out: str, sizes: list[int] | None = None
    ) -> dict[str, float]:
        """Beats a second for each batch; saves the nanoseconds of the calls."""
        files = {int(size): unpack(packed, self.parts.models) for size, packed in sized.items()}
        taken = self.bench.throughput(files, self.beats, bench.PROFILES[profile], sizes)
        with whole_file(Path(out)) as file:
            np.savez(file, **taken)  # type: ignore[arg-type]  # numpy's stub wants the flags first
        return {size: round(int(size) * 1e9 / float(np.median(times)), 1) for size, times in taken.items()}

    def weigh(self, runtime: str, artifact: Packed, beats: str, threads: int, seconds: float) -> dict[str, Any]:
        """The graph of an artifact on a batch of beats, None where it is not told, and nanoseconds of whole calls."""
        session = self.bound(runtime, artifact, beats, threads)
        cpu, wall = process_time(), perf_counter()
        taken = bench.repeated(session.invoke, bench.BLOCK_CALLS, seconds)
        share = (process_time() - cpu) / (perf_counter() - wall)
        graph = session.graph()
        told = {"taken": taken.tolist(), "cpu_share": round(share, 4), "device": self.find("runtime", runtime).device}
        return told | {"graph": graph.record() if graph else None}

    def profile(self, runtime: str, artifact: Packed, beats: str, threads: int, calls: int) -> dict[str, Any] | None:
        """What the operations of an artifact take on a batch of beats; None where the runtime does not tell."""
        session = self.bound(runtime, artifact, beats, threads)
        profile = session.profile(calls)
        return dataclasses.asdict(profile) if profile else None

    def bound(self, runtime: str, artifact: Packed, beats: str, threads: int) -> Session:
        """A session on processors of its own, called once on a batch of beats."""
        bench.pin(threads)
        session: Session = self.parts.find("runtime", runtime).load(unpack(artifact, self.parts.models), threads)
        session.bind(np.load(beats))
        session.invoke()
        return session

    def peaks(self, threads: int, runtime: str) -> dict[str, Any]:
        """The limit in matrix products of the device that a runtime computes on."""
        bench.pin(threads)
        part = self.find("runtime", runtime)
        if part.device == "cpu":
            return measure_peaks(threads)
        if part.device == "cuda":
            return measure_gpu_peaks(part.computes)
        return {"device": part.device, "missing": {"fp32": f"none was measured, {runtime} computes on {part.device}"}}

    def warm_up(self) -> dict[str, Any]:
        return self.bench.warm_up()

    def load_anew(self) -> None:
        """Load the artifact once more before a block, apart from it: what loading takes is not the block's."""
        self.bench.load_anew()

    def reference(self) -> dict[str, Any]:
        """How quick the machine is at the moment, and what the system tells of it."""
        return reference()

    def block(self, seconds: float) -> dict[str, Any]:
        """One block of timed calls; answers its samples, little-endian int64 pairs in base64."""
        samples, figures = self.bench.block(seconds)
        return figures | {"samples": base64.b64encode(samples.T.astype("<i8").tobytes()).decode()}


if __name__ == "__main__":
    main()
