"""A disk of which any one write can be made to fail, for a command and all its children: see ``failing_disk.c``."""

from __future__ import annotations

import errno
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.brief import ECGEDGE

MEANWHILE = re.compile(
    r"\[\d+/\d+\] |Warning: |Note: |\d+ cells? of \d+ models?, |\S+ \w+ \S+ on \S+: size "
)  # no error
ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT)


@dataclass(frozen=True)
class Fault:
    """The n-th write fails with ``error``; ``stays``: so do all after it."""

    at: int
    error: int
    stays: bool = False


@dataclass(frozen=True)
class Done:
    """What a command left; ``writes``: one word of what each did, and its path."""

    code: int
    out: str
    err: str
    writes: list[tuple[str, str]]


@cache
def library(folder: Path) -> Path:
    """The library, compiled; skips where there is no compiler, or no /proc."""
    compiler = shutil.which("cc")
    if not compiler or sys.platform != "linux":
        pytest.skip("needs a C compiler, on Linux")
    made = folder / "failing_disk.so"
    source = Path(__file__).with_name("failing_disk.c")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True)
    return made


class FailingDisk:
    """Runs commands in ``folder``, with a store and temporary files of their own below it.

    Attributes:
        folder: all writes below count, but those to ``.told`` and ``.count``.
    """

    def __init__(self, folder: Path, so: Path):
        self.folder, self.so = folder, so
        (folder / "disk" / "tmp").mkdir(parents=True)
        self.disk = folder / "disk"

    def run(self, arguments: Sequence[str | Path], fault: Fault | None = None, **more: str) -> Done:
        """Run ``ecgedge`` with arguments in the disk's folder."""
        told, count = self.folder / "told", self.folder / "count"
        told.write_bytes(b"")
        count.write_bytes(struct.pack("q", 0))
        variables: Mapping[str, str] = {
            "TMPDIR": str(self.disk / "tmp"),
            "ECGEDGE_CACHE": str(self.disk / "cache"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LD_PRELOAD": str(self.so),
            "FAIL_UNDER": str(self.disk),
            "FAIL_COUNT": str(count),
            "FAIL_TOLD": str(told),
            "FAIL_AT": str(fault.at if fault else 0),
            "FAIL_ERRNO": str(fault.error if fault else 0),
            "FAIL_MODE": "from" if fault and fault.stays else "once",
        }
        command = [*ECGEDGE, *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.disk, env=os.environ | variables | more, capture_output=True, text=True, timeout=300
        )
        writes = [line.split(" ", 3) for line in told.read_text().splitlines()]
        named = [(what, path.removeprefix(f"{self.disk}/")) for _, _, what, path in writes]
        return Done(done.returncode, done.stdout, done.stderr, named)


def error_lines(err: str) -> list[str]:
    """The lines of an error among what else is told: the one that names it, and what to do."""
    lines = [line for line in err.splitlines() if line and not MEANWHILE.match(line)]
    assert "Traceback" not in err, err
    return lines
