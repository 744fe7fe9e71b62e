"""The first lines that somebody reads: help in groups, words that lead to the right one, no head before an error."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ecgedge.api.artifact import CHECKPOINT_FILE, Artifact, Classification
from ecgedge.api.tensors import TensorSpec
from ecgedge.cli import main
from ecgedge.cli.doctor import not_usable
from ecgedge.convert.opening import called
from ecgedge.errors import unknown
from tests.conftest import Result, error_of, run_command


def ecgedge(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(main, [str(each) for each in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Result(done.exit_code, done.stdout, done.stderr)


def test_each_command_is_in_one_group_with_its_whole_sentence() -> None:
    told = ecgedge("--help").out.partition("Measure:")[2]
    assert [told.count(f"\n  {name} ") for name in main.commands] == [1] * len(main.commands)
    plain = " ".join(told.split())
    assert all(command.get_short_help_str(limit=200) in plain for command in main.commands.values())
    assert "..." not in told


def test_each_option_of_the_matrix_is_in_one_group() -> None:
    command = main.commands["matrix"]
    groups = [name for names in command.groups.values() for name in names]
    assert sorted(groups) == sorted(parameter.name for parameter in command.params)
    told = ecgedge("matrix", "--help").out
    for parameter in command.params:
        assert len(re.findall(rf"^  {parameter.opts[0]}\b(?!-)", told, re.MULTILINE)) == 1, parameter.name
    assert re.findall(r"^(\w.*):$", told, re.MULTILINE) == [*command.groups, "Other options"]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["matrix", "mine.onnx"], "takes options alone, and got 'mine.onnx'", "ecgedge matrix --artifact mine.onnx"),
        (["matrix", "mine"], "takes options alone, and got 'mine'", "ecgedge matrix --model mine"),
        (["matrix", "--plugins-dir", "x"], "stands before the command", "ecgedge --plugins-dir ... matrix"),
        (["report", "-v", "run"], "stands before the command", "ecgedge -v ... report"),
        (["report", "run", "--format", "md"], "--format is about files", "--output markdown"),
        (["report", "run", "--format", "onnx"], "--format is about files", "--output table|markdown|csv|json|html"),
        (["choose", "run", "--format", "json"], "--format is about files", "--output json"),
        (["compare", "a", "b", "--format", "json"], "--format is about files", "--output json"),
        (
            ["matrix", "--format", "json"],
            "--format names formats of files, and json is a way to print",
            "--output json",
        ),
        (["sweep", "--format", "md"], "--format names formats of files, and md is", "--output markdown"),
        (["matrix", "--output", "logits"], "--output says how to print", "--output-name logits"),
        (["report", "run", "--output", "page.html"], "'page.html' is no such way", "-o page.html names a file"),
        (["compare", "a", "b", "--output", "csv"], "'csv' is no such way", "choose from: table, json, markdown"),
        (
            ["evaluate", "mine.onnx", "--output", "logits"],
            "which output of a file is the answer",
            "--output-name logits",
        ),
        (["predict", "m.onnx", "b.csv", "--output", "y"], "which output of a file is the answer", "--output-name y"),
        (["explain", "mine.onnx", "--output", "json"], "prints a text, or JSON", "--json"),
    ],
)
def test_what_is_in_the_wrong_place_is_told_the_right_one(arguments: list[str], message: str, hint: str) -> None:
    told = error_of(ecgedge(*arguments))
    assert message in told and hint in told


@pytest.mark.parametrize(
    ("typed", "offered"), [("ecgedge mat", "plain,matrix"), ("ecgedge report --relative", "plain,--relative-to")]
)
def test_a_shell_completes_commands_and_options(typed: str, offered: str, tmp_path: Path) -> None:
    asked = {"_ECGEDGE_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    command = [sys.executable, "-c", "import sys; sys.argv = ['ecgedge']; from ecgedge.cli import main; main()"]
    done = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.splitlines() == [offered], done.stderr


def test_a_checkpoint_is_told_by_its_folder(tmp_path: Path) -> None:
    """And by its model: two of one model would else be told as one."""

    class Mine:
        def pretrained(self) -> Path:
            return tmp_path / "shipped"

    found = made_artifact(tmp_path / "mine", Mine())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / CHECKPOINT_FILE).touch()
    assert called(found) == "mine (base-cnn)"
    assert called(replace(found, path=tmp_path / "shipped")) == "base-cnn"
    assert called(replace(found, model=None)) == "base-cnn"


def made_artifact(path: Path, model: Any) -> Artifact:
    ends = [TensorSpec("x", (None, 1, 9), "float32", "NCL")] * 2
    return Artifact(path, "torch", "fp32", Classification(("1",)), *ends, name="base-cnn", digest="0", model=model)


def test_an_option_that_nobody_has_stays_clicks() -> None:
    assert "No such option" in ecgedge("matrix", "--nothing").err


@pytest.mark.parametrize(
    ("word", "choices", "meant"),
    [
        ("int8", ["dynamic", "fp32", "full-int8"], "full-int8 or dynamic"),
        ("p50", ["latency_p50", "size"], "latency_p50"),
        ("latency", ["latency_p50"], "latency_p50"),
        ("acc", ["accuracy"], "accuracy"),
        ("ORT", ["cpu", "torch"], "cpu"),
        ("onnxruntime-cpu", ["cpu", "torch"], "cpu"),
        ("onnxruntime-cuda", ["cpu", "cuda"], "cuda"),
        ("litert", ["cpu", "tflite"], "tflite"),
    ],
)
def test_what_people_say_leads_to_the_name(word: str, choices: list[str], meant: str) -> None:
    error = unknown("name", word, choices)
    assert error.hint == f"did you mean {meant}? choose from: {', '.join(choices)}"
    assert "did you mean" not in unknown("name", word, ["other"]).hint


def test_no_head_stands_before_an_error(made: Path, tmp_path: Path) -> None:
    (tmp_path / "short.csv").write_text("1,2,3\n")
    done = run_command("--plugins-dir", "plugins", "predict", "fake", tmp_path / "short.csv", folder=made.parent)
    assert "3 numbers, the model takes 140" in error_of(done) and done.out == ""
    (tmp_path / "none.csv").write_text("")
    done = run_command("--plugins-dir", "plugins", "predict", "fake", tmp_path / "none.csv", folder=made.parent)
    assert done.out == "beat,class,probability\n"


def test_what_one_command_mends_is_told_once() -> None:
    mend = "pip install 'ecgedge[onnx]'"
    parts = [
        {"kind": "runtime", "name": name, "state": "not usable", "reason": reason, "mend": to_do}
        for name, reason, to_do in (("a", "no onnx", mend), ("b", "no onnx", mend), ("c", "no GPU", ""), ("d", "", ""))
    ]
    assert not_usable(parts) == [("no onnx", mend, ["runtime a", "runtime b"]), ("no GPU", "", ["runtime c"])]
