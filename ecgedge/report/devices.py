"""The same file on several devices: does it answer alike?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgedge.api import tasks
from ecgedge.evaluate.parity import same_bits
from ecgedge.files import escape
from ecgedge.report.document import Report
from ecgedge.run import RunFolder
from ecgedge.run.row import Row

MOST_TOLD = 10  # forms that answer otherwise, in a terminal


@dataclass(frozen=True)
class Agreement:
    """How the answers of one file on a device stand to its answers on another.

    Attributes:
        base: the row on the other device.
        identical: they are the same, bit for bit.
        changed: beats that are decided otherwise.
        beats: that were answered.
        largest: the largest difference of an output value.
    """

    row: Row
    base: Row
    identical: bool
    changed: int
    beats: int
    largest: float

    @property
    def text(self) -> str:
        """In a few words."""
        if self.identical:
            return "bit for bit the same"
        values = f"values differ by {self.largest:.2g} at most"
        if not self.changed:
            return f"no decision differs, {values}"
        return f"{self.changed:,} of {self.beats:,} decisions differ, {values}"


def agreements(report: Report) -> list[Agreement]:
    """Of each file that answered on several devices: every device against the first; none whose answers are gone."""
    forms: dict[tuple[object, ...], list[Row]] = {}
    for row in report.rows:
        if row.status == "ok" and row.file and row.file.digest:
            key = (row.task, row.model, *row.route, row.quantizer, row.runtime, row.file.digest)
            forms.setdefault(key, []).append(row)
    several = [rows for rows in forms.values() if len({row.place for row in rows}) > 1]
    if not several:
        return []
    run = report.compared_by().run
    return [found for first, *others in several for row in others if (found := agreement(run, row, first))]


def agreement(run: RunFolder, row: Row, base: Row) -> Agreement | None:
    """Of two rows of one file; None where the answers, or the beats, are gone."""
    task, beats = run.tasks.get(row.id), run.beats
    there, here = run.outputs(row.id), run.outputs(base.id)
    if task is None or beats is None or there is None or here is None:
        return None
    decided = (tasks.decide(outputs, beats.x, task) for outputs in (there, here))
    changed = int(np.not_equal(*decided).sum())
    largest = float(np.abs(there.astype(np.float64) - here.astype(np.float64)).max())
    return Agreement(row, base, bool(same_bits(there, here).all()), changed, len(beats.y), largest)


def lines(found: Sequence[Agreement], markdown: bool = False) -> list[str]:
    """For each device how many files answer as on the first one, and which do not."""
    shown = escape.markdown if markdown else escape.line
    told = []
    for place in dict.fromkeys(one.row.place for one in found):
        here = [one for one in found if one.row.place == place]
        same = sum(one.identical for one in here)
        base = here[0].base.place
        told.append(shown(f"{place}: {same} of {len(here)} files answer bit for bit as on {base}"))
        odd = sorted((one for one in here if not one.identical), key=lambda one: (-one.changed, -one.largest))
        told += [shown(f"{place}: {name(one.row)}: {one.text}") for one in odd[: None if markdown else MOST_TOLD]]
        if not markdown and len(odd) > MOST_TOLD:
            told.append(shown(f"{place}: and {len(odd) - MOST_TOLD} more; report.md has all"))
    return [f"- {line}" for line in told] if markdown else told


def name(row: Row) -> str:
    return f"{row.model} {row.format} {row.precision_words} on {row.runtime}"
