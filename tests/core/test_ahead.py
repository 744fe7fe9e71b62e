"""What processors share before anything is timed: conversions, getting ready, answers. A failure is told as ever."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

import pytest

from tests.brief import ECGEDGE
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
        time.sleep({takes})
        if {fails!r}:
            raise ConversionError("it cannot be done")
        made = super().convert(source, out, context)
        given, returned = (replace(s, shape=(context.batch, *s.shape[1:])) for s in (made.input, made.output))
        return replace(made, input=given, output=returned)


@hookimpl
def ecgedge_exporters():
    return [Fixed()]
"""

SLOW = """
import os
import time
from pathlib import Path

from ecgedge import hookimpl
from ecgedge.testing import FakeRuntime

HERE = Path({folder!r})


class Slow(FakeRuntime):
    accepts = ("fake",)

    def available(self):
        if not (HERE / "planned").exists():
            (HERE / "planned").touch()
            return None
        (HERE / f"came-{{os.getpid()}}").touch()
        end = time.monotonic() + 60
        while len([*HERE.glob("came-*")]) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        (HERE / ("met" if time.monotonic() < end else "alone")).touch()
        return None


@hookimpl
def ecgedge_runtimes():
    return [Slow("slow")]
"""

ANSWERING = """
import errno
import os
import time
from pathlib import Path

from ecgedge import hookimpl
from ecgedge.testing import FakeRuntime
from ecgedge.testing.fakes import FakeSession

HERE, EACH, SECONDS, FULL = Path({folder!r}), {each!r}, {seconds!r}, {full!r}


class MeetingSession(FakeSession):
    def bind(self, x):
        super().bind(x)
        if len(x) > 1 and not hasattr(self, "met"):  # the first beats that are answered, not one to be timed
            self.met = True
            (HERE / f"came-{{os.getpid()}}").touch()
            end = time.monotonic() + SECONDS
            while time.monotonic() < end and len([*HERE.glob("came-*")]) < EACH:
                time.sleep(0.05)
            (HERE / ("met" if time.monotonic() < end else "alone")).touch()
            if FULL and min(HERE.glob("came-*")).name == f"came-{{os.getpid()}}":
                raise OSError(errno.ENOSPC, "No space left on device")
            time.sleep(2 if FULL else 0)


class Meeting(FakeRuntime):
    accepts = ("fake",)

    def load(self, artifact, threads):
        return MeetingSession(super().load(artifact, threads).weights)


@hookimpl
def ecgedge_runtimes():
    return [Meeting("meeting")]
"""


def started(fakes: Path, folder: Path, cores: set[int], fails: bool = False, takes: float = 0.5) -> Popen[str]:
    """A matrix that may use these processors, and whose conversions each write a line to ``folder/"converted"``."""
    (fakes / "fixed.py").write_text(FIXED.format(log=str(folder / "converted"), fails=fails, takes=takes))
    command = [*ECGEDGE, "--plugins-dir", fakes, "matrix", "--dataset", "synthetic"]
    asked = ["--model", "fake", "--exporter", "fixed", "--profile", "quick", "--out", folder / "run"]
    return Popen(
        [*map(str, command), *map(str, asked)],
        cwd=folder,
        env=os.environ | {"ECGEDGE_CACHE": str(folder / "cache")},
        preexec_fn=lambda: begin(cores),
        stdout=DEVNULL,
        stderr=PIPE,
        text=True,
    )


def begin(cores: set[int]) -> None:
    """As from a terminal: a shell has what it runs in the background ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.sched_setaffinity(0, cores)


def begun(folder: Path) -> list[tuple[str, str]]:
    """The process and the batch of each conversion that has begun."""
    log = folder / "converted"
    lines = log.read_text().splitlines() if log.exists() else []
    return [(process, batch) for process, batch in map(str.split, lines)]


def converted(fakes: Path, folder: Path, cores: set[int], fails: bool = False) -> list[tuple[str, str]]:
    """The process and the batch of each conversion of a matrix that may use these processors."""
    process = started(fakes, folder, cores, fails)
    _, told = process.communicate(timeout=300)
    assert process.returncode == int(fails) and "Traceback" not in told, told
    return begun(folder)


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
    assert counts == [2, 2]  # of each row once: no graph pass is to blame


def test_ctrl_c_ends_both_and_nothing_begins_anew(fakes: Path, cores: set[int], tmp_path: Path) -> None:
    process = started(fakes, tmp_path, cores, takes=600)
    while len(begun(tmp_path)) < 2:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130 and "--resume" in told and "Traceback" not in told, told
    assert len(begun(tmp_path)) == 2
    assert not any(Path(f"/proc/{number}").exists() for number, _ in begun(tmp_path))


def test_the_processes_of_cells_get_ready_together(fakes: Path, cores: set[int], tmp_path: Path) -> None:
    (tmp_path / "seen").mkdir()
    (fakes / "slow.py").write_text(SLOW.format(folder=str(tmp_path / "seen")))
    process = started(fakes, tmp_path, cores)
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    seen = {path.name for path in (tmp_path / "seen").iterdir()}
    assert "met" in seen and "alone" not in seen
    rows = [row for row in rows_of(tmp_path / "run") if row["runtime"] == "slow"]
    assert rows and all(row["status"] == "ok" for row in rows)


def test_cells_answer_together(fakes: Path, cores: set[int], tmp_path: Path) -> None:
    (tmp_path / "seen").mkdir()
    (fakes / "meeting.py").write_text(ANSWERING.format(folder=str(tmp_path / "seen"), each=2, seconds=60, full=False))
    process = started(fakes, tmp_path, cores)
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    seen = {path.name for path in (tmp_path / "seen").iterdir()}
    assert "met" in seen and "alone" not in seen
    rows = {row["precision"]: row for row in rows_of(tmp_path / "run") if row["runtime"] == "meeting"}
    assert len(rows) > 1 and all(row["status"] == "ok" and row["processors"] == [max(cores)] for row in rows.values())


def test_ctrl_c_waits_for_no_answer(fakes: Path, cores: set[int], tmp_path: Path) -> None:
    (tmp_path / "seen").mkdir()
    (fakes / "meeting.py").write_text(ANSWERING.format(folder=str(tmp_path / "seen"), each=9, seconds=600, full=False))
    process = started(fakes, tmp_path, cores)
    while not (seen := [*(tmp_path / "seen").iterdir()]):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130 and "--resume" in told and "Traceback" not in told, told
    assert not any(Path(f"/proc/{path.name.removeprefix('came-')}").exists() for path in seen)


def test_who_answers_ends_what_it_writes_where_another_finds_the_disk_full(
    fakes: Path, cores: set[int], tmp_path: Path
) -> None:
    (tmp_path / "seen").mkdir()
    meeting = ANSWERING.format(folder=str(tmp_path / "seen"), each=2, seconds=60, full=True)
    (fakes / "meeting.py").write_text(meeting)
    process = started(fakes, tmp_path, cores)
    _, told = process.communicate(timeout=300)
    assert process.returncode == 2 and "make room, then: " in told and "Traceback" not in told, told
    cells = tmp_path / "run" / "cells"
    assert len([*cells.glob("*.meeting.outputs.npy")]) == 1 and not [*cells.glob(".*")]
