"""Whether a file answers alike with other kernels and on other processors, as its row has it."""

from __future__ import annotations

from dataclasses import dataclass

from ecgedge.evaluate.facts import figure, told
from ecgedge.evaluate.metric import Metric, Shown
from ecgedge.files.schema import number, one_of
from ecgedge.files.values import COUNTED, TEXT, TRIED_COUNT, WORDS, path

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

    @property
    def is_portable(self) -> bool:
        return self.verdict in PORTABLE
