"""Each write of a run fails once, or stays failing: the user is told so in a line, and the run ends as if nothing was.

By default a write of each kind fails. ECGEDGE_WALK=turns fails each write, with one error in turn (half an hour),
ECGEDGE_WALK=all with each: ``tox -e disk``.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from ecgedge.api.artifact import digest_of
from tests.conftest import rows_of
from tests.failing_disk import ERRORS, FailingDisk, Fault, error_lines, library

ASKED = ("matrix", "--dataset", "synthetic", "--model", "fake", "--profile", "quick", "--runtime", "fake-runtime",
         "--format", "fake", "--quantizer", "fake-int8", "--out", "run")  # fmt: skip
SEEN = {  # of each kind of write one, and how it fails in the suite
    r"mkdir run/samples": (errno.EDQUOT, False),
    r"fwrite tmp/.*scored\.npy": (errno.ENOSPC, False),
    r"write cache/store/.*/content/fake\.fake": (errno.ENOSPC, True),
    r"fwrite run/cells/\.fake\.fake-exporter": (errno.EIO, False),
    r"write run/samples/": (errno.ENOSPC, True),
    r"write run/\.report\.md": (errno.EDQUOT, True),
}
TIMES = re.compile(r"_us$|_ms$|_kib$|_per_s$|_per_beat$|^(timed|warm_up)_calls|^(cpu_share|load|noise_floor|stable)$|"
                   r"^(blocks|blocks_quick|unsteady)$")  # fmt: skip
THEIRS = (".ses",)  # onnxruntime's, among temporary files
PACES = "paces.json"  # how long a run took: one that was broken off cannot know it, and keeps nothing


@pytest.fixture(scope="module")
def so(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return library(tmp_path_factory.mktemp("library"))


class Walk:
    """Runs of one matrix: one that nothing happens to, and any number that something does."""

    def __init__(self, folder: Path, so: Path, *asked: str):
        self.folder, self.so, self.asked = folder, so, asked
        untouched = FailingDisk(self.folder / "untouched", self.so)
        done = untouched.run(self.asked)
        assert done.code == 0, done.err
        self.writes, self.rows, self.kept = done.writes, lasting(untouched.disk), contents(untouched.disk)

    def fail(self, fault: Fault) -> str:
        """Let one write fail, go on as the user is told, and compare; returns what was told."""
        kind = "stays" if fault.stays else "once"
        disk = FailingDisk(self.folder / f"{fault.at}-{fault.error}-{kind}", self.so)
        done = disk.run(self.asked, fault)
        said = f"write {fault.at} ({done.writes[fault.at - 1 : fault.at]}), error {fault.error} {kind}: {done.err}"
        lines = error_lines(done.err)
        assert not [name for name in self.left_over(disk) if name.startswith(".")], said
        records = (disk.disk / "run" / "journal.jsonl").read_text() if (disk.disk / "run" / "run.json").exists() else ""
        assert '"failed"' not in records, said
        if done.code == 2:
            assert len(lines) == 2 and lines[0].startswith("Error: "), said
            begun = (disk.disk / "run" / "run.json").exists()
            assert ("then: ecgedge" in lines[1]) == begun, said
            asked = shlex.split(lines[1].partition("then: ecgedge ")[2]) if begun else self.asked
        else:
            assert (done.code, lines) == (0, []), said
            warned = re.findall("to write it again: ecgedge (.*)\\)", done.err)
            asked = shlex.split(warned[0]) if warned else ()
        if asked:
            again = disk.run(asked)
            assert (again.code, error_lines(again.err)) == (0, []), f"{said}\nthen: {again.err}"
        self.compare(disk, said)
        return lines[0] if lines else "".join(re.findall("Warning: .*", done.err)) or "nothing"

    def left_over(self, disk: FailingDisk) -> list[str]:
        """Names of what lies half-written in the folder of the run, in the store and among temporary files."""
        places = (disk.disk, disk.disk / "run", disk.disk / "run" / "cells", disk.disk / "run" / "artifacts",
                  disk.disk / "cache" / "store", disk.disk / "tmp")  # fmt: skip
        names = [path.name for place in places if place.is_dir() for path in place.iterdir()]
        return [name for name in names if name not in THEIRS]

    def compare(self, disk: FailingDisk, said: str) -> None:
        assert contents(disk.disk) == self.kept, said
        assert lasting(disk.disk) == self.rows, said


def contents(disk: Path) -> dict[str, str]:
    """All files and folders, with the digest of those that hold no times."""
    timed = re.compile(r"throughput|journal|report|rows|run\.json|\.log|i64|mlflow")
    return {
        str(path.relative_to(disk)): "" if path.is_dir() or timed.search(path.name) else digest_of(path)
        for path in sorted(disk.rglob("*"))
        if path.name not in (*THEIRS, PACES)
    }


def lasting(disk: Path) -> list[dict[str, Any]]:
    """The rows of a run, without what was timed."""
    rows = [{key: row[key] for key in row if not TIMES.search(key)} for row in rows_of(disk / "run")]
    assert all(
        {"status", "digest", "accuracy", "confusion", "verdict", "precision_check"} <= row.keys() for row in rows
    )
    return rows


@pytest.fixture
def walk(tmp_path: Path, so: Path, fakes: Path) -> Walk:
    return Walk(tmp_path / "walk", so, "--plugins-dir", str(fakes), *ASKED)


def test_a_run_goes_on_whatever_write_failed(walk: Walk) -> None:
    wrong = []
    for fault in faults(walk):
        try:
            told = walk.fail(fault)
        except AssertionError as error:
            told = f"WRONG: {error}"
            wrong.append(told)
        print(json.dumps([*vars(fault).values(), *walk.writes[fault.at - 1], told]), flush=True)
    assert not wrong, "\n\n".join(wrong)


def faults(walk: Walk) -> list[Fault]:
    """One of each kind in ``SEEN``; where ECGEDGE_WALK says so each write, with each error or with one in turn."""
    if wanted := os.environ.get("ECGEDGE_WALK"):
        numbers = range(1, len(walk.writes) + 1)
        whole = [Fault(n, error, error == errno.ENOSPC) for n in numbers for error in ERRORS]
        return whole if wanted == "all" else [fault for fault in whole if ERRORS[fault.at % 3] == fault.error]
    named = [" ".join(each) for each in walk.writes]
    found: list[Any] = []
    for pattern, (error, stays) in SEEN.items():
        at = next((n for n, name in enumerate(named, 1) if re.match(pattern, name)), None)
        assert at, f"no write is {pattern}: {named}"
        found.append(Fault(at, error, stays))
    return found
