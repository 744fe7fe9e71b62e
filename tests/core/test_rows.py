"""Rows and their figures: what is declared once is in JSON, CSV, MLflow, the tables, the page, choices, comparisons."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from ecgedge.choose import parse_requirement
from ecgedge.compare.metrics import METRICS as COMPARED
from ecgedge.compare.metrics import read_tolerances
from ecgedge.data.dataset import Dataset
from ecgedge.evaluate.facts import key_of
from ecgedge.evaluate.metric import UNITS, Metric
from ecgedge.report import Report, render
from ecgedge.run.metrics import METRICS, find_metric
from ecgedge.run.row import GROUPS, Row, facts
from ecgedge.tracking.matrix import figures
from tests.core.synthetic_run import write_run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, beats: Dataset) -> Report:
    return write_run(tmp_path_factory.mktemp("rows") / "run", beats)


def test_a_row_is_in_json_as_it_was(report: Report) -> None:
    lines = [json.loads(line) for line in (report.folder / "rows.jsonl").read_text().splitlines()]
    assert {line["status"] for line in lines} == {"ok", "failed", "skipped"}
    assert {line["task"] for line in lines} == {"classification", "anomaly"}
    for line in lines:
        again = Row.from_record(line)
        assert json.loads(json.dumps(again.flat)) == line
        assert Row.from_record(again.flat) == again


def test_what_is_not_known_is_null_and_what_was_not_asked_for_is_not_there(report: Report) -> None:
    skipped, ok = (next(row.flat for row in report.rows if row.status == word) for word in ("skipped", "ok"))
    assert skipped["precision"] is None and "latency_p50_us" not in skipped and "accuracy" not in skipped
    assert ok["latency_p99_us"] is None and "faults" not in ok


def test_each_fact_is_declared_once() -> None:
    keys = [key_of(fact) for fact in facts()]
    assert len(set(keys)) == len(keys)
    names = [metric.name for metric in METRICS.values()]
    assert len(set(names)) == len(names) > 20
    assert all(group.__doc__ for group in GROUPS.values())


def of_key(metric: Metric) -> str:
    return "throughput_64_per_s" if metric.name == "throughput" else metric.key


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_figure_is_wherever_figures_are(metric: Metric, report: Report) -> None:
    """One row has the figure, planted; every door must show it or take it."""
    task = metric.task or "classification"
    base = next(row for row in report.rows if row.status == "ok" and row.task == task)
    told = {key: value for key, value in base.flat.items() if not key.startswith("throughput")}
    row = Row.from_record(told | {of_key(metric): 0.25})
    assert metric.value(row) == pytest.approx(0.25 * metric.scale)

    unit = "" if "" in UNITS[metric.kind] else next(unit for unit, factor in UNITS[metric.kind].items() if factor == 1)
    limit = f"{metric.name}>={0.2 * metric.scale}{unit}"
    assert parse_requirement(limit).met(row) and find_metric(metric.name) == metric
    assert not parse_requirement(limit.replace(">=", "<")).met(row)

    alone = Report(report.folder, report.run, [row])
    [line] = csv.DictReader(io.StringIO(render(alone, "csv")))
    assert line[of_key(metric)] == "0.25"
    assert json.loads(render(alone, "json"))["rows"][0][of_key(metric)] == 0.25
    if of_key(metric) not in ("threads", "batch"):
        assert figures(row)[of_key(metric)] == 0.25
    if metric.shown and metric.shown.head:
        head = re.escape(metric.shown.head)
        assert re.search(rf"(?m)^model.*\s{head}\s.*status$", render(alone, "table"))
        assert re.search(rf"(?m)^\|\s*model.*\|\s*{head}\s*\|.*status\s*\|$", render(alone, "md"))
    if metric.shown:
        assert f">{metric.shown.title}" in render(alone, "html")
    if metric.change:
        assert COMPARED[metric.change.name].figure == metric
        assert read_tolerances([f"{metric.name}=3"])[metric.change.name] == 3
    assert f"`{metric.name}`" in (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")


def test_a_figure_that_no_row_has_takes_no_column_of_the_page(report: Report) -> None:
    assert not any(isinstance(row.flat.get("energy_uj_per_beat"), float) for row in report.rows)
    assert ">energy" not in render(report, "html")


def test_names_say_their_unit() -> None:
    """KiB are not called kB, and a number whose name ends in a unit is in that unit."""
    ends = {"time": ("_us", "_ms"), "bytes": ("_bytes", "_kib"), "rate": ("_per_s",), "energy": ("_uj_per_beat",)}
    scales = {"_us": 1, "_ms": 1000, "_bytes": 1, "_kib": 1024, "_per_s": 1, "_uj_per_beat": 1}
    for metric in METRICS.values():
        if metric.kind in ends and metric.name != "throughput":
            end = next(end for end in ends[metric.kind] if metric.key.endswith(end))
            assert metric.scale == scales[end], metric.name
