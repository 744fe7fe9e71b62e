"""A matrix from a script: nothing printed, progress, Ctrl-C and going on, the choice, reports, a notebook's table."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ecgedge import EcgEdgeError, MatrixRequest, Run, open_run, run_matrix
from ecgedge.cli import main
from ecgedge.data.dataset import Dataset
from ecgedge.report import Report
from ecgedge.run.journal import Journal, read
from ecgedge.testing import write_fake_checkpoint
from ecgedge.workers import availability
from tests.brief import BRIEFLY, measuring_briefly
from tests.conftest import FAKES, rows_of

ASKED = MatrixRequest(data="synthetic", models=["fake"], preset="quick", runtimes=["fake-runtime"], formats="fake")
SCRIPT = f"""{BRIEFLY}
import json
from ecgedge import MatrixRequest, run_matrix

steps = []
asked = MatrixRequest(data="synthetic", models=["fake"], preset="quick", runtimes=["fake-runtime"], formats="fake")
run = run_matrix(asked, "run", lambda *step: steps.append(step))
with open("told.json", "w") as file:
    json.dump({{"steps": steps, "rows": [row.flat for row in run.rows], "shown": run._repr_html_()}}, file)
"""


@pytest.fixture(scope="module", autouse=True)
def briefly() -> Iterator[None]:
    """None of these is about times."""
    with measuring_briefly():
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, beats: Dataset) -> Iterator[Path]:
    """A folder with the fakes as plugins, and one that is broken."""
    folder = tmp_path_factory.mktemp("script")
    checkpoint = write_fake_checkpoint(folder / "checkpoint", beats)
    (folder / "plugins").mkdir()
    (folder / "plugins" / "fakes.py").write_text(FAKES.format(folder=str(checkpoint)))
    (folder / "plugins" / "broken.py").write_text("raise ValueError('out of order')")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECGEDGE_PLUGINS_DIR", str(folder / "plugins"))
        yield folder


@pytest.fixture(scope="module")
def script(place: Path) -> subprocess.CompletedProcess[str]:
    """A script that measures, ended."""
    command = [sys.executable, "-c", SCRIPT]
    return subprocess.run(command, cwd=place, env=os.environ, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def whole(script: subprocess.CompletedProcess[str], place: Path) -> Run:
    """The run that it left, opened."""
    assert script.returncode == 0, script.stderr
    return open_run(place / "run")


@pytest.fixture(scope="module")
def told_by_it(whole: Run, place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / "told.json").read_text())
    return found


@pytest.fixture
def none_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """All parts can work here, and no process has to say so."""
    monkeypatch.setattr(availability, "unavailable", lambda *_, **__: {})


# -- what a script gets


def test_a_script_is_told_nothing_that_it_did_not_ask_for(script: subprocess.CompletedProcess[str]) -> None:
    """Though a plugin is left out."""
    assert script.returncode == 0, script.stderr
    assert script.stdout + script.stderr == ""


def test_it_hears_of_each_step(told_by_it: dict[str, Any]) -> None:
    steps = told_by_it["steps"]
    assert {total for _, total, _ in steps} == {6}  # two cells, each converted, scored and timed
    done = [each for each, _, _ in steps]
    assert done == sorted(done) and done[0] == 0 and steps[-1] == [6, 6, ""]
    assert all(text for _, _, text in steps[:-1])


def test_a_run_holds_what_its_folder_does(whole: Run, told_by_it: dict[str, Any], place: Path) -> None:
    kept = rows_of(place / "run")
    assert len(kept) == 2 and {row["status"] for row in kept} == {"ok"}
    assert [row.flat for row in whole.rows] == kept == told_by_it["rows"]
    assert whole.folder == place / "run" and whole.missing == 0
    assert (whole.request.models, whole.request.quantizers, whole.request.preset) == (("fake",), (), "quick")
    assert repr(whole) == f"<Run '{place / 'run'}': 2 of 2 cells, 2 ok>"


def test_run_json_says_how_it_was_asked_for(whole: Run) -> None:
    told = "data='synthetic', models=('fake',), formats=('fake',), runtimes=('fake-runtime',), preset='quick'"
    assert whole.about["command"] == f"run_matrix(MatrixRequest({told}))"


def test_the_command_line_reads_it_as_any(whole: Run) -> None:
    assert CliRunner().invoke(main, ["check", str(whole.folder)]).exit_code == 0


def test_the_best_row_is_the_one_that_the_figures_say(whole: Run) -> None:
    rows = [row.flat for row in whole.rows]
    smallest = min(rows, key=lambda row: row["size_bytes"])
    best = whole.best(["accuracy>=0.5"], optimize="size")
    assert best is not None and best.flat == smallest
    assert whole.best(f"accuracy>{max(row['accuracy'] for row in rows)}", optimize="size") is None
    [choice] = whole.choose("accuracy>=0.5")
    assert choice.winner is None and choice.front
    with pytest.raises(EcgEdgeError, match="unknown metric 'speed'"):
        whole.best(optimize="speed")
    with pytest.raises(EcgEdgeError, match="'fast' is no requirement"):
        whole.best("fast", optimize="size")


def test_each_form_of_a_report_is_read_by_its_own_reader(whole: Run) -> None:
    rows = [row.flat for row in whole.rows]
    assert json.loads(whole.report("json"))["rows"] == rows
    assert [row["id"] for row in csv.DictReader(io.StringIO(whole.report("csv")))] == [row["id"] for row in rows]
    assert whole.report("html").startswith("<!DOCTYPE html>")
    assert whole.report("markdown") == whole.report("md") and "| fake" in whole.report("markdown")
    assert "\x1b" not in whole.report() and "fake" in whole.report()
    [choice] = json.loads(whole.report("json", optimize="size"))["choices"]
    best = whole.best(optimize="size")
    assert best is not None and choice["winner"]["id"] == best.id
    with pytest.raises(EcgEdgeError, match="unknown format 'pdf'"):
        whole.report("pdf")


# -- a notebook


class Table(HTMLParser):
    """The tags of a text, and the rows of its tables."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: set[str] = set()
        self.rows: list[list[str]] = []
        self.in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not attributes, "no text can become an attribute"
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.in_cell:
            self.rows[-1][-1] += data.strip()


def test_a_notebook_shows_a_row_for_each_cell(whole: Run, told_by_it: dict[str, Any]) -> None:
    head, *rows = Table(whole._repr_html_()).rows
    found = [dict(zip(head, row, strict=True)) for row in rows]
    assert [(each["model"], each["format"], each["precision"], each["runtime"]) for each in found] == [
        (row.model, row.format, row.precision, row.runtime) for row in whole.rows
    ]
    assert [each["accuracy"] for each in found] == [f"{row.flat['accuracy']:.4f}" for row in whole.rows]
    assert {each["status"] for each in found} <= {"ok", "unsteady"}, "the machine may be busy"
    assert told_by_it["shown"].replace("<p>run:", f"<p>{whole.folder}:") == whole._repr_html_()


def test_a_notebook_shows_nothing_of_a_stranger_as_html(told: Report) -> None:
    """The folder's names hold markup."""
    shown = open_run(told.folder)._repr_html_()
    assert Table(shown).tags <= {"p", "br", "table", "thead", "tbody", "tr", "th", "td", "b", "ul", "li"}


# -- names that are wrong


@pytest.mark.usefixtures("none_asked")
@pytest.mark.parametrize(
    ("asked", "option"),
    [
        ({"models": ["nope"]}, ["--model", "nope"]),
        ({"quantizers": ["nope"]}, ["--quantizer", "nope"]),
        ({"runtimes": ["nope"]}, ["--runtime", "nope"]),
        ({"exporters": ["nope"]}, ["--exporter", "nope"]),
        ({"formats": ["nope"]}, ["--format", "nope"]),
        ({"passes": ["nope"]}, ["--passes", "nope"]),
        ({"requirements": ["nope>1"]}, ["--require", "nope>1"]),
        ({"optimize": "nope"}, ["--optimize", "nope"]),
        ({"data": "nope"}, ["--dataset", "nope"]),
        ({"files": ["nope.onnx"]}, ["--artifact", "nope.onnx"]),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_a_wrong_name_is_told_as_the_command_line_tells_it(
    asked: dict[str, Any], option: list[str], place: Path, tmp_path: Path
) -> None:
    usual = {"data": "synthetic", "models": ["fake"]}
    with pytest.raises(EcgEdgeError) as raised:
        run_matrix(MatrixRequest(**usual | asked), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    options = [] if "models" in asked else ["--model", "fake"]
    done = CliRunner().invoke(main, ["matrix", "--dataset", "synthetic", *options, *option])
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Warning: ")]
    error = raised.value
    assert done.exit_code == 2 and lines == [f"Error: {error.message}", *([f"  {error.hint}"] if error.hint else [])]
    assert error.__notes__ == [error.hint], "a traceback shows the hint as well"


@pytest.mark.usefixtures("place")
def test_who_asks_hears_of_a_plugin_that_is_left_out(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with pytest.raises(EcgEdgeError, match="unknown model 'nope'"):
        run_matrix(MatrixRequest(data="synthetic", models=["nope"]), tmp_path / "run")
    assert [(each.name, each.levelno) for each in caplog.records] == [("ecgedge", logging.WARNING)]
    assert "broken" in caplog.text and "is left out" in caplog.text
    done = CliRunner().invoke(main, ["matrix", "--dataset", "synthetic", "--model", "nope"])
    assert f"Warning: {caplog.records[0].getMessage()}" in done.stderr.splitlines()


# -- Ctrl-C, and going on


def stop_at(text: str, error: BaseException) -> Callable[[float, int, str], None]:
    """Progress that raises where a step comes."""

    def progress(done: float, total: int, what: str) -> None:
        if text in what:
            raise error

    return progress


@pytest.fixture(scope="module")
def interrupted(place: Path) -> Path:
    """A run that Ctrl-C ended while it was timed."""
    folder = place / "interrupted"
    with pytest.raises(KeyboardInterrupt) as raised:
        run_matrix(ASKED, folder, stop_at("round 3", KeyboardInterrupt()))
    assert raised.value.__notes__ == [f"to go on with the run: run_matrix(folder={str(folder)!r}, resume=True)"]
    return folder


def test_ctrl_c_leaves_a_run_that_goes_on(interrupted: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = read(interrupted)
    assert max(record.get("round", 0) for record in before) == 1, "rounds are counted from 0"
    assert open_run(interrupted).missing == 2
    assert f"{interrupted} is not finished: 0 of 2 cells have a row" in caplog.text

    run = run_matrix(folder=interrupted, resume=True)
    assert read(interrupted)[: len(before)] == before, "nothing is measured again"
    assert run.missing == 0 and [row.status for row in run.rows] == ["ok", "ok"]
    assert run.request.models == ("fake",)

    again = run_matrix(ASKED, interrupted, resume=True)
    assert [row.flat for row in again.rows] == [row.flat for row in run.rows]


def test_what_progress_raises_ends_the_run_as_ctrl_c_does(place: Path) -> None:
    folder = place / "stopped"
    with pytest.raises(ZeroDivisionError):
        run_matrix(ASKED, folder, stop_at("fake", ZeroDivisionError()))
    assert run_matrix(ASKED, folder, resume=True).missing == 0


def test_a_run_is_not_gone_on_with_for_another_request(whole: Run, tmp_path: Path) -> None:
    other = MatrixRequest(data="synthetic", models=["fake"], preset="quick", runtimes=["fake-runtime"], seed=1)
    with pytest.raises(EcgEdgeError, match="another request: formats was") as raised:
        run_matrix(other, whole.folder, resume=True)
    assert raised.value.hint == "name another folder"
    with pytest.raises(EcgEdgeError, match="is not empty"):
        run_matrix(ASKED, whole.folder)
    with pytest.raises(EcgEdgeError, match="none is named"):
        run_matrix(ASKED, resume=True)
    with pytest.raises(EcgEdgeError, match="holds no run"):
        run_matrix(folder=tmp_path / "nothing", resume=True)


@pytest.mark.usefixtures("none_asked")
def test_a_run_that_another_process_writes_is_left_alone(whole: Run) -> None:
    told = ["rows.jsonl", "report.csv", "report.html", "report.md"]
    before = [(whole.folder / name).stat().st_mtime_ns for name in told]
    with contextlib.closing(Journal(whole.folder)), pytest.raises(EcgEdgeError, match="written by another process"):
        run_matrix(ASKED, whole.folder, resume=True)
    assert [(whole.folder / name).stat().st_mtime_ns for name in told] == before
