"""Whether a file answers alike with other kernels and on other processors, as its row has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecgedge.evaluate.facts import figure, read, rule_of, told
from ecgedge.evaluate.metric import Metric, Shown
from ecgedge.files.schema import number, one_of, table_of
from ecgedge.files.values import COUNTED, TEXT, TRIED_COUNT, WORD, WORDS, path

VERDICTS = ("exact", "equivalent", "fragile")  # of a certificate, best first
PORTABLE = VERDICTS[:2]  # what ``--require portable`` takes
NOT_TRIED = "not tried"
NOT_ASKED = "not asked"  # of a row whose run was not to try


@dataclass(frozen=True, kw_only=True)
class Portable:
    """The certificate of a row's file, in short.

    Attributes:
        verdict: ``exact``, ``equivalent``, ``fragile``, or ``not tried``.
        reason: why it was not tried, in one line.
        folder: of the certificate, in the run's folder.
        ways: how many kernels and processors were tried.
        largest: the largest difference of an output value.
        flips: beats that are decided otherwise anywhere.
        layers: those in which sums of pairs can leave 16 bits, or values leave float16.
    """

    verdict: str | None = told(one_of(*VERDICTS, NOT_TRIED), "portability")
    reason: str | None = told(TEXT, "portability_reason")
    folder: str | None = told(path, "portability_folder")
    ways: int | None = told(TRIED_COUNT, "portability_ways")
    largest: float | None = told(number(least=0), "portability_largest")
    flips: int | None = figure(
        COUNTED,
        Metric("portability_flips", "portability_flips", "number", exact=True, unit="beats",
               shown=Shown("", "flips elsewhere", "beats", digits=0,
                           means="beats that other kernels or processors decide otherwise")),
    )  # fmt: skip
    layers: list[str] | None = told(WORDS, "portability_layers")

    @classmethod
    def from_record(cls, told: Mapping[str, Any]) -> Portable:
        """From what the journal, or a row, has in JSON."""
        return read(cls, told) or cls()

    @property
    def is_tried(self) -> bool:
        return self.verdict != NOT_TRIED

    @property
    def is_alone(self) -> bool:
        """Whether one way alone was tried, which says nothing of others."""
        return self.ways == 1

    @property
    def is_portable(self) -> bool:
        return self.verdict in PORTABLE and not self.is_alone


@dataclass(frozen=True)
class CertifiedFile:
    """What the journal of a run has of a file's certificate.

    Attributes:
        digest: of the file.
        found: what its rows say of it.
        files: SHA-256 of what is kept of it, by path in the run's folder.
    """

    digest: str = told(WORD, needed=True)
    found: Portable = told(rule_of(Portable), needed=True, of=Portable)
    files: dict[str, str] = told(table_of(WORD, 10), needed=True)

    @classmethod
    def from_record(cls, told: Mapping[str, Any]) -> CertifiedFile:
        """From a record of the journal, which older runs have without files."""
        return cls(told["digest"], Portable.from_record(told["found"]), dict(told.get("files") or {}))
