"""A child process: takes questions as JSON lines on stdin, answers each with one line on stdout.

Whatever a library prints goes to stderr, so that it cannot be taken for an answer.
"""

from __future__ import annotations

import base64
import ctypes
import itertools
import math
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, TextIO

import numpy as np

from ecgedge import plugins
from ecgedge.api.artifact import Artifact
from ecgedge.api.graph import Graph
from ecgedge.api.measured import Measured
from ecgedge.api.parts import Context, Runtime, Session
from ecgedge.api.precisions import find as find_precision
from ecgedge.api.profile import Profile
from ecgedge.api.taps import Taps
from ecgedge.devices import launch
from ecgedge.errors import ConversionError, EcgEdgeError, MachineError, counted, remedy, told_by_system
from ecgedge.files import typed_json
from ecgedge.files.locks import whole_file
from ecgedge.files.streams import stream_over
from ecgedge.measure import bench, device
from ecgedge.measure.bench import Bench
from ecgedge.measure.gpu_peaks import measure_gpu_peaks
from ecgedge.measure.peaks import measure_peaks
from ecgedge.measure.steadiness import reference
from ecgedge.passes.optimize import optimize
from ecgedge.plugins import Parts, one_line
from ecgedge.workers import protocol
from ecgedge.workers.client import NO_MEMORY
from ecgedge.workers.protocol import A, Failure, Packed, Question, pack, unpack

PR_SET_PDEATHSIG = 1  # linux/prctl.h
MOST_VALUES = 1 << 20  # of an answer to one beat


def main() -> None:
    die_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout, sys.stderr = (stream_over(n, sys.stderr, forgives=True)[0] for n in (1, 2))  # both are the log
    if hasattr(os, "register_at_fork"):  # what a part forks must not keep the parent waiting for an answer
        os.register_at_fork(after_in_child=answers.close)
    serve(sys.stdin, answers, plugins.load())


def serve(questions: Iterable[str], answers: TextIO, parts: Parts) -> None:
    """Answer one question after the other, until there are no more, or the other side speaks another protocol.

    Args:
        questions, answers: the two directions of any pipe, a line each.
    """
    send(answers, protocol.line_of(protocol.Greeting(protocol.PROTOCOL)))
    worker, lines = Worker(parts), iter(questions)
    greeting = next(lines, "")
    if greeting and (theirs := protocol.protocol_in(greeting)) != protocol.PROTOCOL:
        print(protocol.other_protocol("the other side", theirs), file=sys.stderr)
        return
    for line in lines:
        send(answers, reply(worker, line))


def send(answers: TextIO, line: str) -> None:
    """Write a line at once."""
    answers.write(line)
    answers.flush()


def reply(worker: Worker, line: str) -> str:
    """The line that answers a question."""
    question: Question[Any] | None = None
    try:
        question = protocol.question_in(line)
        return protocol.line_of_answer(HANDLERS[type(question)](worker, question))
    except (Exception, SystemExit) as error:  # a part's code may raise anything; the parent decides what it means
        traceback.print_exc()
        return protocol.line_of_answer(failure(error, question.about if question else None))


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends; exit at once where it has ended already.

    Elsewhere than on Linux the end of stdin tells, once the question at hand is answered.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    stdin = select.poll()
    stdin.register(0, 0)
    if stdin.poll(0):  # the other end is closed
        sys.exit("the parent is gone")


def failure(error: BaseException, about: Path | None) -> Failure:
    """What the parent is told of an error, when it asked about a file: see ``Child.ask``."""
    text = str(error) if isinstance(error, EcgEdgeError | ConversionError) else one_line(error)
    if isinstance(error, MemoryError):
        return Failure(text, "memory")
    for told in (text, str(error.__cause__)):  # a runtime may have cut short what its library said
        if found := NO_MEMORY.search(told):
            return Failure(told[found.start() :].splitlines()[0], "memory")
    if isinstance(error, MachineError):
        return Failure(text, "machine", error.hint)
    if said := told_by_system(error):
        return Failure(text, "machine", f"{remedy(said)}, then do it again")
    if isinstance(error, UnicodeError) and about:
        return Failure(f"{about}: a name in it is not UTF-8", "user", "export it again, with plain names")
    if isinstance(error, EcgEdgeError):
        return Failure(text, "user", error.hint)
    if isinstance(error, ConversionError):
        return Failure(text, "wrong")
    return Failure(text, "bug", trace=traceback.format_exc())


def save(outputs: np.ndarray, beats: np.ndarray, out: Path) -> None:
    """Hand over the answers to some beats. Raises ConversionError where they are too many to be any."""
    if outputs.size > len(beats) * MOST_VALUES:
        raise ConversionError(f"it gives {counted(outputs.size // len(beats), 'value')} a beat")
    with whole_file(out) as file:
        np.save(file, outputs)


Handler = Callable[["Worker", Any], Any]
HANDLERS: dict[type[Question[Any]], Handler] = {}  # by ``answers``


def answers(question: type[Question[A]]) -> Callable[[Callable[[Worker, Any], A]], Callable[[Worker, Any], A]]:
    """Make a method the one that answers a question."""

    def register(method: Callable[[Worker, Any], A]) -> Callable[[Worker, Any], A]:
        HANDLERS[question] = method
        return method

    return register


class Worker:
    """What answers a child's questions, a method each; ``protocol`` says what they mean."""

    def __init__(self, parts: Parts):
        self.parts = parts
        self.sessions: dict[int, Session] = {}
        self.benches: dict[int, Bench] = {}  # of those that are timed
        self.taps: dict[int, Taps] = {}
        self.numbers = itertools.count()
        self.processors = bench.processors()  # before any session is bound to some of them

    def find(self, kind: str, name: str) -> Any:
        """The part of that name. Raises EcgEdgeError where there is none, or its plugin cannot be loaded here."""
        if name not in self.parts.of(kind) and self.parts.broken:
            told = "; ".join(f"plugin {owner} cannot be loaded: {reason}" for owner, reason in self.parts.broken)
            raise EcgEdgeError(told)
        return self.parts.find(kind, name)

    def session(self, number: int) -> Session:
        """An open session; of one that is timed, that which was loaded last."""
        return self.benches[number].session if number in self.benches else self.sessions[number]

    @answers(protocol.Missing)
    def missing(self, asked: protocol.Missing) -> str | None:
        return plugins.missing(self.find(asked.kind, asked.part))

    @answers(protocol.Available)
    def available(self, asked: protocol.Available) -> str | None:
        part = self.find("runtime", asked.runtime)
        return plugins.missing(part) or part.available()

    @answers(protocol.Describe)
    def describe(self, _: protocol.Describe) -> protocol.BoardFacts:
        found: protocol.BoardFacts = typed_json.read(protocol.BoardFacts, device.facts())
        return found

    @answers(protocol.Network)
    def network(self, _: protocol.Network) -> str:
        return os.environ.get(launch.NETWORK, "")

    @answers(protocol.Convert)
    def convert(self, asked: protocol.Convert) -> Packed:
        work = self.find(asked.kind, asked.part)
        step = work.convert if asked.kind == "exporter" else work.quantize
        made = step(unpack(asked.source, self.parts.models), asked.out, context_of(asked.terms))
        if not isinstance(made, Artifact):
            raise ConversionError(f"{asked.kind} {asked.part} returned {made!r}, which is no artifact")
        return pack(made)

    @answers(protocol.Optimize)
    def optimize(self, asked: protocol.Optimize) -> Packed:
        given, context = unpack(asked.source, self.parts.models), context_of(asked.terms)
        return pack(optimize(given, asked.out, [*asked.passes], context, asked.left_out, self.parts.passes))

    @answers(protocol.MakeWhole)
    def make_whole(self, asked: protocol.MakeWhole) -> Path:
        whole: Path = self.find("runtime", asked.runtime).make_whole(asked.path, asked.output, asked.out)
        return whole

    @answers(protocol.CodeIn)
    def code_in(self, asked: protocol.CodeIn) -> str | None:
        told: str | None = self.find("runtime", asked.runtime).code_in(asked.path)
        return told

    @answers(protocol.Inspect)
    def inspect(self, asked: protocol.Inspect) -> Packed:
        artifact = self.find("runtime", asked.runtime).inspect(asked.path)
        bench.check_size(artifact, artifact.input.batch or 1)
        return pack(artifact)

    @answers(protocol.Prove)
    def prove(self, asked: protocol.Prove) -> str:
        command = [sys.executable, "-B", "check.py"]
        done = subprocess.run(command, cwd=asked.folder, capture_output=True, text=True, errors="replace")
        return (done.stderr.strip().splitlines() or ["no reason given"])[-1] if done.returncode else ""

    @answers(protocol.Open)
    def open(self, asked: protocol.Open) -> protocol.Opened:
        number, loaded = next(self.numbers), None
        cores = bench.pin(asked.threads) if asked.pinned or asked.timed else None
        part, artifact = self.find("runtime", asked.runtime), unpack(asked.artifact, self.parts.models)
        if asked.timed:
            beats = np.load(asked.timed.beats)
            self.benches[number] = Bench(part, artifact, asked.threads, beats, asked.timed.seed, asked.options)
            processors = None if cores is None else tuple(cores)
            loaded = protocol.Loaded(**self.benches[number].figures, processors=processors)
        else:
            self.sessions[number] = part.load(artifact, asked.threads, **asked.options)
        session = self.session(number)
        return protocol.Opened(number, session.batch, session.batch or bench.BULK, session.copies, part.device, loaded)

    @answers(protocol.Invoke)
    def invoke(self, asked: protocol.Invoke) -> None:
        session = self.session(asked.session)
        session.bind(np.load(asked.beats))
        session.invoke()
        with whole_file(asked.out) as file:
            np.save(file, session.fetch())

    @answers(protocol.Infer)
    def infer(self, asked: protocol.Infer) -> None:
        beats = np.load(asked.beats)
        with bench.on(self.processors):  # others may answer meanwhile: nothing is timed
            outputs = bench.infer(self.session(asked.session), beats)
        save(outputs, beats, asked.out)

    @answers(protocol.GraphOf)
    def graph(self, asked: protocol.GraphOf) -> Graph | None:
        return self.session(asked.session).graph()

    @answers(protocol.FiguresOf)
    def figures(self, asked: protocol.FiguresOf) -> Mapping[str, int | float | str]:
        return self.session(asked.session).figures()

    @answers(protocol.MeasuredOf)
    def measured(self, asked: protocol.MeasuredOf) -> Measured | None:
        return self.session(asked.session).measured()

    @answers(protocol.ProfileOf)
    def profile(self, asked: protocol.ProfileOf) -> Profile | None:
        return self.session(asked.session).profile(asked.calls)

    @answers(protocol.Weigh)
    def weigh(self, asked: protocol.Weigh) -> protocol.Weighed:
        cpu, wall, session = process_time(), perf_counter(), self.session(asked.session)
        if asked.calls:
            taken, own = bench.repeated(session, asked.calls, 0.0, most=math.inf)
        else:
            taken, own = bench.repeated(session, bench.BLOCK_CALLS, asked.seconds)
        share = (process_time() - cpu) / (perf_counter() - wall)
        return protocol.Weighed(tuple(taken.tolist()), round(share, 4), own.clock or None if own else None)

    @answers(protocol.Close)
    def close(self, asked: protocol.Close) -> None:
        self.session(asked.session).close()
        for kept in (self.sessions, self.benches):
            kept.pop(asked.session, None)

    @answers(protocol.Tap)
    def tap(self, asked: protocol.Tap) -> protocol.Tapped | None:
        runtime, artifact = self.find("runtime", asked.runtime), unpack(asked.artifact, self.parts.models)
        opened = runtime.taps(artifact, asked.threads, **asked.options)
        if opened is None:
            return None
        number = next(self.numbers)
        self.taps[number] = opened
        return protocol.Tapped(number, opened.wiring)

    @answers(protocol.ReadTensor)
    def read_tensor(self, asked: protocol.ReadTensor) -> None:
        values, answers = self.taps[asked.taps].read(asked.tensor, np.load(asked.beats))
        for array, out in zip((values, answers), asked.out, strict=True):
            with whole_file(out) as file:
                np.save(file, array)

    @answers(protocol.RunBetween)
    def run_between(self, asked: protocol.RunBetween) -> None:
        given = {name: np.load(path) for name, path in zip(asked.inputs, asked.values, strict=True)}
        values = self.taps[asked.taps].between(given, asked.output)
        with whole_file(asked.out) as file:
            np.save(file, values)

    @answers(protocol.CloseTaps)
    def close_taps(self, asked: protocol.CloseTaps) -> None:
        self.taps.pop(asked.taps).close()

    @answers(protocol.Throughput)
    def throughput(self, asked: protocol.Throughput) -> dict[int, float]:
        files = {size: unpack(packed, self.parts.models) for size, packed in asked.sized.items()}
        profile = bench.PROFILES[asked.profile]
        taken = self.benches[asked.session].throughput(files, np.load(asked.beats), profile, asked.sizes)
        with whole_file(asked.out) as file:
            np.savez(file, **taken)  # type: ignore[arg-type]  # numpy's stub wants the flags first
        return {int(size): round(int(size) * 1e9 / float(np.median(times)), 1) for size, times in taken.items()}

    @answers(protocol.WarmUp)
    def warm_up(self, asked: protocol.WarmUp) -> protocol.WarmedUp:
        return protocol.WarmedUp(**self.benches[asked.session].warm_up())

    @answers(protocol.LoadAnew)
    def load_anew(self, asked: protocol.LoadAnew) -> None:
        self.benches[asked.session].load_anew()

    @answers(protocol.Reference)
    def reference(self, _: protocol.Reference) -> protocol.State:
        return protocol.State(**reference())

    @answers(protocol.Block)
    def block(self, asked: protocol.Block) -> protocol.Timed:
        samples, figures = self.benches[asked.session].block(asked.seconds, asked.calls)
        return protocol.Timed(base64.b64encode(samples.T.astype("<i8").tobytes()).decode(), **figures)

    def peak_of(self, runtime: Runtime) -> str | None:
        """The peak that holds for what a runtime computes in float32; None: float32's own."""
        return runtime.computes and (find_precision(runtime.computes, self.parts.precisions).peak or None)

    @answers(protocol.MeasurePeaks)
    def peaks(self, asked: protocol.MeasurePeaks) -> protocol.Peaks:
        bench.pin(asked.threads)
        part = self.find("runtime", asked.runtime)
        if part.device in ("cpu", "cuda"):
            told = measure_peaks(asked.threads) if part.device == "cpu" else measure_gpu_peaks(self.peak_of(part))
            found: protocol.Peaks = typed_json.read(protocol.Peaks, told)
            return found
        why = f"none was measured, {asked.runtime} computes on {part.device}"
        return protocol.Peaks({"fp32": why}, device=part.device)


def context_of(terms: protocol.Terms) -> Context:
    """What a conversion may need, its beats read."""
    labelled = None
    if terms.labelled:
        with np.load(terms.labelled) as file:
            labelled = file["x"], file["y"]
    return Context(np.load(terms.beats), terms.seed, terms.batch, terms.options, labelled)


BY_OTHERS = {protocol.Train}  # by ``ecgedge.training.server``, which knows what is above this folder
if unanswered := {*protocol.QUESTIONS.values()} - HANDLERS.keys() - BY_OTHERS:
    raise TypeError(f"nothing answers {unanswered}")

if __name__ == "__main__":
    main()
