"""What ``ecgedge diverge --json`` prints."""

from __future__ import annotations

from dataclasses import dataclass

from ecgedge.diverge.chain import Stage
from ecgedge.diverge.findings import Finding
from ecgedge.diverge.fix import Fixed
from ecgedge.diverge.lines import Strip
from ecgedge.diverge.study import Study


@dataclass(frozen=True)
class DivergedRecord:
    """Where forms of one model part, see ``Diverged``, without what is of the data.

    Attributes:
        culprit: the operation at fault, by its name in the first file; None: none is.
        ranking: names of the operations that were measured, the worst first.
    """

    culprit: str | None
    stages: tuple[Stage, ...]
    parted: str | None
    form: str
    against: str
    study: Study | None
    findings: tuple[Finding, ...]
    data: str
    beats: int
    tapped: int
    notes: tuple[str, ...]
    fixed: Fixed | None
    strips: tuple[Strip, ...]
    ranking: tuple[str, ...]
