"""How each form does on each patient: the page's section, which is left out where a run knows no patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecgedge.report.html.run_files import RunFiles
from ecgedge.run.patients import FEWEST, Spread, spread_of, whose_beats
from ecgedge.run.row import Row


@dataclass(frozen=True)
class OfPatients:
    """The section: each row with its spread; ``fewest``: beats of a patient who is among them."""

    spreads: list[tuple[Row, Spread]]
    fewest: int = FEWEST


def of_patients(rows: Sequence[Row], files: RunFiles) -> OfPatients | None:
    """The spread of the forms that work, in the order of the run; None where it is not known whose beats they are."""
    whose, beats = whose_beats(files.run), files.beats
    if whose is None or beats is None or len(whose.names) < 2:
        return None
    found = []
    for row in rows:
        outputs, task = (files.outputs(row.id), files.task(row.id)) if row.status == "ok" else (None, None)
        if outputs is not None and task is not None:
            spread = spread_of(whose, outputs, beats.x, beats.y, task)
            found += [(row, spread)] if spread else []
    return OfPatients(found) if found else None
