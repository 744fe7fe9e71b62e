"""Rows and their figures: what is declared once is in JSON, CSV, MLflow, the tables, the page, choices, comparisons."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from ecgedge.api.figures import UNITS
from ecgedge.choose import parse_requirement
from ecgedge.compare.metrics import METRICS as COMPARED
from ecgedge.compare.metrics import read_tolerances
from ecgedge.data.dataset import Dataset
from ecgedge.evaluate.facts import key_of, keys_of
from ecgedge.evaluate.judgement import Quality
from ecgedge.evaluate.metric import Metric
from ecgedge.files.escape import unstyle
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


@dataclass(frozen=True)
class Planted:
    """A row of each task that has every figure of it, each with a value of its own, and all that is told of the two."""

    values: dict[str, float]
    rows: dict[str, Row]
    told: dict[str, str]


@pytest.fixture(scope="module")
def planted(report: Report) -> Planted:
    values = {name: 0.25 + number / 1000 for number, name in enumerate(METRICS)}
    rows = {}
    for task in ("classification", "multilabel", "anomaly"):
        like = "classification" if task == "multilabel" else task  # no row of the run is one
        base = next(row for row in report.rows if row.status == "ok" and row.task == like)
        kept = {key: value for key, value in base.flat.items() if not key.startswith("throughput")}
        if like != task:
            kept = {key: value for key, value in kept.items() if key not in keys_of(Quality)} | {"task": task}
        own = [metric for metric in METRICS.values() if metric.task in (None, task) and metric.name != "throughput"]
        rows[task] = Row.from_record(kept | {metric.key: values[metric.name] for metric in own})
    alone = Report(report.folder, report.run, [*rows.values()])
    told = {format: unstyle(render(alone, format)) for format in ("table", "md", "csv", "json", "html")}
    return Planted(values, rows, told)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_figure_is_wherever_figures_are(metric: Metric, planted: Planted) -> None:
    """Every door shows it or takes it."""
    task = metric.task or "classification"
    row, name = planted.rows[task], "throughput_64" if metric.largest else metric.name
    value, key = planted.values[name], METRICS[name].key
    assert metric.value(row) == pytest.approx(value * metric.scale)

    unit = "" if "" in UNITS[metric.kind] else next(unit for unit, factor in UNITS[metric.kind].items() if factor == 1)
    limit = f"{metric.name}>={0.8 * value * metric.scale}{unit}"
    assert parse_requirement(limit).met(row) and find_metric(metric.name) == metric
    assert not parse_requirement(limit.replace(">=", "<")).met(row)

    [line] = [each for each in csv.DictReader(io.StringIO(planted.told["csv"])) if each["task"] == task]
    assert line[key] == str(value)
    [told] = [each for each in json.loads(planted.told["json"])["rows"] if each["task"] == task]
    assert told[key] == figures(row)[key] == value
    if metric.shown and metric.shown.head:
        head = re.escape(metric.shown.head)
        left_out = re.search(rf"(?m)^left out, to fit .*\b{head}\b.*; report.md has them$", planted.told["table"])
        assert left_out or re.search(rf"(?m)^model.*\s{head}\s.*status$", planted.told["table"])
        assert re.search(rf"(?m)^\|\s*model.*\|\s*{head}\s*\|.*status\s*\|$", planted.told["md"])
        assert left_out or metric.shown.text(metric.known(row)) in planted.told["table"]
    if metric.shown:
        assert f">{metric.shown.title}" in planted.told["html"]
        assert metric.shown.text(metric.known(row), page=True) in planted.told["html"]
    if metric.change:
        assert COMPARED[metric.change.name].figure == metric
        assert read_tolerances([f"{metric.name}=3"])[metric.change.name] == 3
    assert f"`{metric.name}`" in (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")


def test_a_figure_that_no_row_has_takes_no_column_of_the_page(report: Report) -> None:
    assert not any(isinstance(row.flat.get("energy_uj_per_beat"), float) for row in report.rows)
    assert ">energy" not in render(report, "html")


def test_an_interval_is_one_value_where_rounding_leaves_one(report: Report) -> None:
    """Of a figure, of a ratio of times, of a change, on the page; where its ends differ, both are there."""
    base = next(row for row in report.rows if row.precision == "full-int8" and row.task == "classification")
    assert base.verdict and base.time_ratio

    def page(*ends: tuple[float, float]) -> list[str]:
        (low, high), (quick, slow), (least, most) = ends
        ratio = base.flat["time_ratio"] | {"low": quick, "high": slow}
        verdict = base.flat["verdict"] | {"low": least, "high": most, "difference": 0.0, "text": "by a test"}
        row = Row.from_record(
            {**base.flat, "accuracy_low": low, "accuracy_high": high, "time_ratio": ratio, "verdict": verdict}
        )
        html = render(Report(report.folder, report.run, [row]), "html")
        return re.findall(r"<small>([^<]*)</small>", html)

    same = page((0.934812, 0.934844), (0.3121, 0.3123), (-0.00001, 0.00001))
    assert {"0.9348", "0.312", "+0.00"} <= {one.rpartition(", ")[2] for one in same}
    apart = page((0.93481, 0.93486), (0.3124, 0.3126), (-0.0001, 0.0001))
    assert {"0.9348–0.9349", "0.312–0.313", "−0.01 to +0.01"} <= {one.rpartition(", ")[2] for one in apart}


def test_names_say_their_unit() -> None:
    """KiB are not called kB, and a number whose name ends in a unit is in that unit."""
    ends = {"time": ("_us", "_ms"), "bytes": ("_bytes", "_kib"), "rate": ("_per_s",), "energy": ("_uj_per_beat",)}
    scales = {"_us": 1, "_ms": 1000, "_bytes": 1, "_kib": 1024, "_per_s": 1, "_uj_per_beat": 1}
    for metric in METRICS.values():
        if metric.kind in ends and metric.name != "throughput":
            end = next(end for end in ends[metric.kind] if metric.key.endswith(end))
            assert metric.scale == scales[end], metric.name
