"""``--relative-to``: times against one reference row, or one form of each model, wherever a run is told."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from ecgedge import EcgEdgeError, open_run
from ecgedge.report import Report
from tests.conftest import Command, error_of

FORM = "onnx/fp32/cpu"  # 120 us a call; see ``synthetic_run.FORMS``


def test_times_are_told_against_one_form_of_each_model(told: Report, ecgedge: Command) -> None:
    lines = csv.DictReader(io.StringIO(ecgedge("report", told.folder, "--relative-to", FORM, "--output", "csv").out))
    found: dict[str, dict[str, float]] = {}
    for line in lines:
        if line["time_x"]:
            found.setdefault(line["model"], {})[f"{line['format']} {line['precision']}"] = float(line["time_x"])
    assert len(found) == 2
    for ratios in found.values():
        assert ratios["torch fp32"] == pytest.approx(400 / 120, rel=0.05)
        assert ratios["onnx fp32"] == 1.0
        assert ratios["tflite full-int8"] == pytest.approx(40 / 120, rel=0.05)


def test_a_row_is_the_reference_of_its_model_alone(told: Report) -> None:
    base = next(row for row in told.rows if row.format == "tflite" and row.precision == "full-int8")
    said = json.loads(open_run(told.folder).report("json", relative_to=base.id))["relative_to"]
    others = {row.id for row in told.rows if row.model == base.model and row.status == "ok"} - {base.id}
    assert said["asked"] == base.id and said["ratios"].keys() == others
    assert all(ratio["ratio"] > 1 and ratio["to"] == base.id for ratio in said["ratios"].values())


@pytest.mark.parametrize("command", ["report", "choose"])
def test_tables_and_the_page_say_against_what(command: str, told: Report, ecgedge: Command) -> None:
    shown = ecgedge(command, told.folder, "--relative-to", FORM)
    assert shown.code == 0, shown.err
    assert f"p50 relative to {FORM}" in shown.out and "0.33" in shown.out
    page = ecgedge(command, told.folder, "--relative-to", FORM, "--output", "html").out
    assert f"of {FORM}" in page


@pytest.mark.parametrize("asked", ["onnx/fp16/cpu", "nothing", "onnx", ""])
def test_what_is_no_row_is_told_with_those_that_there_are(asked: str, told: Report, ecgedge: Command) -> None:
    told_so = error_of(ecgedge("report", told.folder, "--relative-to", asked))
    assert "there is no row and no form" in told_so and FORM in told_so


def test_a_runtime_that_is_called_otherwise_is_led_to(told: Report, ecgedge: Command) -> None:
    said = error_of(ecgedge("report", told.folder, "--relative-to", "onnx/fp32/onnxruntime-cpu"))
    assert "did you mean cpu? " in said and FORM in said


def test_an_empty_metric_is_no_metric(told: Report, ecgedge: Command) -> None:
    """As a variable that a script forgot to set."""
    for command in ("report", "choose"):
        assert "unknown metric ''" in error_of(ecgedge(command, told.folder, "--optimize", ""))


@pytest.mark.parametrize(
    ("command", "name", "what", "hint"),
    [
        ("compare", "out.csv", "no form of this result ends with .csv", ".html, .htm, .md"),
        ("compare", ".", ". is a folder", "name a file"),
        ("report", ".", ". is a folder", "name a file"),
    ],
)
def test_what_cannot_be_written_so_is_refused(
    command: str, name: str, what: str, hint: str, told: Report, ecgedge: Command
) -> None:
    runs = (told.folder, told.folder) if command == "compare" else (told.folder,)
    said = error_of(ecgedge(command, *runs, "-o", name))
    assert what in said and hint in said


def test_endings_that_people_write_say_the_form(told: Report, ecgedge: Command, tmp_path: Path) -> None:
    for name, begins in (("out.HTM", "<!DOCTYPE html>"), ("out.markdown", "#"), (".json", "{")):
        ecgedge("report", told.folder, "-o", tmp_path / name)
        assert (tmp_path / name).read_text().startswith(begins), name


def test_a_matrix_refuses_it_before_it_measures(fakes: Path, ecgedge: Command) -> None:
    asked = ("--plugins-dir", fakes, "matrix", "--model", "fake", "--relative-to", "fake/int4/fake-runtime")
    assert "there is no row and no form 'fake/int4/fake-runtime'" in error_of(ecgedge(*asked, "--dry-run"))


def test_one_that_was_not_timed_is_no_reference(told: Report) -> None:
    failed = next(row for row in told.rows if row.status == "failed")
    with pytest.raises(EcgEdgeError, match="was not timed"):
        open_run(told.folder).report(relative_to=failed.id)
