"""What the system does to a command: one line, the right exit code, and no half file left."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import rows_of
from tests.failing_disk import MEANWHILE

MATRIX = ("--plugins-dir plugins matrix --dataset synthetic --model fake --profile quick --runtime fake-runtime "
          "--format numpy --out run")  # fmt: skip
FULL = Path("/dev/full")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="what a shell of Unix does")


def shell(folder: Path, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A line of a shell in a folder whose ``bin`` holds the command."""
    variables |= {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, env=os.environ | variables, capture_output=True, text=True, timeout=300
    )


def told(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of an error, without progress, warnings and notes."""
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("sh: 0:")]
    return [line for line in lines if not re.match(rf"{MEANWHILE.pattern}|run: ", line.strip())]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the fakes, a run of them, beats, and things that are no files of beats."""
    from ecgedge.data.finding import synthetic
    from ecgedge.testing import write_fake_checkpoint
    from tests.conftest import FAKES

    folder = tmp_path_factory.mktemp("place")
    (folder / "bin").mkdir()
    (folder / "bin" / "ecgedge").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m ecgedge "$@"\n')
    (folder / "bin" / "ecgedge").chmod(0o755)
    (folder / "plugins").mkdir()
    checkpoint = write_fake_checkpoint(folder / "checkpoint", synthetic())
    (folder / "plugins" / "fakes.py").write_text(FAKES.format(folder=str(checkpoint)))
    (folder / "beats.csv").write_text("\n".join(",".join(["0.5"] * 140) for _ in range(3)) + "\n")
    os.mkfifo(folder / "pipe.csv")
    os.mkfifo(folder / "pipe.ts")
    os.mkfifo(folder / "pipe.zip")
    (folder / "zero.csv").symlink_to("/dev/zero")
    (folder / "folder.csv").mkdir()
    done = shell(folder, f"ecgedge {MATRIX}")
    assert done.returncode == 0, done.stderr
    return folder


PREDICT = "ecgedge --plugins-dir plugins predict fake beats.csv"
LONG, LONGER = "a" * 250, "a" * 5000

CASES = {  # the command, its exit code, what it tells
    # targets
    "a full device as -o": ("ecgedge report run -o /dev/full", 2, "/dev/full cannot be written: No space left"),
    "the null device as -o": ("ecgedge report run -o /dev/null", 0, ""),
    "standard output by name": ("ecgedge report run --output csv -o /dev/stdout | grep -q '^id'", 0, ""),
    "answers to a full device": (f"{PREDICT} -o /dev/full", 2, "/dev/full cannot be written: No space left"),
    "a folder as -o": ("ecgedge report run -o run", 2, "run is a folder, and no file can be written in its place"),
    "no such folder for -o": ("ecgedge report run -o nowhere/a.md", 2, "cannot be written: there is no folder nowhere"),
    "a junit file to a full device": ("ecgedge compare run run --junit /dev/full", 2, "/dev/full cannot be written"),
    "a limit of the size of files": ("ulimit -f 0; ecgedge report run -o answers.md", 2,
                                     "answers.md cannot be written: File too large"),
    # standard streams
    "full standard output": ("ecgedge report run >/dev/full", 2, "standard output cannot be written: No space left"),
    "full standard output of help": ("ecgedge --help >/dev/full", 2, "standard output cannot be written: No space"),
    "full standard output of answers": (f"{PREDICT} >/dev/full", 2, "standard output cannot be written: No space"),
    "full standard error": ("ecgedge report nowhere 2>/dev/full", 2, ""),
    "closed standard output": ("ecgedge report run >&-", 0, ""),
    "closed standard error": ("ecgedge report nowhere 2>&-", 2, ""),
    "closed streams": ("ecgedge report run <&- >&- 2>&-", 0, ""),
    "a closed standard input for beats": ("ecgedge --plugins-dir plugins predict fake - <&-", 0, ""),
    "a reader that goes": ("{ ecgedge report run --output json; echo $? >&2; } | true", 0, "141"),
    # terminals
    "an ASCII terminal": ("PYTHONIOENCODING=ascii ecgedge report run --output md", 0, ""),
    "an ASCII terminal and an error": ("PYTHONIOENCODING=ascii ecgedge report 'r\u00fcn'", 2, "holds no run"),
    "the C locale": ("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 ecgedge report 'r\u00fcn'", 2, "holds no run"),
    "a name that is no UTF-8": ("ecgedge report \"$(printf 'r\\374n')\"", 2, "holds no run"),
    # names
    "a long name": (f"ecgedge report {LONG}", 2, "holds no run"),
    "a longer name": (f"ecgedge report {LONGER}", 2, "File name too long"),
    "a longer name of a model": (f"ecgedge --plugins-dir plugins matrix --dataset synthetic --model {LONGER}", 2, "aa"),
    "a longer name of a file": (f"ecgedge --plugins-dir plugins matrix --artifact {LONGER}.onnx --dataset synthetic", 2,
                                "aaa"),
    "a longer name of data": (f"ecgedge --plugins-dir plugins evaluate fake --dataset {LONGER}", 2, "name too long"),
    "a longer name of a folder": (f"ecgedge --plugins-dir plugins matrix --model fake --out {LONGER} "
                                  "--dataset synthetic", 2, "File name too long"),
    # data
    "a pipe as data": ("ecgedge --plugins-dir plugins evaluate fake --dataset pipe.csv", 2, "pipe.csv is a pipe"),
    "a pipe as ts data": ("ecgedge --plugins-dir plugins evaluate fake --dataset pipe.ts", 2, "pipe.ts is a pipe"),
    "a pipe as a zip": ("ecgedge --plugins-dir plugins evaluate fake --dataset pipe.zip", 2, "pipe.zip is a pipe"),
    "a device as data": ("ecgedge --plugins-dir plugins evaluate fake --dataset zero.csv", 2, "zero.csv is a device"),
    "a pipe as beats": ("ecgedge --plugins-dir plugins predict fake pipe.csv", 2, "pipe.csv is a pipe"),
    "a device as beats": ("ecgedge --plugins-dir plugins predict fake /dev/zero", 2, "/dev/zero is a device"),
    "a folder as beats": ("ecgedge --plugins-dir plugins predict fake folder.csv", 2, "folder.csv is a folder"),
    # the working folder
    "a folder that is gone": ("mkdir gone; cd gone; rmdir ../gone; ecgedge --plugins-dir ../plugins report run", 2,
                              "the working folder cannot be used: No such file"),
    "help in a folder that is gone": ("mkdir gone; cd gone; rmdir ../gone; ecgedge --help", 0, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_the_right_exit_code(name: str, place: Path) -> None:
    command, code, expected = CASES[name]
    if "/dev/full" in command and not FULL.exists():
        pytest.skip("has no /dev/full")
    before = sorted(path.name for path in place.iterdir())
    done = shell(place, command)
    lines = told(done)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert len(lines) <= 2, lines
    assert all(len(line) < 400 for line in lines), lines
    assert expected in (lines[0] if lines else ""), lines
    assert bool(lines) == bool(expected), lines
    assert sorted(path.name for path in place.iterdir()) == before


def test_a_long_name_costs_no_matrix(place: Path, tmp_path: Path) -> None:
    """A checkpoint whose folder has a name of 250 characters is measured beside others, and checked."""
    shutil.copytree(place / "checkpoint", tmp_path / LONG)
    asked = MATRIX.replace("--out run", f"--model {tmp_path / LONG} --out {tmp_path / 'run'}")
    done = shell(place, f"ecgedge {asked}")
    assert (done.returncode, told(done)) == (0, [])
    names = {row["model"] for row in rows_of(tmp_path / "run") if row["status"] == "ok"}
    assert sorted(len(name) < 130 for name in names) == [True, True]
    check = shell(place, f"ecgedge check {tmp_path / 'run'}")
    assert check.returncode == 0, check.stdout


def test_devices_stay_devices(place: Path) -> None:
    shell(place, "ecgedge report run -o /dev/null")
    assert FULL.is_char_device() and Path(os.devnull).is_char_device()


@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", "2>/dev/full"])
def test_a_matrix_without_streams_is_whole(streams: str, place: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = shell(place, f"ecgedge {MATRIX.replace('--out run', f'--out {out}')} {streams}")
    assert done.returncode == 0
    assert [row["status"] for row in rows_of(out) if row["status"] != "skipped"] == ["ok"]
    assert (out / "report.html").exists()
    check = shell(place, f"ecgedge check {out}")
    assert check.returncode == 0, check.stdout
