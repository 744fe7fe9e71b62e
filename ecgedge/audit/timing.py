"""From the raw samples: latency, how it compares with fp32 and with the noise, throughput."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ecgedge.audit import stats
from ecgedge.audit.findings import Findings
from ecgedge.audit.reading import read_arrays
from ecgedge.audit.run import Row, Run

TIE = 0.02  # relative; two processes of one file may differ by so much
P99_CALLS = 3000
FEW = 6  # with fewer values a median has no 95% interval
BATCHES = (1, 16, 64)  # beats a call, where a run does not say
AS_IT_CAME = "as-it-came"  # the quantizer of a user's file that no pass touched
THIRD, FOURTH, FIRST = 0.5e-3, 0.5e-4, 0.5e-1  # half of the last digit that a figure was rounded to


def check_latency(run: Run, row: Row, findings: Findings) -> None:
    """Latency of a row whose samples are all there, in microseconds."""
    numbers = counted(run, row["id"], findings, row)
    blocks = [run.samples[row["id"]][number] for number in numbers]
    medians = [stats.quantile(block[:, 0], 0.5) / 1e3 for block in blocks]
    low, high = stats.order_interval(medians)
    model, host = (np.concatenate([block[:, i] for block in blocks]) / 1e3 for i in (0, 1))
    found = {
        "latency_p50_us": stats.quantile(np.array(medians), 0.5),
        "latency_p50_low_us": low,
        "latency_p50_high_us": high,
        "latency_p90_us": stats.quantile(model, 0.9),
        "latency_p95_us": stats.quantile(model, 0.95),
        "latency_p99_us": stats.quantile(model, 0.99) if len(model) >= P99_CALLS else None,
        "host_p50_us": stats.quantile(host, 0.5),
        "timed_calls": len(model),
        "blocks": len(run.samples[row["id"]]),
    }
    for name, value in found.items():
        findings.hold(row, name, value, THIRD)
    records = [record for record in run.of("block") if record["cell"] == row["id"] and record["round"] in numbers]
    findings.hold(row, "cpu_share", stats.quantile(np.array([record["cpu_share"] for record in records]), 0.5))
    findings.hold(row, "energy_uj_per_beat", energy_of(records, len(model)), THIRD)
    if any("energy_uj" in record for record in records) and not row.get("energy_source"):
        findings.wrong(row["id"], "energy_source: nothing is said of the meter that its blocks are by")
    warm = next((record for record in run.of("warm") if record["cell"] == row["id"]), {})
    for name in ("warm_up_calls", "stable", "load", *(["sm_clock_mhz"] if "sm_clock_mhz" in warm else [])):
        findings.hold(row, name, warm.get(name))


def energy_of(records: list[dict[str, Any]], calls: int) -> Any:
    """Of a call: what the session's own meter says of all blocks, if it is anything; else what this machine's says."""
    for name, least in (("energy_uj", 0.0), ("active_uj", -math.inf)):
        told = [record[name] for record in records if name in record]
        if len(told) == len(records) and math.fsum(told) > least:
            return math.fsum(told) / calls
    return "not measured"


def counted(run: Run, name: str, findings: Findings, row: Row) -> list[int]:
    """The rounds that a row's figures are from: those in the machine's usual quick state, or all where they are few, or
    where the times are by another clock."""
    everything = list(range(len(run.samples[name])))
    if run.quick is None or not run.told(name):
        return everything
    quick = [number for number in everything if (name, number) in run.quick]
    rounds = run.rounds(name)
    unsteady = len(quick) < min(rounds, max(FEW, -(-3 * rounds // 4)))
    findings.hold(row, "blocks_quick", len(quick))
    findings.hold(row, "unsteady", unsteady)
    return everything if unsteady else quick


def check_ratio(run: Run, row: Row, findings: Findings) -> None:
    """The noise floor of the model, and the ratio to the fp32 row that was timed in the same rounds."""
    floor = noise_floor(run, row["model"], run.by(row["id"]))
    # older runs rounded the interval, and took the floor from that
    step = FOURTH if run.quick is not None or floor is None else FOURTH * (1 + (1 + floor) ** 2)
    findings.hold(row, "noise_floor", floor, step)
    whole = fp32_of(run, row)
    if whole is None or run.by(whole) != run.by(row["id"]):
        if row.get("time_ratio"):
            findings.wrong(row["id"], "time_ratio: claimed without an fp32 row to compare with, by the same clock")
        return
    middle, low, high = ratio(run, row["id"], whole)
    beyond = round(max(middle, 1 / middle) - 1 - max(floor or 0.0, TIE), 9) > 0 and not low <= 1 <= high
    result = "tie" if not beyond else "faster" if middle < 1 else "slower"
    found = {"ratio": middle, "low": low, "high": high, "result": result, "to": whole}
    if run.told(row["id"], whole):
        numbers, steady = common(run, row["id"], whole)
        found |= {"rounds": len(numbers), "result": result if steady else "unsteady"}
    findings.hold(row, "time_ratio", found, FOURTH)


def noise_floor(run: Run, model: str, by: tuple[str, str]) -> float | None:
    """How far from 1 the ratio of the cell that was timed twice on a board and by a clock may be; None where none
    was."""
    for twin, cell in run.twins.items():
        if (run.model(cell), run.by(cell)) == (model, by) and {twin, cell} <= run.samples.keys():
            _, low, high = ratio(run, cell, twin)
            return max(high, 1 / low) - 1
    return None


def ratio(run: Run, first: str, second: str) -> tuple[float, float, float]:
    """The median ratio of the medians of the same rounds, with its interval."""
    pairs = ((run.samples[first][i], run.samples[second][i]) for i in common(run, first, second)[0])
    ratios = sorted(stats.quantile(a[:, 0], 0.5) / stats.quantile(b[:, 0], 0.5) for a, b in pairs)
    middle = math.sqrt(ratios[(len(ratios) - 1) // 2] * ratios[len(ratios) // 2])
    return middle, *stats.order_interval(ratios)


def common(run: Run, first: str, second: str) -> tuple[list[int], bool]:
    """The rounds by which two are compared, and whether they are enough: both quick, or all where these are few."""
    shared = list(range(min(len(run.samples[first]), len(run.samples[second]))))
    if run.quick is None or not run.told(first, second):
        return shared, True
    quick = [number for number in shared if {(first, number), (second, number)} <= run.quick]
    steady = len(quick) >= min(FEW, run.rounds(first), run.rounds(second))
    return (quick if steady else shared), steady


def fp32_of(run: Run, row: Row) -> str | None:
    """The fp32 row of the same model, route, format and runtime, for one that is not fp32 itself, or a user's file as
    it came."""

    def form(one: Row) -> list[Any]:
        return [one.get(name) for name in ("model", "route", "format", "runtime", "board")]

    rows = (run.rows or {}).values()
    found = (one["id"] for one in rows if form(one) == form(row) and is_ready(one) and one["id"] in run.samples)
    return None if is_whole(row) else next(found, None)


def is_ready(row: Row) -> bool:
    return row.get("status") == "ok" and is_whole(row)


def is_whole(row: Row) -> bool:
    return row.get("precision") == "fp32" and row.get("quantizer") != AS_IT_CAME


def check_throughput(run: Run, row: Row, findings: Findings) -> None:
    """Beats a second for each batch that was measured, which are those that were asked for."""
    taken = read_arrays(run.folder, run.file(row["id"], "throughput.npz"))
    check_sizes(run, row, [int(size) for size in taken], findings)
    for size, times in taken.items():
        findings.hold(row, f"throughput_{size}_per_s", int(size) * 1e9 / stats.quantile(times, 0.5), FIRST)


def check_sizes(run: Run, row: Row, sizes: list[int], findings: Findings) -> None:
    """The batch sizes asked for, or the one that a file fixes; where none were, more of them on another device."""
    packed = run.artifact(row["id"])
    fixed = packed["record"]["input"]["shape"][0] if packed else None
    asked = run.about.get("batch_sizes")
    wanted = list(asked or BATCHES)
    more = sizes[len(wanted) :]
    grown = not asked and row["device"] != "cpu" and sizes[: len(wanted)] == wanted
    if sizes not in (wanted, [fixed]) and not (grown and sorted({wanted[-1], *more}) == [wanted[-1], *more]):
        findings.wrong(row["id"], f"throughput: measured at {sizes} beats a call, {wanted} were asked for")
