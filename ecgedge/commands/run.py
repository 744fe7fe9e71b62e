"""A run as scripts and notebooks have it: its rows, the choice among them, its reports."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ecgedge import choose
from ecgedge.choose import Choice
from ecgedge.errors import EcgEdgeError, counted, unknown
from ecgedge.files import escape
from ecgedge.files.notices import warn
from ecgedge.report import FORMATS, Report, notebook, render
from ecgedge.report.relative import with_relative
from ecgedge.run import MatrixRequest, RunFolder
from ecgedge.run.row import Row
from ecgedge.run.rows import Noise, noise_of

ALIASES = {"markdown": "md", "text": "table"}


@dataclass(frozen=True)
class Run:
    """A run that lies in a folder, whole or not. In a notebook it shows itself as a table.

    Attributes:
        request: what it was asked for.
        told: the report that all that is shown is made from.
        missing: how many of the planned cells have no row yet.
    """

    request: MatrixRequest
    told: Report
    missing: int

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.told.folder

    @property
    def rows(self) -> Sequence[Row]:
        """A row for each cell that was tried or skipped, model by model."""
        return self.told.rows

    @property
    def broken(self) -> list[Row]:
        """The rows of cells that were tried and do not work."""
        return [row for row in self.rows if row.status not in ("ok", "skipped")]

    @property
    def about(self) -> Mapping[str, Any]:
        """What ``run.json`` says: the data, the machine, the versions."""
        return self.told.run

    def choose(self, require: str | Iterable[str] = (), optimize: str | None = None) -> Sequence[Choice]:
        """The choice for each task and device, as ``ecgedge choose`` makes it: a winner in a metric, else the Pareto
        front.

        Args:
            require: what a row has to meet, such as ``"accuracy>=0.94"`` or ``"format==tflite"``.
            optimize: the metric in which one row is to win, or ``METRIC@DEVICE``.

        Raises:
            EcgEdgeError: what is asked for does not fit this run.
        """
        return with_choice(self.told, texts(require), optimize).choices

    def best(self, require: str | Iterable[str] = (), *, optimize: str) -> Row | None:
        """The row that is best in a metric of those that meet all requirements; None where none does.

        ``choose`` tells besides which rows tie with it, and how near the others come.

        Raises:
            EcgEdgeError: what is asked for does not fit this run.
        """
        choices = self.choose(require, optimize)
        if len(choices) > 1:
            devices = ", ".join(choice.device for choice in choices)
            raise EcgEdgeError(f"this run has several devices: {devices}", f"optimize={f'{optimize}@DEVICE'!r}")
        return choices[0].winner

    def report(
        self,
        format: str = "table",
        require: str | Iterable[str] = (),
        optimize: str | None = None,
        relative_to: str | None = None,
    ) -> str:
        """The run as text: ``table``, ``markdown``, ``csv``, ``json`` or ``html``, which is a page of its own.

        Args:
            require, optimize: as for ``choose``; where one is given, the report holds the choice too.
            relative_to: the row, or the form ``FORMAT/PRECISION/RUNTIME`` of each model, that times are relative to;
                None: each to its fp32 form.

        Raises:
            EcgEdgeError: there is no such format, or the choice cannot be made.
        """
        name = ALIASES.get(format, format)
        if name not in FORMATS:
            raise unknown("format", format, [*FORMATS, *ALIASES])
        told = told_by(self.told, texts(require), optimize, relative_to)
        return escape.terminal(escape.unstyle(render(told, name)))

    def __repr__(self) -> str:
        cells = len(self.about["cells"])
        return f"<Run {str(self.folder)!r}: {cells - self.missing} of {cells} cells, {worked(self)} ok>"

    def _repr_html_(self) -> str:
        missing = f", {self.missing} not measured yet" if self.missing else ""
        head = f"{self.folder}: {counted(len(self.about['cells']), 'cell')}, {worked(self)} ok{missing}"
        return notebook.as_html(self.told, head)


def worked(run: Run) -> int:
    """How many of its rows are ok."""
    return sum(row.status == "ok" for row in run.rows)


def texts(require: str | Iterable[str]) -> list[str]:
    """Requirements as a list, of one as well."""
    return [require] if isinstance(require, str) else [*require]


def open_run(folder: str | os.PathLike[str]) -> Run:
    """The run of a folder, as ``run_matrix`` or ``ecgedge matrix`` left it; a warning tells where it is not finished.

    The folder may be a stranger's: it is checked, and nothing of it is run.

    Raises:
        EcgEdgeError: there is no run, it is damaged, or it has no rows yet.
    """
    path = Path(folder)
    run = RunFolder.read(path)
    hint = f"finish it: {resume_command(path)}"
    try:
        rows = run.rows()
    except FileNotFoundError:
        raise EcgEdgeError(f"{path} has no rows yet", hint) from None
    found = make_run(run, rows, noise_of(run.with_samples(), run.about["rounds"], path))
    if found.missing:
        done, planned = len(run.about["cells"]) - found.missing, len(run.about["cells"])
        warn(f"{path} is not finished: {done} of {planned} cells have a row ({hint})")
    return found


def make_run(run: RunFolder, rows: Sequence[Row], noise: Mapping[str, Noise]) -> Run:
    """A run whose best values are marked."""
    evidence = choose.Evidence(run)
    best = choose.best_values(rows, choose.metrics_of(rows).values(), evidence)
    told = Report(run.path, run.about, rows, noise, frozenset(best), evidence=evidence)
    done = sum(row.status != "skipped" for row in rows)
    return Run(run.request, told, max(len(run.about["cells"]) - done, 0))


def with_choice(report: Report, requirements: Iterable[str], optimize: str | None) -> Report:
    """The report with its choice, or for want of a metric its Pareto fronts.

    Raises:
        EcgEdgeError: what is asked for does not fit this run.
    """
    known = choose.metrics_of(report.rows)
    asked = [choose.parse_requirement(text, known) for text in requirements]
    metric, there = choose.parse_optimize(optimize, known) if optimize is not None else (None, None)
    asked += [there] if there else []
    return replace(report, choices=choose.decide(report.rows, asked, metric, report.compared_by()))


def told_by(report: Report, requirements: Iterable[str], optimize: str | None, relative_to: str | None) -> Report:
    """The report with what is asked for: the choice, and times against a reference form. Raises EcgEdgeError."""
    if relative_to is not None:
        report = with_relative(report, relative_to)
    return with_choice(report, requirements, optimize) if requirements or optimize is not None else report


def nothing_qualifies(report: Report) -> bool:
    """Whether a choice was asked for and every row fails it, of every task."""
    return bool(report.choices) and not any(choice.qualified for choice in report.choices)


def resume_command(folder: Path, uri: str | None = None, trust: bool = False, cluster: str | None = None) -> str:
    """The command line that goes on with a run, and sends it to MLflow there.

    Args:
        trust: the user vouched for code in its files.
        cluster: whose workers convert.
    """
    sent = ["--mlflow", uri] if uri else []
    more = [*sent, *(["--trust"] if trust else []), *(["--cluster", cluster] if cluster else [])]
    return command_line("matrix", "--resume", str(folder), *more)


def command_line(*words: str) -> str:
    """A command line that finds the plugins that this one found."""
    extra = ["--plugins-dir", os.environ["ECGEDGE_PLUGINS_DIR"]] if "ECGEDGE_PLUGINS_DIR" in os.environ else []
    return shlex.join(["ecgedge", *extra, *words])
