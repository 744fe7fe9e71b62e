"""The first lines that somebody reads: help in groups, words that lead to the right one, no head before an error."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from ecgedge.api.artifact import CHECKPOINT_FILE, Artifact, Classification
from ecgedge.api.tensors import TensorSpec
from ecgedge.bundle.place import check_target, place
from ecgedge.cli import main
from ecgedge.cli.doctor import not_usable
from ecgedge.convert.opening import called
from ecgedge.errors import EcgEdgeError, meant_by, unknown
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


def options_of(command: click.Command, path: str) -> Iterator[tuple[str, click.Option]]:
    """All options that are shown, of a command and those below it, each with where it is."""
    yield from ((path, each) for each in command.params if isinstance(each, click.Option) and not each.hidden)
    for name, below in getattr(command, "commands", {}).items():
        yield from options_of(below, f"{path} {name}")


def test_each_option_says_what_it_does() -> None:
    """By a sentence that begins with what ecgedge then does; what is taken otherwise comes behind that."""
    fragments = re.compile(r"(Of|That|Whose|Which|What|How|The|A|An|In|From|For|With|Without|Default|Also)\b")
    told = {f"{path} {each.opts[-1]}": each.help or "" for path, each in options_of(main, "ecgedge")}
    assert len(told) > 300 and not {where: text for where, text in told.items() if not text[:1].isupper()}
    assert not {where: text for where, text in told.items() if fragments.match(text) or len(text.split()) < 2}


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
        (
            ["report", "run", "-o", "c.pdf"],
            "no form of this result ends with .pdf",
            ".html, .htm, .md, .markdown, ",
        ),
        (
            ["choose", "run", "-o", "c.pdf"],
            "no form of this result ends with .pdf",
            "or say the form with --output",
        ),
        (
            ["predict", "m.onnx", "b.csv", "-o", "c.json"],
            "a table of answers is no .json",
            "c.csv; it may end with .csv",
        ),
        (["data", "cut", "x", "-o", "beats.csv"], "a data set is no .csv", "name it beats.npz"),
        (["choose", "run", "-o", ".pdf"], "no form of this result ends with .pdf", "or say the form with --output"),
        (["predict", "m.onnx", "b.csv", "-o", ".json"], "a table of answers is no .json", "name it .csv;"),
        (["data", "cut", "x", "-o", ".npz"], "where are the beats?", "say --annotation NAME"),
        (
            ["bundle", "m.onnx", "--sign", "none.pem", "--portability", "folder", "--no-portability"],
            "--portability and --no-portability contradict each other",
            "leave one of them out",
        ),
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
    assert meant_by([word, "other", "f16"], [*choices, "fp16"]) == f"did you mean {meant} and fp16? "


def test_a_file_is_not_named_as_one_of_another_format(made: Path, tmp_path: Path) -> None:
    """As which it would be opened; nor a bundle as an archive that it is not."""
    asked = ("--plugins-dir", made.parent / "plugins", "convert", "fake", "--to", "fake", "--dataset", "synthetic")
    for name in ("x.tflite", ".tflite"):
        told = error_of(run_command(*asked, "-o", name, folder=tmp_path))
        assert f"{name} is to be fake, and .tflite is the ending of another format" in told
        assert not (tmp_path / name).exists()
    for name, ending, instead in (("mine.tar.gz", ".gz", "mine.zip"), (".tar", ".tar", "NAME.zip")):
        with pytest.raises(EcgEdgeError) as error:
            check_target(tmp_path / name, force=False)
        assert f"a bundle is a zip or a folder, and no {ending}" in str(error.value)
        assert f"name it {instead}" in error.value.hint
    place({"a.txt": b"a"}, "mine", tmp_path / ".zip")
    assert zipfile.ZipFile(tmp_path / ".zip").namelist() == ["mine/a.txt"]


def test_no_head_stands_before_an_error(made: Path, tmp_path: Path) -> None:
    (tmp_path / "short.csv").write_text("1,2,3\n")
    done = run_command("--plugins-dir", "plugins", "predict", "fake", tmp_path / "short.csv", folder=made.parent)
    assert "3 numbers, the model takes 140" in error_of(done) and done.out == ""
    done = run_command(
        "--plugins-dir", "plugins", "predict", "fake", tmp_path / "short.csv", "--threshold", "1", folder=made.parent
    )
    assert "its record says already what --threshold would say" in error_of(done) and done.out == ""
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
