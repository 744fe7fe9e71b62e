"""Conversions before anything is timed: two processes share them, each is made once, and a failure is told as ever."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import rows_of

FIXED = """
import os
import time
from dataclasses import replace
from pathlib import Path

from ecgedge import ConversionError, hookimpl
from ecgedge.testing import FakeExporter


class Fixed(FakeExporter):
    name = "fixed"
    fixed_batch = True

    def convert(self, source, out, context):
        with Path({log!r}).open("a") as file:
            file.write(f"{{os.getpid()}} {{context.batch}}\\n")
        time.sleep(0.5)
        if {fails!r}:
            raise ConversionError("it cannot be done")
        made = super().convert(source, out, context)
        given, returned = (replace(s, shape=(context.batch, *s.shape[1:])) for s in (made.input, made.output))
        return replace(made, input=given, output=returned)


@hookimpl
def ecgedge_exporters():
    return [Fixed()]
"""


def converted(fakes: Path, folder: Path, cores: set[int], fails: bool = False) -> list[tuple[str, str]]:
    """The process and the batch of each conversion of a matrix that may use these processors."""
    log = folder / "converted"
    (fakes / "fixed.py").write_text(FIXED.format(log=str(log), fails=fails))
    command = [sys.executable, "-P", "-m", "ecgedge", "--plugins-dir", fakes, "matrix", "--dataset", "synthetic"]
    asked = ["--model", "fake", "--exporter", "fixed", "--profile", "quick", "--out", folder / "run"]
    done = subprocess.run(
        [*map(str, command), *map(str, asked)],
        cwd=folder,
        env=os.environ | {"ECGEDGE_CACHE": str(folder / "cache")},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == int(fails) and "Traceback" not in done.stderr, done.stderr
    return [(process, batch) for process, batch in map(str.split, log.read_text().splitlines())]


@pytest.fixture
def cores() -> set[int]:
    """All processors: a test process keeps to one of them."""
    found = set(range(os.cpu_count() or 1))
    if len(found) < 2:
        pytest.skip("needs two processors")
    return found


def test_two_processes_share_what_is_converted(fakes: Path, cores: set[int], tmp_path: Path) -> None:
    made = converted(fakes, tmp_path, cores)
    assert sorted(batch for _, batch in made) == ["1", "16", "64"]
    assert len({process for process, _ in made}) == 2
    [row] = [row for row in rows_of(tmp_path / "run") if row["format"] == "fake" and row["precision"] == "fp32"]
    assert row["status"] == "ok"


def test_one_processor_has_one_process(fakes: Path, cores: set[int], tmp_path: Path) -> None:
    made = converted(fakes, tmp_path, {min(cores)})
    assert sorted(batch for _, batch in made) == ["1", "16", "64"]
    assert len({process for process, _ in made}) == 1


def test_what_fails_is_told_and_not_tried_again(fakes: Path, cores: set[int], tmp_path: Path) -> None:
    counts = []
    for kind, used in (("one", {min(cores)}), ("both", cores)):
        (tmp_path / kind).mkdir()
        made = converted(fakes, tmp_path / kind, used, fails=True)
        rows = [row for row in rows_of(tmp_path / kind / "run") if row["status"] == "failed"]
        assert len(rows) == 2 and all("it cannot be done" in row["reason"] for row in rows)
        counts.append([batch for _, batch in made].count("1"))
    assert counts[0] == counts[1]
