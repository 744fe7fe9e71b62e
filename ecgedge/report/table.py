"""Rows as a table that fits a terminal of 120 columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ecgedge.files import escape
from ecgedge.report import decision
from ecgedge.report.document import Report, Row
from ecgedge.report.grid import cut, rivals, table

Column = tuple[str, Callable[[Row], str], str]  # its head, what it shows, the metric whose best values are marked
STATUSES = {"rejected": "red", "failed": "red", "timeout": "red", "skipped": "yellow"}  # with their colours
UNSTEADY = "unsteady"  # in place of the status of a row that works, and whose times are none to go by
MARKS = {"tie": "=", UNSTEADY: "?"}  # before a ratio of times
NOISY = 0.05  # a machine with a noise floor above that cannot tell 5% apart
TOO_NOISY = "; too noisy to tell 5% apart"
LEGEND = (
    "size in kB; RAM: what it takes beyond the libraries, in MB; time x: p50 relative to fp32 of the same model, format"
    "\nand runtime, = where that is a tie, ? where it is unsteady; verdict: against the trained model, beats paired;\n"
    "p50, p95: latency of the model in us, one beat a call; +-: of p50, 95% interval in %; beats/s: {} beats a call"
)


def terminal(report: Report) -> str:
    """What was scored, the tables, the noise, and the choice where one is asked for."""
    run = report.run
    data = escape.line(f"data: {run['data']}")
    blocks = [
        f"{data}\n{run['beats']:,} test beats scored, profile {run['profile']}",
        tables(report),
        noise_lines(run["noise"]),
    ]
    if report.choices:
        blocks.append(decision.terminal(report))
    return "\n\n".join(filter(None, blocks))


def tables(report: Report, markdown: bool = False) -> str:
    """One table a task: classifiers, then anomaly detectors; below them what did not work, and why.

    The best values of each model are bold, in colour on a terminal.
    """
    blocks, rows = [], report.rows
    for title, task, figures in (
        ("Classification", "classification", QUALITY),
        ("Anomaly detection", "anomaly", DETECTION),
    ):
        if of_task := [row for row in rows if row["task"] == task]:
            identity = [*IDENTITY, ROUTE] if rivals(of_task) else IDENTITY
            columns = [*identity, SIZE, MEMORY, *(ratios(rows) if markdown else ()), TIME, *figures, *TIMES]
            cells = [[cell(row, column, report, markdown) for column in columns] for row in of_task]
            blocks += [
                f"## {title}" if markdown else title,
                table([name for name, *_ in columns], cells, len(identity), markdown),
            ]
    blocks.append(LEGEND.format(batches(rows)))
    if lines := [*reasons(rows, markdown), *unsteady(rows, markdown), *notes(rows, markdown)]:
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def cell(row: Row, column: Column, report: Report, markdown: bool) -> str:
    """The text of a cell, marked where it is one of the best."""
    _, show, metric = column
    text, best = show(row), (row["id"], metric) in report.best
    if markdown:
        text = escape.markdown(text, starts=False)
        return f"**{text}**" if best else text
    return escape.style(cut(text), "green", bold=True) if best else cut(text)


def ratios(rows: Sequence[Row]) -> list[Column]:
    """Size relative to the fp32 row of the same model, route, format and runtime."""

    def form(row: Row) -> tuple[Any, ...]:
        return row["model"], tuple(row.get("route", ())), row["format"], row["runtime"]

    whole = {form(row): row for row in rows if row["precision"] == "fp32" and row["status"] == "ok"}

    def show(row: Row) -> str:
        base = whole.get(form(row), {}).get("size_bytes")
        return f"{row['size_bytes'] / base:.2f}" if base and row.get("size_bytes") else "-"

    return [("size x", show, "")]


def times(row: Row) -> str:
    """Latency relative to fp32; ``=`` where the two tie, ``?`` where too few rounds were quick to tell."""
    if row["precision"] == "fp32" and row["status"] == "ok":
        return "1.00"
    found = row.get("time_ratio")
    return f"{MARKS.get(found['result'], '')}{found['ratio']:.2f}" if found else "-"


def half_width(row: Row) -> str:
    """Of the 95% interval of p50, in percent of it; with ``?`` where p50 is unsteady."""
    if not row.get("latency_p50_us"):
        return "-"
    half = 50 * (row["latency_p50_high_us"] - row["latency_p50_low_us"]) / row["latency_p50_us"]
    return (f"{half:.1f}" if half < 9.95 else f"{half:.0f}") + "?" * bool(row.get("unsteady"))


def reasons(rows: Sequence[Row], markdown: bool = False) -> list[str]:
    """A line for each distinct reason why rows did not work or were skipped, by status, the worst first."""
    models: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        if row["status"] != "ok":
            what = " ".join(filter(None, [row["format"], row["precision"], f"on {row['runtime']}"]))
            names = models.setdefault((row["status"], what, row["reason"]), [])
            names += [row["model"]] if row["model"] not in names else []
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
        shown(f"note: {row['model']} {row['format']} {row['precision']} on {row['runtime']}: {row['notes']['text']}")
        for row in rows
        if row.get("notes", {}).get("text")
    ]


def unsteady(rows: Sequence[Row], markdown: bool = False) -> list[str]:
    """A line for each model some of whose rows are unsteady: how many, and how few blocks count."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.get("unsteady"):
            found.setdefault(row["model"], []).append(row)
    return [
        item(UNSTEADY, "yellow", f": {model}, {len(odd)} of its rows: {quick_of(odd)}", markdown)
        for model, odd in found.items()
    ]


def quick_of(rows: Sequence[Row]) -> str:
    """How many blocks of unsteady rows were timed in the machine's usual quick state."""
    return (
        f"{spread([row['blocks_quick'] for row in rows])} of {spread([row['blocks'] for row in rows])} blocks in the "
        "machine's usual quick state; times are of all blocks"
    )


def spread(counts: Sequence[int]) -> str:
    least, most = min(counts), max(counts)
    return str(least) if least == most else f"{least} to {most}"


def figure(key: str, form: str) -> Callable[[Row], str]:
    return lambda row: format(row[key], form) if isinstance(row.get(key), int | float) else "-"


def microseconds(key: str) -> Callable[[Row], str]:
    """With a decimal below 1,000: 120 columns are soon full."""
    return lambda row: f"{row[key]:.{1 if row[key] < 1000 else 0}f}" if row.get(key) else "-"


def kilobytes(row: Row) -> str:
    """In units of 1,000 bytes."""
    count = row.get("size_bytes")
    return f"{count / 1e3:.{1 if count < 1e6 else 0}f}" if count else "-"


def rates(row: Row) -> dict[int, float]:
    """Beats a second by beats a call."""
    return {int(key.split("_")[1]): value for key, value in row.items() if key.startswith("throughput_")}


def bulk(row: Row) -> str:
    """Beats a second in the largest batch that was measured: see ``batches``."""
    found = rates(row)
    return f"{found[max(found)]:.0f}" if found else "-"


def batches(rows: Sequence[Row]) -> str:
    """The largest batch of each row: 64 as a rule; what was asked for; more on a GPU; what a user's file fixes."""
    largest = sorted({max(found) for row in rows if (found := rates(row))})
    return " to ".join(f"{size:,}" for size in dict.fromkeys((largest[0], largest[-1]))) if largest else "64"


IDENTITY: list[Column] = [
    ("model", lambda row: row["model"], ""),
    ("format", lambda row: row["format"], ""),
    ("precision", lambda row: row["precision"] or "-", ""),
    ("runtime", lambda row: row["runtime"], ""),
]
ROUTE: Column = ("route", lambda row: " ".join([*row.get("route", []), row.get("quantizer", "-")]), "")
SIZE: Column = ("size", kilobytes, "size")
MEMORY: Column = ("RAM", lambda row: f"{row['memory_kb'] * 1.024e-3:.1f}" if row.get("memory_kb") else "-", "")
TIME: Column = ("time x", times, "")
QUALITY: list[Column] = [
    ("accuracy", figure("accuracy", ".4f"), "accuracy"),
    ("macro-F1", figure("macro_f1", ".4f"), "macro_f1"),
]
DETECTION: list[Column] = [
    ("AUROC", figure("auroc", ".4f"), "auroc"),
    ("AUPRC", figure("auprc", ".4f"), ""),
    ("F1", figure("f1", ".3f"), "f1"),
    ("prec", figure("anomaly_precision", ".2f"), "precision"),
    ("rec", figure("anomaly_recall", ".2f"), "recall"),
]
TIMES: list[Column] = [
    ("verdict", lambda row: row["verdict"]["result"] if row.get("verdict") else "-", ""),
    ("p50", microseconds("latency_p50_us"), "latency_p50"),
    ("+-", half_width, ""),
    ("p95", microseconds("latency_p95_us"), "latency_p95"),
    ("beats/s", bulk, "throughput"),
    ("status", lambda row: UNSTEADY if row.get("unsteady") else row["status"], ""),
]


def noise_lines(noise: Mapping[str, Row], markdown: bool = False) -> str:
    """What the files that were timed twice showed, a line a model; Markdown names the cell as well."""
    lines = []
    for model, pair in noise.items():
        what = escape.markdown_code(pair["cell"]) if markdown else "a file"
        model = escape.markdown(model) if markdown else escape.line(model)
        text = f"{model}: {what} timed twice: {abs(pair['ratio'] - 1):.1%} apart, noise floor {pair['floor']:.1%}"
        if pair["result"] == UNSTEADY:
            text += f"; {UNSTEADY}: too few quick rounds"
        elif pair["floor"] > NOISY:
            text += TOO_NOISY
        lines.append(text)
    return "\n".join(f"- {text}" if markdown else f"noise: {text}" for text in lines)
