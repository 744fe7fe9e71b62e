"""Times relative to one reference form, which ``--relative-to`` names, instead of to the fp32 form of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ecgedge.errors import EcgEdgeError, cut, meant_by
from ecgedge.evaluate.facts import plain
from ecgedge.plan.plan import AS_IT_CAME
from ecgedge.report.document import Report
from ecgedge.run.measurement import TimeRatio
from ecgedge.run.row import Row

MOST_LISTED = 12  # forms that an error names


@dataclass(frozen=True)
class Relative:
    """Times against a reference.

    Attributes:
        asked: the reference, as it was named.
        references: ids of the rows that others are held against; one of a model and device at most.
        ratios: by the id of a row; a row without one was not timed in the same rounds as a reference.
    """

    asked: str
    references: frozenset[str]
    ratios: Mapping[str, TimeRatio]

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"asked": self.asked, "ratios": {name: plain(ratio) for name, ratio in self.ratios.items()}}


def with_relative(report: Report, asked: str) -> Report:
    """The report with times relative to a reference.

    Args:
        asked: the id of a row, or ``FORMAT/PRECISION/RUNTIME``: that form of each model.

    Raises:
        EcgEdgeError: no row is named so, or none of those was timed.
    """
    found = references(report.rows, asked)
    timed = [row for row in found if row.status == "ok" and row.latency]
    if not timed:
        raise EcgEdgeError(f"{cut(asked)} was not timed: it is {found[0].status}", named(report.rows))
    evidence, ratios = report.compared_by(), {}
    for base in timed:
        for row in report.rows:
            if row.id == base.id or row.status != "ok" or row.latency is None or not evidence.same_rounds(row, base):
                continue
            found_ratio = evidence.timing.compare(row.id, base.id, row.latency.noise_floor)
            ratios[row.id] = replace(found_ratio, to=base.id)
    return replace(report, relative=Relative(asked, frozenset(row.id for row in timed), ratios))


def references(rows: Sequence[Row], asked: str) -> list[Row]:
    """The rows that are named, before or after they are measured. Raises EcgEdgeError where there are none, or where
    several of one model are."""
    if exact := [row for row in rows if row.id == asked]:
        return exact
    found = [row for row in rows if asked in forms_of(row)]
    if not found:
        known = {word for row in rows for form in forms_of(row) for word in form.split("/")}
        told = f"there is no row and no form {cut(asked)!r}"
        raise EcgEdgeError(told, f"{meant_by(asked.split('/'), known)}{named(rows)}")
    places = [(row.model, row.place) for row in found]
    if twice := next((place for place in places if places.count(place) > 1), None):
        names = ", ".join(row.id for row in found if (row.model, row.place) == twice)
        raise EcgEdgeError(f"several rows of {twice[0]} are {cut(asked)}", f"name one: {names}")
    return found


def forms_of(row: Row) -> tuple[str, ...]:
    """What the form of a row is called; nothing of a row that was skipped."""
    if row.precision is None:
        return ()
    return (f"{row.format}/{AS_IT_CAME if row.as_it_came else row.precision}/{row.runtime}",)


def named(rows: Sequence[Row]) -> str:
    """What may be named instead."""
    forms = list(dict.fromkeys(form for row in rows for form in forms_of(row)))
    more = f" and {len(forms) - MOST_LISTED} more" if len(forms) > MOST_LISTED else ""
    return f"FORMAT/PRECISION/RUNTIME of this run, or the name of a row: {', '.join(forms[:MOST_LISTED])}{more}"
