"""The choice as what people and programs read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from ecgedge.choose import METRICS, Choice, Metric, Wanted
from ecgedge.errors import counted
from ecgedge.files import escape
from ecgedge.report.columns import IDENTITY, relative_to, rivals, several_places
from ecgedge.report.document import Report
from ecgedge.report.grid import as_csv, cut, relative_columns, spread, table
from ecgedge.report.lines import COLUMNS, Note, fitted, wide
from ecgedge.report.machines import machine_of
from ecgedge.report.relative import Relative
from ecgedge.report.remake import remake
from ecgedge.run.row import Row

MOST_TIES = 5  # that are shown; JSON has all
DOMINATED = "dominated: another is better in one of these by more than noise, and worse in none"


def terminal(report: Report) -> str:
    """A block for each task and device, with the winner in colour."""
    return "\n\n".join(block for choice in report.choices for block in blocks(choice, report))


def markdown(report: Report) -> str:
    found = (block for choice in report.choices for block in blocks(choice, report, markdown=True))
    return "\n\n".join(found) + "\n"


def flat(report: Report) -> str:
    """The rows that are shown as CSV, with their place."""
    rows = [(place, row) for choice in report.choices for place, row in placed(choice)]
    shown = [row for _, row in rows]
    more = relative_columns(shown, report.relative) or [{}] * len(rows)
    return as_csv(shown, [{"place": place} | each for (place, _), each in zip(rows, more)])


def data(report: Report) -> str:
    """All of it as JSON."""
    choices = [choice.as_data() for choice in report.choices]
    more = {"relative_to": report.relative.record()} if report.relative else {}
    return json.dumps({"run": str(report.folder), "choices": choices} | more, indent=1, allow_nan=False) + "\n"


def blocks(choice: Choice, report: Report, markdown: bool = False) -> Iterator[str]:
    """Title, counts, the rows that matter, and what is to be said of them."""
    place = f" on {choice.device}" if several_places(report.rows) else ""
    title = f"Choice, {choice.task}{place}: {wanted(choice)}"
    yield f"## {escape.markdown(title)}" if markdown else escape.style(title, bold=True)
    heads = [counts(choice), measured_on(choice, report)]
    yield "\n".join(map(escape.markdown, heads) if markdown else fitted(map(escape.line, heads)))
    if rows := placed(choice):
        yield rows_table(choice, rows, markdown, report.relative)
    told = [*notes(choice, report)]
    if told and markdown:
        yield "\n".join(f"- {escape.markdown(note.whole)}" for note in told)
    elif told:
        *others, last = (note.lines() for note in told)
        if choice.winner or choice.front:
            last = [escape.style(line, bold=True) for line in last]  # what to ship
        yield "\n".join(line for lines in (*others, last) for line in lines)


def measured_on(choice: Choice, report: Report) -> str:
    """By which processor the figures are."""
    board = report.run.get("boards", {}).get(choice.considered[0].board)
    words = machine_of(board or report.run["machine"])
    return f"measured on {words[0]}, {words[1]}"


def wanted(choice: Choice) -> str:
    """What is asked for."""
    if not choice.optimize:
        *names, last = (metric.name for metric in choice.criteria)
        return f"Pareto front of {', '.join(names)}{' and ' if names else ''}{last}"
    return f"{'highest' if choice.optimize.higher else 'lowest'} {choice.optimize.name}"


def counts(choice: Choice) -> str:
    """How many rows qualify, of how many, and what could not win."""
    asked = " and ".join(each.text for each in choice.requirements)
    count = choice.working
    text = f"{len(choice.qualified):,} of {counted(count, 'row')} meet {asked}" if asked else counted(count, "row")
    left = ", ".join(f"{number} {status}" for status, number in choice.left_out.items())
    return f"{text}; not considered: {left}" if left else text


def placed(choice: Choice) -> list[tuple[str, Row]]:
    """The rows that matter, each with its place."""
    if choice.misses:
        return [(miss.requirement.text, miss.row) for miss in choice.misses]
    if choice.front:
        return [("front", row) for row in choice.front]
    rows = [("winner", choice.winner), ("runner-up", choice.runner_up)]
    rows += [("tie", tie.row) for tie in choice.ties if tie.breaks and tie.row is not choice.runner_up][:MOST_TIES]
    return [(place, row) for place, row in rows if row]


def rows_table(choice: Choice, rows: list[tuple[str, Row]], markdown: bool, relative: Relative | None) -> str:
    """Who they are, and their figures in what is asked for and in what else may matter, the memory where there is room
    for it."""
    asked = [choice.optimize] if choice.optimize else []
    asked += [each.metric for each in choice.limits() if each.device in ("", choice.device)]
    metrics = list(dict.fromkeys([*asked, choice.quality, *choice.criteria]))
    spare = [METRICS["memory"]] if METRICS["memory"] not in metrics else []
    whole = with_metrics(choice, rows, [*metrics, *spare], markdown, relative)
    fits = markdown or max(map(wide, whole.splitlines())) <= COLUMNS
    return whole if fits else with_metrics(choice, rows, metrics, markdown, relative)


def with_metrics(
    choice: Choice, rows: list[tuple[str, Row]], metrics: list[Metric], markdown: bool, relative: Relative | None
) -> str:
    """The table of rows with these metrics."""
    elsewhere = [each for each in choice.limits() if each.device and each.device != choice.device]
    ratios = [relative_to(relative)] if relative else []
    cells = [
        [place, *(column.text(row) if markdown else cut(column.text(row)) for column in IDENTITY),
         *(metric.told(row) for metric in metrics), *(each.told(row) for each in elsewhere),
         *(column.text(row) for column in ratios), row.id]
        for place, row in rows
    ]  # fmt: skip
    if not rivals(choice.considered):  # else the id tells them apart
        cells = [row[:-1] for row in cells]
    cells = [[escape.markdown(text, starts=False) if markdown else escape.line(text) for text in row] for row in cells]
    if choice.winner and not markdown:
        cells[0] = [escape.style(text, "green", bold=True) for text in cells[0]]
    heads = [
        "nearest to" if choice.misses else "",
        *(column.head for column in IDENTITY),
        *(metric.name for metric in metrics),
        *(f"{each.metric.name}@{each.device}" for each in elsewhere),
        *(column.head for column in ratios),
        *(["row"] if rivals(choice.considered) else []),
    ]
    heads = heads if markdown else [escape.style(head, bold=True) for head in heads]
    return table(heads, cells, 1 + len(IDENTITY), markdown)


def notes(choice: Choice, report: Report) -> Iterator[Note]:
    yield from map(Note, unsteady_notes(choice.unsteady))
    if report.relative:
        yield Note(f"time x: p50 relative to {report.relative.asked} of the same model")
    if emulated := choice.considered[0].emulated:
        yield Note(f"{choice.device} is an emulated {emulated}: it has answers, and no times")
    if len({row.clock for row in choice.considered}) > 1:
        yield Note(f"times are by several clocks: {'; '.join(clocks_of(choice.considered))}")
    yield from map(Note, alone_notes(choice, report.rows))
    if choice.winner:
        yield from winner_notes(choice, choice.winner, report)
    elif choice.front:
        yield from front_notes(choice, report)
    else:
        yield from miss_notes(choice)


def unsteady_notes(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each model some of whose rows are unsteady: how few of their blocks count."""
    for model in dict.fromkeys(row.model for row in rows):
        odd = [row for row in rows if row.model == model]
        quick, all_of = (spread([count or 0 for count in counts]) for counts in zip(*map(blocks_of, odd), strict=True))
        if len(odd) == 1:  # an id is long, and a line has 120 columns
            yield f"unsteady: {odd[0].id}: {quick} of {all_of} blocks were quick; its times decide nothing"
        else:
            yield (
                f"unsteady: {len(odd)} rows of {model} have {quick} of {all_of} blocks in the machine's usual quick "
                "state; their times decide nothing"
            )


def blocks_of(row: Row) -> tuple[int | None, int | None]:
    """How many of its blocks were timed in the machine's usual quick state, and how many at all."""
    return row.times.blocks_quick, row.times.blocks


def alone_notes(choice: Choice, rows: Sequence[Row]) -> Iterator[str]:
    """How many rows a requirement on portability leaves out since nothing but one way was tried."""
    asked = [each for each in choice.requirements if isinstance(each, Wanted) and each.field == "portability"]
    alone = sum(bool(row.portable and row.portable.is_alone) and row.task == choice.task for row in rows)
    if asked and alone:
        count = f"{alone} row{'' if alone == 1 else 's'}"
        yield f"{asked[0].text} does not take {count} for which only one way was tried: that says nothing of others"


def clocks_of(rows: Sequence[Row]) -> list[str]:
    """Each clock that rows were timed by, with their runtimes."""
    runtimes: dict[str, list[str]] = {}
    for row in rows:
        runtimes.setdefault(row.clock or "that of this machine", []).append(row.runtime)
    return [f"{clock} ({', '.join(dict.fromkeys(names))})" for clock, names in runtimes.items()]


def winner_notes(choice: Choice, winner: Row, report: Report) -> Iterator[Note]:
    """How sure it is, what may break a tie, and the file to ship."""
    if choice.against:
        yield Note(f"against the runner-up: {choice.against.text}")
        if choice.runner_up:
            yield Note("the runner-up", remake(choice.runner_up, report))
    else:
        yield Note("there is no runner-up: nothing else qualifies")
    breaking = [tie for tie in choice.ties if tie.breaks][:MOST_TIES]
    for tie in breaking:
        ahead = ", ".join(each.name for each in tie.ahead)
        behind = [("behind", tie.behind), ("perhaps behind", tie.doubtful)]
        told = "".join(f", {word} in {', '.join(each.name for each in found)}" for word, found in behind if found)
        where = f"ahead of it in {ahead}{told or '; take this one instead'}"
        yield Note(f"{name(tie.row, choice)} ties with the winner, {where}", remake(tie.row, report))
    if (more := len(choice.ties) - len(breaking)) > 0:
        yield Note(f"{more} {'more tie' if breaking else 'tie'} with the winner, and offer nothing that these do not")
    yield from crossings(choice, [winner] + ([choice.runner_up] if choice.runner_up else []))
    if choice.suggestion and (found := choice.suggestion.doubt):
        yield Note(f"look twice before you ship {name(winner, choice)}, {found}", remake(winner, report))
    else:
        yield Note(f"ship {name(winner, choice)}", remake(winner, report))


def front_notes(choice: Choice, report: Report) -> Iterator[Note]:
    """What the front leaves out, and the files of the rest."""
    if choice.dominated:
        yield Note(f"{len(choice.dominated)} more {'is' if len(choice.dominated) == 1 else 'are'} {DOMINATED}")
    yield from crossings(choice, choice.front)
    found = choice.suggestion
    for row in [*choice.front, *([found.row] if found and found.row not in choice.front else [])]:
        yield Note(name(row, choice), remake(row, report))
    if found:
        yield Note("; ".join(filter(None, (f"suggested: {name(found.row, choice)}, {found.why}", found.advice))))
        if found.doubt:
            yield Note(f"look twice: {found.doubt}")


def crossings(choice: Choice, rows: list[Row]) -> Iterator[Note]:
    """The limits that are met, or just met, within the noise of the figure."""
    for row in rows:
        for limit in choice.crossed(row):
            asked = limit.row(row) or row
            what = "is unsteady, and may not meet" if limit.metric.unsteady(asked) else "crosses the limit"
            yield Note(f"{name(row, choice)}: {limit.metric.name} {limit.told(row)} {what} {limit.text}")


def miss_notes(choice: Choice) -> Iterator[Note]:
    """How far the nearest row is from each limit, and which limits there is no figure for."""
    yield Note(f"nothing qualifies{'; nearest misses:' if choice.misses else ''}")
    for text in choice.unknown():
        yield Note(f"{text}: no row has that figure")
    for miss in choice.misses:
        limit, others = miss.requirement, len(choice.limits()) > 1
        rest = ("; it meets all else" if miss.others_met else "; no row meets all else") if others else ""
        off = limit.metric.show(limit.gap(miss.row))
        crossed = "; the limit lies within the interval" if limit.crossed(miss.row) else ""
        crossed = "; the figure is unsteady" if limit.metric.unsteady(limit.row(miss.row) or miss.row) else crossed
        told = f"{name(miss.row, choice)} has {limit.told(miss.row)}"
        yield Note(f"{limit.text}: {told}, {off} off{crossed}{rest}")


def name(row: Row, choice: Choice) -> str:
    """A row in words; by its id where two routes lead to one form."""
    return row.id if rivals(choice.considered) else f"{row.model} {row.format} {row.precision_words} on {row.runtime}"
