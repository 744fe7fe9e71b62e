"""A row of a run where a command takes a file: which one is meant, its file, and what was measured of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ecgedge.errors import EcgEdgeError, cut, meant_by

if TYPE_CHECKING:  # the rest is imported when a run is named: ``import ecgedge`` is to stay quick
    from ecgedge.api.artifact import Artifact
    from ecgedge.choose import Choice
    from ecgedge.commands.run import Run
    from ecgedge.plugins import Parts
    from ecgedge.run.row import Row

MOST_LISTED = 12  # rows that an error names


@dataclass(frozen=True)
class RowOfRun:
    """A row whose file is still in the folder of its run.

    Attributes:
        artifact: as it was measured, with what its outputs mean.
    """

    run: Run
    row: Row
    artifact: Artifact

    @property
    def normalize(self) -> bool:
        """Whether the beats that it was scored on were z-normalised first, as the run was asked to."""
        return self.run.request.normalize

    @property
    def certificate(self) -> Path | None:
        """The folder of its file's certificate, where the run was asked for one and it is still there."""
        found = self.row.portable
        folder = self.run.folder / found.folder if found and found.folder else None
        is_link = folder is not None and (folder.is_symlink() or folder.parent.is_symlink())
        return folder if folder and folder.is_dir() and not is_link else None

    def measured(self) -> list[str]:
        """What the run found of it, a sentence or so each: for a card."""
        from ecgedge.report.files import verdict
        from ecgedge.report.machines import machine_of
        from ecgedge.run.metrics import metrics_of

        about, row = self.run.about, self.row
        there = machine_of(about.get("boards", {}).get(row.board) or about["machine"])
        known = {metric: metric.told(row) for metric in metrics_of([row]).values() if metric.value(row) is not None}
        figures = [f"{metric.name} {text}" for metric, text in known.items() if metric.shown or metric.of_runtime]
        return [
            f"row: {row.id}, of a run that began {about['started']}, by ecgedge {about['versions'].get('ecgedge', '')}",
            f"trained model: {row.model}, SHA-256 {about['sources'].get(row.model, 'not known')}",
            f"data: {about['data']}, SHA-256 {about['data_digest']}; {about['beats']:,} test beats scored",
            f"device: {', '.join(filter(None, there))}; runtime {row.runtime}",
            *([f"against the trained model: {verdict(row)}"] if verdict(row) else []),
            f"figures, with their 95% intervals where they have one: {'; '.join(figures)}",
        ]


def check_row(target: str | os.PathLike[str], words: str | Sequence[str]) -> bool:
    """Whether a path names the folder of a run. Raises EcgEdgeError where it does not, and a row is named, or where it
    can be nothing else and is missing."""
    from ecgedge.run.reading import RUN

    path = Path(target)
    is_run = (path / RUN).is_file()
    if len(path.parts) > 1 and (words or not path.suffix) and not os.path.lexists(path):
        told = f"there is no {cut(target)}: no folder of a run, no checkpoint and no file"
        raise EcgEdgeError(told, missing_hint(path.parent, RUN))
    if words and not is_run:
        row = words if isinstance(words, str) else " ".join(words)
        raise EcgEdgeError(f"{cut(target)} is not the folder of a run, so it has no row {cut(row)!r}", "leave that out")
    return is_run


def missing_hint(folder: Path, record: str) -> str:
    """Which runs lie in a folder, where one of them may be meant; ``record``: the file that makes a folder a run."""
    names = sorted(str(file.parent) for file in folder.glob(f"*/{record}")) if folder.is_dir() else []
    if not names:
        return "ecgedge matrix --out names the folder of a run"
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return f"the runs in {folder}: {', '.join(names[:MOST_LISTED])}{more}"


def row_of_run(
    folder: str | os.PathLike[str], words: str | Sequence[str], parts: Parts, trust: bool = False
) -> RowOfRun:
    """The row of a run that is meant, with its file.

    Args:
        words: its id, or words that only it has, such as ``tflite full-int8``; none: the one that the run suggests.
        trust: code that its file brings may run.

    Raises:
        EcgEdgeError: there is no such run or row, several rows are meant, or the file is gone or is another.
    """
    from ecgedge.api.records import from_record
    from ecgedge.commands.run import open_run
    from ecgedge.report.remake import remake

    run = open_run(folder)
    row = meant(run, (words if isinstance(words, str) else " ".join(words)).split())
    kept = run.told.compared_by().run
    packed = kept.artifacts.get(row.id)
    if packed is None or row.file is None or row.file.path is None:
        raise EcgEdgeError(f"{row.id} has no file: it is {row.status}", row.reason)
    kept.check_artifact(row.id, packed, trust, {})
    if not (path := run.folder / packed["path"]).exists():
        raise EcgEdgeError(f"the file of {row.id} is no longer in {run.folder}", f"again: {remake(row, run.told)}")
    model = parts.models.get(packed.get("model") or "")
    return RowOfRun(run, row, from_record(path, packed["record"], model))


def meant(run: Run, words: Sequence[str]) -> Row:
    """The row that has all these words, or without any the one that the run suggests.

    Raises:
        EcgEdgeError: none has them, or several do.
    """
    working = [row for row in run.rows if row.status == "ok"]
    if not words:
        found = [row for choice in choices_of(run) if (row := choice.suggested)]
        return only(found, "suggests", run)
    if exact := [row for row in run.rows if row.id.split() == [*words]]:
        return exact[0]
    told = cut(" ".join(words))
    found = [row for row in working if {*words} <= words_of(row)]
    if not found:
        known = {each for row in working for each in words_of(row)}
        raise EcgEdgeError(f"{run.folder} has no row {told!r} that works", f"{meant_by(words, known)}{listed(working)}")
    named = [row for row in found if {*words} <= words_of(row) - {*row.route} | {row.format}]
    found = named or found  # the format that a row has goes before those on its way
    here = [row for row in found if row.board is None]
    return only(here if len(here) == 1 else found, f"{told!r} means", run)


def only(found: Sequence[Row], who: str, run: Run) -> Row:
    """The one row among several. Raises EcgEdgeError where there is none, or there are more."""
    if len(found) == 1:
        return found[0]
    told = f"{run.folder}: {who} {len(found)} rows" if found else f"{run.folder} {who} no row"
    raise EcgEdgeError(told, listed(found) if found else "ecgedge report RUN says why")


def choices_of(run: Run) -> Sequence[Choice]:
    """The choices that the run is told with or was asked for, else its Pareto fronts; none where no row works."""
    if run.told.choices:
        return run.told.choices
    if not any(row.status == "ok" for row in run.rows):
        return ()
    return run.choose(run.request.requirements, run.request.optimize)


def words_of(row: Row) -> set[str]:
    """By which a row may be named: its names, those with spaces word by word, and all of the line that tells of it."""
    named = {row.id, row.model, row.format, row.precision_words, row.runtime, row.place, row.quantizer, *row.route}
    said = f"on {row.quantizer.replace('-', ' ') if row.as_it_came and row.quantizer else ''}"
    return {word for name in (*named, said) if name for word in str(name).split()}


def listed(rows: Sequence[Row]) -> str:
    """What may be named instead."""
    more = f" and {len(rows) - MOST_LISTED} more" if len(rows) > MOST_LISTED else ""
    return f"name one: {', '.join(row.id for row in rows[:MOST_LISTED])}{more}"
