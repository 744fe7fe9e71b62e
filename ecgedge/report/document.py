"""What a report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecgedge.choose import Choice

Row = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """A run as it is told.

    Attributes:
        folder: of the run.
        run: what ``run.json`` holds, and under ``noise`` the files that were timed twice.
        rows: model by model.
        best: ``(id, metric name)`` of the values to mark.
        choices: one a task; empty where none is asked for.
    """

    folder: Path
    run: Mapping[str, Any]
    rows: Sequence[Row]
    best: frozenset[tuple[str, str]] = frozenset()
    choices: Sequence[Choice] = ()
