"""The whole line through the command, on fakes: rows, files, verdicts, exit codes."""

from __future__ import annotations

import csv
import json
import os
import site
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import ecgedge as ecgedge_package
from ecgedge.cli.beginning import announce
from ecgedge.plan.plan import Cell
from ecgedge.run import pace
from tests.conftest import Command, Result, error_of, rows_of

BAD_PARTS = """
import os, time
import numpy as np
from ecgedge import ConversionError, hookimpl
from ecgedge.testing import FakeInt8, FakeRuntime, FakeSession, read_fake, write_fake

class Bad(FakeInt8):
    def __init__(self, name, precision="full-int8"):
        self.name, self.precision = name, precision

    def quantize(self, source, out, context):
        weights = read_fake(source.path)
        if self.name == "raises":
            raise ConversionError("cannot be done")
        if self.name == "crashes":
            os.abort()
        if self.name == "nan":
            weights = weights * np.nan
        if self.name == "fewer":
            weights = weights[:3]
        if self.name == "wrong-fp32":
            weights = weights * 1.01
        write_fake(out, weights)
        return source.derive(out, precision=self.precision)

@hookimpl
def ecgedge_quantizers():
    return [Bad(n) for n in ("raises", "crashes", "nan", "fewer")] + [Bad("wrong-fp32", "fp32")]
"""


TELLING = """
from ecgedge import hookimpl
from ecgedge.testing import FakeRuntime, FakeSession

class TellingSession(FakeSession):
    def figures(self):
        return {"arena_bytes": 15936, "fits": "the smallest board"} if self.y.any() else {}

class Telling(FakeRuntime):
    def load(self, artifact, threads):
        return TellingSession(super().load(artifact, threads).weights)

@hookimpl
def ecgedge_runtimes():
    return [Telling("telling")]
"""


def matrix(ecgedge: Command, fakes: Path, *arguments: str | Path) -> Result:
    common = ("--dataset", "synthetic", "--model", "fake", "--profile", "quick")
    return ecgedge("--plugins-dir", fakes, "matrix", *common, *arguments)


def test_how_long_it_takes_is_told_by_a_rule_then_by_what_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ECGEDGE_CACHE", str(tmp_path))
    cells = [Cell(model, (), "none", "onnx", "fp32", "cpu") for model in ("one", "one", "two")]
    plan: Any = SimpleNamespace(cells=cells, request=SimpleNamespace(preset="full"))

    def said() -> list[str]:
        announce(plan, offers_quick=True)
        return capsys.readouterr().err.splitlines()

    told, offer = said()
    assert told == "3 cells of 2 models, profile full: about 40 s, by a rule of 15 s and 8 s a cell"
    assert offer.startswith("a first answer in about 20 s: --profile quick")
    pace.keep("one", "full", 100)
    assert "by a rule" in said()[0]
    pace.keep("two", "full", 40)
    assert said()[0] == "3 cells of 2 models, profile full: about 4 minutes, as they took here before"
    for damaged in ("{", '{"seconds_a_cell": {"full": {"one": "long"}}}', "[]"):
        pace.file().write_text(damaged)
        assert "by a rule" in said()[0]
    pace.keep("one", "full", 1)
    assert pace.expected(cells[:2], "full") == pace.Expected(2, seen=True)


@pytest.mark.parametrize(
    ("quantizers", "model", "is_told"),
    [(["none"], None, True), (["none", "as-it-came"], None, False), (["none"], "tcn", False)],
)
def test_a_file_that_is_not_measured_as_it_came_is_told(
    quantizers: list[str], model: str | None, is_told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where ``--quantizer`` leaves it out; of a model that is no user's file there is no such form."""
    cells = [Cell("mine.onnx", (), name, "onnx", "fp32", "cpu", passes=("fold_norms",)) for name in quantizers]
    source = SimpleNamespace(format="onnx", precision="fp32", model=model and SimpleNamespace(name=model))
    plan: Any = SimpleNamespace(cells=cells, sources={"mine.onnx": source}, request=SimpleNamespace(preset="quick"))
    announce(plan, offers_quick=False)
    assert ("Note: mine.onnx as it came" in (err := capsys.readouterr().err)) == is_told
    assert ("--quantizer as-it-came adds it" in err) == is_told


def test_what_a_session_tells_besides_is_kept(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    (fakes / "telling.py").write_text(TELLING)
    matrix(ecgedge, fakes, "--quantizer", "none", "--format", "fake", "--out", "run")
    rows = {row["runtime"]: row for row in rows_of(tmp_path / "run")}
    assert rows["telling"]["figures"] == {"arena_bytes": 15936, "fits": "the smallest board"}
    assert "figures" not in rows["fake-runtime"]
    page = (tmp_path / "run" / "report.md").read_text()
    section = page.split("## What runtimes tell besides")[1].split("##")[0]
    assert section.strip() == f"- {rows['telling']['id']}: arena_bytes 15,936; fits the smallest board"


def test_rows_files_and_table(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    result = matrix(ecgedge, fakes, "--out", "run")
    assert result.code == 0, result.err
    assert result.err.startswith("3 cells of 1 model, profile quick: about ") and "first answer" not in result.err
    seen = ["fake numpy fp32 on fake-runtime: size ", "fake processes", "fake fake full-int8 on fake-runtime: size "]
    assert [*map(result.err.index, seen)] == sorted(map(result.err.index, seen)) and "round 1" in result.err
    assert result.err.index(seen[-1]) < result.err.index("round 1") and ", accuracy 0." in result.err
    rows = {(row["format"], row["precision"], row["runtime"]): row for row in rows_of(tmp_path / "run")}
    assert set(rows) == {
        ("numpy", "fp32", "fake-runtime"),
        ("fake", "fp32", "fake-runtime"),
        ("fake", "full-int8", "fake-runtime"),
        ("numpy", None, "absent"),
    }
    skipped = rows.pop(("numpy", None, "absent"))
    assert (skipped["status"], skipped["reason"]) == ("skipped", "runtime absent: no such device")
    for row in rows.values():
        assert row["status"] == "ok"
        assert row["dataset"] == "synthetic"
        assert row["beats"] == 500
        assert 0.8 < row["accuracy"] <= 1
        assert 0 < row["latency_p50_us"] <= row["latency_p95_us"]
        assert row["latency_p50_low_us"] <= row["latency_p50_us"] <= row["latency_p50_high_us"]
        assert row["latency_p90_us"] <= row["latency_p95_us"]
        assert row["timed_calls"] < 3000 or row["latency_p99_us"] >= row["latency_p95_us"]
        assert min(row["throughput_1_per_s"], row["throughput_16_per_s"], row["throughput_64_per_s"]) > 0
        assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
        assert row["energy_uj_per_beat"] == "not measured" or row["energy_uj_per_beat"] > 0
        assert row["size_bytes"] == sum(f.stat().st_size for f in files(tmp_path / "run" / row["artifact"]))
    assert rows["fake", "fp32", "fake-runtime"]["max_abs_diff"] < 1e-6
    assert rows["fake", "full-int8", "fake-runtime"]["max_abs_diff"] > 1e-6

    name = rows["fake", "fp32", "fake-runtime"]["id"]
    assert np.load(tmp_path / "run" / "cells" / f"{name}.outputs.npy").shape == (500, 5)
    kept = np.fromfile(tmp_path / "run" / "samples" / f"{name}.i64", dtype="<i8").reshape(-1, 2)
    recorded = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    assert len(kept) == sum(each["calls"] for each in recorded if each["event"] == "block" and each["cell"] == name)
    assert len(kept) >= rows["fake", "fp32", "fake-runtime"]["timed_calls"] >= 600
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["machine"]["cores"]
    assert run["versions"]["numpy"]
    assert "digest" in run["data"]
    with (tmp_path / "run" / "report.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4
    page = (tmp_path / "run" / "report.md").read_text()
    assert "synthetic" in page
    assert "| fake" in page
    assert "<h1>ecgedge report: fake</h1>" in (tmp_path / "run" / "report.html").read_text()
    assert "report.html" in result.out
    assert "synthetic" in result.out
    assert max(len(line) for line in result.out.splitlines() if str(tmp_path) not in line) <= 120
    assert "[9/9]" in result.err
    assert "noise: fake: a file timed twice:" in result.out


def files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def test_a_bad_cell_never_hides_the_others(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    (fakes / "bad.py").write_text(BAD_PARTS)
    result = matrix(ecgedge, fakes, "--format", "fake", "--out", "run")
    assert result.code == 1
    rows = {row["quantizer"]: row for row in rows_of(tmp_path / "run") if row["status"] != "skipped"}
    verdicts = {name: (row["status"], row.get("stage")) for name, row in rows.items()}
    assert verdicts == {
        "none": ("ok", None),
        "fake-int8": ("ok", None),
        "raises": ("failed", "convert"),
        "crashes": ("failed", "convert"),
        "nan": ("rejected", None),
        "fewer": ("rejected", None),
        "wrong-fp32": ("rejected", None),
    }
    assert rows["raises"]["reason"] == "cannot be done"
    assert "SIGABRT" in rows["crashes"]["reason"]
    assert "not finite" in rows["nan"]["reason"]
    assert "fp32 differs" in rows["wrong-fp32"]["reason"]
    assert "5 of 7 cells did not work" in result.err
    assert "cannot be done" in result.out


def test_the_store_saves_the_second_run_from_converting(
    ecgedge: Command, fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECGEDGE_CACHE", str(tmp_path / "cache"))
    assert matrix(ecgedge, fakes, "--out", "one").code == 0
    made = times(tmp_path / "cache" / "store")
    assert made
    assert matrix(ecgedge, fakes, "--out", "two").code == 0
    assert times(tmp_path / "cache" / "store") == made
    one, two = ({row["id"]: row.get("digest") for row in rows_of(tmp_path / name)} for name in ("one", "two"))
    assert one == two


def times(store: Path) -> dict[Path, int]:
    """When everything was written, but the records: theirs is the time of the last use."""
    return {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.name != "record.json"}


def test_changed_code_is_not_answered_from_the_store(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    def convert(out: str) -> bytes:
        result = ecgedge("--plugins-dir", fakes, "convert", "fake", "--to", "fake", "-o", out, "--dataset", "synthetic")
        assert result.code == 0, result.err
        return (tmp_path / out).read_bytes()

    text = (fakes / "fakes.py").read_text()
    own = (
        "class Mine(FakeExporter):\n    def convert(self, source, out, context):\n"
        "        made = super().convert(source, out, context)\n        {}\n        return made\n\n"
    )
    for extra, out in (("pass", "one"), ("out.open('ab').write(b' ')", "two")):
        changed = text.replace("@hookimpl", own.format(extra) + "@hookimpl", 1).replace("[FakeExporter", "[Mine")
        (fakes / "fakes.py").write_text(changed)
        convert(out)
    assert (tmp_path / "two").read_bytes() == (tmp_path / "one").read_bytes() + b" "


def test_no_module_of_the_users_folder_gets_into_a_child(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    (tmp_path / "signal.py").write_text("raise RuntimeError('the wrong signal')")
    (tmp_path / "ecgedge").mkdir()
    result = matrix(ecgedge, fakes, "--out", "run", "--runtime", "fake-runtime")
    assert result.code == 0, result.err
    assert {row["status"] for row in rows_of(tmp_path / "run")} == {"ok"}


def test_rival_routes_are_told_apart(ecgedge: Command, fakes: Path) -> None:
    (fakes / "rival.py").write_text(
        "from ecgedge import hookimpl\nfrom ecgedge.testing import FakeExporter\n"
        "class Rival(FakeExporter):\n    name = 'rival'\n"
        "@hookimpl\ndef ecgedge_exporters():\n    return [Rival()]\n"
    )
    result = matrix(ecgedge, fakes, "--quantizer", "none")
    assert result.code == 0, result.err
    for route in ("fake-exporter none", "rival none"):
        assert any(route in line and " 1.00 " in line for line in result.out.splitlines()), result.out


def test_dry_run_lists_and_does_nothing(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    result = matrix(ecgedge, fakes, "--dry-run", "--out", "run")
    assert result.code == 0
    assert "cell  fake -> fake-exporter -> fake-int8  =>  fake full-int8 on fake-runtime" in result.out
    assert "skip  fake  numpy on absent: runtime absent: no such device" in result.out
    assert "3 cells, 1 skip" in result.out
    assert sorted(tmp_path.iterdir()) == before


def test_the_users_mistakes(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    assert "cnn-ae, fake, inception" in error_of(matrix(ecgedge, fakes, "--model", "resnet"))
    assert "choose from: absent, cpu" in error_of(matrix(ecgedge, fakes, "--runtime", "tpu"))
    assert "unknown exporter 'x'" in error_of(matrix(ecgedge, fakes, "--exporter", "x"))
    told = error_of(matrix(ecgedge, fakes, "--format", "numpy", "--quantizer", "full-int8"))
    assert "with --format numpy there are: formats numpy; precisions fp32; runtimes absent, fake-runtime" in told
    assert "nowhere does not exist" in error_of(matrix(ecgedge, fakes, "--dataset", "nowhere"))
    (tmp_path / "file").touch()
    assert "cannot be written" in error_of(matrix(ecgedge, fakes, "--out", "file/run"))
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "rows.jsonl").write_text("kept\n")
    assert "old is not empty" in error_of(matrix(ecgedge, fakes, "--out", "old"))
    assert (tmp_path / "old" / "rows.jsonl").read_text() == "kept\n"
    assert "1 beat cannot hold 5 classes" in error_of(matrix(ecgedge, fakes, "--calibration", "1", "--out", "new"))
    assert "-1" in matrix(ecgedge, fakes, "--seed", "-1").err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.csv").write_text("mine")
    assert "mine is not empty" in error_of(matrix(ecgedge, fakes, "--out", "mine"))
    data = tmp_path / "Short"
    data.mkdir()
    for part in ("TRAIN", "TEST"):
        (data / f"Short_{part}.txt").write_text("1 2 3\n2 3 4\n")
    assert "takes beats of 140 samples, those of short have 2" in error_of(matrix(ecgedge, fakes, "--dataset", "Short"))


def test_without_mlflow_nothing_is_begun(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "mlflow.py").write_text("raise ModuleNotFoundError('No module named mlflow')")
    path = os.pathsep.join([str(tmp_path / "without"), *filter(None, [os.environ.get("PYTHONPATH")])])
    common = ("--dataset", "synthetic", "--model", "fake", "--profile", "quick")
    result = ecgedge("--plugins-dir", fakes, "matrix", *common, "--out", "run", "--mlflow", PYTHONPATH=path)
    assert "mlflow is not installed" in error_of(result)
    assert not (tmp_path / "run").exists() and not (tmp_path / "mlflow.db").exists()


def test_a_bug_keeps_its_traceback(ecgedge: Command, fakes: Path) -> None:
    (fakes / "buggy.py").write_text(
        "from ecgedge import hookimpl\nfrom ecgedge.testing import FakeRuntime\n"
        "class Buggy(FakeRuntime):\n    def load(self, artifact, threads):\n        raise IndexError('a bug')\n"
        "@hookimpl\ndef ecgedge_runtimes():\n    return [Buggy('buggy')]\n"
    )
    result = ecgedge("--plugins-dir", fakes, "evaluate", "fake", "--runtime", "buggy", "--dataset", "synthetic")
    assert result.code == 1
    assert "Traceback" in result.err
    assert "IndexError: a bug" in result.err


NARROW = """
from ecgedge import hookimpl
from ecgedge.testing import FakeRuntime, FakeSession

class Coarse(FakeSession):
    def fetch(self):
        return super().fetch().round(1)

class Narrow(FakeRuntime):
    def __init__(self, name, computes):
        super().__init__(name)
        self.computes = computes

    def load(self, artifact, threads):
        return Coarse(super().load(artifact, threads).weights)

@hookimpl
def ecgedge_runtimes():
    return [Narrow("says-so", "bf16"), Narrow("silent", None)]
"""


def test_a_runtime_that_computes_in_less_than_fp32_has_to_say_so(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    (fakes / "narrow.py").write_text(NARROW)
    runtimes = ("--runtime", "says-so", "--runtime", "silent", "--quantizer", "none", "--format", "fake")
    matrix(ecgedge, fakes, *runtimes, "--out", "run")
    verdicts = {row["runtime"]: row["status"] for row in rows_of(tmp_path / "run")}
    assert verdicts == {"says-so": "ok", "silent": "rejected"}


def test_from_a_source_tree_that_is_not_installed(fakes: Path, tmp_path: Path) -> None:
    """All of the environment but the distribution ecgedge: the run ends well, and its report names the version."""
    lent = tmp_path / "lent"
    lent.mkdir()
    for entry in [entry for folder in site.getsitepackages() for entry in Path(folder).glob("*")]:  # some name none
        if "ecgedge" not in entry.name.lower():
            (lent / entry.name).symlink_to(entry)
    path = os.pathsep.join([str(lent), str(Path(ecgedge_package.__file__).parents[1])])
    command = [sys.executable, "-S", "-m", "ecgedge", "--plugins-dir", fakes, "matrix", "--model", "fake"]
    command += ["--dataset", "synthetic", "--profile", "quick", "--quantizer", "none", "--out", "run"]
    done = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "run" / "run.json").read_text())["versions"]
    assert told["ecgedge"] == ecgedge_package.__version__
    assert f"Made by ecgedge {ecgedge_package.__version__} from" in (tmp_path / "run" / "report.html").read_text()


DEVICE = """
from ecgedge import Graph, Node, Option, hookimpl
from ecgedge.testing import FakeRuntime

class Device(FakeRuntime):
    device = "npu"
    options = (Option("cuda_graph", bool, False, "Copies are part of a call."),)

    def load(self, artifact, threads, cuda_graph=False):
        session = super().load(artifact, threads)
        session.copies = "inside" if cuda_graph else "outside"
        return session

@hookimpl
def ecgedge_runtimes():
    return [Device("npu")]
"""


def test_batch_sizes_and_what_is_told_of_a_device(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    (fakes / "device.py").write_text(DEVICE)
    asked = ("--quantizer", "none", "--format", "fake", "--batch-sizes", "32,1,2", "--cuda-graph", "--out", "run")
    result = matrix(ecgedge, fakes, "--runtime", "npu", "--runtime", "fake-runtime", *asked)
    assert result.code == 0, result.err
    assert "beats/s: 32 beats a call" in result.out
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["batch_sizes"] == run["request"]["batch_sizes"] == [1, 2, 32]
    rows = {row["runtime"]: row for row in rows_of(tmp_path / "run")}
    for row in rows.values():
        assert [key for key in row if key.startswith("throughput_")] == [f"throughput_{n}_per_s" for n in (1, 2, 32)]
    told = {key: rows["npu"].get(key) for key in ("device", "copies", "runtime_options")}
    assert told == {"device": "npu", "copies": "inside", "runtime_options": {"cuda_graph": True}}
    assert not {"copies", "runtime_options"} & set(rows["fake-runtime"]), "it has no such option, and no other memory"
    line = "npu: copies to and from the device inside of the time of a call, cuda_graph=True"
    assert f"- {rows['npu']['id']}: {line}" in (tmp_path / "run" / "report.md").read_text()
    assert f"<dd>{rows['npu']['id']}: {line}</dd>" in (tmp_path / "run" / "report.html").read_text()
    found = ecgedge("choose", "run", "--require", "throughput_32>1", "--optimize", "throughput_2")
    assert found.code == 0, found.err

    assert "throughput" not in ecgedge("check", "run").out
    for sizes in ([1, 2], None):
        (tmp_path / "run" / "run.json").write_text(json.dumps(run | {"batch_sizes": sizes}))
        assert "throughput: measured at [1, 2, 32] beats a call" in ecgedge("check", "run").out


@pytest.mark.parametrize("text", ["", "0,1", "1,a", "1.5", "-1", "99999999"])
def test_batch_sizes_that_are_none(ecgedge: Command, fakes: Path, text: str) -> None:
    told = error_of(matrix(ecgedge, fakes, f"--batch-sizes={text}", "--dry-run"))
    assert "no numbers of beats" in told and "1,16,64" in told
