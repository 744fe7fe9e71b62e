"""Sweeps on fakes, through the command: several data sets and seeds, the table, failures, resumed and interrupted."""

from __future__ import annotations

import csv
import json
import multiprocessing
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ecgedge.data import kept
from ecgedge.data.finding import synthetic
from ecgedge.errors import EcgEdgeError
from ecgedge.files.locks import turn
from ecgedge.sweep.statistics import Summary, holm, ranks_of
from tests.conftest import Command, Result, error_of, rows_of
from tests.core.conftest import write_sets

FORMS = ("--format", "numpy", "--format", "fake")
PARTS = """
import os, time
from pathlib import Path
from ecgedge import ConversionError, EcgEdgeError, hookimpl
from ecgedge.testing import FakeInt8, FakeModel

class Other(FakeInt8):
    def __init__(self, name):
        self.name = name

    def quantize(self, source, out, context):
        if self.name == "raises":
            raise ConversionError("cannot be done")
        if self.name == "crashes":
            os.abort()
        if self.name == "slow":
            time.sleep(0.3)
        return super().quantize(source, out, context)

class Stubborn(FakeModel):
    def fit(self, data, context):
        raise EcgEdgeError("it will not be trained")

@hookimpl
def ecgedge_quantizers():
    return [Other(name) for name in ("raises", "crashes", "slow")]

@hookimpl
def ecgedge_models():
    return [Stubborn(Path("nowhere"), "stubborn")]
"""


def sweep(ecgedge: Command, fakes: Path, sets: list[Path], *arguments: str | Path) -> Result:
    named = [word for one in sets for word in ("--dataset", one)]
    return ecgedge("--plugins-dir", fakes, "sweep", *named, *arguments)


@pytest.fixture
def sets(tmp_path: Path) -> list[Path]:
    return write_sets(tmp_path, 2)


def test_each_form_of_each_data_set_and_seed(ecgedge: Command, fakes: Path, sets: list[Path], tmp_path: Path) -> None:
    result = sweep(ecgedge, fakes, sets, "--seed", "1", "--seed", "5", "--model", "fake", "--quantizer", "none",
                   "--quantizer", "fake-int8", *FORMS, "--out", "run")  # fmt: skip
    assert result.code == 0, result.err
    rows = rows_of(tmp_path / "run")
    assert len(rows) == len({row["id"] for row in rows}) == 2 * 2 * 3
    assert {(row["dataset"], row["seed"]) for row in rows} == {(f"set{k}", seed) for k in (0, 1) for seed in (1, 5)}
    for row in rows:
        assert row["status"] == "ok" and 0.5 < row["accuracy"] <= 1 and row["beats"] == 150
        assert row["max_abs_diff"] < (1e-6 if row["precision"] == "fp32" else 1)
        assert "latency_p50_us" not in row
    with (tmp_path / "run" / "sweep.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 2 * 3
    for line in lines:
        values = [
            row["accuracy"] for row in rows if row["id"].endswith(line["id"]) and row["dataset"] == line["dataset"]
        ]
        assert len(values) == int(line["seeds"]) == 2
        assert float(line["mean"]) == pytest.approx(statistics.mean(values))
        assert float(line["sd"]) == pytest.approx(statistics.stdev(values))
    assert "ranks over 2 of 2 data sets" in result.out
    assert "skipped: fake numpy on absent: runtime absent: no such device" in result.out
    assert max(map(len, result.out.splitlines())) <= 120


def test_the_files_are_in_the_store_and_as_their_rows_say(
    ecgedge: Command, fakes: Path, sets: list[Path], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    arguments = ("--seed", "0", "--model", "fake", *FORMS, "--out", "run")
    named = [word for one in sets for word in ("--dataset", one)]
    assert ecgedge("--plugins-dir", fakes, "sweep", *named, *arguments, ECGEDGE_CACHE=str(cache)).code == 0
    for row in rows_of(tmp_path / "run"):
        file = cache / "store" / row["artifact"]
        assert file.exists()
        if file.is_file():
            weights = np.load(file)["weights"]
            assert weights.dtype == (np.int8 if row["precision"] == "full-int8" else np.float32)


def test_seeds_train_apart_and_alike_again(ecgedge: Command, fakes: Path, sets: list[Path], tmp_path: Path) -> None:
    (fakes / "random.py").write_text(
        "import numpy as np\nfrom pathlib import Path\nfrom ecgedge import Fitted, hookimpl\n"
        "from ecgedge.testing import FakeModel\n"
        "class Drawn(FakeModel):\n"
        "    def fit(self, data, context):\n"
        "        drawn = np.random.default_rng(context.recipe.seed).normal(size=(data.classes, data.length))\n"
        "        return Fitted(drawn.astype(np.float32))\n"
        "@hookimpl\ndef ecgedge_models():\n    return [Drawn(Path('nowhere'), 'drawn')]\n"
    )
    for out, cache in (("one", "a"), ("two", "b")):
        arguments = ("--dataset", sets[0], "--seed", "3", "--seed", "4", "--model", "drawn", *FORMS, "--out", out)
        result = ecgedge("--plugins-dir", fakes, "sweep", *arguments, ECGEDGE_CACHE=str(tmp_path / cache))
        assert result.code == 0, result.err
    one, two = (sorted(rows_of(tmp_path / out), key=lambda row: row["id"]) for out in ("one", "two"))
    assert [row["digest"] for row in one] == [row["digest"] for row in two]
    assert len({row["digest"] for row in one if row["format"] == "numpy"}) == 2


def test_what_fails_fails_alone_and_is_told(ecgedge: Command, fakes: Path, sets: list[Path], tmp_path: Path) -> None:
    (fakes / "others.py").write_text(PARTS)
    result = sweep(ecgedge, fakes, sets, "--seed", "0", *FORMS, "--out", "run")
    assert result.code == 1
    rows = rows_of(tmp_path / "run")
    found = {(row["model"], row["quantizer"]): (row["status"], row.get("stage")) for row in rows}
    assert found["fake", "raises"] == found["fake", "crashes"] == ("failed", "convert")
    assert found["fake", "none"] == found["fake", "fake-int8"] == found["fake", "slow"] == ("ok", None)
    assert {status for (model, _), status in found.items() if model == "stubborn"} == {("failed", "train")}
    form = "fake fake full-int8 on fake-runtime by raises"
    assert f"failed {form} at convert, 2 x (set0, set1): cannot be done" in result.out
    assert "2 x (set0, set1): the process died: SIGABRT" in result.out
    assert "at train, 2 x (set0, set1): it will not be trained" in result.out
    page = (tmp_path / "run" / "sweep.html").read_text()
    assert "it will not be trained" in page and "cannot be done" in page
    assert "16 of 24 cells did not work" in result.err


def test_what_is_lost_on_several_labels_is_judged_as_such(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = (rng.uniform(size=(120, 2)) < 0.4).astype(np.int64)
    np.savez(tmp_path / "many.npz", x=rng.standard_normal((120, 24)).astype(np.float32), y=y, labels=["AF", "PVC"])
    (tmp_path / "one").mkdir()
    [one] = write_sets(tmp_path / "one", 1)
    (fakes / "parts.py").write_text(PARTS)
    asked = ("--model", "stubborn", "--format", "numpy", "--quantizer", "none", "--out", "run")
    result = sweep(ecgedge, fakes, [tmp_path / "many.npz", one], *asked)
    assert result.code == 1 and "Several labels" in result.out, result.out + result.err
    assert {row["dataset"]: row["task"] for row in rows_of(tmp_path / "run")} == {
        "many": "multilabel", one.stem: "classification",
    }  # fmt: skip


def test_a_sweep_whose_journal_was_cut_goes_on_to_the_same(
    ecgedge: Command, fakes: Path, sets: list[Path], tmp_path: Path
) -> None:
    arguments = ("--seed", "0", "--seed", "1", "--model", "fake", *FORMS)
    assert sweep(ecgedge, fakes, sets, *arguments, "--out", "whole").code == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    lines = (tmp_path / "whole" / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut" / "journal.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:50])  # as a kill leaves it
    result = ecgedge("--plugins-dir", fakes, "sweep", "--resume", "cut")
    assert result.code == 0, result.err
    one, two = (sorted(rows_of(tmp_path / out), key=lambda row: row["id"]) for out in ("whole", "cut"))
    assert one == two
    kept_lines = (tmp_path / "cut" / "journal.jsonl").read_bytes().splitlines(keepends=True)
    assert kept_lines[:3] == lines[:3] and len(kept_lines) == len(lines) + 1  # one more start
    again = ecgedge("--plugins-dir", fakes, "sweep", "--resume", "cut")
    assert again.code == 0 and again.out == result.out


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(
    fakes: Path, ecgedge: Command, sets: list[Path], tmp_path: Path
) -> None:
    (fakes / "others.py").write_text(PARTS)
    named = [word for one in sets for word in ("--dataset", str(one))]
    command = [sys.executable, "-P", "-m", "ecgedge", "--plugins-dir", str(fakes), "sweep", *named, "--model", "fake"]
    command += ["--quantizer", "none", "--quantizer", "slow", *FORMS, "--out", "run", "--jobs", "1"]
    command += [word for seed in range(10) for word in ("--seed", str(seed))]
    heeds = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    pipes = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, **pipes, **heeds) as process:
        journal, deadline = tmp_path / "run" / "journal.jsonl", time.monotonic() + 120
        while not (journal.exists() and journal.read_text().count('"made"') >= 2):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted; go on with: ecgedge" in err and "sweep --resume run" in err and "Traceback" not in err
    assert "of 60 cells are missing yet" in out
    done = {row["id"] for row in rows_of(tmp_path / "run")}
    assert 6 <= len(done) < 60
    assert all(row["status"] == "ok" for row in rows_of(tmp_path / "run"))
    result = ecgedge("--plugins-dir", fakes, "sweep", "--resume", "run")
    assert result.code == 0, result.err
    assert len(rows_of(tmp_path / "run")) == 60


def test_a_sweep_of_changed_data_is_not_gone_on_with(
    ecgedge: Command, fakes: Path, sets: list[Path], tmp_path: Path
) -> None:
    assert sweep(ecgedge, fakes, sets, "--seed", "0", "--model", "fake", *FORMS, "--out", "run").code == 0
    file = sets[1] / "SET1_TRAIN.txt"
    file.write_text(file.read_text().replace("0.1", "0.2"))
    told = error_of(ecgedge("--plugins-dir", fakes, "sweep", "--resume", "run"))
    assert "cannot be resumed: the data has changed (set1: " in told
    (tmp_path / "run" / "journal.jsonl").write_text('{"event": "invented"}\n')
    shutil.rmtree(sets[1])
    assert "set1 does not exist" in error_of(ecgedge("--plugins-dir", fakes, "sweep", "--resume", "run"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--model", "fake", "--model", "fake2"), "unknown model 'fake2'"),
        (("--seed", "1", "--seed", "1"), "the seed 1 is there twice"),
        (("--cluster", "local:0"), "--cluster local:0 is no cluster"),
        (("--cluster", "10.0.0.1"), "--cluster 10.0.0.1 is no cluster"),
        (("--cluster", "local:2", "--jobs", "2"), "--jobs is of this machine's own processes"),
        (("--resume", "run"), "so --dataset has no place"),
        (("--quantizer", "w3"), "unknown quantizer 'w3'"),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(
    ecgedge: Command, fakes: Path, sets: list[Path], arguments: tuple[str, ...], told: str
) -> None:
    assert told in error_of(sweep(ecgedge, fakes, sets, *arguments))


def test_two_data_sets_of_one_name(ecgedge: Command, fakes: Path, sets: list[Path], tmp_path: Path) -> None:
    shutil.copytree(sets[0], tmp_path / "again")
    told = error_of(sweep(ecgedge, fakes, [sets[0], tmp_path / "again"], "--model", "fake"))
    assert "two data sets would both be called 'set0'" in told


@pytest.mark.parametrize("damage", ['{"event": "made"}\n', '{"event": "new"}\n', "[]\n", "no json\n"])
def test_a_damaged_journal_is_told_by_its_line(
    ecgedge: Command, fakes: Path, sets: list[Path], tmp_path: Path, damage: str
) -> None:
    assert sweep(ecgedge, fakes, sets[:1], "--seed", "0", "--model", "fake", *FORMS, "--out", "run").code == 0
    journal = tmp_path / "run" / "journal.jsonl"
    journal.write_text(journal.read_text() + damage)
    assert "journal.jsonl, line 3 cannot be" in error_of(ecgedge("--plugins-dir", fakes, "sweep", "--resume", "run"))


def test_a_dry_run_does_nothing(ecgedge: Command, fakes: Path, sets: list[Path], tmp_path: Path) -> None:
    result = sweep(ecgedge, fakes, sets, "--model", "fake", *FORMS, "--dry-run", "--out", "run")
    assert result.code == 0 and not (tmp_path / "run").exists()
    assert "3 cells x 2 data sets x 3 seeds = 18 cells, 6 trainings" in result.out


def test_the_page_is_one_file_and_escapes_names(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    [folder] = write_sets(tmp_path, 1)
    odd = tmp_path / "odd"
    odd.mkdir()
    for part in ("TRAIN", "TEST"):
        shutil.copy(folder / f"SET0_{part}.txt", odd / f"<b>.1&_{part}.txt")
    assert sweep(ecgedge, fakes, [odd], "--seed", "0", "--model", "fake", *FORMS, "--out", "run").code == 0
    page = (tmp_path / "run" / "sweep.html").read_text()
    assert "<b>" not in page and "&lt;b&gt;.1&amp;" in page
    assert "default-src 'none'" in page.replace("&#39;", "'") and " src=" not in page
    told = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert told["rankings"][0]["lines"][0]["by_data"].keys() == {"<b>.1&"}


# -- what the figures say


def row(form: str, data: str, seed: int, accuracy: float | None) -> dict[str, object]:
    told = {"status": "ok", "accuracy": accuracy} if accuracy is not None else {"status": "failed", "reason": "x"}
    place = {"dataset": data, "seed": seed, "id": f"{data}.s{seed}.{form}"}
    kind = {"model": form, "task": "classification", "format": "f", "precision": "fp32", "runtime": "r"}
    return {**place, **kind, **told}


def test_ranks_are_of_the_data_sets_that_have_all_forms() -> None:
    summary = Summary(["a", "b", "c"])
    values = {"x": (0.9, 0.8, 0.1), "y": (0.7, 0.8, None), "z": (0.6, 0.9, 0.99)}
    for form, each in values.items():
        for data, value in zip("abc", each, strict=True):
            summary.add(row(form, data, 0, value))
            summary.add(row(form, data, 1, None if value is None else value - 0.01))
    [ranking] = summary.rankings()
    assert ranking.complete == ["a", "b"]
    ranks = {line.form.model: (line.rank, line.wins, line.ok, line.tried) for line in ranking.lines}
    assert ranks == {"x": (1.75, 1, 6, 6), "z": (2.0, 1, 6, 6), "y": (2.25, 0, 4, 6)}
    assert [line.form.model for line in ranking.lines] == ["x", "z", "y"]
    [first, *_] = ranking.lines
    assert first.by_data["a"].mean == pytest.approx(0.895)
    assert first.seed_sd == pytest.approx(np.std([0.9, 0.89], ddof=1))
    assert "too few for a test" in ranking.untested


def test_equal_values_share_their_ranks() -> None:
    assert ranks_of(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]
    assert ranks_of(np.array([1.0, 1.0, 1.0])).tolist() == [2.0, 2.0, 2.0]


def test_holm_corrects_as_statsmodels_does() -> None:
    # statsmodels.stats.multitest.multipletests([0.01, 0.04, 0.03, 0.005], method="holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_forms_that_differ_are_told_apart_and_equal_ones_are_not() -> None:
    pytest.importorskip("scipy")
    summary, rng = Summary([f"d{k}" for k in range(20)]), np.random.default_rng(0)
    for data in summary.data:
        base = rng.uniform(0.6, 0.9)
        for form, offset in (("good", 0.05), ("alike", 0.05), ("bad", 0.0)):
            summary.add(row(form, data, 0, base + offset + 0.002 * rng.standard_normal()))
    [ranking] = summary.rankings()
    assert ranking.friedman is not None and ranking.friedman < 1e-4
    verdicts = {line.form.model: line.like_first for line in ranking.lines}
    assert verdicts.pop(ranking.lines[0].form.model) is None and ranking.lines[-1].form.model == "bad"
    assert verdicts.pop("bad") is False and [*verdicts.values()] == [True]


# -- data sets that are kept, and turns


def test_a_data_set_is_kept_by_what_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECGEDGE_CACHE", str(tmp_path))
    data = synthetic()
    digest = kept.keep(data)
    assert kept.keep(data) == digest and kept.has(digest)
    again = kept.read(kept.file_of(digest))
    assert again.digest == data.digest and again.labels == data.labels and again.describe() == data.describe()
    file = kept.file_of(digest)
    file.write_bytes(file.read_bytes()[:-100])
    assert not kept.has(digest)
    with pytest.raises(EcgEdgeError, match="is damaged"):
        kept.read(file)
    kept.keep(data)
    assert kept.has(digest)


def hold(gate: Path, shared: bool, told: Path, free: Path) -> None:
    with turn(gate, shared):
        told.touch()
        while not free.exists():
            time.sleep(0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_who_wants_a_turn_alone_is_not_passed_by_those_who_share_theirs(tmp_path: Path) -> None:
    gate, free = tmp_path / "turn.lock", tmp_path / "free"
    context = multiprocessing.get_context("fork")
    begun: list[multiprocessing.process.BaseProcess] = []

    def begin(name: str, shared: bool) -> Path:
        told = tmp_path / name
        process = context.Process(target=hold, args=(gate, shared, told, free))
        process.start()
        begun.append(process)
        return told

    def waits_at_the_door() -> bool:
        import fcntl

        with gate.with_suffix(".door").open("r+b") as door:
            try:
                fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    try:
        shares = [begin("one", True), begin("two", True)]
        wait_for(lambda: all(each.exists() for each in shares))
        alone = begin("alone", False)
        wait_for(waits_at_the_door)
        late = begin("late", True)
        time.sleep(0.3)
        assert not alone.exists() and not late.exists()
        free.touch()
        wait_for(lambda: alone.exists() and late.exists())
        assert alone.stat().st_mtime_ns <= late.stat().st_mtime_ns
    finally:
        free.touch()
        for process in begun:
            process.join(30)


def wait_for(what: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)
