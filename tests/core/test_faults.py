"""Parts that crash, hang, eat memory or write half a file: each is a row, and the matrix goes on."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ecgedge.cli import main
from ecgedge.files.locks import swap_in
from ecgedge.measure import memory
from ecgedge.training.train import move_into
from tests.conftest import Command, rows_of

FAULTS = """
import ctypes, os, time
import numpy as np
from ecgedge import hookimpl
from ecgedge.testing import FakeInt8, FakeRuntime

def hang():
    time.sleep(600)

def eat():
    eaten = []
    while True:
        eaten.append(np.ones(1 << 24))

def explode():
    import exploding

FAULTS = {
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "hang": hang,
    "eat": eat,
    "exit": lambda: os._exit(3),
    "explode": explode,
}

class FaultyQuantizer(FakeInt8):
    def __init__(self, fault):
        self.name = self.precision = self.fault = fault

    def quantize(self, source, out, context):
        if self.fault == "half":
            made = super().quantize(source, out, context)
            out.write_bytes(out.read_bytes()[:100])
            return made
        if self.fault == "half-then-dies":
            out.write_bytes(b"half a fi")
            os.abort()
        FAULTS[self.fault]()

class FaultyRuntime(FakeRuntime):
    def __init__(self, fault, stage):
        super().__init__(f"{fault}-{stage}")
        self.fault, self.stage, self.loads = fault, stage, 0

    def load(self, artifact, threads):
        if self.stage == "load":
            FAULTS[self.fault]()
        session = super().load(artifact, threads)
        self.loads += 1  # once to score, three times for the throughput, then for each block
        if self.stage == "block" and self.loads == 7:
            session.invoke = FAULTS[self.fault]
        return session

@hookimpl
def ecgedge_quantizers():
    return [FaultyQuantizer(fault) for fault in [*FAULTS, "half", "half-then-dies"]]

@hookimpl
def ecgedge_runtimes():
    return [FaultyRuntime(fault, stage) for fault in FAULTS for stage in ("load", "block")]
"""


KILLED = """
import os, signal
from ecgedge import hookimpl
from ecgedge.testing import FakeRuntime

class Killed(FakeRuntime):
    def load(self, artifact, threads):
        os.kill(os.getpid(), signal.SIGKILL)

@hookimpl
def ecgedge_runtimes():
    return [Killed("killed")]
"""


@pytest.mark.parametrize("left", [1_000_000, 9_000_000])
def test_a_process_that_the_system_kills_for_memory(
    left: int, fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails its cell where the machine has memory left; where others have taken it, the run ends and goes on."""
    (fakes / "killed.py").write_text(KILLED)
    (tmp_path / "meminfo").write_text(f"MemTotal:       10000000 kB\nMemAvailable:   {left} kB\n")
    monkeypatch.setattr(memory, "MACHINE", tmp_path / "meminfo")
    monkeypatch.chdir(tmp_path)
    asked = ["matrix", "--dataset", "synthetic", "--model", "fake", "--profile", "quick", "--runtime", "killed"]
    monkeypatch.setenv("ECGEDGE_PLUGINS_DIR", str(fakes))
    done = CliRunner().invoke(main, [*asked, "--format", "numpy", "--out", "run"])
    rows = [row for row in rows_of(tmp_path / "run") if row["status"] != "skipped"]
    if left > 5_000_000:
        assert (done.exit_code, [row["status"] for row in rows]) == (1, ["failed"])
    else:
        assert (done.exit_code, rows) == (2, [])
        assert "the machine is short of memory" in done.stderr
        assert "free some memory, then: ecgedge" in done.stderr


@pytest.fixture
def faulty(fakes: Path) -> Path:
    (fakes / "faulty.py").write_text(FAULTS)
    (fakes / "exploding").mkdir()
    (fakes / "exploding" / "__init__.py").write_text("import ctypes\nctypes.string_at(0)\n")
    return fakes


def matrix(ecgedge: Command, faulty: Path, *arguments: str) -> tuple[int, str]:
    common = ("--dataset", "synthetic", "--model", "fake", "--profile", "quick", "--timeout", "6", "--memory", "600")
    result = ecgedge("--plugins-dir", faulty, "matrix", *common, "--out", "run", *arguments, PYTHONPATH=str(faulty))
    return result.code, result.err


REASONS = {
    "segfault": "SIGSEGV",
    "abort": "SIGABRT",
    "hang": "no answer within 6 s",
    "eat": "memory",
    "exit": "exit code 3",
    "explode": "SIGSEGV",
}


def told(row: dict[str, Any]) -> tuple[str, str]:
    return row["status"], row["stage"]


def test_faults_while_converting(ecgedge: Command, faulty: Path, tmp_path: Path) -> None:
    code, err = matrix(ecgedge, faulty, "--format", "fake", "--runtime", "fake-runtime")
    assert code == 1
    assert "8 of 10 cells did not work" in err
    rows = {row["quantizer"]: row for row in rows_of(tmp_path / "run")}
    assert rows["none"]["status"] == rows["fake-int8"]["status"] == "ok"
    for fault, reason in REASONS.items():
        assert told(rows[fault]) == ("timeout" if fault == "hang" else "failed", "convert"), rows[fault]
        assert reason in rows[fault]["reason"].replace("Memory", "memory")
    assert told(rows["half"]) == ("failed", "load")
    assert told(rows["half-then-dies"]) == ("failed", "convert")


@pytest.mark.parametrize("stage", ["load", "block"])
def test_faults_while_measuring(stage: str, ecgedge: Command, faulty: Path, tmp_path: Path) -> None:
    names = [f"{fault}-{stage}" for fault in REASONS]
    asked = [word for name in [*names, "fake-runtime"] for word in ("--runtime", name)]
    code, err = matrix(ecgedge, faulty, "--format", "fake", "--quantizer", "none", *asked)
    assert code == 1
    assert "6 of 7 cells did not work" in err
    rows = {row["runtime"]: row for row in rows_of(tmp_path / "run")}
    assert rows.pop("fake-runtime")["status"] == "ok"
    for fault, reason in REASONS.items():
        row = rows[f"{fault}-{stage}"]
        assert row["status"] == ("timeout" if fault == "hang" else "failed")
        assert row["stage"] in ({"load"} if stage == "load" else {"measure", "throughput", "score", "warm up"})
        assert reason in row["reason"].replace("Memory", "memory")


@pytest.mark.parametrize("at", range(1, 7))
def test_a_checkpoint_that_cannot_be_replaced_stays(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, new = tmp_path / "out", tmp_path / "new"
    for folder, content in ((out, "old"), (new, "new")):
        folder.mkdir()
        for name in ("metrics.json", "model.json", "weights.safetensors"):
            (folder / name).write_text(f"{content} {name}")
    before = {path.name: path.read_text() for path in out.iterdir()}
    count, replace = 0, Path.replace

    def failing(self: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count == at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing)
        with pytest.raises(OSError, match="Input/output error"):
            move_into(new, out)
    assert {path.name: path.read_text() for path in out.iterdir()} == before


@pytest.mark.parametrize("kind", ["a file", "a folder"])
def test_what_cannot_be_replaced_comes_back(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(name: str) -> Path:
        path = tmp_path / name
        if kind == "a folder":
            path.mkdir()
        (path / "file" if kind == "a folder" else path).write_text(name)
        return path

    fresh, target = put("fresh"), put("target")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "worn out")))
        with pytest.raises(OSError, match="worn out"):
            swap_in(fresh, target, tmp_path / "aside")
    assert (target / "file" if kind == "a folder" else target).read_text() == "target"
    swap_in(fresh, target, tmp_path / "aside")
    assert (target / "file" if kind == "a folder" else target).read_text() == "fresh"
