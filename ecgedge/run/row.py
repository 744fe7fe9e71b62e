"""A row of a run: every figure and fact of one cell, each declared once, with its name in JSON and its rule.

``report.csv`` and MLflow take their columns from these declarations; the tables, ``--require``, ``--optimize`` and
``compare`` take theirs from the metrics among them, which ``metrics.METRICS`` collects. JSON has a row flat, Python
has it in groups, see ``evaluate.facts``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ecgedge.api.figures import Figure
from ecgedge.devices.boards import HOST
from ecgedge.evaluate.facts import figure, plain, read, told
from ecgedge.evaluate.judgement import (
    ChangedDecision,
    Detection,
    Gate,
    Labelling,
    Losses,
    Parity,
    PrecisionCheck,
    Quality,
    Refit,
    Verdict,
)
from ecgedge.evaluate.metric import Change, Metric, Shown
from ecgedge.evaluate.portable import NOT_ASKED, Portable
from ecgedge.files.schema import list_of, maybe, one_of, record, table_of, whole
from ecgedge.files.values import (
    ANY,
    LINE,
    TEXT,
    TRIED_COUNT,
    name,
    path,
)
from ecgedge.plan.plan import AS_IT_CAME
from ecgedge.run.measurement import BLOCKS, Elsewhere, Latency, Loading, Memory, Meters, TimeRatio

STATUSES = ("ok", "rejected", "failed", "timeout", "skipped")
TASKS = ("classification", "multilabel", "anomaly")
THROUGHPUT = re.compile(r"throughput_([1-9]\d{0,8})_per_s")
TimedBy = tuple[str | None, str | None]  # a board, and a clock of its own; None: the machine that converts, and its


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which cell it is.

    Attributes:
        id: of the cell, by which its files in the run's folder are named.
        precision: of the file; None where a cell was skipped.
        board: on which it ran; None: the machine that converted it.
    """

    id: str = told(name, needed=True)
    model: str = told(LINE, needed=True)
    task: str = told(one_of(*TASKS), needed=True)
    format: str = told(LINE, needed=True)
    precision: str | None = told(maybe(LINE), null=True, needed=True)
    runtime: str = told(LINE, needed=True)
    dataset: str | None = told(LINE)
    board: str | None = told(name)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How a cell was tried; a skipped one was not.

    Attributes:
        environment: the plugin's environment that the runtime is in; None: the host's.
        route: the exporters.
        dataset_digest: SHA-256 of the data, in hexadecimal digits.
        beats: how many were scored.
        blocks_asked: the blocks that its runtime asks for, by the fields of ``api.Blocks``; None: none of its own.
        emulated: the core that its board, or its runtime, plays; such a row has answers, and neither times nor memory.
    """

    device: str | None = told(LINE)
    environment: str | None = told(maybe(LINE), null=True)
    route: list[str] = told(list_of(LINE, 1000), needed=True)
    quantizer: str = told(LINE, needed=True)
    threads: int = told(whole(1, 100_000), needed=True)
    batch: int = told(whole(1, 2**20), needed=True)
    dataset_digest: str | None = told(LINE)
    beats: int | None = told(whole(1, 10**9))
    profile: str | None = told(LINE)
    runtime_options: dict[str, Any] | None = told(table_of(ANY, 1000))
    blocks_asked: dict[str, Any] | None = told(record({}, BLOCKS, others=ANY))
    emulated: str | None = told(LINE)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a cell.

    Attributes:
        status: ``ok``, ``rejected``, ``failed``, ``timeout`` or ``skipped``.
        stage: at which it failed.
        reason: why it is not ``ok``, in one line.
    """

    status: str = told(one_of(*STATUSES), needed=True)
    stage: str | None = told(maybe(LINE))
    reason: str | None = told(TEXT)


@dataclass(frozen=True, kw_only=True)
class File:
    """The artifact that was measured.

    Attributes:
        path: in the run's folder.
        notes: of its quantizer; ``text`` is what people are told of them.
    """

    path: str | None = told(path, "artifact")
    digest: str | None = told(LINE)
    size_bytes: int | None = figure(
        TRIED_COUNT,
        Metric("size", "size_bytes", "bytes", exact=True, change=Change("size", "%", 1.0),
               shown=Shown("size", "size", "kB", 1e-3, page_digits=1, means="size of the file")),
    )  # fmt: skip
    passes: list[str] | None = told(list_of(LINE, 10_000))
    notes: dict[str, Any] | None = told(record({}, {"text": TEXT}, others=ANY))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One cell of a run. A group that nothing is told of is None.

    Attributes:
        throughput: beats a second by batch size.
        figures: what the runtime tells besides, by name; those of ``declared`` are metrics.
        flat: the row as JSON has it.
    """

    identity: Identity
    outcome: Outcome
    setup: Setup | None = None
    file: File | None = None
    meters: Meters | None = None
    loading: Loading | None = None
    memory: Memory | None = None
    elsewhere: Elsewhere | None = None
    precision_check: PrecisionCheck | None = None
    quality: Quality | None = None
    detection: Detection | None = None
    labelling: Labelling | None = None
    refit: Refit | None = None
    losses: Losses | None = None
    parity: Parity | None = None
    latency: Latency | None = None
    portable: Portable | None = None
    throughput: Mapping[int, float] = field(default_factory=dict)
    figures: Mapping[str, float | str] = field(default_factory=dict)
    declared: Sequence[Figure] = ()

    @classmethod
    def from_record(cls, told: Mapping[str, Any]) -> Row:
        """From JSON that ``ROW`` takes; what it has no name for is left out."""
        groups = {where: read(group, told) for where, group in GROUPS.items()}
        rates = {int(key.split("_")[1]): told[key] for key in told if THROUGHPUT.fullmatch(key)}
        declared = [Figure(**each) for each in told.get("figures_declared") or ()]
        return cls(throughput=rates, figures=told.get("figures") or {}, declared=declared, **groups)  # type: ignore[arg-type]

    @cached_property
    def flat(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for where in GROUPS:
            if (group := getattr(self, where)) is not None:
                found |= plain(group)
        found |= {f"throughput_{size}_per_s": rate for size, rate in self.throughput.items()}
        found |= {"figures": dict(self.figures)} if self.figures else {}
        return found | ({"figures_declared": [figure.record() for figure in self.declared]} if self.declared else {})

    @property
    def id(self) -> str:
        return self.identity.id

    @property
    def model(self) -> str:
        return self.identity.model

    @property
    def task(self) -> str:
        """``classification`` or ``anomaly``."""
        return self.identity.task

    @property
    def format(self) -> str:
        return self.identity.format

    @property
    def precision(self) -> str | None:
        return self.identity.precision

    @property
    def runtime(self) -> str:
        return self.identity.runtime

    @property
    def status(self) -> str:
        return self.outcome.status

    @property
    def reason(self) -> str:
        return self.outcome.reason or ""

    @property
    def device(self) -> str | None:
        return self.setup.device if self.setup else None

    @property
    def board(self) -> str | None:
        """On which it ran; None: the machine that converted it."""
        return self.identity.board

    @property
    def place(self) -> str:
        """The name of its board, or of the core that its runtime plays, or ``host``."""
        return self.board or (f"{self.emulated} (emulated)" if self.emulated else HOST)

    @property
    def emulated(self) -> str | None:
        """The core that its board or its runtime plays, where one does; there are no times then."""
        return self.setup.emulated if self.setup else None

    @property
    def clock(self) -> str | None:
        """That its times are by; None: this machine's."""
        return self.meters.clock if self.meters else None

    @property
    def route(self) -> list[str]:
        """Its exporters; none of a row that was skipped."""
        return self.setup.route if self.setup else []

    @property
    def quantizer(self) -> str | None:
        return self.setup.quantizer if self.setup else None

    @property
    def as_it_came(self) -> bool:
        """Whether its file is a user's own, byte for byte, which no graph pass has touched."""
        return self.quantizer == AS_IT_CAME

    @property
    def is_whole(self) -> bool:
        """Whether it is an fp32 form that others are held against: a user's file as it came is none."""
        return self.precision == "fp32" and not self.as_it_came

    @property
    def precision_words(self) -> str | None:
        """Its precision as tables have it; of a user's file that no pass touched, that it is so."""
        return "as it came" if self.as_it_came else self.precision

    @property
    def form(self) -> tuple[Any, ...]:
        """What an fp32 row has in common with those that are quantized from it."""
        return self.model, tuple(self.route), self.format, self.runtime, self.board

    @property
    def timed_by(self) -> TimedBy:
        """The board and the clock that its times are by; only those of the same two have a ratio."""
        return self.board, self.clock

    @property
    def size_bytes(self) -> int | None:
        return self.file.size_bytes if self.file else None

    @property
    def note(self) -> str:
        """What the quantizer has to tell people of the file; empty where that is nothing."""
        return str(self.file.notes.get("text", "")) if self.file and self.file.notes else ""

    @property
    def times(self) -> Latency:
        """Of a row that is ``ok``; no other one was timed, nor one of a board that is emulated."""
        assert self.latency is not None, f"{self.id} was not timed"
        return self.latency

    @property
    def verdict(self) -> Verdict | None:
        return self.parity.verdict if self.parity else None

    @property
    def gates(self) -> Sequence[Gate]:
        return self.losses.gates if self.losses else ()

    @property
    def changed(self) -> Sequence[ChangedDecision]:
        return (self.parity.changed if self.parity else None) or ()

    @property
    def time_ratio(self) -> TimeRatio | None:
        return self.latency.time_ratio if self.latency else None

    @property
    def portability(self) -> str:
        """The verdict of its file's certificate; ``not tried`` where it has none, ``not asked`` of most runs."""
        return (self.portable.verdict if self.portable else None) or NOT_ASKED

    @property
    def unsteady(self) -> bool:
        """Whether too few of its blocks were in the machine's usual quick state."""
        return bool(self.latency and self.latency.unsteady)


GROUPS: dict[str, type] = {
    "identity": Identity,
    "setup": Setup,
    "outcome": Outcome,
    "file": File,
    "meters": Meters,
    "loading": Loading,
    "memory": Memory,
    "elsewhere": Elsewhere,
    "precision_check": PrecisionCheck,
    "quality": Quality,
    "detection": Detection,
    "labelling": Labelling,
    "refit": Refit,
    "losses": Losses,
    "parity": Parity,
    "latency": Latency,
    "portable": Portable,
}


def facts() -> Iterator[dataclasses.Field[Any]]:
    """Every fact that a row may tell, those of its runtime aside, in order."""
    for group in GROUPS.values():
        yield from dataclasses.fields(group)
