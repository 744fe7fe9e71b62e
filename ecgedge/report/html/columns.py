"""The columns of the page's tables: text for people, with units and intervals, and a key to sort by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ecgedge.report.grid import rivals
from ecgedge.report.html.figures import Row
from ecgedge.report.table import rates

NOTHING = "–"
USUAL = 64  # beats a call, in the largest batch; others are told


@dataclass(frozen=True)
class Cell:
    """``below``: a second line, for intervals; ``key``: number or word by which rows are sorted, None goes last."""

    text: str
    below: str = ""
    key: float | str | None = None
    class_: str = ""


@dataclass(frozen=True)
class Column:
    """Attributes:
    unit: below its name.
    words: whether it is text, and aligned as such.
    means: for who hovers or listens.
    metric: whose best values are marked.
    """

    name: str
    show: Callable[[Row], Cell]
    unit: str = ""
    words: bool = False
    means: str = ""
    metric: str = ""


def columns_of(rows: Sequence[Row], task: str) -> list[Column]:
    """Of the table of one task; what no row has is left out."""
    found = [MODEL, *(word(key) for key in ("format", "precision", "runtime"))]
    found += [ROUTE] if rivals(rows) else []
    found += [SIZE, MEMORY, *(CLASSIFICATION if task == "classification" else DETECTION), P50, P95, P99, TIMES, RATE]
    found += [ENERGY] if any(isinstance(row.get("energy_uj_per_beat"), float | int) for row in rows) else []
    return [*found, STATUS]


def word(key: str) -> Column:
    return Column(key, lambda row: Cell(row.get(key) or NOTHING, key=row.get(key)), words=True)


def number(value: float | None, form: str, below: str = "", class_: str = "") -> Cell:
    return Cell(NOTHING) if value is None else Cell(format(value, form), below, value, class_)


def share(name: str, key: str, form: str = ".4f", unit: str = "") -> Column:
    def show(row: Row) -> Cell:
        low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
        return number(row.get(key), form, f"{low:{form}}–{high:{form}}" if low is not None and high is not None else "")

    return Column(name, show, unit, metric=key.removeprefix("anomaly_"))


def microseconds(value: float) -> str:
    return f"{value:,.{1 if value < 1000 else 0}f}"


def median(row: Row) -> Cell:
    value = row.get("latency_p50_us")
    if value is None:
        return Cell(NOTHING)
    low, high = microseconds(row["latency_p50_low_us"]), microseconds(row["latency_p50_high_us"])
    return Cell(microseconds(value), f"{'unsteady, ' if row.get('unsteady') else ''}{low}–{high}", value)


def percentile(key: str, name: str) -> Column:
    def show(row: Row) -> Cell:
        value = row.get(key)
        return Cell(microseconds(value), key=value) if value is not None else Cell(NOTHING)

    return Column(name, show, "µs", metric=key.removesuffix("_us"))


def times(row: Row) -> Cell:
    """Relative to the fp32 form of the same model, route, format and runtime."""
    if row["precision"] == "fp32" and row["status"] == "ok":
        return Cell("1.00", key=1.0)
    found = row.get("time_ratio")
    if not found:
        return Cell(NOTHING)
    word = f"{found['result']}, " if found["result"] in ("tie", "unsteady") else ""
    return Cell(
        f"{found['ratio']:.2f}", f"{word}{found['low']:.3f}–{found['high']:.3f}", found["ratio"], found["result"]
    )


def verdict(row: Row) -> Cell:
    """The change in points of accuracy, or in AUROC; sorted by it."""
    found: dict[str, Any] | None = row.get("verdict")
    if not found:
        return Cell(NOTHING)
    if "identical" in found["text"]:
        return Cell("same", found["text"].partition("(")[2].rstrip(")"), found["difference"])
    digits, scale = (2, 100) if row["task"] == "classification" else (5, 1)
    change, low, high = (signed(scale * found[key], digits) for key in ("difference", "low", "high"))
    return Cell(f"{found['result']} {change}", f"{low} to {high}", found["difference"], found["result"])


def signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def status(row: Row) -> Cell:
    gates = len(row.get("gates") or [])
    told = ["1 gate" if gates == 1 else f"{gates} gates"] * bool(gates) + ["unsteady"] * bool(row.get("unsteady"))
    return Cell(
        row["status"], ", ".join(told), row["status"], "" if row["status"] == "ok" else f"status-{row['status']}"
    )


def per_second(row: Row) -> Cell:
    found = rates(row)
    if not found:
        return Cell(NOTHING)
    size = max(found)
    return Cell(f"{found[size]:,.0f}", "" if size == USUAL else f"{size:,} a call", key=round(found[size]))


def scaled(key: str, scale: float) -> Callable[[Row], Cell]:
    return lambda row: number(row[key] * scale if row.get(key) else None, ",.1f")


def energy(row: Row) -> Cell:
    value = row.get("energy_uj_per_beat")
    return number(value, ",.1f") if isinstance(value, float | int) else Cell(NOTHING)


MODEL = word("model")
ROUTE = Column(
    "route", lambda row: Cell(" → ".join([*row.get("route", []), row.get("quantizer", NOTHING)])), words=True
)
SIZE = Column("size", scaled("size_bytes", 1e-3), "kB", means="size of the file", metric="size")
MEMORY = Column(
    "RAM", scaled("memory_kb", 1.024e-3), "MB", means="memory that it takes beyond the libraries", metric="memory"
)
CHANGE = Column(
    "change", verdict, "points", means="of accuracy against the trained model, beats paired, with its 95% interval"
)
SHIFT = Column("change", verdict, "AUROC", means="against the trained model, beats paired, with its 95% interval")
P50 = Column(
    "p50",
    median,
    "µs",
    means="median latency of the model, one beat a call, with its 95% interval",
    metric="latency_p50",
)
P95, P99 = percentile("latency_p95_us", "p95"), percentile("latency_p99_us", "p99")
TIMES = Column(
    "time ×",
    times,
    "of fp32",
    means="p50 relative to fp32 of the same model, format and runtime, with its 95% interval",
)
RATE = Column("throughput", per_second, "beats/s", means="in the largest batch that was measured", metric="throughput")
ENERGY = Column("energy", energy, "µJ/beat", metric="energy")
STATUS = Column("status", status, words=True)
CLASSIFICATION = [share("accuracy", "accuracy"), share("macro-F1", "macro_f1"), CHANGE]
DETECTION = [
    share("AUROC", "auroc"),
    SHIFT,
    share("AUPRC", "auprc"),
    share("F1", "f1", ".3f"),
    share("precision", "anomaly_precision", ".3f", "of alarms"),
    share("recall", "anomaly_recall", ".3f", "of anomalies"),
]
