"""Certificates in a run: a column, a section, a gate, held by check, gone on with, and of a row by its name."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge.audit import check_run
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
    assert choice.code == 0 and "1 of 2 rows meet portable" in choice.out and "fp32" in choice.out
    assert "no row is portability==equivalent" in error_of(
        ecgedge(place, "choose", "run", "--require", "portability==equivalent")
    )
    assert "unknown portability 'fine'" in error_of(ecgedge(place, "choose", "run", "--require", "portability==fine"))


def test_one_way_alone_is_not_portable(copy: Path) -> None:
    """As ``ecgedge portability --require exact`` has it; the row that is left out is told of."""
    rows = copy / "run" / "rows.jsonl"
    before = rows.read_text()
    rows.write_text(before.replace('"portability_ways": 2', '"portability_ways": 1'))
    for asked in ("portable", "portability==exact"):
        told = f"no row is {asked}: only one way was tried for 2 of the rows"
        assert told in error_of(ecgedge(copy, "choose", "run", "--require", asked))
    first, *others = before.replace('"portability": "fragile"', '"portability": "exact"').splitlines(keepends=True)
    rows.write_text("".join([first.replace('"portability_ways": 2', '"portability_ways": 1'), *others]))
    done = ecgedge(copy, "choose", "run", "--require", "portable", "--optimize", "size")
    assert done.code == 0 and "1 of 2 rows meet portable" in done.out
    assert "portable does not take 1 row for which only one way was tried" in done.out


def test_what_was_not_asked_for_is_said_so(place: Path, made: Path) -> None:
    assert "not asked; ecgedge matrix --portability tries it" in (made / "report.md").read_text()
    assert "not asked; ecgedge matrix --portability" in (made / "report.html").read_text()
    assert "portability" not in (made / "report.csv").read_text().splitlines()[0]
    assert "this run was not asked for it" in error_of(ecgedge(place, "choose", made, "--require", "portable"))
    refused = ecgedge(place, *ASKED, "--require", "portable", "--out", "refused")
    assert "no row can meet portable" in error_of(refused) and not (place / "refused" / "run.json").exists()


def claim(name: str, value: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda told: {**told, "found": {**told["found"], name: value}}


def test_check_holds_a_run_to_its_certificates(place: Path) -> None:
    done = ecgedge(place, "check", "run")
    assert done.code == 0, done.out
    assert "2 rows hold" in done.out
    told = check_run(place / "run").unchecked
    assert any(each.startswith("file and step") for each in told), "a run keeps the file"
    assert not any("is not kept here" in each for each in told)


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


def test_a_run_that_was_killed_amid_certificates_is_not_finished(copy: Path) -> None:
    journal(copy / "run", lambda told: None)
    for name in ("rows.jsonl", "report.md"):
        (copy / "run" / name).unlink()
    words = "not finished, its portability was not tried: resume it"
    assert check_run(copy / "run").reasons == [f"{id}: {words}" for id in sorted((FP32, INT8))]


class Forger:
    """Who hides the verdict of a file in all that a run says of it: certificate, journal, rows, CSV and digests."""

    def __init__(self, run: Path, id: str):
        self.run, self.row = run, next(row for row in rows_of(run) if row["id"] == id)
        self.place = run / self.row["portability_folder"]
        self.record = json.loads((self.place / "portability.json").read_text())
        with np.load(self.place / "answers.npz") as file:
            self.arrays = {**file}

    def claim(self, found: dict[str, Any], files: dict[str, str] | None = None) -> None:
        """Have it said of the file everywhere."""

        def told(row: dict[str, Any]) -> dict[str, Any]:
            kept = {name: value for name, value in row.items() if not name.startswith("portability")}
            return {**kept, **found} if row.get("digest") == self.row["digest"] else row

        rows = [told(row) for row in rows_of(self.run)]
        (self.run / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        journal(self.run, lambda was: {**was, "found": found, "files": files or {}}
                if was["digest"] == self.row["digest"] else was)  # fmt: skip
        with (self.run / "report.csv").open(newline="") as file:
            lines = [*csv.DictReader(file)]
        for line in (each for each in lines if each["digest"] == self.row["digest"]):
            line |= {name: "" for name in line if name.startswith("portability")}
            line |= {name: str(value) for name, value in found.items() if name in line}
        with (self.run / "report.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, lines[0])
            writer.writeheader()
            writer.writerows(lines)

    def write(self, verdict: str, reason: str) -> None:
        """Put the changed certificate in its place."""
        self.record |= {"verdict": verdict, "largest": max(each["largest"] for each in self.record["tried"])}
        (self.place / "portability.json").write_text(json.dumps(self.record))
        np.savez(self.place / "answers.npz", **self.arrays)
        found = {name: value for name, value in self.row.items() if name.startswith("portability")}
        flips = {flip["beat"] for each in self.record["tried"] for flip in each["flips"]}
        found |= {"portability": verdict, "portability_reason": reason, "portability_ways": len(self.record["tried"]),
                  "portability_largest": self.record["largest"], "portability_flips": len(flips)}  # fmt: skip
        files = {str(file.relative_to(self.run)): hashlib.sha256(file.read_bytes()).hexdigest()
                 for file in self.place.iterdir()}  # fmt: skip
        self.claim(found, files)


def not_tried(forger: Forger) -> None:
    shutil.rmtree(forger.place)
    forger.claim({"portability": "not tried", "portability_reason": "fake did not end within 300 s"})


def of_no_format(forger: Forger) -> None:
    shutil.rmtree(forger.place)
    told = "its format is fake, portability is of onnx and tflite files"
    forger.claim({"portability": "not tried", "portability_reason": told})


def drop(forger: Forger) -> None:
    del forger.record["tried"][1], forger.arrays["outputs_1"], forger.arrays["against_1"], forger.arrays["numbers_1"]
    forger.write("exact", "one family of kernels was tried, which says nothing of others")


def fail(forger: Forger) -> None:
    forger.record["not_tried"].append({"what": "second on this machine", "why": "it did not end within 300 s"})
    drop(forger)


def overwrite(forger: Forger) -> None:
    """The others' answers by the first one's."""
    first, other = forger.record["tried"]
    other |= {name: first[name] for name in ("equal", "largest", "steps", "flips", "digest")}
    forger.arrays["outputs_1"] = forger.arrays["outputs_0"]
    forger.write("exact", "bit for bit the same in all 2 that were tried")


def turn_round(forger: Forger) -> None:
    """The first one's answers by the others'."""
    first, other = forger.record["tried"]
    first["digest"] = other["digest"]
    forger.arrays |= {f"{name}_0": forger.arrays["outputs_1"] for name in ("outputs", "against")}
    forger.arrays["against_1"] = forger.arrays["outputs_1"]
    overwrite(forger)


def disguise(forger: Forger) -> None:
    forger.record["precision"] = "fp32"
    forger.write(forger.record["verdict"], forger.row["portability_reason"])


def never_asked(forger: Forger) -> None:
    both = [forger, Forger(forger.run, FP32)]
    about = json.loads((forger.run / "run.json").read_text())
    about["request"]["portability"] = False
    (forger.run / "run.json").write_text(json.dumps(about))
    shutil.rmtree(forger.run / "portability")
    for each in both:
        each.claim({})
    journal(forger.run, lambda told: None)


HIDES: list[tuple[Callable[[Forger], None], bool, str]] = [  # whether also where the page is gone, and what is said
    (not_tried, True, "not finished, its portability was not tried (fake did not end within 300 s): resume it"),
    (of_no_format, True, "not finished, its portability was not tried (its format is fake"),
    (never_asked, False, "report.md: portability: it tells of certificates, and the journal of none"),
    (drop, False, "report.md tells otherwise what was tried"),
    (fail, False, "report.md tells otherwise what was tried"),
    (overwrite, False, "report.md tells otherwise what was tried"),
    (disguise, True, "its precision is fp32, that of"),
    (turn_round, True, "first on this machine does not answer as the outputs that the run kept"),
]


@pytest.mark.parametrize(("hide", "is_known", "words"), HIDES, ids=lambda each: getattr(each, "__name__", ""))
def test_a_verdict_that_is_hidden_everywhere_is_found(copy: Path, hide: Any, is_known: bool, words: str) -> None:
    run = copy / "run"
    assert check_run(run).reasons == []
    hide(Forger(run, INT8))
    (run / "report.md").rename(copy / "page")
    found = check_run(run)
    assert [reason for reason in found.reasons if words not in reason and "margin" not in reason] == []
    assert bool(found.reasons) == is_known
    if not is_known:  # nothing of the run tells what these kernels answered, which is said
        assert hide is not overwrite or "the answers of second on this machine: no row" in " ".join(found.unchecked)
        (copy / "page").rename(run / "report.md")
        assert any(words in reason for reason in check_run(run).reasons)


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
    not_tried(Forger(run, INT8))
    done = ecgedge(copy, "matrix", "--resume", "run")
    assert done.code == 0 and "portability of fake fake full-int8, 1 of 1" in done.err, done.err  # what failed
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
    assert "is tried on the beats of its run, so --dataset has no place" in error_of(
        ecgedge(place, *asked, "--dataset", "synthetic")
    )
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
