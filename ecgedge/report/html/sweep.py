"""The page of a sweep: ranks, the table of forms, each data set, what failed; in the design of a run's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecgedge.report.html import svg
from ecgedge.report.html.figures import Figure, Key, swatch
from ecgedge.report.html.page import page_of
from ecgedge.report.machines import machine_words
from ecgedge.report.swept import SweepReport, notes
from ecgedge.report.table import TITLES
from ecgedge.sweep.statistics import Line, Ranking

MOST_LINES = 400  # forms in a table
MOST_PLOTTED = 40  # in a picture
MOST_DATA = 200  # data sets in a table
MOST_COLUMNS = 60  # forms beside each other
WIDTH, LEFT, ROW = 760, 250, 24  # pixels


@dataclass(frozen=True)
class Block:
    """A task: its ranking, as far as it is shown, and its pictures."""

    anchor: str
    title: str
    ranking: Ranking
    lines: Sequence[Line]
    columns: Sequence[Line]
    notes: Sequence[str]
    ranks: Figure | None
    spread: Figure | None

    @property
    def data(self) -> Sequence[str]:
        return self.ranking.data[:MOST_DATA]

    @property
    def best(self) -> dict[str, float]:
        """The best mean on each data set."""
        found: dict[str, float] = {}
        for line in self.ranking.lines:
            for data, spread in line.by_data.items():
                found[data] = max(found.get(data, spread.mean), spread.mean)
        return found

    @property
    def left_out(self) -> str:
        """What the tables do not show, in words; empty where that is nothing."""
        found = []
        if len(self.lines) < len(self.ranking.lines):
            found.append(f"the first {len(self.lines)} of {len(self.ranking.lines)} forms are shown")
        if len(self.data) < len(self.ranking.data):
            found.append(f"the first {len(self.data)} of {len(self.ranking.data)} data sets are shown")
        return f"{'; '.join(found)}; all are in sweep.csv" if found else ""


def render(report: SweepReport) -> str:
    """One HTML page, which needs no other file."""
    return page_of(
        "sweep.html",
        report.about["versions"].get("ecgedge", ""),
        about=report.about,
        report=report,
        counts=report.summary.counts(),
        blocks=[block(number, ranking) for number, ranking in enumerate(report.rankings)],
        troubles=report.summary.troubles(),
        machine=machine_words(report.about["machine"]),
        cpu={name: seconds for name, seconds in report.cpu.items() if seconds},
    )


def block(number: int, ranking: Ranking) -> Block:
    lines = ranking.lines[:MOST_LINES]
    models = list(dict.fromkeys(line.form.model for line in ranking.lines))
    return Block(
        f"task-{number}", TITLES[ranking.task], ranking, lines, ranking.lines[:MOST_COLUMNS], notes(ranking),
        plot_ranks(ranking, models), plot_spread(ranking, models),
    )  # fmt: skip


def plot_ranks(ranking: Ranking, models: Sequence[str]) -> Figure | None:
    """Mean ranks, the best at the top; those that cannot be told from the first are filled darker."""
    lines = [line for line in ranking.lines if line.rank is not None][:MOST_PLOTTED]
    if len(lines) < 2:
        return None
    most = max(line.rank or 1 for line in lines)
    scale = svg.Scale(1, max(most, 2), LEFT, WIDTH - 20)
    marks = []
    for place, line in enumerate(lines):
        y = 20 + ROW * place
        colour = svg.colour(models.index(line.form.model))
        assert line.rank is not None
        marks.append(svg.line(LEFT, y, WIDTH - 20, y, "grid"))
        marks.append(svg.text(LEFT - 10, y + 4, svg.cut(name(line), 36), anchor="end", class_="label"))
        shape = "circle" if place == 0 or line.like_first else "diamond" if line.like_first is False else "square"
        words, class_ = f"{name(line)}: mean rank {line.rank:.2f}", f"mark {colour}{' chosen' if place == 0 else ''}"
        marks.append(svg.marker(shape, scale(line.rank), y, 6, class_, words))
    height = 20 + ROW * len(lines)
    marks += [
        part
        for tick in scale.ticks(6)
        for part in (svg.line(scale(tick), 8, scale(tick), height - 6, "grid"),
                     svg.text(scale(tick), height + 10, svg.plain(tick), anchor="middle"))
    ]  # fmt: skip
    marks.append(svg.text((LEFT + WIDTH) / 2, height + 30, "mean rank over data sets; 1 is the best", anchor="middle",
                          class_="title"))  # fmt: skip
    picture = svg.picture(WIDTH, height + 38, "Mean ranks", f"{len(lines)} forms by their mean rank", *marks)
    tested = ranking.lines[0].rank is not None and any(line.p is not None for line in ranking.lines)
    keys = [Key(swatch("circle", "plain"), "not told from the first"), Key(swatch("diamond", "plain"), "worse than it")]
    more = f"; the first {len(lines)} of {len(ranking.lines)}" if len(lines) < len(ranking.lines) else ""
    caption = f"Mean ranks over {len(ranking.complete)} data sets by mean {ranking.metric} over seeds{more}."
    return Figure(picture, caption, keys if tested else (), wide=True)


def plot_spread(ranking: Ranking, models: Sequence[str]) -> Figure | None:
    """Each form's mean on each data set as a dot, and its mean over them as a bar."""
    lines = [line for line in ranking.lines if line.by_data][:MOST_PLOTTED]
    values = [spread.mean for line in lines for spread in line.by_data.values()]
    if not values:
        return None
    low, high = min(values), max(values)
    room = (high - low) * 0.05 or 0.01
    scale = svg.Scale(low - room, high + room, LEFT, WIDTH - 20)
    marks = []
    for place, line in enumerate(lines):
        y = 20 + ROW * place
        colour = svg.colour(models.index(line.form.model))
        marks.append(svg.line(LEFT, y, WIDTH - 20, y, "grid"))
        marks.append(svg.text(LEFT - 10, y + 4, svg.cut(name(line), 36), anchor="end", class_="label"))
        for data, spread in [*line.by_data.items()][:MOST_DATA]:
            sd = f" ± {spread.sd:.4f}" if spread.sd is not None else ""
            words = f"{name(line)} on {data}: {spread.mean:.4f}{sd}, {spread.count} seeds"
            marks.append(svg.marker("circle", scale(spread.mean), y, 3.5, f"mark {colour}", words))
        assert line.mean is not None
        marks.append(svg.line(scale(line.mean), y - 8, scale(line.mean), y + 8, "bar"))
    height = 20 + ROW * len(lines)
    marks += [
        part
        for tick in scale.ticks(6)
        for part in (svg.line(scale(tick), 8, scale(tick), height - 6, "grid"),
                     svg.text(scale(tick), height + 10, svg.plain(tick), anchor="middle"))
    ]  # fmt: skip
    marks.append(svg.text((LEFT + WIDTH) / 2, height + 30, ranking.metric, anchor="middle", class_="title"))
    words = f"{ranking.metric} of {len(lines)} forms on each data set"
    picture = svg.picture(WIDTH, height + 38, "Spread over data sets", words, *marks)
    shown = "a data set" if len(ranking.data) <= MOST_DATA else f"one of the first {MOST_DATA} data sets"
    return Figure(picture, f"A dot is {shown}, its mean over seeds; a bar the mean of all data sets.", wide=True)


def name(line: Line) -> str:
    return f"{line.form.model} {line.words}"
