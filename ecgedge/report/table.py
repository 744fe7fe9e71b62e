"""Rows as a table that fits a terminal of 120 columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tabulate import DataRow, TableFormat, tabulate

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str]]
WIDEST = 18  # characters of a cell in the terminal
NARROW = TableFormat(None, None, None, None, DataRow("", " ", ""), DataRow("", " ", ""), 0, None)
LEGEND = (
    "size in kB; size x, time x: relative to fp32 of the same model, format and runtime; max diff: largest difference\n"
    "to an output of the trained model; p50, p95: latency of the model in us, one beat a call; beats/s: 64 beats a call"
)


def render(rows: Sequence[Row], markdown: bool = False) -> str:
    """One table a task: classifiers, then anomaly detectors; below them what did not work, and why."""
    blocks = []
    for title, task, figures in (
        ("Classification", "classification", QUALITY),
        ("Anomaly detection", "anomaly", DETECTION),
    ):
        if of_task := [row for row in rows if row["task"] == task]:
            identity = [*IDENTITY, ROUTE] if rivals(of_task) else IDENTITY
            columns = [*identity, SIZE, *ratios(rows), *figures, *TIMES]
            cells = [[show(row) for _, show in columns] for row in of_task]
            if not markdown:
                cells = [[cut(cell) for cell in row] for row in cells]
            blocks += [
                f"## {title}" if markdown else title,
                table([name for name, _ in columns], cells, len(identity), markdown),
            ]
    blocks.append(LEGEND)
    if notes := reasons(rows):
        blocks.append("\n".join(notes))
    return "\n\n".join(blocks)


def rivals(rows: Sequence[Row]) -> bool:
    """Whether two routes lead to the same form of a model, so that the table has to name them."""
    forms = [(row["model"], row["format"], row["precision"], row["runtime"]) for row in rows]
    return len(set(forms)) < len(forms)


def cut(text: str) -> str:
    """At most ``WIDEST`` characters: what users name may be long, and 120 columns are soon full."""
    return text if len(text) <= WIDEST else text[: WIDEST - 2] + ".."


def table(names: list[str], cells: list[list[str]], words: int, markdown: bool) -> str:
    """``words``: how many columns at the front are text."""
    align = ["left"] * words + ["right"] * (len(names) - words - 1) + ["left"]
    if markdown:
        return tabulate(cells, names, "github", colalign=align, disable_numparse=True)
    # The head as rows of the body: tabulate widens a head by two, and 120 columns are soon full.
    rule = ["-" * max(len(name), *(len(row[i]) for row in cells)) for i, name in enumerate(names)]
    return tabulate([names, rule, *cells], (), NARROW, colalign=align, disable_numparse=True)


def ratios(rows: Sequence[Row]) -> list[Column]:
    """Size and latency relative to the fp32 row of the same model, route, format and runtime."""

    def form(row: Row) -> tuple[Any, ...]:
        return row["model"], tuple(row.get("route", ())), row["format"], row["runtime"]

    whole = {form(row): row for row in rows if row["precision"] == "fp32" and row["status"] == "ok"}

    def share(key: str) -> Callable[[Row], str]:
        def show(row: Row) -> str:
            base = whole.get(form(row), {}).get(key)
            return f"{row[key] / base:.2f}" if base and row.get(key) else "-"

        return show

    return [("size x", share("size_bytes")), ("time x", share("latency_p50_us"))]


def reasons(rows: Sequence[Row]) -> list[str]:
    """A line for each distinct reason why rows were skipped or did not work."""
    models: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        if row["status"] != "ok":
            what = " ".join(filter(None, [row["format"], row["precision"], f"on {row['runtime']}"]))
            names = models.setdefault((row["status"], what, row["reason"]), [])
            names += [row["model"]] if row["model"] not in names else []
    return [
        f"{status}: {what} ({', '.join(names)}): {reason}" for (status, what, reason), names in sorted(models.items())
    ]


def figure(key: str, form: str) -> Callable[[Row], str]:
    return lambda row: format(row[key], form) if isinstance(row.get(key), int | float) else "-"


def kilobytes(row: Row) -> str:
    """In units of 1,000 bytes."""
    count = row.get("size_bytes")
    return f"{count / 1e3:.1f}" if count else "-"


IDENTITY: list[Column] = [
    ("model", lambda row: row["model"]),
    ("format", lambda row: row["format"]),
    ("precision", lambda row: row["precision"] or "-"),
    ("runtime", lambda row: row["runtime"]),
]
ROUTE: Column = ("route", lambda row: " ".join([*row.get("route", []), row.get("quantizer", "-")]))
SIZE: Column = ("size", kilobytes)
QUALITY: list[Column] = [("accuracy", figure("accuracy", ".4f")), ("macro-F1", figure("macro_f1", ".4f"))]
DETECTION: list[Column] = [
    ("AUROC", figure("auroc", ".4f")),
    ("AUPRC", figure("auprc", ".4f")),
    ("F1", figure("f1", ".3f")),
    ("prec", figure("anomaly_precision", ".3f")),
    ("rec", figure("anomaly_recall", ".3f")),
]
TIMES: list[Column] = [
    ("max diff", figure("max_abs_diff", ".1e")),
    ("p50", figure("latency_p50_us", ".1f")),
    ("p95", figure("latency_p95_us", ".1f")),
    ("beats/s", figure("throughput_per_s", ".0f")),
    ("status", lambda row: row["status"]),
]
