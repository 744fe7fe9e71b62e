"""Sweeps on Dask: the same rows as without, lost workers, deadly cells, other versions, no shared cache, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ecgedge.cluster import dask
from tests.conftest import Command, error_of, rows_of
from tests.core.conftest import write_sets

pytest.importorskip("distributed")

FORMS = ("--model", "fake", "--format", "numpy", "--format", "fake")
KILLERS = """
import os, signal
from pathlib import Path
from ecgedge import hookimpl
from ecgedge.testing import FakeInt8

HERE = Path(__file__).parent

class Killer(FakeInt8):
    # the process that asks for a conversion is the worker itself
    def __init__(self, name):
        self.name = name

    def quantize(self, source, out, context):
        with (HERE / f"{self.name}.tries").open("a") as file:
            file.write("x")
        if self.name == "deadly" or not (HERE / "killed").exists():
            (HERE / "killed").touch()
            os.kill(os.getppid(), signal.SIGKILL)
        return super().quantize(source, out, context)

@hookimpl
def ecgedge_quantizers():
    return [Killer(name) for name in NAMES]
"""


@pytest.fixture
def sets(tmp_path: Path) -> list[Path]:
    return write_sets(tmp_path, 2, 100, 100)


def asked(fakes: Path, sets: list[Path], *more: str | Path) -> list[str | Path]:
    named = [word for one in sets for word in ("--dataset", one)]
    return ["--plugins-dir", fakes, "sweep", *named, *FORMS, *more]


def same_rows(one: Path, two: Path) -> None:
    first, second = (sorted(rows_of(each), key=lambda row: row["id"]) for each in (one, two))
    assert first == second


Started = Callable[..., subprocess.Popen]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Started]:
    """Start a process of Dask, ended with the test; what it prints is in a file of its name."""
    begun: list[subprocess.Popen] = []

    def run(name: str, code: str, **variables: str) -> subprocess.Popen:
        with (tmp_path / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", code], cwd=tmp_path, stdout=log, stderr=log, env=os.environ | variables
            )
        begun.append(process)
        return process

    yield run
    for process in reversed(begun):
        process.kill()
        process.wait()


SCHEDULER = """
import asyncio
from pathlib import Path
from distributed import Scheduler

async def main():
    async with Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as scheduler:
        Path("address.part").write_text(scheduler.address)
        Path("address.part").rename("address")
        await scheduler.finished()

asyncio.run(main())
"""
WORKER = """
import asyncio, sys
from distributed import Worker

async def main():
    async with Worker({address!r}, nthreads=1, dashboard_address="127.0.0.1:0") as worker:
        await worker.finished()

asyncio.run(main())
"""


@pytest.fixture
def scheduler(start: Started, tmp_path: Path) -> tuple[str, subprocess.Popen]:
    """A scheduler without workers: its address and its process."""
    process = start("scheduler", SCHEDULER)
    deadline = time.monotonic() + 60
    while not (tmp_path / "address").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    return (tmp_path / "address").read_text(), process


def test_a_cluster_gives_the_rows_of_this_machine(
    ecgedge: Command, fakes: Path, sets: list[Path], tmp_path: Path
) -> None:
    alone = ecgedge(*asked(fakes, sets, "--out", "alone"))
    assert alone.code == 0, alone.err
    result = ecgedge(*asked(fakes, sets, "--out", "run", "--cluster", "local:2"), ECGEDGE_CACHE=str(tmp_path / "cache"))
    assert result.code == 0, result.err
    same_rows(tmp_path / "alone", tmp_path / "run")
    assert result.out.replace("sweep: run", "sweep: alone") == alone.out


def test_a_lost_worker_costs_its_jobs_a_retry(ecgedge: Command, fakes: Path, sets: list[Path], tmp_path: Path) -> None:
    (fakes / "killers.py").write_text(KILLERS.replace("NAMES", '["once"]'))
    result = ecgedge(*asked(fakes, sets, "--out", "run", "--cluster", "local:2"))
    assert result.code == 0, result.err
    rows = rows_of(tmp_path / "run")
    assert len(rows) == 2 * 3 * 4 and {row["status"] for row in rows} == {"ok"}
    assert "1 worker lost; what they were doing is tried again" in result.err
    assert (fakes / "killed").exists()


def test_a_deadly_cell_fails_alone_after_some_tries(
    ecgedge: Command, fakes: Path, sets: list[Path], tmp_path: Path
) -> None:
    (fakes / "killers.py").write_text(KILLERS.replace("NAMES", '["deadly"]'))
    result = ecgedge(*asked(fakes, sets[:1], "--seed", "0", "--seed", "1", "--out", "run", "--cluster", "local:2"))
    assert result.code == 1, result.err
    found = {(row["seed"], row["quantizer"], row["format"]): row for row in rows_of(tmp_path / "run")}
    assert len(found) == 2 * 4
    for (_, quantizer, _), row in found.items():
        assert row["status"] == ("failed" if quantizer == "deadly" else "ok")
    assert found[0, "deadly", "fake"]["reason"] == "whoever worked on it died with it, each time that it was tried"
    assert len((fakes / "deadly.tries").read_text()) <= 2 * 2 * 3  # two jobs, with the others and alone, 3 workers each


def test_a_worker_with_other_versions_is_refused(
    ecgedge: Command, fakes: Path, sets: list[Path], tmp_path: Path, start: Started, scheduler
) -> None:
    address, _ = scheduler
    older = tmp_path / "older" / "numpy-1.0.0.dist-info"
    older.mkdir(parents=True)
    (older / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.0.0\n")
    path = os.pathsep.join([str(older.parent), os.environ.get("PYTHONPATH", "")])
    start("worker", WORKER.format(address=address), PYTHONPATH=path, ECGEDGE_PLUGINS_DIR=str(fakes))
    told = error_of(ecgedge(*asked(fakes, sets, "--out", "run", "--cluster", address)))
    assert "differs: numpy is 1.0.0 there, " in told and "install the same there as here" in told
    again = ecgedge("--plugins-dir", fakes, "sweep", "--resume", "run", "--jobs", "1")
    assert again.code == 0, again.err


def test_a_worker_without_the_plugin_is_refused(
    ecgedge: Command, fakes: Path, sets: list[Path], start: Started, scheduler
) -> None:
    start("worker", WORKER.format(address=scheduler[0]))
    told = error_of(ecgedge(*asked(fakes, sets, "--out", "run", "--cluster", scheduler[0])))
    assert "of fakes is not installed there" in told


def test_who_has_no_access_to_the_cache_is_sent_what_it_needs(
    ecgedge: Command, fakes: Path, sets: list[Path], tmp_path: Path, start: Started, scheduler
) -> None:
    for name in ("one", "two"):
        cache = {"ECGEDGE_CACHE": str(tmp_path / name), "ECGEDGE_PLUGINS_DIR": str(fakes)}
        start(name, WORKER.format(address=scheduler[0]), **cache)
    mine = str(tmp_path / "mine")
    result = ecgedge(*asked(fakes, sets, "--out", "run", "--cluster", scheduler[0]), ECGEDGE_CACHE=mine)
    assert result.code == 0, result.err
    rows = rows_of(tmp_path / "run")
    assert len(rows) == 2 * 3 * 3
    for row in rows:
        assert (tmp_path / "mine" / "store" / row["artifact"]).exists()
    listed = ecgedge("store", "verify", ECGEDGE_CACHE=mine)
    assert listed.code == 0, listed.out + listed.err
    same = ecgedge(*asked(fakes, sets, "--out", "alone"))
    assert same.code == 0
    same_rows(tmp_path / "alone", tmp_path / "run")


def test_a_scheduler_that_goes_is_told_and_the_sweep_goes_on_elsewhere(
    ecgedge: Command, fakes: Path, sets: list[Path], tmp_path: Path, start: Started, scheduler
) -> None:
    address, process = scheduler
    start("worker", WORKER.format(address=address), ECGEDGE_PLUGINS_DIR=str(fakes))
    (fakes / "slow.py").write_text(
        "import time\nfrom ecgedge import hookimpl\nfrom ecgedge.testing import FakeInt8\n"
        "class Slow(FakeInt8):\n    name = 'slow'\n"
        "    def quantize(self, source, out, context):\n        time.sleep(0.5)\n"
        "        return super().quantize(source, out, context)\n"
        "@hookimpl\ndef ecgedge_quantizers():\n    return [Slow()]\n"
    )
    command = [
        sys.executable,
        "-P",
        "-m",
        "ecgedge",
        *map(str, asked(fakes, sets, "--out", "run", "--cluster", address)),
    ]
    with subprocess.Popen(command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as sweep:
        wait_for_jobs(tmp_path / "run", 1, sweep)
        process.kill()
        _, err = sweep.communicate(timeout=120)
    assert sweep.returncode == 2, err
    assert "the scheduler of the cluster is gone" in err and "start it, then: ecgedge" in err and "Traceback" not in err
    done = len(rows_of(tmp_path / "run"))
    assert 0 < done < 24
    result = ecgedge("--plugins-dir", fakes, "sweep", "--resume", "run", "--cluster", "local:1")
    assert result.code == 0, result.err
    assert len(rows_of(tmp_path / "run")) == 24


def test_ctrl_c_ends_a_cluster_of_this_machine(ecgedge: Command, fakes: Path, sets: list[Path], tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "ecgedge"]
    command += map(str, asked(fakes, sets, "--out", "run", "--cluster", "local:2"))
    command += [word for seed in range(60) for word in ("--seed", str(seed))]
    heeds = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler), "start_new_session": True}
    pipes = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, **pipes, **heeds) as sweep:
        wait_for_jobs(tmp_path / "run", 2, sweep)
        os.killpg(sweep.pid, signal.SIGINT)  # as a terminal does: the workers get it, too
        _, err = sweep.communicate(timeout=120)
    assert sweep.returncode == 130, err
    assert "interrupted; go on with: ecgedge" in err and "--cluster local:2" in err and "Traceback" not in err, err
    done = {row["id"] for row in rows_of(tmp_path / "run")}
    assert 0 < len(done) < 360 and {row["status"] for row in rows_of(tmp_path / "run")} == {"ok"}


def test_no_cluster_is_told_in_a_line(
    here: Command, fakes: Path, sets: list[Path], scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask, "WAIT", 3)  # a worker could come within half a minute
    told = error_of(here(*asked(fakes, sets, "--out", "run", "--cluster", scheduler[0])))
    assert f"{scheduler[0]} has no worker" in told and "dask worker" in told


def wait_for_jobs(folder: Path, count: int, sweep: subprocess.Popen) -> None:
    """Until so many jobs are in the journal."""
    journal, deadline = folder / "journal.jsonl", time.monotonic() + 180
    while not (journal.exists() and journal.read_text().count('"made"') >= count):
        assert sweep.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


# -- a matrix, whose conversions are handed out

WHO = """
import os
from pathlib import Path
from ecgedge import hookimpl
from ecgedge.testing import FakeInt8

class Told(FakeInt8):
    name = "told"

    def quantize(self, source, out, context):
        with (Path(__file__).parent / "asked-by").open("a") as file:
            print(os.getppid(), file=file)
        return super().quantize(source, out, context)

class Failing(FakeInt8):
    name = "failing"

    def quantize(self, source, out, context):
        raise ValueError("no such scale")

@hookimpl
def ecgedge_quantizers():
    return [Told(), Failing()]
"""


def asked_matrix(fakes: Path, *more: str | Path) -> list[str | Path]:
    return ["--plugins-dir", fakes, "matrix", *FORMS, "--dataset", "synthetic", "--profile", "quick", *more]


def same_files(one: Path, two: Path) -> None:
    """The same rows, but for what is measured."""
    alike = ("id", "digest", "status", "reason", "accuracy", "passes", "notes")
    first, second = ([{name: row.get(name) for name in alike} for row in run_rows(each)] for each in (one, two))
    assert first == second


def run_rows(folder: Path) -> list[dict]:
    return sorted(rows_of(folder), key=lambda row: row["id"])


def test_a_matrix_has_its_conversions_made_on_a_cluster(
    ecgedge: Command, fakes: Path, tmp_path: Path, start: Started, scheduler
) -> None:
    (fakes / "who.py").write_text(WHO)
    worker = {"ECGEDGE_CACHE": str(tmp_path / "theirs"), "ECGEDGE_PLUGINS_DIR": str(fakes)}
    process = start("worker", WORKER.format(address=scheduler[0]), **worker)
    mine = str(tmp_path / "mine")
    there = ecgedge(*asked_matrix(fakes, "--out", "there", "--cluster", scheduler[0]), ECGEDGE_CACHE=mine)
    assert there.code == 1, there.err  # one quantizer fails
    assert {*(fakes / "asked-by").read_text().split()} == {str(process.pid)}
    alone = ecgedge(*asked_matrix(fakes, "--out", "alone"), ECGEDGE_CACHE=str(tmp_path / "other"))
    assert alone.code == 1, alone.err
    same_files(tmp_path / "there", tmp_path / "alone")
    failed = [row for row in run_rows(tmp_path / "there") if row["status"] == "failed"]
    assert [row["quantizer"] for row in failed] == ["failing"] and "no such scale" in failed[0]["reason"]
    for run in ("there", "alone"):
        assert ecgedge("check", run).code == 0


def test_a_deadly_conversion_of_a_matrix_fails_alone(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    (fakes / "killers.py").write_text(KILLERS.replace("NAMES", '["deadly", "once"]'))
    result = ecgedge(*asked_matrix(fakes, "--out", "run", "--cluster", "local:2"))
    assert result.code == 1, result.err
    found = {row["quantizer"]: row for row in run_rows(tmp_path / "run") if row["format"] == "fake"}
    assert {name: row["status"] for name, row in found.items()} == {
        name: "failed" if name == "deadly" else "ok" for name in found
    }
    assert found["deadly"]["reason"] == "whoever converted it died with it, each time that it was tried"


def test_a_matrix_keeps_no_cluster_and_one_that_is_done_needs_none(
    ecgedge: Command, fakes: Path, tmp_path: Path
) -> None:
    told = error_of(ecgedge(*asked_matrix(fakes, "--out", "run", "--cluster", "nowhere")))
    assert "--cluster nowhere is no cluster\n  name it as tcp://" in told
    assert not (tmp_path / "run").exists()
    done = ecgedge(*asked_matrix(fakes, "--out", "run", "--cluster", "local:1"))
    assert done.code == 0, done.err
    assert "local:1" not in json.dumps(json.loads((tmp_path / "run" / "run.json").read_text())["request"])
    again = ecgedge("--plugins-dir", fakes, "matrix", "--resume", "run", "--cluster", "tcp://127.0.0.1:1")
    assert again.code == 0, again.err
