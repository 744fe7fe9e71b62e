"""What ``ecgedge diverge`` finds, as scripts, JSON and the page have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the rest is imported when something is looked into: ``import ecgedge`` is to stay quick
    import numpy as np

    from ecgedge.diverge.chain import Stage
    from ecgedge.diverge.findings import Finding
    from ecgedge.diverge.fix import Fixed
    from ecgedge.diverge.lines import Line, Strip
    from ecgedge.diverge.study import Study


@dataclass(frozen=True)
class Example:
    """A beat that is decided otherwise.

    Attributes:
        beat: its number among the test beats.
        values: its samples ``(C, L)``.
        leads: names of the C leads; empty: they have none.
        label: what it is, as the data says.
        reference, form: what the two forms decide, in words.
        operation: from which on its fate is sealed; None: at the output alone, or no tensor tells.
        outputs: of an autoencoder, what the reference and the form made of it, ``(C, L)`` each.
    """

    beat: int
    values: np.ndarray
    leads: tuple[str, ...]
    label: str
    reference: str
    form: str
    operation: str | None
    outputs: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class Diverged:
    """Where forms of one model part.

    Attributes:
        stages: each form, the reference first.
        parted: the name of the first stage that parts by more than its precision explains; None: none does.
        form, against: names of the two stages whose operations were held against each other; empty: no two were.
        study: of these; None: it was not possible, see ``notes``.
        findings: what stands out, with a remedy where there is one.
        data: the beats, in one line.
        beats, tapped: how many every stage answered, and for how many inner tensors were read.
        notes: what could not be told, and why.
        fixed: what mends a loss; None: that was not asked for.
        strips: of the other stages, where they were asked for.
        examples: some of the beats that are decided otherwise; ``record`` leaves them out, as they are of the data.
    """

    stages: tuple[Stage, ...]
    parted: str | None
    form: str
    against: str
    study: Study | None
    findings: tuple[Finding, ...]
    data: str
    beats: int
    tapped: int
    notes: tuple[str, ...] = ()
    fixed: Fixed | None = None
    strips: tuple[Strip, ...] = ()
    examples: tuple[Example, ...] = ()

    @property
    def culprit(self) -> str | None:
        """The operation at fault, by its name in the first file; None: none is."""
        return self.study.culprit.operation if self.study and self.study.culprit else None

    def record(self) -> dict[str, Any]:
        """All of it as JSON has it: a ``DivergedRecord``, by which it is read back."""
        from ecgedge.diverge.record import DivergedRecord
        from ecgedge.files import typed_json

        ranking = tuple(line.operation for line in self.ranking())
        found: dict[str, Any] = typed_json.plain(DivergedRecord(
            self.culprit, self.stages, self.parted, self.form, self.against, self.study, self.findings, self.data,
            self.beats, self.tapped, self.notes, self.fixed, self.strips, ranking,
        ))  # fmt: skip
        return found

    def ranking(self) -> list[Line]:
        """The lines of the study, the worst first."""
        return self.study.ranked() if self.study else []

    @property
    def worst(self) -> Line | None:
        """The operation at fault, else the one that errs most by itself; None where none was looked into."""
        return self.study.worst if self.study else None
