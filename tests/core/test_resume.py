"""A run that is interrupted, killed or shared goes on, and ends as an unbroken one does."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge.api.artifact import digest_of
from ecgedge.run.journal import read, samples
from ecgedge.run.rows import blocks_of, compare
from tests.brief import ECGEDGE
from tests.conftest import Command, error_of, rows_of

SPINNING = """
import time
from ecgedge import hookimpl
from ecgedge.testing import FakeRuntime, FakeSession

class Spinning(FakeSession):
    def invoke(self):
        end = time.perf_counter() + 200e-6
        super().invoke()  # within the 200 us, so that caches and neighbours do not move them
        while time.perf_counter() < end:
            pass

class Spin(FakeRuntime):
    def load(self, artifact, threads):
        return Spinning(super().load(artifact, threads).weights)

@hookimpl
def ecgedge_runtimes():
    return [Spin("spin")]
"""

ASKED = ("--dataset", "synthetic", "--model", "fake", "--profile", "quick", "--runtime", "spin")


@pytest.fixture
def spinning(fakes: Path) -> Path:
    (fakes / "spin.py").write_text(SPINNING)
    return fakes


def heed() -> None:
    """What a job in the background ignores, and one that outlives its terminal, ends a process again."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Running:
    """A matrix in a process of its own that can be hit."""

    def __init__(self, cwd: Path, plugins: Path, *arguments: str):
        command = [*ECGEDGE, "--plugins-dir", str(plugins), "matrix", *arguments]
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed,
        )

    def hit(self, signal_: int) -> tuple[int, str, str]:
        self.process.send_signal(signal_)
        return self.end()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err


def until(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def lasting(rows: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """What must not depend on when a run was interrupted."""
    kept = ("status", "digest", "accuracy", "size_bytes", "max_abs_diff", "verdict")
    return {row["id"]: tuple(row.get(key) for key in kept) for row in rows}


def test_killed_at_twenty_moments_it_ends_as_an_unbroken_run(ecgedge: Command, spinning: Path, tmp_path: Path) -> None:
    begun_at = time.monotonic()
    whole = ecgedge("--plugins-dir", spinning, "matrix", *ASKED, "--out", "unbroken")
    assert whole.code == 0, whole.err
    seconds = time.monotonic() - begun_at

    moments = random.Random(4)
    run, unbroken, kills = tmp_path / "run", tmp_path / "unbroken", 0
    records: list[dict[str, Any]] = []
    while kills < 20 or not (run / "run.json").exists():  # the last one leaves a broken run
        begun = (run / "run.json").exists()
        if run.exists() and not begun:  # killed before it was a run: nothing is lost that was measured
            assert not read(run)
            run.rename(tmp_path / f"stillborn-{kills}")
        running = Running(tmp_path, spinning, *(("--resume", "run") if begun else (*ASKED, "--out", "run")))
        try:
            running.process.wait(timeout=seconds * moments.uniform(0.2, 0.8))
        except subprocess.TimeoutExpired:
            running.hit(signal.SIGKILL)
            kills += 1
        after = read(run)
        assert after[: len(records)] == records, "what was on record has changed"
        records = after
        if running.process.returncode == 0:  # it was faster than its murderers: the next moments go to another run
            ended_as(unbroken, run)
            run.rename(tmp_path / f"done-{len(list(tmp_path.glob('done-*')))}")
            records = []
    last = ecgedge("--plugins-dir", spinning, "matrix", "--resume", "run")
    assert last.code == 0, last.err
    ended_as(unbroken, run)
    until(lambda: not left_over(spinning), 10)  # children do not outlive their parent


def ended_as(unbroken: Path, run: Path) -> None:
    """Assert that a run holds what an unbroken one does: figures, outputs, times, each round of each cell once."""
    assert lasting(rows_of(run)) == lasting(rows_of(unbroken))
    for row in rows_of(run):
        outputs = [np.load(folder / "cells" / f"{row['id']}.outputs.npy") for folder in (run, unbroken)]
        np.testing.assert_array_equal(*outputs)
        medians = [
            np.array([np.median(samples(folder, block)[:, 0]) for block in blocks_of(read(folder))[row["id"]]])
            for folder in (run, unbroken)
        ]
        assert compare(*(each[:6] for each in medians), floor=None).result == "tie"
        blocks = blocks_of(read(run))[row["id"]]
        assert [block["round"] for block in blocks] == list(range(len(blocks))), "each round once"
        assert 6 <= len(blocks) == row["blocks"] <= 18, "all of the profile, and added ones where the machine changed"
        for block in blocks:
            assert hashlib.sha256(samples(run, block).tobytes()).hexdigest() == block["sha256"]


def left_over(plugins: Path) -> list[str]:
    """Workers of this test that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"ecgedge.workers.server" in command and str(plugins).encode() in environment:
            found.append(folder.name)
    return found


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_says_how_to_go_on(blow: int, spinning: Path, tmp_path: Path) -> None:
    running = Running(tmp_path, spinning, *ASKED, "--out", "my run")
    journal = tmp_path / "my run" / "journal.jsonl"
    until(lambda: journal.exists() and b'"block"' in journal.read_bytes())
    code, out, err = running.hit(blow)
    assert code == 130, err
    assert "Traceback" not in err
    (told,) = re.findall("interrupted; go on with: ecgedge (.*)", err)
    assert "run: my run" in out
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ecgedge", *shlex.split(told)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert {row["status"] for row in rows_of(tmp_path / "my run")} == {"ok"}


def test_what_cannot_be_resumed(ecgedge: Command, spinning: Path, tmp_path: Path) -> None:
    def resume(*more: str) -> str:
        return error_of(ecgedge("--plugins-dir", spinning, "matrix", "--resume", "run", *more))

    assert "run holds no run" in resume()
    assert ecgedge("--plugins-dir", spinning, "matrix", *ASKED, "--out", "run").code == 0
    assert "so --seed has no place" in resume("--seed", "1")
    assert "so --dataset has no place" in resume("--dataset", "synthetic")

    before = (tmp_path / "run" / "journal.jsonl").read_bytes()
    again = ecgedge("--plugins-dir", spinning, "matrix", "--resume", "run")
    assert again.code == 0, "a finished run is printed again"
    assert (tmp_path / "run" / "journal.jsonl").read_bytes().startswith(before)
    assert b'"block"' not in (tmp_path / "run" / "journal.jsonl").read_bytes()[len(before) :], (
        "nothing is measured again"
    )

    run = json.loads((tmp_path / "run" / "run.json").read_text())

    def changed(**fields: Any) -> str:
        (tmp_path / "run" / "run.json").write_text(json.dumps(run | fields))
        return resume()

    assert "the data has changed" in changed(data_digest="0")
    assert "a model has changed (fake: 0 then" in changed(sources={"fake": "0"})
    assert "a library has changed (numpy: 0.1 then" in changed(versions=run["versions"] | {"numpy": "0.1"})
    assert "what can run here has changed (gone then only)" in changed(cells=[*run["cells"], "gone"])
    assert "was measured on Z80" in changed(machine=run["machine"] | {"cpu": "Z80"})


@pytest.mark.parametrize("twin", [False, True])
def test_a_torn_line_and_samples_that_no_line_names_are_cut_off(
    twin: bool, ecgedge: Command, spinning: Path, tmp_path: Path
) -> None:
    assert ecgedge("--plugins-dir", spinning, "matrix", *ASKED, "--out", "run").code == 0
    journal = tmp_path / "run" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    blocks = [i for i, line in enumerate(lines) if b'"block"' in line]
    last = max(i for i in blocks if (b'.twin"' in lines[i]) == twin)
    journal.write_bytes(b"".join([*lines[:last], *lines[last + 1 :]]) + lines[last][:40])
    result = ecgedge("--plugins-dir", spinning, "matrix", "--resume", "run")
    assert result.code == 0, result.err
    assert "noise: fake: a file timed twice:" in result.out
    lost = json.loads(lines[last])
    again = [r for r in read(tmp_path / "run") if r["event"] == "block" and r["cell"] == lost["cell"]]
    assert [block["round"] for block in again] == list(range(max(6, len(again))))
    kept = (tmp_path / "run" / "samples" / f"{lost['cell']}.i64").stat().st_size
    assert kept == 16 * sum(block["calls"] for block in again)


DELETING = """
import shutil
from pathlib import Path
from ecgedge import hookimpl
from ecgedge.testing import FakeRuntime

class Deleting(FakeRuntime):
    def load(self, artifact, threads):
        if artifact.path.parent.name == "artifacts" and not Path({once!r}).exists():
            Path({once!r}).touch()
            shutil.rmtree(artifact.path.parent)
        return super().load(artifact, threads)

@hookimpl
def ecgedge_runtimes():
    return [Deleting("deleting")]
"""


def test_a_folder_that_is_deleted_fails_no_cell(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    (fakes / "deleting.py").write_text(DELETING.format(once=str(tmp_path / "once")))
    asked = ("--dataset", "synthetic", "--model", "fake", "--profile", "quick", "--runtime", "deleting", "--out", "run")
    result = ecgedge("--plugins-dir", fakes, "matrix", *asked, "--format", "fake")
    assert result.code == 2, result.err
    gone, hint = result.err.splitlines()[-2:]
    assert gone == "Error: run/artifacts is gone"
    assert hint.startswith("  bring it back, then: ecgedge ")
    assert ecgedge(*shlex.split(hint.partition(": ecgedge ")[2])).code == 0
    assert {row["status"] for row in rows_of(tmp_path / "run") if row["status"] != "skipped"} == {"ok"}


def test_artifacts_that_are_gone_are_made_again(ecgedge: Command, spinning: Path, tmp_path: Path) -> None:
    assert ecgedge("--plugins-dir", spinning, "matrix", *ASKED, "--out", "run").code == 0
    before = {path.name: digest_of(path) for path in (tmp_path / "run" / "artifacts").iterdir()}
    shutil.rmtree(tmp_path / "run" / "artifacts")
    journal = tmp_path / "run" / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))  # without the last block
    result = ecgedge("--plugins-dir", spinning, "matrix", "--resume", "run")
    assert result.code == 0, result.err
    assert {path.name: digest_of(path) for path in (tmp_path / "run" / "artifacts").iterdir()} == before


def test_two_matrices_at_once_share_a_store(spinning: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECGEDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ECGEDGE_TURNS")
    both = [Running(tmp_path, spinning, *ASKED, "--out", out) for out in ("one", "two")]
    for running in both:
        code, _, err = running.end()
        assert code == 0, err
    one, two = (lasting(rows_of(tmp_path / out)) for out in ("one", "two"))
    assert one == two
    assert len(list((tmp_path / "cache" / "store").iterdir())) == 4, "each artifact once, nothing left over"


def test_one_run_is_written_by_one_process(ecgedge: Command, spinning: Path, tmp_path: Path) -> None:
    running = Running(tmp_path, spinning, *ASKED, "--out", "run")
    until(lambda: (tmp_path / "run" / "run.json").exists())
    told = error_of(ecgedge("--plugins-dir", spinning, "matrix", "--resume", "run"))
    assert "is being written by another process" in told
    assert running.end()[0] == 0
