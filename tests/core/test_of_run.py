"""What a matrix ends with, and commands that take a row of a run where they take a file, on a small run of fakes."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ecgedge import open_run, plugins
from ecgedge.cli.closing import following
from ecgedge.commands import of_run
from ecgedge.errors import EcgEdgeError
from ecgedge.report import Report
from ecgedge.report.columns import Column
from ecgedge.report.table import fitting
from ecgedge.run.row import Identity, Outcome, Row, Setup
from tests.conftest import Command, Result, error_of, rows_of, run_command

INT8 = "fake.fake-exporter.fake-int8.fake-runtime"


def ecgedge(made: Path, *arguments: str | Path) -> Result:
    return run_command("--plugins-dir", "plugins", *arguments, folder=made.parent)


@pytest.fixture
def lines(made: Path, tmp_path: Path) -> Path:
    """The first beats that the run has scored."""
    np.savetxt(tmp_path / "beats.csv", np.load(made / "beats.npz")["x"][:5, 0], fmt="%.9g", delimiter=",")
    return tmp_path / "beats.csv"


def test_a_matrix_ends_with_the_choice_and_commands_that_work(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    asked = ("matrix", "--model", "fake", "--quantizer", "full-int8", "--dataset", "synthetic", "--profile", "quick")
    done = ecgedge(made, *asked, "--out", out)
    assert done.code == 0, done.err
    ending = done.out.partition("run: ")[2].splitlines()
    assert "Choice, classification: Pareto front of accuracy, latency_p50 and size" in ending
    [row] = [row for row in rows_of(out) if row["status"] == "ok"]
    assert f" fake fake full-int8 on fake-runtime: {out / row['artifact']} " in " ".join(done.out.split())
    following = [shlex.split(words) for words in re.findall(r": +(ecgedge .*)", re.sub(r":\n +", ": ", done.out))]
    assert [words[3] for words in following] == ["explain", "choose"]  # no fake can be bundled
    done = run_command(*following[-1][1:], folder=made.parent)
    said = " ".join(done.out.split()).rpartition("ship ")[2]  # "look twice before you ..." on a busy machine
    assert done.code == 0 and said.startswith("fake fake full-int8 on fake-runtime"), done.out
    assert said.endswith(f": {out / row['artifact']}")


def test_programs_get_data_alone(made: Path, tmp_path: Path) -> None:
    asked = ("--model", "fake", "--quantizer", "full-int8", "--dataset", "synthetic", "--profile", "quick")
    done = ecgedge(made, "matrix", *asked, "--output", "json", "--out", tmp_path / "run")
    told = json.loads(done.out)
    assert f"choose {tmp_path / 'run'} --optimize latency_p50" in done.err
    [choice] = told["choices"]
    assert choice["optimize"] is None and choice["suggested"]["id"] in {row["id"] for row in told["rows"]}


def test_each_task_of_a_run_has_a_command_that_names_one_winner(told: Report, ecgedge: Command) -> None:
    """The commands work, and each is of its own task."""
    run = open_run(told.folder)
    said = [note for note in following(run, of_run.choices_of(run)) if "name one winner" in note.text]
    assert [note.text.partition(", ")[2] for note in said] == ["classification", "anomaly"]
    for note in said:
        done = ecgedge(*shlex.split(note.place)[1:], "--output", "json")
        [choice] = json.loads(done.out)["choices"]
        assert choice["winner"] and choice["task"] in note.text


@pytest.mark.parametrize("words", [INT8, "full-int8", "fake full-int8"])
def test_a_row_is_meant_by_its_id_or_words(made: Path, words: str) -> None:
    assert of_run.meant(open_run(made), words.split()).id == INT8


def test_a_row_is_meant_by_being_suggested(made: Path) -> None:
    """On a busy machine it may be another one than the smallest."""
    [choice] = json.loads(ecgedge(made, "choose", made, "--output", "json").out)["choices"]
    assert of_run.meant(open_run(made), []).id == choice["suggested"]["id"]


def test_the_format_of_a_row_goes_before_those_on_its_way() -> None:
    """An ``onnx full-int8`` is meant by that, not the TFLite file that was made by way of onnx."""
    same = {
        "model": "tcn",
        "precision_words": "full-int8",
        "place": "host",
        "board": None,
        "status": "ok",
        "as_it_came": False,
    }
    rows = [
        SimpleNamespace(id="a", format="onnx", runtime="cpu", quantizer="onnx-int8", route=("onnx",), **same),
        SimpleNamespace(id="b", format="tflite", runtime="tflite", quantizer="int8", route=("onnx", "onnx2tf"), **same),
    ]
    run: Any = SimpleNamespace(rows=rows, folder="run")
    assert of_run.meant(run, ["onnx", "full-int8"]).id == "a"
    assert of_run.meant(run, ["onnx", "onnx2tf"]).id == "b"
    with pytest.raises(EcgEdgeError, match="means 2 rows"):
        of_run.meant(run, ["full-int8"])


def test_a_table_that_is_too_wide_leaves_out_what_others_tell_nearly() -> None:
    columns = [Column(head, lambda _: "") for head in ("model", "AUROC", "AUPRC", "prec", "rec")]
    for name, left in (("m" * 99, ["AUPRC", "prec", "rec"]), ("m" * 100, ["AUPRC", "rec"]), ("m" * 105, ["AUPRC"])):
        kept = [columns[at].head for at in fitting(columns, [[name, "1", "2", "3", "4"]])]
        assert kept == ["model", "AUROC", *left]


def test_a_page_that_cannot_be_written_is_told_before_anything_is_tried(made: Path, tmp_path: Path) -> None:
    for page, why in (
        (tmp_path / "none" / "page.html", "there is no folder"), (tmp_path, "it is a folder"),
        (tmp_path / "page.pdf", "a page is no .pdf"),
    ):  # fmt: skip
        done = ecgedge(made, "diverge", made, "nonsense", "--html", page)
        assert why in error_of(done)


@pytest.mark.parametrize("words", ["my net.onnx.as-it-came.cpu", "as it came", "my net.onnx onnx as it came on cpu"])
def test_a_row_is_meant_by_what_is_printed_of_it(words: str) -> None:
    """Of a user's file, whose name may have spaces: by its id, by its form, by the line of the choice."""

    class Told:
        folder = Path("run")
        rows = [
            Row(
                identity=Identity(id=f"my net.onnx.{quantizer}.cpu", model="my net.onnx", task="classification",
                                  format="onnx", precision="fp32", runtime="cpu"),
                outcome=Outcome(status="ok"),
                setup=Setup(device="cpu", route=[], quantizer=quantizer, threads=1, batch=1),
            )
            for quantizer in ("none", "as-it-came")
        ]  # fmt: skip

    assert of_run.meant(Told(), words.split()).as_it_came  # type: ignore[arg-type]
    assert not of_run.meant(Told(), ["onnx", "fp32"]).as_it_came  # type: ignore[arg-type]


@pytest.mark.parametrize(("words", "meant"), [("ort full-int8", "cpu"), ("onnx int8", "full-int8 or dynamic")])
def test_a_row_that_is_called_otherwise_is_led_to(words: str, meant: str, told: Report) -> None:
    with pytest.raises(EcgEdgeError) as error:
        of_run.meant(open_run(told.folder), words.split())
    assert error.value.hint.startswith(f"did you mean {meant}? name one: ")


def test_predict_takes_a_row_of_a_run(made: Path, lines: Path) -> None:
    given = ecgedge(made, "predict", made, "fake", "full-int8", lines)
    assert given.code == 0, given.err
    decided = np.load(made / "cells" / f"{INT8}.outputs.npy")[:5].argmax(axis=1)
    labels = json.loads((made / "run.json").read_text())["labels"]
    assert [line.split(",")[1] for line in given.out.splitlines()[1:]] == [labels[each] for each in decided]


def test_explain_takes_the_runtime_of_the_row(made: Path) -> None:
    """A fake tells nothing of its operations."""
    assert "fake-runtime tells nothing of its operations" in error_of(ecgedge(made, "explain", made, "full-int8"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "has no row 'nothing' that works"),
        (["fake"], "'fake' means 3 rows"),
        (["fake.absent"], "fake.absent has no file: it is skipped"),
    ],
)
def test_a_row_that_is_not_there_or_not_one(made: Path, words: list[str], message: str) -> None:
    with pytest.raises(EcgEdgeError) as error:
        of_run.row_of_run(made, words, plugins.load())
    assert message in error.value.message and error.value.hint


def test_diverge_holds_a_row_against_its_fp32_form_on_the_data_of_the_run(made: Path) -> None:
    done = ecgedge(made, "diverge", made, "full-int8", "--beats", "20", "--json")
    assert done.code == 0, done.err
    found, about = json.loads(done.out), json.loads((made / "run.json").read_text())
    fp32 = INT8.replace("fake-int8", "none")
    assert [stage["name"] for stage in found["stages"]] == [fp32, INT8] and found["data"] == about["data"]
    assert "runtime fake-runtime shows no inner tensors" in found["notes"][0] and found["study"] is None
    done = ecgedge(made, "diverge", made, fp32, "--beats", "20", "--json")
    assert [stage["name"] for stage in json.loads(done.out)["stages"]] == ["fake", fp32]
    told = error_of(ecgedge(made, "diverge", made, "full-int8", "--to", "fake"))
    assert "a run, whose rows are converted" in told


def test_what_is_no_run_has_no_rows_and_a_run_is_no_model(made: Path, lines: Path) -> None:
    assert "fake is not the folder of a run" in error_of(ecgedge(made, "predict", "fake", "full-int8", lines))
    for command in (["evaluate", made], ["matrix", "--model", made]):
        assert "is the folder of a run, and a model or a file is wanted" in error_of(ecgedge(made, *command))


@pytest.mark.parametrize("command", [["explain"], ["bundle"], ["predict"], ["diverge"], ["portability"]])
@pytest.mark.parametrize("row", [[], ["full-int8"]])
def test_a_run_that_is_missing_is_told_with_those_that_are_there(
    made: Path, lines: Path, command: list[str], row: list[str]
) -> None:
    asked = [*command, made.parent / "nosuch", *row, *([lines] if command == ["predict"] else [])]
    told = error_of(ecgedge(made, *asked))
    assert f"there is no {made.parent / 'nosuch'}: no folder of a run, no checkpoint and no file" in told
    assert f"the runs in {made.parent}: " in told and str(made) in told


def test_a_file_that_is_gone_or_another_is_not_used(made: Path, lines: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "run")
    [file] = [tmp_path / "run" / row["artifact"] for row in rows_of(made) if row["id"] == INT8]
    shutil.rmtree(file) if file.is_dir() else file.unlink()
    assert "no longer in" in error_of(ecgedge(made, "predict", tmp_path / "run", "full-int8", lines))
    file.write_bytes(b"another")
    told = error_of(ecgedge(made, "predict", tmp_path / "run", "full-int8", lines))
    assert "it is not the file that was scored" in told


def test_each_row_is_told_with_its_file(made: Path) -> None:
    told, page = ecgedge(made, "-v", "report", made).out, (made / "report.md").read_text()
    assert "file: " not in ecgedge(made, "report", made).out
    for row in (row for row in rows_of(made) if row["status"] == "ok"):
        assert f"{made / row['artifact']}\n" in told and f"{row['id']}: {row['artifact']}" in page.replace("\\", "")


def test_choose_says_where_its_figures_are_from_and_names_the_runner_up(made: Path) -> None:
    done = ecgedge(made, "choose", made, "--optimize", "size")
    machine = json.loads((made / "run.json").read_text())["machine"]
    assert f"measured on {machine['cpu']}, {machine['cores']} cores" in done.out.splitlines()
    assert "the runner-up: " in done.out
