"""Fixtures for all tests: a store of their own, the fakes as a plugin, the command line, the data."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ecgedge.data.dataset import Dataset
from ecgedge.data.finding import synthetic
from ecgedge.testing import write_fake_checkpoint
from tests import forked

FAKES = """
from pathlib import Path
from ecgedge import hookimpl
from ecgedge.testing import FakeExporter, FakeInt8, FakeModel, FakeRuntime

@hookimpl
def ecgedge_models():
    return [FakeModel(Path({folder!r}))]

@hookimpl
def ecgedge_exporters():
    return [FakeExporter()]

@hookimpl
def ecgedge_quantizers():
    return [FakeInt8()]

@hookimpl
def ecgedge_runtimes():
    return [FakeRuntime(), FakeRuntime("absent", "no such device")]
"""


@dataclass
class Result:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture(scope="session", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache for this test run alone, shared by its workers, and no plugins, boards or data of the user's."""
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    changed = {"ECGEDGE_CACHE": str(shared / "cache"), "ECGEDGE_PLUGINS": "", "ECGEDGE_TURNS": "0"}
    changed |= {"ECGEDGE_BOARDS": str(shared / "boards.json")}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ECGEDGE_PLUGINS_DIR", "ECGEDGE_STRICT"):
            patch.delenv(name, raising=False)
        for name, value in changed.items():
            patch.setenv(name, value)
        yield
        forked.close()


def pytest_configure() -> None:
    """Each of several test processes keeps to a processor of its own: what is measured is pinned, and would else meet
    on the last. Before torch is imported: two threads of one processor spend their time waiting for each other."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and hasattr(os, "sched_setaffinity"):
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {processors[int(worker.removeprefix("gw")) % len(processors)]})


@pytest.fixture(scope="session")
def beats() -> Dataset:
    return synthetic()


@pytest.fixture
def ecgedge(tmp_path: Path) -> Command:
    """Run the command line in a process of its own, in ``tmp_path``. Runs measure briefly, see ``brief.py``."""

    def run(*arguments: str | Path, **environment: str) -> Result:
        return run_command(*arguments, folder=tmp_path, **environment)

    return run


@pytest.fixture
def at_length(tmp_path: Path) -> Command:
    """As ``ecgedge``, for what times are about: Python is started anew, and timed is as long as it takes."""

    def run(*arguments: str | Path, **environment: str) -> Result:
        command = [sys.executable, "-P", "-m", "ecgedge", *map(str, arguments)]  # -P: as the console script is run
        variables = os.environ | environment
        done = subprocess.run(command, capture_output=True, text=True, env=variables, cwd=tmp_path, timeout=300)
        return Result(done.returncode, done.stdout, done.stderr)

    return run


def run_command(*arguments: str | Path, folder: Path, **environment: str) -> Result:
    """``ecgedge`` in a process of its own, in a folder."""
    return Result(*forked.run([*map(str, arguments)], os.environ | environment, folder, timeout=300))


@pytest.fixture
def unpacked(ecgedge: Command, tmp_path: Path) -> Callable[..., Path]:
    """Bundle a file and unpack it: the folder."""

    def make(file: str | Path, *options: str | Path) -> Path:
        name = Path(file).stem
        result = ecgedge("bundle", file, "-o", f"{name}.zip", *options)
        assert result.code == 0, result.err
        shutil.unpack_archive(tmp_path / f"{name}.zip", tmp_path / f"{name}-unpacked")
        [folder] = (tmp_path / f"{name}-unpacked").iterdir()
        return folder

    return make


@pytest.fixture
def fakes(tmp_path: Path, beats: Dataset) -> Path:
    """A plugins folder with the fakes and their checkpoint; tests add files of their own."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    checkpoint = write_fake_checkpoint(tmp_path / "fake-checkpoint", beats)
    (folder / "fakes.py").write_text(FAKES.format(folder=str(checkpoint)))
    return folder


@pytest.fixture(scope="session")
def ecg5000() -> Path:
    """The folder of the real data: ECGEDGE_DATA. Without it these tests are skipped, but never in CI."""
    named = os.environ.get("ECGEDGE_DATA")
    if named and Path(named, "ECG5000_TEST.txt").is_file():
        return Path(named)
    if os.environ.get("CI"):
        pytest.fail("ECGEDGE_DATA names no folder with ECG5000, and CI needs it")
    pytest.skip("needs ECG5000 in ECGEDGE_DATA")


class Disk:
    """A disk of 1 MiB that nobody else sees: in the mounts of a process of its own, and gone with it.

    Attributes:
        path: to it, through that process.
    """

    def __init__(self, folder: Path, *flags: str):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.holder = subprocess.Popen(["unshare", *flags, "sh"], text=True, bufsize=1, **pipes)
        self.folder = folder
        self.path = Path(f"/proc/{self.holder.pid}/root{folder}")

    def run(self, command: str) -> None:
        """A command of the shell there. Raises OSError where it fails."""
        assert self.holder.stdin and self.holder.stdout
        self.holder.stdin.write(f"{command} && echo done\n")
        if (told := self.holder.stdout.readline()) != "done\n":
            raise OSError(told.strip())

    def freeze(self) -> None:
        """From now on it can only be read."""
        self.run(f"mount -o remount,bind,ro '{self.folder}'")

    def fill(self, leave: int) -> None:
        """Write a file that leaves so many bytes."""
        with (self.path / "ballast").open("wb", buffering=0) as file:
            file.write(bytes(shutil.disk_usage(self.path).free - leave))

    def close(self) -> None:
        self.holder.kill()
        self.holder.communicate()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small disk that can be filled and frozen; skips where this user may mount nothing."""
    folder, told = tmp_path / "disk", ""
    folder.mkdir()
    for flags in (["-m"], ["-r", "-m"]):  # as root, or as anybody in a user namespace
        try:
            made = Disk(folder, *flags)
        except OSError as error:
            pytest.skip(f"needs unshare for a small disk: {error.strerror}")
        try:
            made.run(f"mount -t tmpfs -o size=1m tmpfs '{folder}'")
            yield made
            return
        except OSError as error:
            told = str(error)
        finally:
            made.close()
    pytest.skip(f"nothing can be mounted here: {told}")


def script(python: str | Path, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess:
    """A script of a bundle, with nothing of ecgedge's in reach."""
    apart = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "ECGEDGE"))}
    command = [str(python), "-B", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, env=apart, timeout=300)


def on_a_terminal(arguments: Sequence[str | Path], folder: Path) -> tuple[int, str]:
    """Exit code, and the very characters that a command writes to a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*map(str, arguments)], cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    ) as process:
        os.close(theirs)
        told = b""
        try:
            while piece := os.read(ours, 65536):
                told += piece
        except OSError:  # as Linux says that the other end is closed
            pass
        process.wait()
    os.close(ours)
    return process.returncode, told.decode("utf-8")


def write_beats(path: Path, x: np.ndarray) -> Path:
    np.savetxt(path, x[:, 0], fmt="%.9g", delimiter=",")
    return path


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def error_of(result: Result) -> str:
    """The message of a user's error: exit code 2, at most two lines, no traceback."""
    lines = [line for line in result.err.splitlines() if not line.startswith(("Warning:", "Note:"))]
    assert result.code == 2, (result.code, result.err)
    assert "Traceback" not in result.err
    assert 1 <= len(lines) <= 2, result.err
    return result.err
