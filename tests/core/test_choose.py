"""``choose``, ``report`` and the choice of ``matrix``, on a small run of fakes."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ecgedge.api.artifact import digest_of
from ecgedge.cli import main, options
from ecgedge.data.dataset import Dataset
from ecgedge.data.readers import Columns
from ecgedge.report import remake
from ecgedge.run import MatrixRequest, Told
from ecgedge.run.row import Identity, Outcome, Row, Setup
from ecgedge.testing import write_fake_checkpoint
from tests.conftest import FAKES, Result, error_of, on_a_terminal, rows_of, run_command

CODES = re.compile(r"\x1b\[[0-9;]*m")
ASKED = ("--require", "accuracy>=0.5", "--require", "size<=1MB", "--optimize", "size")


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory, beats: Dataset) -> Path:
    root = tmp_path_factory.mktemp("choose")
    checkpoint = write_fake_checkpoint(root / "fake-checkpoint", beats)
    (root / "plugins").mkdir()
    (root / "plugins" / "fakes.py").write_text(FAKES.format(folder=str(checkpoint)))
    return root / "plugins"


def ecgedge(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(main, [str(each) for each in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Result(done.exit_code, done.stdout, done.stderr)


def matrix(plugins: Path, *arguments: str | Path) -> Result:
    return on_its_own(plugins, "matrix", *arguments)


def on_its_own(plugins: Path, *arguments: str | Path) -> Result:
    """In a process of its own, since it changes its surroundings."""
    return run_command("--plugins-dir", plugins, *arguments, folder=Path.cwd())


def new_matrix(plugins: Path, out: Path, *arguments: str) -> Result:
    common = ("--dataset", "synthetic", "--model", "fake", "--profile", "quick", "--out", out)
    return matrix(plugins, *common, *arguments)


@pytest.fixture(scope="module")
def asked(plugins: Path) -> tuple[Result, Path]:
    """A matrix that was asked for a choice, as JSON; and its folder."""
    out = plugins.parent / "run"
    return new_matrix(plugins, out, "--output", "json", *ASKED), out


@pytest.fixture(scope="module")
def run(asked: tuple[Result, Path]) -> Path:
    return asked[1]


def test_matrix_chooses_and_prints_what_was_asked_for(asked: tuple[Result, Path]) -> None:
    result, folder = asked
    assert result.code == 0
    told = json.loads(result.out)
    assert told["rows"] == rows_of(folder)
    assert told["run"]["noise"]["fake"]["floor"] >= 0
    (choice,) = told["choices"]
    smallest = min((row for row in told["rows"] if row["status"] == "ok"), key=lambda row: row["size_bytes"])
    assert choice["winner"]["id"] == smallest["id"] == "fake.fake-exporter.fake-int8.fake-runtime"
    assert "run: " in result.err  # for people, so not among the data


def test_a_resumed_matrix_chooses_as_it_was_asked_to(asked: tuple[Result, Path], plugins: Path, tmp_path: Path) -> None:
    result, folder = asked
    shutil.copytree(folder, tmp_path / "run")
    again = json.loads(matrix(plugins, "--resume", tmp_path / "run").out)
    assert again["choices"] == json.loads(result.out)["choices"]


def test_choose_says_which_file_and_why(run: Path) -> None:
    result = ecgedge("choose", run, *ASKED)
    assert result.code == 0
    (row,) = [row for row in rows_of(run) if row["precision"] == "full-int8"]
    assert result.out.splitlines()[0] == "Choice, classification: lowest size"
    assert "3 of 3 rows meet accuracy>=0.5 and size<=1MB; not considered: 1 skipped" in result.out
    assert "against the runner-up: better (an exact figure)" in result.out
    assert " ".join(result.out.split()).endswith(f" ship fake fake full-int8 on fake-runtime: {run / row['artifact']}")
    assert (run / row["artifact"]).is_file()


def test_a_file_that_is_gone_can_be_made_again(plugins: Path, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "artifacts")
    last = ecgedge("choose", tmp_path / "run", *ASKED).out.splitlines()[-1]
    told = "convert fake --to fake --quantize fake-int8 --exporter fake-exporter --runtime fake-runtime"
    assert last.endswith(f"ecgedge {told} --dataset synthetic")
    (row,) = [row for row in rows_of(run) if row["precision"] == "full-int8"]
    command = [*last.partition("ecgedge ")[2].split(), "-o", tmp_path / "again"]
    done = on_its_own(plugins, *command)
    assert done.code == 0, done.err
    assert f"sha256     {row['digest']}" in done.out and digest_of(tmp_path / "again") == row["digest"]


def test_the_command_that_makes_a_file_again_says_all_that_was_asked_for() -> None:
    """As the command line itself reads it."""
    request = MatrixRequest(
        data="mine.csv", normalize=True, label_column="last", ignore_columns=("patient", "7"), files=("a/theirs.onnx",),
        told=Told("anomaly", "N", 3, 0.5, -4, "scores"), seed=7, calibration=50, passes=("fix_batch",),
        options={"opset": 15, "max_drop": 0.3, "reduce_range": False, "board.port": "/dev/x y", "q.fast": True,
                 "other.port": 1},
    )  # fmt: skip
    words = shlex.split(remake.convert_command(row_of("theirs.onnx", ["one", "two"]), request))
    assert words[:2] == ["ecgedge", "convert"]
    top = click.Context(main, info_name="ecgedge", **main.context_settings)  # its names of help are kept
    context = main.commands["convert"].make_context("convert", words[2:], parent=top)
    given = context.params
    assert (given["source"], given["format"], given["quantizer"]) == ("a/theirs.onnx", "tflite", "q")
    assert (given["exporters"], given["runtime"], given["passes"]) == (("one,two",), "board", ("fix_batch",))
    assert (given["opset"], given["max_drop"], given["reduce_range"]) == (15, 0.3, False)
    assert given["chosen"] == {"board.port": "/dev/x y", "q.fast": "true"}
    assert (given["dataset"], given["calibration"], given["seed"]) == ("mine.csv", 50, 7)
    with context.scope():
        assert options.told_files() == request.told
        assert options.told_columns() == Columns("last", ("patient", "7")) and context.meta[options.NORMALIZE]
    none = shlex.split(remake.convert_command(row_of("theirs", ["one", "two"]), MatrixRequest(passes=())))
    assert "--no-optimize" in none and "--exporter" not in remake.convert_command(row_of("theirs", []), request)


def row_of(model: str, route: list[str]) -> Row:
    """A row of a file of that model, made on that route."""
    return Row(
        identity=Identity(id="a", model=model, task="anomaly", format="tflite", precision="full-int8", runtime="board"),
        outcome=Outcome(status="ok"),
        setup=Setup(route=route, quantizer="q", threads=1, batch=1),
    )


def test_choose_without_a_metric_shows_the_front(run: Path) -> None:
    result = ecgedge("choose", run)
    assert result.code == 0
    assert "Pareto front of accuracy, latency_p50 and size" in result.out
    assert str(run / "artifacts") in result.out


def test_where_nothing_qualifies_the_nearest_misses_and_exit_code_1(run: Path) -> None:
    result = ecgedge("choose", run, "--require", "accuracy>=0.5", "--require", "size<=1B", "--optimize", "latency_p50")
    assert result.code == 1
    assert "0 of 3 rows meet accuracy>=0.5 and size<=1B" in result.out
    (line,) = [line for line in result.out.splitlines() if line.startswith("size<=1B: fake fake full-int8")]
    assert line.endswith(" off; it meets all else")


def test_formats_of_the_choice(run: Path) -> None:
    (row,) = [row for row in rows_of(run) if row["precision"] == "full-int8"]
    data = json.loads(ecgedge("choose", run, *ASKED, "--output", "json").out)
    assert data["run"] == str(run) and data["choices"][0]["winner"]["digest"] == row["digest"]
    lines = list(csv.DictReader(io.StringIO(ecgedge("choose", run, *ASKED, "--output", "csv").out)))
    assert [line["place"] for line in lines] == ["winner", "runner-up"]
    assert lines[0]["digest"] == row["digest"]
    page = ecgedge("choose", run, *ASKED, "--output", "md").out
    assert page.startswith("## Choice, classification: lowest size\n") and "| winner " in page


def test_a_run_is_told_again_in_any_format(run: Path, tmp_path: Path) -> None:
    assert ecgedge("report", run, "--output", "md").out == (run / "report.md").read_text()
    assert list(csv.DictReader(io.StringIO(ecgedge("report", run, "--output", "csv").out))) == list(
        csv.DictReader((run / "report.csv").open(newline=""))
    )
    told = json.loads(ecgedge("report", run, "--output", "json").out)
    assert told["rows"] == rows_of(run) and "choices" not in told
    table = ecgedge("report", run)
    assert "noise: fake: a file timed twice" in table.out and "Choice" not in table.out
    assert ecgedge("report", run, "-o", tmp_path / "page.txt").out == ""
    assert (tmp_path / "page.txt").read_text() == table.out
    assert "## Choice, classification: lowest size" in ecgedge("report", run, "--output", "md", *ASKED).out


def test_best_values_are_marked_and_colour_can_be_forbidden(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = min(row["size_bytes"] for row in rows_of(run) if row["status"] == "ok") / 1e3
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    command = [sys.executable, "-m", "ecgedge", "report", run]
    plain, (_, bright) = ecgedge("report", run), on_a_terminal(command, run)
    assert f"\x1b[32;1m{size:.1f}\x1b[0m" in bright
    assert "\x1b" not in plain.out
    assert f"| **{size:.1f}** |" in (run / "report.md").read_text()
    assert "\x1b[1mprecision\x1b[0m" in bright and "\x1b[33mskipped\x1b[0m\r\n" in bright
    monkeypatch.setenv("COLUMNS", "100")
    _, narrow = on_a_terminal(command, run)
    table = [line for line in narrow.splitlines() if "fake-runtime" in line or line.startswith("----")]
    assert max(len(CODES.sub("", line)) for line in table) <= 100 and "left out, to fit 100 columns: macro-F1" in narrow
    assert ecgedge("report", run).out == plain.out, "what is no terminal has no width"
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setenv("NO_COLOR", "1")
    assert on_a_terminal(command, run)[1].splitlines() == plain.out.splitlines()


def test_what_did_not_work_stands_below_the_table_the_worst_first(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    rows = rows_of(run)
    for row, status in zip(rows, ("rejected", "failed")):
        row |= {"status": status, "reason": "planted"}
    (tmp_path / "run" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = ecgedge("report", tmp_path / "run").out.splitlines()
    starts = [line.split(":")[0] for line in lines if line.split(":")[0] in ("rejected", "failed", "skipped")]
    assert starts == ["rejected", "failed", "skipped"]
    assert "not considered: 1 rejected, 1 failed, 1 skipped" in ecgedge("choose", tmp_path / "run").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--require", "speed>=2"), "unknown metric 'speed'"),
        (("--require", "size<=200"), "200 of what?"),
        (("--optimize", "speed"), "unknown metric 'speed'"),
        (("--optimize", "auroc"), "no row has auroc"),
        (("--optimize", "size@cpu"), "unknown device 'cpu'"),
        (("--require", "size@cpu<=1MB"), "unknown device 'cpu'"),
    ],
)
def test_mistakes_cost_no_measurement(arguments: tuple[str, ...], message: str, run: Path, plugins: Path) -> None:
    assert message in error_of(ecgedge("choose", run, *arguments))
    out = plugins.parent / "never"
    assert message in error_of(new_matrix(plugins, out, *arguments))
    assert not out.exists()


def test_no_run_and_no_rows(run: Path, tmp_path: Path) -> None:
    assert "holds no run" in error_of(ecgedge("choose", tmp_path))
    (tmp_path / "run.json").write_text((run / "run.json").read_text())
    assert "has no rows yet" in error_of(ecgedge("report", tmp_path))
    (tmp_path / "rows.jsonl").write_text("{")
    assert "rows.jsonl, line 1 cannot be read" in error_of(ecgedge("report", tmp_path))


def test_an_unfinished_run_says_so(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    lines = (run / "rows.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "run" / "rows.jsonl").write_text(lines[0])
    assert "is not finished: 1 of 3 cells have a row" in ecgedge("choose", tmp_path / "run").err
