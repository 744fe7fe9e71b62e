"""What is told of a run once it is measured, or as far as it is: rows and reports in its folder."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ecgedge.commands.run import Run, make_run, resume_command, told_by
from ecgedge.errors import EcgEdgeError
from ecgedge.plugins import one_line
from ecgedge.report import files, render
from ecgedge.run import MatrixRequest, RunFolder
from ecgedge.run.row import Row
from ecgedge.run.rows import noise_of, rows_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """A run, and what was written of it.

    Attributes:
        kept: what lies in its folder.
        written: names of the files.
        lost: why others are not there, by name.
        failure: why the choice that was asked for cannot be made.
    """

    run: Run
    kept: RunFolder
    written: list[str]
    lost: dict[str, str]
    failure: EcgEdgeError | None

    def warnings(self, trust: bool = False) -> list[str]:
        """What whoever asked for the run may want to mend, in one line each."""
        found = []
        if self.lost:
            again = resume_command(self.kept.path, trust=trust)
            told = "; ".join(f"{name}: {reason}" for name, reason in self.lost.items())
            found.append(f"not written: {told} (the run is whole, and to write it again: {again})")
        if not self.kept.about["cells"]:
            found.append("no cell could run here")
        return found


def publish(folder: Path, request: MatrixRequest | None = None) -> Published:
    """Write rows and reports of what is measured, with the choice where the request asks for one.

    What cannot be written, or chosen, is told, and costs nothing else.
    """
    kept = RunFolder.read(folder)
    rounds = kept.about["rounds"]
    rows = in_order(rows_of(kept.records, rounds, folder), [*kept.about["sources"]], [*kept.about.get("boards", {})])
    run = make_run(kept, rows, noise_of(kept.records, rounds, folder))
    results = [attempt(folder / name, partial(make, run.told)) for name, make in files.TEXTS.items()]
    failure = None
    try:
        if request:
            told = told_by(run.told, request.requirements, request.optimize, request.relative_to)
            run = replace(run, told=told)
    except EcgEdgeError as error:
        failure = error
    results.append(attempt(folder / "report.html", partial(render, run.told, "html")))
    written = [path.name for path, reason in results if not reason]
    return Published(run, kept, written, {path.name: reason for path, reason in results if reason}, failure)


def publish_if_begun(folder: Path) -> Published | None:
    """What is done of a run that ended before its time, told as far as it can be; None where it had not begun."""
    with contextlib.suppress(Exception):
        return publish(folder)
    return None


def in_order(rows: Sequence[Row], models: Sequence[str], boards: Sequence[str]) -> list[Row]:
    """Model by model, each on this machine first and then on one board after the other, what was skipped last."""
    places = {board: number for number, board in enumerate([None, *boards])}

    def key(row: Row) -> tuple[int, int, bool]:
        return models.index(row.model), places.get(row.board, len(places)), row.status == "skipped"

    return sorted(rows, key=key)


def attempt(path: Path, make: Callable[[], str]) -> tuple[Path, str]:
    """Write what ``make`` returns; why that cannot be done, else empty. A report never costs a run."""
    try:
        files.write(path, make())
    except Exception as error:  # of the disk, or of the report's own code
        log.info("%s was not written", path, exc_info=error)
        return path, (isinstance(error, OSError) and error.strerror) or one_line(error)
    return path, ""
