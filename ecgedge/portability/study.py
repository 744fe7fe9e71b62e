"""A file's answers by every way that there is to get them here, held against the first."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ecgedge.api import tasks
from ecgedge.api.artifact import Artifact, digest_of
from ecgedge.api.taps import Taps
from ecgedge.errors import ConversionError, EcgEdgeError
from ecgedge.evaluate.parity import same_bits
from ecgedge.portability import float16, parting, tflite_file
from ecgedge.portability.certificate import Certificate, Finding, NotTried, Tried, Way, compare
from ecgedge.portability.findings import OF_CALLS, of_operations, of_saturation, of_weights, saturating
from ecgedge.portability.float16 import Halves
from ecgedge.portability.integer_model import IntegerModel
from ecgedge.workers.standins import SessionElsewhere

WIDE, NARROW = 256, 50  # beats that a worker is asked for at once, where it is slow; its limit of time is for each
PROOF = 50  # beats on which the integer model is held against the runtime
SEED = 0
BY_NUMPY = "numpy, held against this machine"
FLOAT16 = Way("float16", "each operation's output in float16", "kernels that compute in float16", "model")
PAIRS = Way("16-bit pairs", "sums of two products in 16 bits", "AVX2 or AVX-512, no VNNI", "model")


def no_taps() -> None:
    """Of a way that lets nobody look inside."""


@dataclass(frozen=True)
class Session:
    """How a way is gone.

    Attributes:
        open: opens a session, which ends with the block.
        slow: it is given a part of the beats.
        taps: opens the file with the same kernels, so that its inner tensors can be read; None where that cannot be.
    """

    way: Way
    open: Callable[[], contextlib.AbstractContextManager[SessionElsewhere]]
    slow: bool
    taps: Callable[[], Taps | None] = no_taps


@dataclass(frozen=True)
class Study:
    """What is tried, and on what.

    Attributes:
        artifact: the file, as it is used on the beats.
        beats: all test beats ``(N, C, L)`` float32.
        chosen: the numbers of those that slow ways are given, in order.
        tell: takes what is being tried, in one line.
    """

    artifact: Artifact
    beats: np.ndarray
    chosen: np.ndarray
    tell: Callable[[str], object]


def some(labels: np.ndarray, most: int) -> np.ndarray:
    """At most so many beats, as many of each class as its share is, drawn with a fixed seed; their numbers in order.

    Args:
        labels: a class a beat ``(N,)``, or which labels it has ``(N, K)``: each set of these counts as a class.
    """
    if labels.ndim == 2:
        labels = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
    if most >= len(labels):
        return np.arange(len(labels))
    draw = np.random.default_rng(SEED)
    mixed = draw.permutation(len(labels))
    by_class = mixed[np.argsort(labels[mixed], kind="stable")]
    picked = by_class[np.linspace(0, len(labels) - 1, most).round().astype(int)]
    return np.sort(picked)


def study(
    asked: Study, sessions: Sequence[Session], not_tried: Sequence[NotTried] = ()
) -> tuple[Certificate, tuple[Answers, ...]]:
    """Try every way. One that fails is told of, and costs the others nothing.

    Returns:
        The certificate, and the answers that it is by, one for each of those that were tried.

    Raises:
        EcgEdgeError, ConversionError: the first way fails, or gives no answers.
    """
    task, artifact = asked.artifact.task, asked.artifact
    model, missed = None, [*not_tried]
    try:
        model = integer_model(artifact)
    except Exception as error:  # of onnx, and of whatever a stranger's graph may hold
        missed.append(NotTried("saturation by analysis", f"the graph cannot be told: {one_line(error)}"))
    try:
        findings = of_operations(artifact)
    except Exception as error:  # there is no LiteRT, or the file is damaged
        findings = ()
        missed.append(NotTried("a look into the file", one_line(error)))
    step = artifact.output.scale or (model.step if model else None)
    base, ran = answer(sessions[0], asked.beats, WIDE)
    if reason := tasks.wrong(base, asked.beats, task):
        raise ConversionError(f"{artifact.path} gives no answers: {reason}")
    found: list[Answers] = []

    def take(outputs: np.ndarray, numbers: np.ndarray, way: Way, ran: str) -> None:
        here = base if numbers is everything else beside
        tried = compare(outputs, here, asked.beats[numbers], numbers, task, step, way)
        there, here = (each.reshape(len(numbers), -1) for each in (outputs, here))
        found.append(Answers(dataclasses.replace(tried, ran=ran), there, here, numbers))

    everything = np.arange(len(asked.beats))
    beside, _ = answer(sessions[0], asked.beats[asked.chosen], NARROW)  # in the same calls as where it is slow
    if not same_bits(beside, base[asked.chosen]).all():
        findings += (OF_CALLS,)
    take(base, everything, sessions[0].way, ran)
    for session in sessions[1:]:
        numbers = asked.chosen if session.slow else everything
        name = f"{session.way.family} on {session.way.place}"
        asked.tell(f"{name}: {len(numbers):,} beats")
        try:
            outputs, ran = answer(session, asked.beats[numbers], NARROW if session.slow else WIDE)
        except (EcgEdgeError, ConversionError) as error:
            missed.append(NotTried(name, one_line(error)))
            continue
        if (len(outputs), outputs.size) != (len(numbers), len(numbers) * base[0].size):
            told = f"it answers {len(numbers):,} beats with {outputs.shape}, {base.shape[1:]} a beat were expected"
            missed.append(NotTried(name, told))
        else:
            take(outputs, numbers, session.way, ran)
    layers = saturating(model, 0) if model else ()
    findings += of_weights(model) if model else ()
    if model and layers:
        asked.tell(f"{PAIRS.family} by the integer model: {len(asked.chosen):,} beats")
        if reason := disproved(artifact, asked, base):
            missed.append(NotTried(f"{PAIRS.family} on {PAIRS.place}", reason))
        else:
            outputs = np.concatenate([*model.answers(artifact.input.encode(asked.beats[asked.chosen]))])
            take(outputs.reshape(base[asked.chosen].shape), asked.chosen, PAIRS, BY_NUMPY)
            layers = saturating(model, len(asked.chosen))
            findings += of_saturation(layers)
    for session in sessions[1:]:
        findings += of_kernels(asked, sessions[0], session, found, missed)
    halves = in_float16(asked, base, missed, sessions[0].taps)
    findings += halves.findings
    if halves.outputs is not None:
        take(halves.outputs.reshape(base[asked.chosen].shape), asked.chosen, FLOAT16, BY_NUMPY)
    margin = float(tasks.margins(base, asked.beats, task).min())
    certificate = Certificate(digest_of(artifact.path), len(asked.beats), margin, step, tuple(confirmed(found)),
                              tuple(missed), layers, findings, halves.layers)  # fmt: skip
    return certificate, tuple(found)


def answer(session: Session, beats: np.ndarray, piece: int) -> tuple[np.ndarray, str]:
    """Outputs for beats, so many asked for at once, and where the operations ran."""
    with session.open() as opened:
        size = max(1, piece // opened.bulk) * opened.bulk  # whole calls, which are the same everywhere
        pieces = [*opened.pieces(beats, size)]
        if len(shapes := {piece.shape[1:] for piece in pieces}) > 1:
            raise ConversionError(f"its answers are of another shape in each call: {sorted(shapes)}"[:200])
        outputs = np.concatenate(pieces)
        graph = None if session.slow else opened.graph()
    return outputs, graph.placement() if graph else ""


@dataclass(frozen=True)
class Answers:
    """What was answered, ``(N, values)``, to the beats of these numbers, and what the first way answers to them."""

    tried: Tried
    outputs: np.ndarray
    against: np.ndarray
    numbers: np.ndarray

    def are_of(self, other: Answers) -> bool:
        """Whether another gives the same to all of these beats, bit for bit."""
        if not np.isin(self.numbers, other.numbers).all():
            return False
        return bool(same_bits(other.outputs[np.searchsorted(other.numbers, self.numbers)], self.outputs).all())


def confirmed(found: Sequence[Answers]) -> Iterator[Tried]:
    """Each, and who gives without an emulator what it gives with one, where that is not what the first gives."""
    for answers in found:
        tried, by = answers.tried, ""
        if tried.by == "emulator" and not tried.identical:
            by = next((each.tried.name for each in found if each.tried.by != "emulator" and answers.are_of(each)), "")
        yield dataclasses.replace(tried, confirmed=by)


def integer_model(artifact: Artifact) -> IntegerModel | None:
    """The model of a file's integer layers; None where it has none. Raises whatever a strange graph leads to."""
    if artifact.format != "onnx":
        return None
    model = IntegerModel(artifact.path, narrow=True)
    return model if model.layers else None


def of_kernels(
    asked: Study, first: Session, other: Session, found: Sequence[Answers], missed: list[NotTried]
) -> tuple[Finding, ...]:
    """Which operation parts other kernels of this machine from the first; nothing where they answer alike, or do not
    let anybody look inside.

    Args:
        missed: takes why that cannot be said.
    """
    answers = next((each for each in found if each.tried.name == f"{other.way.family} on {other.way.place}"), None)
    if answers is None or answers.tried.identical or other.taps is no_taps:
        return ()
    apart = ~same_bits(answers.outputs, answers.against).all(axis=1)
    beats = asked.beats[answers.numbers[apart]][: parting.FEW]
    asked.tell(f"{other.way.family} on {other.way.place}: which operation parts it")
    try:
        with contextlib.ExitStack() as closed:
            both: list[Taps] = []
            for session in (first, other):
                if (opened := session.taps()) is None:
                    return ()
                both.append(closed.enter_context(contextlib.closing(opened)))
            told = parting.of_parting(other.way.family, both[0], both[1], beats)
    except Exception as error:  # of the runtime, and of whatever a stranger's graph may hold
        missed.append(NotTried(f"which operation parts {other.way.family}", one_line(error)))
        return ()
    return (told,) if told else ()


def in_float16(asked: Study, base: np.ndarray, missed: list[NotTried], taps: Callable[[], Taps | None]) -> Halves:
    """What kernels that compute in float16 make of a file with weights in it; nothing where it has none.

    Args:
        missed: takes why that cannot be said.
        taps: opens the file so that its inner tensors can be read.
    """
    artifact, beats = asked.artifact, asked.beats[asked.chosen]
    try:
        if not has_float16(artifact):
            return Halves()
        asked.tell(f"{FLOAT16.place}, by ranges: {len(beats):,} beats")
        found = float16.of_file(artifact.format, artifact.path, beats, artifact.input.encode(beats),
                                base[asked.chosen], taps)  # fmt: skip
    except Exception as error:  # of onnx, of the runtime, and of whatever a stranger's graph may hold
        found = Halves(missed=one_line(error))
    if found is None:
        found = Halves(missed="its runtime lets no inner tensor be read")
    if found.missed:
        missed.append(NotTried(f"{FLOAT16.family} on {FLOAT16.place}", found.missed))
    return found


def has_float16(artifact: Artifact) -> bool:
    """Whether weights or tensors of a file are in float16."""
    if artifact.format == "onnx":
        return float16.is_in(artifact.path)
    return artifact.precision == "fp16" or (artifact.format == "tflite" and tflite_file.has_float16(artifact.path))


def disproved(artifact: Artifact, asked: Study, base: np.ndarray) -> str:
    """Why the integer model is not believed; empty where, adding in 32 bits, it answers as the runtime does here."""
    numbers = asked.chosen[:PROOF]
    try:
        exact = IntegerModel(artifact.path)
        outputs = np.concatenate([*exact.answers(artifact.input.encode(asked.beats[numbers]))])
    except Exception as error:  # an operation that onnx's reference lacks, or has otherwise
        return f"the integer model cannot carry it out: {one_line(error)}"
    off = int((~same_bits(outputs.reshape(base[numbers].shape), base[numbers])).sum())
    if off:
        return f"the integer model, in 32 bits, differs from the runtime here in {off:,} of {outputs.size:,} values"
    return ""


def one_line(error: Exception) -> str:
    told = error.message if isinstance(error, EcgEdgeError) else str(error)
    return " ".join(told.split())[:200] or type(error).__name__
