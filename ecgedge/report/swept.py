"""A sweep as it is told, whatever the form: its facts, and the notes below a ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgedge.sweep.statistics import ALPHA, Ranking, Summary


@dataclass(frozen=True)
class SweepReport:
    """A sweep as it is told.

    Attributes:
        folder: of the sweep.
        about: what ``sweep.json`` holds.
        rankings: one a task.
        planned: how many cells there are to be.
        cpu: processor seconds so far, by part of the work.
        trainings: how many models were trained.
    """

    folder: Path
    about: Mapping[str, Any]
    summary: Summary
    rankings: Sequence[Ranking]
    planned: int
    cpu: Mapping[str, float]
    trainings: int

    @property
    def missing(self) -> int:
        """Cells that have no row yet."""
        return self.planned - len(self.summary.scores)


def notes(ranking: Ranking) -> list[str]:
    """What a table says of its ranks and tests, a line each."""
    count, whole = len(ranking.complete), len(ranking.data)
    found = [f"ranks over {count} of {whole} data sets{'' if count == whole else ': the others lack a form'}"]
    if never := sum(not line.by_data for line in ranking.lines):
        found.append(
            f"{never} form{'' if never == 1 else 's'} without any value {'has' if never == 1 else 'have'} no rank"
        )
    if ranking.untested:
        return [*found, f"not tested: {ranking.untested}"]
    if ranking.friedman is not None:
        found.append(f"Friedman: the forms {'differ' if ranking.friedman < ALPHA else 'cannot be told apart'} "
                     f"(p {shown_p(ranking.friedman)})")  # fmt: skip
    alike = [line for line in ranking.lines if line.like_first]
    first = ranking.lines[0]
    name = f"{first.form.model} {first.words}"
    found.append(f"p: against {name}, the first; Wilcoxon's signed ranks with Holm's correction")
    if alike:
        words = f"{len(alike)} form{' is' if len(alike) == 1 else 's are'}"
        found.append(f"{words} not told from the first (p at least {ALPHA})")
    return found


def shown_p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
