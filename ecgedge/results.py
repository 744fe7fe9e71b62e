"""From the journal of a run to its rows: pure, so that rows can be made again without measuring anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import intervals
from ecgedge.journal import samples

Row = dict[str, Any]
Record = dict[str, Any]

TIE = 0.02  # relative; by that much two processes of one file may differ, see docs/how-figures-are-made.md
P99_CALLS = 3000  # with fewer, the slowest hundredth is a handful of calls


def rows_of(records: Sequence[Record], rounds: int, folder: Path) -> list[Row]:
    """The rows of the cells that are done, in the order in which they were scored."""
    blocks = blocks_of(records)
    rows = []
    for record in records:
        if record["event"] != "scored":
            continue
        name, row = record["cell"], dict(record["row"])
        failed = next((r["row"] for r in records if r["event"] == "failed" and r["cell"] == name), None)
        if failed:
            row |= failed
        elif row["status"] == "ok":
            if len(blocks.get(name, [])) < rounds:
                continue
            row |= latency(blocks[name], folder) | warm_up(records, name)
        rows.append(row)
    floors = {model: null["floor"] for model, null in noise_of(records, rounds, folder).items()}
    medians = {row["id"]: block_medians(blocks[row["id"]], folder) for row in rows if row["status"] == "ok"}
    for row in rows:
        if row["status"] == "ok":
            row["noise_floor"] = floors.get(row["model"])
            if whole := parent(row, rows):
                row["time_ratio"] = compare(medians[row["id"]], medians[whole["id"]], row["noise_floor"])
                row["time_ratio"]["to"] = whole["id"]
    return rows


def blocks_of(records: Sequence[Record]) -> dict[str, list[Record]]:
    """The recorded blocks of each cell and twin, by round."""
    found: dict[str, list[Record]] = {}
    for record in sorted((r for r in records if r["event"] == "block"), key=lambda r: r["round"]):
        found.setdefault(record["cell"], []).append(record)
    return found


def block_medians(blocks: Sequence[Record], folder: Path) -> np.ndarray:
    """Median nanoseconds of the model in each block."""
    return np.array([np.median(samples(folder, block)[:, 0]) for block in blocks])


def latency(blocks: Sequence[Record], folder: Path) -> Row:
    """Latency of one beat in microseconds, from the samples of all blocks.

    The median is the median of the blocks' medians, and its 95% interval the one that needs no
    assumption on their distribution: calls of one block are too much alike to count as independent.
    """
    each = [samples(folder, block) for block in blocks]
    model, host = np.concatenate(each).T / 1e3
    medians = np.array([np.median(one[:, 0]) for one in each]) / 1e3
    low, high = intervals.median_interval(medians)
    row: Row = {
        "latency_p50_us": round(float(np.median(medians)), 3),
        "latency_p50_low_us": round(low, 3),
        "latency_p50_high_us": round(high, 3),
        "latency_p90_us": round(float(np.percentile(model, 90)), 3),
        "latency_p95_us": round(float(np.percentile(model, 95)), 3),
        "latency_p99_us": round(float(np.percentile(model, 99)), 3) if len(model) >= P99_CALLS else None,
        "host_p50_us": round(float(np.median(host)), 3),
        "timed_calls": len(model),
        "blocks": len(blocks),
        "cpu_share": float(np.median([block["cpu_share"] for block in blocks])),
        "energy_uj_per_beat": "not measured",
    }
    if all("active_uj" in block for block in blocks):
        row["energy_uj_per_beat"] = round(sum(block["active_uj"] for block in blocks) / len(model), 3)
    return row


def warm_up(records: Sequence[Record], name: str) -> Row:
    """How long the cell took to become stable, and how busy the machine was."""
    found = next(r for r in records if r["event"] == "warm" and r["cell"] == name)
    told = ("warm_up_calls", "stable", "load", *(("sm_clock_mhz",) if "sm_clock_mhz" in found else ()))
    return {key: found[key] for key in told}


def parent(row: Row, rows: Sequence[Row]) -> Row | None:
    """The fp32 row of the same model, route, format and runtime."""

    def form(one: Row) -> tuple[Any, ...]:
        return one["model"], tuple(one["route"]), one["format"], one["runtime"]

    if row["precision"] == "fp32":
        return None
    ready = (one for one in rows if one["status"] == "ok" and one["precision"] == "fp32")
    return next((one for one in ready if form(one) == form(row)), None)


def compare(first: np.ndarray, second: np.ndarray, floor: float | None) -> Row:
    """The ratio of two cells timed in the same rounds, and what it means.

    ``"faster"`` or ``"slower"``: the 95% interval leaves 1 out, and the ratio is further from 1 than
    the noise floor. Else ``"tie"``.
    """
    ratio, low, high = intervals.paired_ratio(first, second)
    beyond = abs(np.log(ratio)) > np.log1p(max(floor or 0.0, TIE)) and not low <= 1 <= high
    result = ("faster" if ratio < 1 else "slower") if beyond else "tie"
    return {"ratio": round(ratio, 4), "low": round(low, 4), "high": round(high, 4), "result": result}


def noise_of(records: Sequence[Record], rounds: int, folder: Path) -> dict[str, Row]:
    """The A/A pairs by model: which cell was timed twice, how the two compare, and the noise floor.

    The floor is how far from 1 the ratio of two processes that run one file may be, with 95% confidence.
    """
    blocks = blocks_of(records)
    models = {record["cell"]: record["row"]["model"] for record in records if record["event"] == "scored"}
    found = {}
    for record in records:
        if record["event"] == "twin":
            pair = [blocks.get(record[key], []) for key in ("cell", "name")]
            if min(map(len, pair)) == rounds:
                first, second = (block_medians(one, folder) for one in pair)
                null = compare(first, second, floor=None)
                floor = max(null["high"], 1 / null["low"]) - 1
                found[models[record["cell"]]] = {"cell": record["cell"], **null, "floor": round(floor, 4)}
    return found
