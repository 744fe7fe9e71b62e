"""Rows as a table that fits a terminal of 120 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ecgedge.errors import counted
from ecgedge.files import escape
from ecgedge.report import decision, devices, portability
from ecgedge.report.columns import OWN, Column, measured_by, text_columns
from ecgedge.report.document import Report
from ecgedge.report.grid import cut, spread, table
from ecgedge.report.lines import COLUMNS, fitted
from ecgedge.report.remarks import remarks
from ecgedge.run.row import Row
from ecgedge.run.rows import UNSTEADY, Noise, timed_words, whole_rows

STATUSES = {"rejected": "red", "failed": "red", "timeout": "red", "skipped": "yellow"}  # with their colours
TITLES = {"classification": "Classification", "multilabel": "Several labels", "anomaly": "Anomaly detection"}
SPARE = ("prec", "rec", "AUPRC")  # what a terminal does without first: others tell nearly the same
NARROW = ("macro-F1", "RAM", "p95", "+-", "beats/s")  # what one of less than COLUMNS columns does without next
COLOURS = STATUSES | {UNSTEADY: "yellow", "worse": "red"}  # of words in a cell
NOISY = 0.05  # a machine with a noise floor above that cannot tell 5% apart
TOO_NOISY = "; too noisy to tell 5% apart"
FP32 = "fp32 of the same model, format\nand runtime"  # that times are relative to, where nothing else is asked for
LEGEND = (
    "size in kB; RAM: what it takes beyond the libraries, in MB; time x: p50 relative to {reference}, = where that is "
    "a tie, ? where it is unsteady; verdict: against the trained model, beats paired;\n"
    "p50, p95: latency of the model in us, one beat a call; +-: of p50, 95% interval in %; "
    "beats/s: {batches} beats a call"
)


def terminal(report: Report) -> str:
    """What was scored, the tables, the noise, and the choice where one is asked for."""
    run = report.run
    data = escape.line(f"data: {run['data']}")
    blocks = [
        f"{data}\n{run['beats']:,} test beats scored, profile {run['profile']}",
        tables(report),
        "\n".join([noise_lines(report.noise), *fitted(map(escape.line, wide_lines(report.rows, report.noise)))]).strip(
            "\n"
        ),
        "\n".join(fitted(devices.lines(devices.agreements(report)))),
        "\n".join(map(escape.line, portability.lines(portability.certified(report)))),
        "\n".join(map(escape.line, file_lines(report))) if report.with_files else "",
    ]
    if report.choices:
        blocks.append(decision.terminal(report))
    return "\n\n".join(filter(None, blocks))


def file_lines(report: Report) -> list[str]:
    """A line for each row that has a file: its name, by which other commands take it, and where the file is."""
    files = {row.id: report.folder / row.file.path for row in report.rows if row.file and row.file.path}
    widest = max(map(len, files), default=0)
    return [f"file: {name:<{widest}}  {path}" for name, path in files.items()]


def tables(report: Report, markdown: bool = False) -> str:
    """One table a task: classifiers, then anomaly detectors; below them what did not work, and why.

    The best values of each model are bold, in colour on a terminal.
    """
    blocks, left_out, rows = [], list[str](), report.rows
    ratios = size_ratios(rows) if markdown else None
    for task, title in TITLES.items():
        if of_task := [row for row in rows if row.task == task]:
            columns = text_columns(of_task, task, ratios, report.relative)
            cells = [[cell(row, column, report, markdown) for column in columns] for row in of_task]
            words = [column.words for column in columns].index(False)
            kept = range(len(columns)) if markdown else fitting(columns, cells, report.columns)
            left_out += [column.head for place, column in enumerate(columns) if place not in kept]
            heads, cells = [columns[place].head for place in kept], [[row[place] for place in kept] for row in cells]
            heads = heads if markdown else [escape.style(head, bold=True) for head in heads]
            blocks += [f"## {title}" if markdown else title, table(heads, cells, words, markdown)]
    gone = f"left out, to fit {report.columns} columns: {', '.join(dict.fromkeys(left_out))}; report.md has them"
    left = [gone] if left_out else []
    blocks.append("\n".join([legend(report), *left, *told_by_runtimes(rows, markdown)]))
    told = [line for each in (unsteady, own, emulated, notes) for line in each(rows, markdown)]
    told += [f"- {escape.markdown(line)}" if markdown else escape.line(line) for line in remarks(report)]
    if lines := [*reasons(rows, markdown), *(told if markdown else fitted(told))]:
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def fitting(columns: Sequence[Column], cells: Sequence[Sequence[str]], room: int = COLUMNS) -> list[int]:
    """The places of the columns that a terminal has room for: those of ``SPARE`` go, in that order, until all fit, and
    in a narrow one those of ``NARROW`` after them."""
    wide = [max(map(len, map(escape.unstyle, (column.head, *(row[place] for row in cells)))))
            for place, column in enumerate(columns)]  # fmt: skip
    kept = [*range(len(columns))]
    for head in SPARE + NARROW * (room < COLUMNS):
        if sum(wide[place] + 1 for place in kept) - 1 <= room:
            break
        kept = [place for place in kept if columns[place].head != head]
    return kept


def legend(report: Report) -> str:
    """What the columns mean."""
    asked = report.relative.asked if report.relative else ""
    reference = f"{escape.line(asked)}\nof the same model" if asked else FP32
    return LEGEND.format(reference=reference, batches=batches(report.rows))


def told_by_runtimes(rows: Sequence[Row], markdown: bool = False) -> list[str]:
    """A line for each figure that runtimes declare: its unit, and what it is."""
    shown = escape.markdown if markdown else escape.line
    declared = {figure.name: figure for row in rows for figure in row.declared}
    return [
        shown(f"{name}: {', '.join(filter(None, [figure.help, f'in {figure.unit}' if figure.unit else '']))}")
        for name, figure in declared.items()
    ]


def cell(row: Row, column: Column, report: Report, markdown: bool) -> str:
    """The text of a cell, marked where it is one of the best."""
    text, best = column.text(row), (row.id, column.metric) in report.best
    if markdown:
        text = escape.markdown(text, starts=False)
        return f"**{text}**" if best else text
    colour = "green" if best else COLOURS.get(text, "")
    return escape.style(cut(text), colour, bold=best) if colour else cut(text)


def size_ratios(rows: Sequence[Row]) -> Column:
    """Size relative to the fp32 row of the same model, route, format and runtime."""
    whole = whole_rows(rows)

    def show(row: Row) -> str:
        base = whole[row.form].size_bytes if row.form in whole else None
        return f"{row.size_bytes / base:.2f}" if base and row.size_bytes else "-"

    return Column("size x", show)


def reasons(rows: Sequence[Row], markdown: bool = False) -> list[str]:
    """A line for each distinct reason why rows did not work or were skipped, by status, the worst first."""
    models: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        if row.status != "ok":
            place = f", {row.board}" if row.board else ""
            what = " ".join(filter(None, [row.format, row.precision_words, f"on {row.runtime}{place}"]))
            names = models.setdefault((row.status, what, row.reason), [])
            names += [row.model] if row.model not in names else []
    order = list(STATUSES)
    return [
        item(status, STATUSES[status], f": {what} ({', '.join(names)}): {reason}", markdown)
        for (status, what, reason), names in sorted(models.items(), key=lambda item: (order.index(item[0][0]), item))
    ]


def item(word: str, colour: str, rest: str, markdown: bool) -> str:
    """A line that begins with a coloured word, or an item of a list in Markdown."""
    return f"- {escape.markdown(word + rest)}" if markdown else escape.style(word, colour) + escape.line(rest)


def notes(rows: Sequence[Row], markdown: bool = False) -> list[str]:
    """A line for each row of whose file its quantizer has something to tell."""
    shown = escape.markdown if markdown else escape.line
    return [
        shown(line)
        for line in dict.fromkeys(
            f"note: {row.model} {row.format} {row.precision_words} on {row.runtime}: {row.note}"
            for row in rows
            if row.note
        )
    ]


def emulated(rows: Sequence[Row], markdown: bool = False) -> list[str]:
    """A line for each board, or runtime, that this machine plays."""
    shown = escape.markdown if markdown else escape.line
    found = dict.fromkeys((row.board or row.runtime, row.emulated) for row in rows if row.emulated)
    lines = [shown(f"{name}: an emulated {core}, of which there are answers and no times") for name, core in found]
    return [f"- {line}" for line in lines] if markdown else lines


def unsteady(rows: Sequence[Row], markdown: bool = False) -> list[str]:
    """A line for each model, on each device, some of whose rows are unsteady: how many, and how few blocks count."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.unsteady:
            found.setdefault(timed_words(row.model, (row.board, None)), []).append(row)
    return [
        item(UNSTEADY, "yellow", f": {model}, {len(odd)} of its rows: {quick_of(odd)}", markdown)
        for model, odd in found.items()
    ]


def wide_lines(rows: Sequence[Row], noise: Mapping[str, Noise]) -> list[str]:
    """A line for each model some of whose steady rows have a p50 with an interval wider than the noise floor: their
    ratios are taken in the same rounds, and say more."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        model = timed_words(row.model, row.timed_by)
        if row.latency and not row.unsteady and model in noise and half_width(row) > noise[model].floor:
            found.setdefault(model, []).append(row)
    return [
        f"wide: {model}: p50 of {counted(len(odd), 'row')}, +-{told_width(max(map(half_width, odd)))} at worst, is "
        f"less exact there than time x (noise floor {noise[model].floor:.1%})"
        for model, odd in found.items()
    ]


def half_width(row: Row) -> float:
    """Of the 95% interval of p50, relative to it."""
    times = row.times
    return (times.p50_high_us - times.p50_low_us) / 2 / times.p50_us


def told_width(width: float) -> str:
    """In percent; with a decimal below 1%, which would else read as none."""
    return f"{width:.0%}" if width >= 0.01 else f"{width:.1%}"


def own(rows: Sequence[Row], markdown: bool = False) -> list[str]:
    """A line for each runtime whose sessions measure themselves: what, and by what."""
    shown = escape.markdown if markdown else escape.line
    found = dict.fromkeys((row.runtime, measured_by(row)) for row in rows if row.meters)
    lines = [shown(f"{OWN} of {runtime}: {told}; all else is by this machine") for runtime, told in found]
    return [f"- {line}" for line in lines] if markdown else lines


def quick_of(rows: Sequence[Row]) -> str:
    """How many blocks of unsteady rows were timed in the machine's usual quick state."""
    return (
        f"{spread([row.times.blocks_quick or 0 for row in rows])} of {spread([row.times.blocks or 0 for row in rows])} "
        "blocks in the "
        "machine's usual quick state; times are of all blocks"
    )


def batches(rows: Sequence[Row]) -> str:
    """The largest batch of each row: 64 as a rule; what was asked for; more on a GPU; what a user's file fixes."""
    largest = sorted({max(row.throughput) for row in rows if row.throughput})
    return " to ".join(f"{size:,}" for size in dict.fromkeys((largest[0], largest[-1]))) if largest else "64"


def noise_lines(noise: Mapping[str, Noise], markdown: bool = False) -> str:
    """What the files that were timed twice showed, a line a model; Markdown names the cell as well."""
    lines = []
    for model, pair in noise.items():
        what = escape.markdown_code(pair.cell) if markdown else "a file"
        model = escape.markdown(model) if markdown else escape.line(model)
        text = f"{model}: {what} timed twice: {abs(pair.ratio.ratio - 1):.1%} apart, noise floor {pair.floor:.1%}"
        if pair.result == UNSTEADY:
            text += f"; {UNSTEADY}: too few quick rounds"
        elif pair.floor > NOISY:
            text += TOO_NOISY
        lines.append(text)
    return "\n".join(f"- {text}" if markdown else f"noise: {text}" for text in lines)
