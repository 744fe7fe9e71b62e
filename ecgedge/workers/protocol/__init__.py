"""What a worker can be asked, and what it answers: a dataclass each, the only code that knows the words on the wire.

Both sides first say which version they speak, ``PROTOCOL``. Then each line is a question, and each line back its
reply. Files are handed over by their paths.
"""

from ecgedge.workers.protocol.conversions import Convert, ConverterKind, Optimize, Terms
from ecgedge.workers.protocol.facts import BoardFacts, Describe
from ecgedge.workers.protocol.files import CodeIn, Inspect, MakeWhole, Prove
from ecgedge.workers.protocol.packed import Packed, answered, pack, unpack
from ecgedge.workers.protocol.parts import Available, Missing, Network
from ecgedge.workers.protocol.paths import with_paths
from ecgedge.workers.protocol.peaks import MeasurePeaks, Peak, Peaks
from ecgedge.workers.protocol.question import A, Question
from ecgedge.workers.protocol.sessions import (
    Close,
    Draw,
    FiguresOf,
    GraphOf,
    Infer,
    Invoke,
    MeasuredOf,
    Open,
    Opened,
    ProfileOf,
    Weigh,
    Weighed,
)
from ecgedge.workers.protocol.taps import CloseTaps, ReadTensor, RunBetween, Tap, Tapped
from ecgedge.workers.protocol.timing import (
    Block,
    LoadAnew,
    Loaded,
    Reference,
    State,
    Throughput,
    Timed,
    WarmedUp,
    WarmUp,
)
from ecgedge.workers.protocol.training import Train
from ecgedge.workers.protocol.wire import (
    PROTOCOL,
    QUESTIONS,
    Failure,
    Greeting,
    answer_in,
    answer_of,
    line_of,
    line_of_answer,
    line_of_question,
    other_protocol,
    protocol_in,
    question_in,
)

__all__ = [
    "PROTOCOL",
    "QUESTIONS",
    "A",
    "Available",
    "Block",
    "BoardFacts",
    "Close",
    "CloseTaps",
    "CodeIn",
    "Convert",
    "ConverterKind",
    "Describe",
    "Draw",
    "Failure",
    "FiguresOf",
    "GraphOf",
    "Greeting",
    "Infer",
    "Inspect",
    "Invoke",
    "LoadAnew",
    "Loaded",
    "MakeWhole",
    "MeasurePeaks",
    "MeasuredOf",
    "Missing",
    "Network",
    "Open",
    "Opened",
    "Optimize",
    "Packed",
    "Peak",
    "Peaks",
    "ProfileOf",
    "Prove",
    "Question",
    "ReadTensor",
    "Reference",
    "RunBetween",
    "State",
    "Tap",
    "Tapped",
    "Terms",
    "Throughput",
    "Timed",
    "Train",
    "WarmUp",
    "WarmedUp",
    "Weigh",
    "Weighed",
    "answer_in",
    "answer_of",
    "answered",
    "line_of",
    "line_of_answer",
    "line_of_question",
    "other_protocol",
    "pack",
    "protocol_in",
    "question_in",
    "unpack",
    "with_paths",
]
