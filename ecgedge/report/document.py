"""What a report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgedge.report.lines import COLUMNS

if TYPE_CHECKING:  # the command line imports this for --help
    from ecgedge.choose import Choice, Evidence
    from ecgedge.report.relative import Relative
    from ecgedge.run.row import Row
    from ecgedge.run.rows import Noise


@dataclass(frozen=True)
class Report:
    """A run as it is told.

    Attributes:
        folder: of the run.
        run: what ``run.json`` holds.
        rows: model by model.
        noise: the files that were timed twice, by model.
        best: ``(id, metric name)`` of the values to mark.
        choices: one a task; empty where none is asked for.
        with_files: whether the table of a terminal tells the name and the file of each row, too.
        columns: that the terminal has.
        relative: times against one reference form; None: each against its fp32 form.
        evidence: what rows are compared by, where the folder was read already: of 10,000 rows that takes a while.
    """

    folder: Path
    run: Mapping[str, Any]
    rows: Sequence[Row]
    noise: Mapping[str, Noise] = field(default_factory=dict)
    best: frozenset[tuple[str, str]] = frozenset()
    choices: Sequence[Choice] = ()
    with_files: bool = False
    columns: int = COLUMNS
    relative: Relative | None = None
    evidence: Evidence | None = None

    def compared_by(self) -> Evidence:
        """What rows are compared by; the folder is read where it was not."""
        from ecgedge.choose import Evidence
        from ecgedge.run import RunFolder

        return self.evidence or Evidence(RunFolder.read(self.folder))
