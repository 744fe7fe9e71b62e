"""The page: everything that the template shows, from rows, run and folder."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from ecgedge.choose import METRICS, Choice, Metric, decide
from ecgedge.errors import counted
from ecgedge.files import escape
from ecgedge.report.columns import Column, page_columns, several_places
from ecgedge.report.decision import unsteady_notes
from ecgedge.report.devices import agreements
from ecgedge.report.document import Report
from ecgedge.report.files import changed_decisions, on_device
from ecgedge.report.html.devices import across
from ecgedge.report.html.figures import Figure, Looks, form
from ecgedge.report.html.models import Section, section
from ecgedge.report.html.pareto import pareto
from ecgedge.report.html.patients import of_patients
from ecgedge.report.html.run_files import RunFiles
from ecgedge.report.machines import machine_of, machine_words
from ecgedge.report.portability import NONE_ASKED, certified
from ecgedge.report.remake import remake
from ecgedge.report.remarks import remarks
from ecgedge.report.table import TITLES, noise_lines, wide_lines
from ecgedge.run.row import Row

if TYPE_CHECKING:
    from jinja2 import Environment

    from ecgedge.report.relative import Relative

MOST_ROWS = 1000  # in the tables and pictures of the page; of more, those of the models that matter most
MOST_SECTIONS = 40  # models with pictures of their own
MOST_TOLD = 40  # rows of a front, and ties with a winner, that are listed
FILTERS = ("model", "format", "precision", "runtime", "place", "status")  # of the table, by what rows have


@dataclass(frozen=True)
class Block:
    """The models of one task on one device."""

    task: str
    title: str
    rows: Sequence[Row]
    columns: Sequence[Column]
    plot: Figure | None


def render(report: Report) -> str:
    """One HTML page, which needs no other file.

    Without a choice it shows the Pareto fronts. Where beats or answers are gone from the run's folder, it says so.
    """
    run, fronts = report.run, fronts_of(report)
    choices = report.choices or fronts
    rows, left_out = shown_rows(report.rows, fronts, choices)
    files, looks = RunFiles(report.compared_by().run), Looks.of(rows)
    with_section = {*ranked(looks.models, rows, fronts, choices)[:MOST_SECTIONS]}
    told = [row for row in rows if row.figures]
    return page_of(
        "page.html",
        run["versions"].get("ecgedge", ""),
        run=run,
        best=report.best,
        decisions=[Decision(choice, report) for choice in choices],
        front={row.id for choice in fronts for row in choice.front},
        blocks=blocks(rows, fronts, choices, looks, report.relative),
        filters=[name for name in FILTERS if name != "place" or several_places(rows)],
        values=lambda key: sorted({value for row in rows if (value := getattr(row, key))}),
        across=across(rows),
        agreements=agreements(report),
        certified=certified(report),
        none_asked=NONE_ASKED,
        boards=board_words(run),
        sections=sections(rows, looks, with_section, files, named_by(choices)),
        models=looks.models,
        all_skipped=all(row.status in ("ok", "skipped") for row in rows),
        files=[(row, row.file.path) for row in rows if row.file and row.file.path],
        wide=wide_lines(rows, report.noise),
        patients=of_patients(rows, files),
        left_out=left_out,
        most=MOST_TOLD,
        counts=Counter(row.status for row in report.rows),
        told=told,
        told_names=list(dict.fromkeys(name for row in told for name in row.figures)),
        troubles=troubles(rows),
        remarks=[line.removeprefix("remark: ") for line in remarks(report)],
        gates=[(row, text) for row in rows for text in doubts(row)],
        changed=changed_decisions(rows),
        machine=machine_words(run["machine"]),
        on_devices=[f"{row.id}: {text}" for row in rows if (text := on_device(row))],
        noise=noise_lines(report.noise).splitlines(),
        form=form,
        anchor=anchor,
    )


def anchor(row: Row) -> str:
    """What a row's line is called in the address of the page."""
    return f"row-{escape.file_name(row.id, 255)}"


def page_of(template: str, version: str, /, **shown: Any) -> str:
    """A page that needs no other file: its template in the frame that all pages have.

    Args:
        version: of ecgedge, that it is made by; empty: it does not say.
        shown: what the template shows.
    """
    from markupsafe import Markup  # not needed for the other formats

    own = [f"\n{templates().get_template(name).render()}\n" for name in ("style.css", "script.js")]
    style, script = map(Markup, own)  # files of ours, into which nothing is put
    page = templates().get_template(template)
    return page.render(policy=policy(style, script), style=style, script=script, version=version, **shown)


@cache
def templates() -> Environment:
    """The templates, each compiled when it is first used."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # not needed for the other formats

    found = Environment(
        loader=PackageLoader("ecgedge.report.html"), autoescape=True, undefined=StrictUndefined, finalize=finished,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    found.filters["micro"] = lambda words: words.replace(" us", " µs").replace(" uJ", " µJ")  # metrics keep to ASCII
    return found


def finished(value: Any) -> Any:
    """What a template prints: of a text, nothing unseen."""
    return escape.html(value) if isinstance(value, str) else value


def policy(style: str, script: str) -> str:
    """The Content-Security-Policy of a page: its own style sheet and script by their hashes, and nothing else."""
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in (style, script)
    ]
    allowed = {"default-src": "'none'", "style-src": hashes[0], "script-src": hashes[1], "img-src": "data:",
               "base-uri": "'none'", "form-action": "'none'"}  # fmt: skip
    return "; ".join(f"{what} {source}" for what, source in allowed.items())


def fronts_of(report: Report) -> Sequence[Choice]:
    """The Pareto fronts, which need no requirement; none where no row works."""
    if not of(report.rows, "status", "ok"):
        return []
    return decide(report.rows, compare=report.compared_by())


def ranked(
    models: Sequence[str], rows: Sequence[Row], fronts: Sequence[Choice], choices: Sequence[Choice]
) -> list[str]:
    """Models with a winner first, then those of the fronts, then the rest, each in the order of the run."""
    winners = {choice.winner.model for choice in choices if choice.winner}
    best = {row.model for choice in fronts for row in choice.front}
    return sorted(models, key=lambda model: (model not in winners, model not in best))


def shown_rows(rows: Sequence[Row], fronts: Sequence[Choice], choices: Sequence[Choice]) -> tuple[Sequence[Row], str]:
    """The rows that the page shows, whole models as far as they go, and what is said of the others."""
    if len(rows) <= MOST_ROWS:
        return rows, ""
    models: dict[str, list[Row]] = {}
    for row in rows:
        models.setdefault(row.model, []).append(row)
    kept: set[str] = set()
    count = 0
    for model in ranked([*models], rows, fronts, choices):
        if count + len(models[model]) <= MOST_ROWS:
            kept.add(model)
            count += len(models[model])
    shown = [row for row in rows if row.model in kept]
    return shown, (
        f"{len(rows):,} rows make too large a page: it shows the {len(shown):,} of {counted(len(kept), 'model')}, "
        "those with the choice and on the fronts first; "
        f"the rows of all {len(models):,} are in rows.jsonl and report.csv."
    )


def of(rows: Sequence[Row], key: str, value: str) -> list[Row]:
    return [row for row in rows if getattr(row, key) == value]


def blocks(
    rows: Sequence[Row],
    fronts: Sequence[Choice],
    choices: Sequence[Choice],
    looks: Looks,
    relative: Relative | None,
) -> list[Block]:
    """Of each task, and within that of each device."""
    front = {(choice.task, choice.device): [row.id for row in choice.front] for choice in fronts}
    winners = {(choice.task, choice.device): choice.winner.id for choice in choices if choice.winner}
    found = []
    for task, title in TITLES.items():
        for place in places_of(rows):
            if group := [row for row in rows if (row.task, row.place) == (task, place)]:
                plot = pareto(group, task, front.get((task, place), []), winners.get((task, place)), looks)
                named = f"{title} on {group[0].place}" if several_places(rows) else title
                found.append(Block(task, named, group, page_columns(group, task, relative), plot))
    return found


def named_by(choices: Sequence[Choice]) -> set[str]:
    """The ids of the rows that choices name: the winner, or the front with the suggested row."""
    winners = {choice.winner.id for choice in choices if choice.winner}
    return winners | {row.id for choice in choices for row in choice.front}


def sections(
    rows: Sequence[Row], looks: Looks, with_section: Collection[str], files: RunFiles, suggested: Collection[str]
) -> list[Section]:
    """Of each model, and within that of each device."""
    named = [(model, place) for model in looks.models if model in with_section for place in places_of(rows)]
    groups = [(model, [row for row in rows if (row.model, row.place) == (model, place)]) for model, place in named]
    several = several_places(rows)
    return [
        section(i, f"{model} on {group[0].place}" if several else model, group, files, looks.colour(model), suggested)
        for i, (model, group) in enumerate(groups)
        if group
    ]


def places_of(rows: Sequence[Row]) -> list[str]:
    """The devices that rows are of, in order."""
    return list(dict.fromkeys(row.place for row in rows))


def board_words(run: Mapping[str, Any]) -> list[str]:
    """What each board is, in a line."""
    return [f"{name}: {', '.join(machine_of(board))}" for name, board in run.get("boards", {}).items()]


@dataclass(frozen=True)
class Decision:
    """A choice as the top of the page shows it."""

    choice: Choice
    report: Report

    @property
    def title(self) -> str:
        place = f" on {self.choice.device}" if several_places(self.report.rows) else ""
        return TITLES[self.choice.task] + place

    @property
    def criteria(self) -> str:
        """By what forms are held against each other, in words."""
        *names, last = (self.name(metric).partition(",")[0] for metric in self.choice.criteria[::-1])
        return f"{', '.join(names)} and {last}" if names else last

    @property
    def metrics(self) -> list[Metric]:
        """What the figures of a form are told by."""
        asked = [self.choice.optimize] if self.choice.optimize else []
        timed = [METRICS["latency_p50"]] if METRICS["latency_p50"] in self.choice.criteria else []
        return list(dict.fromkeys([*asked, *timed, METRICS["size"], self.choice.quality]))

    @property
    def unsteady(self) -> list[str]:
        """Whose times decided nothing, a line a model."""
        return [*unsteady_notes(self.choice.unsteady)]

    def ship(self, row: Row) -> str:
        """The file, or the command that makes it again."""
        return remake(row, self.report)

    def name(self, metric: Metric) -> str:
        return (
            "latency, median"
            if metric.name == "latency_p50"
            else metric.name.replace("_", " ").replace("auroc", "AUROC")
        )

    def praise(self, row: Row) -> list[str]:
        """In what a row leads the front by more than noise: of a tie none is the best."""
        quality, compare = self.choice.quality, self.report.compared_by()
        words = {"latency_p50": "quickest", "size": "smallest", quality.name: f"best {self.name(quality)}"}
        found = []
        for name, word in words.items():
            metric = METRICS[name]
            rivals = [each for each in self.choice.front if each is not row and metric.value(each) is not None]
            if row is first(self.choice.front, metric) and not any(compare(metric, row, each).tie for each in rivals):
                found.append(word)
        return found


def doubts(row: Row) -> list[str]:
    """Why to look twice at a row that works."""
    told = [gate.text for gate in row.gates]
    if row.unsteady:
        counts = f"{row.times.blocks_quick} of {row.times.blocks} blocks were timed in the machine's usual quick state"
        told.append(f"its times are unsteady: {counts}")
    return told


def first(rows: Sequence[Row], metric: Metric) -> Row | None:
    """The best row that has the metric, and can be held to it."""
    ranked = (row for row in rows if metric.value(row) is not None and not metric.unsteady(row))
    return min(ranked, key=metric.order, default=None)


@dataclass(frozen=True)
class Trouble:
    """What did not work, for the same reason in each of some models."""

    status: str
    what: str
    stage: str
    reason: str
    models: list[str]


def troubles(rows: Sequence[Row]) -> list[Trouble]:
    """What failed first, then what was skipped."""
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for row in rows:
        if row.status != "ok":
            names = found.setdefault((row.status, form(row), row.outcome.stage or "", row.reason), [])
            names += [row.model] if row.model not in names else []
    ordered = sorted(found.items(), key=lambda item: (item[0][0] == "skipped", item[0]))
    return [Trouble(status, what, stage, reason, models) for (status, what, stage, reason), models in ordered]
