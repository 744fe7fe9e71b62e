"""What a worker can be asked, and what it answers: a dataclass each, the only code that knows the words on the wire.

Both sides first say which version they speak, ``PROTOCOL``. Then each line is a question, and each line back its
reply. Files are handed over by their paths.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, cast, get_args

from ecgedge.api.artifact import Artifact
from ecgedge.api.graph import Graph
from ecgedge.api.parts import Model
from ecgedge.api.profile import Profile
from ecgedge.api.records import from_record
from ecgedge.errors import ConversionError, EcgEdgeError, unknown
from ecgedge.files import strict_json, typed_json
from ecgedge.files.schema import SchemaError
from ecgedge.files.typed_json import known

PROTOCOL = 1  # the next number for any change of what is said here

A = TypeVar("A")
ConverterKind = Literal["exporter", "quantizer"]


@dataclass(frozen=True)
class Packed:
    """An artifact on its way to another process on this machine, or as the journal keeps it.

    Attributes:
        record: as ``Artifact.record`` gives it; ``from_record`` checks it.
        model: the name of the part that built its network; None: there is none.
    """

    path: Path
    record: Any
    model: str | None = None


def pack(artifact: Artifact) -> Packed:
    """Make an artifact ready for another process."""
    return Packed(artifact.path, artifact.record(), artifact.model.name if artifact.model else None)


def unpack(packed: Packed, models: Mapping[str, Model]) -> Artifact:
    """Read back what ``pack`` made."""
    return from_record(packed.path, packed.record, models[packed.model] if packed.model else None)


def answered(packed: Packed, who: str) -> Artifact:
    """Read the artifact that a worker packed. Raises ConversionError where it is none: ``who`` made it."""
    try:
        return from_record(packed.path, packed.record)
    except (KeyError, TypeError, ValueError) as error:
        raise ConversionError(f"{who} gave an artifact that is none: {error}"[:300]) from error


@dataclass(frozen=True)
class Terms:
    """A conversion's ``Context``, its beats in files.

    Attributes:
        beats: a file of beats ``(N, 1, L)``.
        labelled: a file of beats ``x`` and class indices ``y``; None: there are none.
    """

    beats: Path
    seed: int = 0
    batch: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    labelled: Path | None = None


class Question(Generic[A]):
    """A question that is answered with an ``A``."""

    @property
    def about(self) -> Path | None:
        """The file that it is about, where it is about one."""
        for name in ("path", "artifact", "source"):
            if found := vars(self).get(name):
                return found.path if isinstance(found, Packed) else cast(Path, found)
        return None


# -- about parts


@dataclass(frozen=True)
class Missing(Question[str | None]):
    """What does a part need that is not installed there?"""

    kind: str
    part: str


@dataclass(frozen=True)
class Available(Question[str | None]):
    """Why can a runtime not run there? None: it can."""

    runtime: str


@dataclass(frozen=True)
class Network(Question[str]):
    """What became of the network of the worker's process? See ``launch.leave_network``."""


# -- conversions


@dataclass(frozen=True)
class Convert(Question[Packed]):
    """Run one exporter or quantizer, which writes ``out``."""

    kind: ConverterKind
    part: str
    source: Packed
    out: Path
    terms: Terms


@dataclass(frozen=True)
class Optimize(Question[Packed]):
    """Apply graph passes; the notes of what comes out name those that were left out.

    Attributes:
        left_out: passes that are not to be applied, with the reason.
    """

    passes: tuple[str, ...]
    source: Packed
    out: Path
    terms: Terms
    left_out: Mapping[str, str]


@dataclass(frozen=True)
class Ran:
    """The graph that ran; None: it was not asked for, or is not told."""

    graph: Graph | None


@dataclass(frozen=True)
class Run(Question[Ran]):
    """Save an artifact's outputs for all beats to ``out``."""

    runtime: str
    artifact: Packed
    beats: Path
    out: Path
    threads: int
    graph: bool = False


# -- files that the user brought


@dataclass(frozen=True)
class MakeWhole(Question[Path]):
    """Where does a file lie in one piece and with one output? See ``Runtime.make_whole``."""

    runtime: str
    path: Path
    output: str | None
    out: Path


@dataclass(frozen=True)
class CodeIn(Question[str | None]):
    """What code would a file run? See ``Runtime.code_in``."""

    runtime: str
    path: Path


@dataclass(frozen=True)
class Inspect(Question[Packed]):
    """What does a runtime read in a file?"""

    runtime: str
    path: Path


@dataclass(frozen=True)
class TriedOut:
    """What a file does not say of itself.

    Attributes:
        scores: what its outputs are where they are class scores.
        graph: that which ran; None: it is not told.
    """

    scores: str
    graph: Graph | None


@dataclass(frozen=True)
class TryOut(Question[TriedOut]):
    """Run a file on a few synthetic beats."""

    runtime: str
    artifact: Packed


@dataclass(frozen=True)
class Prove(Question[str]):
    """Run the check that a bundle brings: why does it fail? Empty: it does not."""

    folder: Path


# -- sessions that answer, and are not timed


@dataclass(frozen=True)
class Opened:
    """A session that is open.

    Attributes:
        session: its number, for the next questions.
        batch, copies: as ``Session`` says.
        bulk: the beats that it is called with where it is asked for any number.
    """

    session: int
    batch: int | None
    bulk: int
    copies: str | None


@dataclass(frozen=True)
class Open(Question[Opened]):
    """Load an artifact, for the next questions about this session."""

    runtime: str
    artifact: Packed
    threads: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Invoke(Question[None]):
    """Call a session once, for all beats; save the answers to ``out``."""

    session: int
    beats: Path
    out: Path


@dataclass(frozen=True)
class Infer(Question[None]):
    """Have a session answer any number of beats; save the answers to ``out``."""

    session: int
    beats: Path
    out: Path


@dataclass(frozen=True)
class GraphOf(Question[Graph | None]):
    """What does a session tell of its operations?"""

    session: int


@dataclass(frozen=True)
class FiguresOf(Question[Mapping[str, int | float | str]]):
    """What does a session tell besides?"""

    session: int


@dataclass(frozen=True)
class ProfileOf(Question[Profile | None]):
    """What do the operations of a session take on the beats of the last call?"""

    session: int
    calls: int


@dataclass(frozen=True)
class Close(Question[None]):
    """Give back what a session holds."""

    session: int


# -- the artifact that is measured


@dataclass(frozen=True)
class Loaded:
    """What loading took: see ``Bench.figures``.

    Attributes:
        processors: on which alone the worker now runs; None: on any.
        device: of the runtime.
    """

    load_ms: float
    first_call_us: float
    memory_kb: int | None
    memory_base_kb: int | None
    processors: tuple[int, ...] | None
    device: str
    copies: str | None = None
    device_memory_kb: int | None = None

    def figures(self) -> dict[str, Any]:
        """What a row keeps of it: of copies and of a device's memory only where there is one beside the CPU's."""
        left_out = {"device"} | ({"copies"} if self.device == "cpu" else set())
        left_out |= set() if self.device == "cuda" else {"device_memory_kb"}
        return {key: value for key, value in typed_json.plain(self).items() if key not in left_out}


@dataclass(frozen=True)
class Load(Question[Loaded]):
    """Load the artifact that the next questions are about, on processors of its own.

    Attributes:
        seed: of the beats that are drawn for timed calls.
    """

    runtime: str
    artifact: Packed
    beats: Path
    threads: int
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """The graph that ran, None where it is not told, and what the session tells besides."""

    graph: Graph | None
    figures: Mapping[str, int | float | str]


@dataclass(frozen=True)
class Score(Question[Scored]):
    """Save the outputs for the beats to ``out``, and for those of each other file in ``more`` to the file there."""

    out: Path
    more: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Throughput(Question[Mapping[int, float]]):
    """How many beats a second are there at each batch size? Save the nanoseconds of the calls to ``out``.

    Attributes:
        sized: the files for each batch size, where the format fixes it.
        profile: the name of one of ``bench.PROFILES``.
        sizes: batch sizes; None: see ``Bench.throughput``.
    """

    sized: Mapping[int, Packed]
    profile: str
    out: Path
    sizes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class WarmedUp:
    """After how many calls it was as fast as it gets, whether it stayed so, and a GPU's clock, where that is told."""

    warm_up_calls: int
    stable: bool
    sm_clock_mhz: int | None = None

    def figures(self) -> dict[str, Any]:
        """What the journal keeps of it."""
        return known(self)


@dataclass(frozen=True)
class WarmUp(Question[WarmedUp]):
    """Call the artifact until it is as fast as it gets."""


@dataclass(frozen=True)
class LoadAnew(Question[None]):
    """Load the artifact once more before a block, apart from it: what loading takes is not the block's."""


@dataclass(frozen=True)
class State:
    """How quick the machine is at the moment: see ``steadiness.reference``."""

    ns: int
    kernel: str
    at: int
    stolen: float | None = None
    waited: int | None = None
    clock_mhz: float | None = None
    celsius: float | None = None

    def facts(self) -> dict[str, Any]:
        """As ``steadiness.about_block`` takes it."""
        return known(self)


@dataclass(frozen=True)
class Reference(Question[State]):
    """How quick is the machine at the moment?"""


@dataclass(frozen=True)
class Timed:
    """A block of timed calls: see ``Bench.block``.

    Attributes:
        samples: little-endian int64 pairs in base64.
    """

    samples: str
    cpu_share: float
    seconds: float | None = None

    def figures(self) -> dict[str, Any]:
        """What the journal keeps of it beside the samples."""
        return {key: value for key, value in known(self).items() if key != "samples"}


@dataclass(frozen=True)
class Block(Question[Timed]):
    """Time calls for so many seconds."""

    seconds: float


# -- where an artifact's time goes


@dataclass(frozen=True)
class Weighed:
    """The graph of an artifact, None where it is not told, and nanoseconds of whole calls."""

    taken: tuple[int, ...]
    cpu_share: float
    device: str
    graph: Graph | None


@dataclass(frozen=True)
class Weigh(Question[Weighed]):
    """Time whole calls of an artifact on a batch of beats, for so many seconds."""

    runtime: str
    artifact: Packed
    beats: Path
    threads: int
    seconds: float


@dataclass(frozen=True)
class TakeProfile(Question[Profile | None]):
    """What do the operations of an artifact take on a batch of beats? None: the runtime does not tell."""

    runtime: str
    artifact: Packed
    beats: Path
    threads: int
    calls: int


@dataclass(frozen=True)
class Peak:
    """One of ``measure_peaks``."""

    gmacs: float
    low: float
    median: float
    calls: int
    by: str


@dataclass(frozen=True)
class Peaks:
    """What ``measure_peaks`` or ``measure_gpu_peaks`` found."""

    missing: Mapping[str, str]
    device: str | None = None
    holds_for: Mapping[str, str] | None = None
    size: int | None = None
    threads: int | None = None
    fp32: Peak | None = None
    tf32: Peak | None = None
    fp16: Peak | None = None
    int8: Peak | None = None

    def figures(self) -> dict[str, Any]:
        """As these functions return it."""
        return known(self)


@dataclass(frozen=True)
class MeasurePeaks(Question[Peaks]):
    """What is the limit in matrix products of the device that a runtime computes on?"""

    threads: int
    runtime: str


# -- lines


@dataclass(frozen=True)
class Failure:
    """Why there is no answer.

    Attributes:
        error: one line.
        kind: ``"user"`` or ``"machine"`` is at fault; else as ``ChildError.why``.
        hint: what to do about it.
        trace: of a bug, its traceback.
    """

    error: str
    kind: Literal["user", "machine", "memory", "wrong", "bug"]
    hint: str = ""
    trace: str = ""


@dataclass(frozen=True)
class Greeting:
    """The first line of each side."""

    protocol: int


QUESTIONS: dict[str, type[Question[Any]]] = {kind.__name__: kind for kind in Question.__subclasses__()}


def line_of(value: Any) -> str:
    """Write a line of the wire."""
    return json.dumps(typed_json.plain(value)) + "\n"


def line_of_question(question: Question[Any]) -> str:
    return line_of({"question": type(question).__name__, "with": question})


def question_in(line: str) -> Question[Any]:
    """Read a question. Raises EcgEdgeError where it is none of ``QUESTIONS``, or is asked otherwise than declared."""
    told = strict_json.loads(line, "the question")
    name = told.get("question") if isinstance(told, dict) else None
    if name not in QUESTIONS:
        raise unknown("question", str(name), [*QUESTIONS])
    try:
        question: Question[Any] = typed_json.read(QUESTIONS[name], told.get("with"))
    except SchemaError as error:
        raise EcgEdgeError(f"the question {name} cannot be read: {error}") from error
    return question


def line_of_answer(answer: Any) -> str:
    return line_of({"failure": answer} if isinstance(answer, Failure) else {"answer": answer})


def answer_in(line: str, question: Question[A]) -> A | Failure:
    """Read the reply to a question.

    Raises:
        JsonError: the line is no JSON.
        SchemaError: it is no reply, or none to this question.
    """
    told = strict_json.loads(line, "its answer")
    if not isinstance(told, dict) or len(told) != 1 or not told.keys() & {"answer", "failure"}:
        raise SchemaError("it is none")
    if "failure" in told:
        return cast(Failure, typed_json.read(Failure, told["failure"], "failure"))
    return cast(A, typed_json.read(answer_of(type(question)), told["answer"]))


def answer_of(question: type[Question[Any]]) -> Any:
    """The type that answers a question."""
    return get_args(vars(question)["__orig_bases__"][0])[0]


def protocol_in(line: str) -> int | None:
    """Read the version that the other side says; None: it says none."""
    try:
        told = typed_json.read(Greeting, strict_json.loads(line, "the greeting"))
    except (strict_json.JsonError, SchemaError):
        return None
    return cast(Greeting, told).protocol


def other_protocol(who: str, theirs: int | None) -> EcgEdgeError:
    """The error for another side that speaks another version, or says none."""
    told = "another protocol" if theirs is None else f"protocol {theirs}"
    return EcgEdgeError(
        f"{who} speaks {told}, this ecgedge speaks protocol {PROTOCOL}", "install the same ecgedge on both sides"
    )
