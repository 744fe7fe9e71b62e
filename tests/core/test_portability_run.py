"""Certificates in a run: a column, a section, a gate, held by check, gone on with, and of a row by its name."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecgedge.data.dataset import Dataset
from ecgedge.testing.fakes import write_fake_checkpoint
from tests.conftest import FAKES, Result, error_of, rows_of, run_command

TELLING = """
from ecgedge import Family
from ecgedge.testing.fakes import FakeRuntime, FakeSession


class Shaken(FakeSession):
    def fetch(self):
        found = super().fetch()
        found[:, 0] += 1e-3 * abs(found[:, 0])
        if len(found) > 1:
            found[0] = found[0, ::-1]
        return found


class Telling(FakeRuntime):
    families = (Family("first", "the usual ones"), Family("second", "others", {"other": True}))

    def load(self, artifact, threads, other=False):
        session = super().load(artifact, threads)
        return Shaken(session.weights) if other and artifact.precision != "fp32" else session
"""
FP32, INT8 = "fake.fake-exporter.none.fake-runtime", "fake.fake-exporter.fake-int8.fake-runtime"
ASKED = ("matrix", "--model", "fake", "--format", "fake", "--dataset", "synthetic", "--profile", "quick")


def ecgedge(folder: Path, *arguments: str | Path) -> Result:
    return run_command("--plugins-dir", "plugins", *arguments, folder=folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, beats: Dataset) -> Path:
    """A folder with a plugin whose runtime has two kernels that differ on int8 files, and a run of it."""
    folder = tmp_path_factory.mktemp("portable")
    checkpoint = write_fake_checkpoint(folder / "fake-checkpoint", beats)
    text = FAKES.format(folder=str(checkpoint)).replace("[FakeRuntime(), ", "[Telling('fake-runtime'), ")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "fakes.py").write_text(text + TELLING)
    done = ecgedge(folder, *ASKED, "--portability", "--out", "run")
    assert done.code == 0, done.err
    (folder / "printed.txt").write_text(done.out)
    return folder


@pytest.fixture
def copy(place: Path, tmp_path: Path) -> Path:
    shutil.copytree(place / "run", tmp_path / "run")
    shutil.copytree(place / "plugins", tmp_path / "plugins")
    return tmp_path


def journal(run: Path, how: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Change the records of certificates in a journal; None takes one away."""
    file = run / "journal.jsonl"
    records = [json.loads(line) for line in file.read_text().splitlines()]
    told = [how(each) if each["event"] == "portability" else each for each in records]
    file.write_text("".join(json.dumps(each) + "\n" for each in told if each is not None))


def test_each_file_has_a_verdict_everywhere(place: Path) -> None:
    rows = {row["id"]: row for row in rows_of(place / "run")}
    assert (rows[FP32]["portability"], rows[INT8]["portability"]) == ("exact", "fragile")
    assert rows[INT8]["portability_flips"] > 0 == rows[FP32]["portability_flips"]
    printed = (place / "printed.txt").read_text()
    assert "portability status" in printed and "portability: 1 of 2 files are exact" in printed
    page, told = (place / "run" / "report.md").read_text(), (place / "run" / "report.html").read_text()
    for text in (page, told):
        assert all(word in text for word in ("second on this machine", "aarch64", "fragile: decisions on"))
    assert "portability" in (place / "run" / "report.csv").read_text().splitlines()[0].split(",")
    choice = ecgedge(place, "choose", "run", "--require", "portable", "--optimize", "size")
    assert choice.code == 0 and "1 of 1 rows meet portable" in choice.out and "fp32" in choice.out
    assert "no row is portability==equivalent" in error_of(
        ecgedge(place, "choose", "run", "--require", "portability==equivalent")
    )
    assert "unknown portability 'fine'" in error_of(ecgedge(place, "choose", "run", "--require", "portability==fine"))


def test_what_was_not_asked_for_is_said_so(place: Path, made: Path) -> None:
    assert "not asked; ecgedge matrix --portability tries it" in (made / "report.md").read_text()
    assert "not asked; ecgedge matrix --portability" in (made / "report.html").read_text()
    assert "portability" not in (made / "report.csv").read_text().splitlines()[0]
    assert "this run was not asked for it" in error_of(ecgedge(place, "choose", made, "--require", "portable"))
    refused = ecgedge(place, *ASKED, "--require", "portable", "--out", "refused")
    assert "portable can be met by no row" in error_of(refused) and not (place / "refused" / "run.json").exists()


def claim(name: str, value: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda told: {**told, "found": {**told["found"], name: value}}


def test_check_holds_a_run_to_its_certificates(place: Path) -> None:
    done = ecgedge(place, "check", "run")
    assert done.code == 0, done.out
    assert "2 rows hold" in done.out


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (claim("portability", "equivalent"), 'portability: "equivalent" is claimed'),
        (claim("portability_flips", 1), "portability_flips: 1 is claimed"),
        (claim("portability_folder", "cells"), "it lies in 'cells', and not in portability/"),
        (lambda told: {**told, "digest": "0" * 64}, "portability: it is claimed, and the journal tells of no"),
        (lambda told: None, "not finished, its portability was not tried"),
    ],
)
def test_what_a_journal_says_of_certificates_is_checked(copy: Path, how: Any, words: str) -> None:
    journal(copy / "run", how)
    done = ecgedge(copy, "check", "run")
    assert done.code == 1 and words in done.out and "Traceback" not in done.err


def test_a_certificate_that_was_changed_does_not_hold(copy: Path) -> None:
    [*_, file] = sorted((copy / "run" / "portability").glob("*/portability.json"))
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"margin": record["margin"] + 1}))
    done = ecgedge(copy, "check", "run")
    assert done.code == 1 and "margin" in done.out and "SHA-256" in done.out
    file.write_text("[]")
    done = ecgedge(copy, "report", "run", "--output", "markdown")
    assert done.code == 0 and "its certificate cannot be read" in done.out


def test_a_verdict_that_is_hidden_is_found(copy: Path) -> None:
    """Neither by saying that nothing was tried, nor by another meaning of the answers."""
    run, words = copy / "run", {"portability": "not tried", "portability_reason": "no time"}
    before = (run / "journal.jsonl").read_text()
    journal(run, lambda told: {**told, "found": words, "files": {}})
    done = ecgedge(copy, "check", "run")
    assert done.code == 1 and "it was not tried, it says, and portability/" in done.out
    (run / "journal.jsonl").write_text(before)
    files = {}
    for file in sorted((run / "portability").glob("*/portability.json")):
        record = json.loads(file.read_text())
        file.write_text(json.dumps(record | {"task": record["task"] | {"labels": record["task"]["labels"][::-1]}}))
        files[f"portability/{file.parent.name}/{file.name}"] = hashlib.sha256(file.read_bytes()).hexdigest()
    journal(run, lambda told: {**told, "files": {name: files.get(name, was) for name, was in told["files"].items()}})
    done = ecgedge(copy, "check", "run")
    assert done.code == 1 and f"its task is not that of {INT8}" in done.out and "SHA-256" not in done.out


def test_a_run_goes_on_with_the_certificates_it_lacks(copy: Path) -> None:
    run = copy / "run"
    before = rows_of(run)
    [first, second] = (run / "portability").iterdir()
    last = json.loads((run / "journal.jsonl").read_text().splitlines()[-1])
    journal(run, lambda told: None if told == last else told)
    shutil.rmtree(first if last["found"]["portability_folder"].endswith(first.name) else second)
    done = ecgedge(copy, "matrix", "--resume", "run")
    assert done.code == 0 and "portability of fake fake full-int8, 1 of 1" in done.err, done.err
    assert rows_of(run) == before and ecgedge(copy, "check", "run").code == 0


def test_a_verdict_that_becomes_worse_is_a_regression(place: Path, copy: Path) -> None:
    rows = (copy / "run" / "rows.jsonl").read_text().replace('"portability": "fragile"', '"portability": "exact"')
    (copy / "run" / "rows.jsonl").write_text(rows)
    done = ecgedge(place, "compare", copy / "run", "run")
    assert done.code == 1 and f"regression: {INT8}: portability exact in A, fragile in B" in done.out
    done = ecgedge(place, "compare", "run", copy / "run")
    assert done.code == 0 and f"better: {INT8}: portability fragile in A, exact in B" in done.out


def test_a_row_of_a_run_is_tried_by_its_name(place: Path) -> None:
    asked = ("portability", "run", "full-int8", "--no-emulate")
    first = ecgedge(place, *asked)
    assert first.code == 0 and "fragile: decisions on" in first.out and "500" in first.out
    again = ecgedge(place, *asked)
    assert "as found on" in again.out
    same = [line for line in again.out.splitlines() if not line.startswith("as found on")]
    assert same == [line for line in first.out.splitlines() if not line.startswith("as found on")]
    assert "second on this machine" in first.err and "second on this machine" not in again.err  # nothing was tried
    assert "--dataset beside the beats of its run" in error_of(ecgedge(place, *asked, "--dataset", "synthetic"))
    assert "no row 'nonsense'" in error_of(ecgedge(place, "portability", "run", "nonsense"))


def test_a_certificate_that_lies_elsewhere_or_is_of_another_file_is_not_told(copy: Path) -> None:
    rows = {row["id"]: row for row in rows_of(copy / "run")}
    ours, other = (copy / "run" / rows[name]["portability_folder"] for name in (INT8, FP32))
    shutil.copy(other / "portability.json", ours / "portability.json")
    told = ecgedge(copy, "report", "run", "--output", "markdown")
    assert told.code == 0 and "fragile: its certificate is of another file" in told.out
    (copy / "run" / "portability").rename(copy / "moved")
    (copy / "run" / "portability").symlink_to(copy / "moved")
    told = ecgedge(copy, "report", "run", "--output", "markdown")
    assert told.code == 0 and told.out.count("its certificate cannot be read") == 2
