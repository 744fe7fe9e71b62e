"""The locks: each package with its hashes, the versions that constraints.txt pins, and no address."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import ROOT, read

PINS = ROOT / "constraints.txt"
LOCKS = sorted((ROOT / "locks").glob("*.txt"))
OF_PLUGINS = sorted((ROOT / "plugins").glob("*/*/*.lock"))
HASHED = [*LOCKS, *(lock for lock in OF_PLUGINS if "torch==" not in read(lock))]
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?: ; ([^\\]+?))?(?: \\)?$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def plain(name: str) -> str:
    """A name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path: Path) -> dict[str, str]:
    """Versions by name."""
    lines = [line.split(" #")[0].rstrip() for line in read(path).splitlines()]
    return {plain(found[1]): found[2] for line in lines if (found := PIN.match(line))}


@pytest.mark.parametrize("lock", HASHED, ids=lambda lock: lock.name)
def test_each_package_is_pinned_and_has_hashes(lock: Path) -> None:
    last = ""
    for line in read(lock).splitlines():
        if not line.startswith("#"):
            assert PIN.match(line) or HASH.match(line), line
            assert not (PIN.match(last) and PIN.match(line)), f"{last} has no hash"
            assert not last or HASH.match(line) is None or last.endswith("\\"), line
            last = line
    assert HASH.match(last)
    assert "://" not in read(lock)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_pins_what_constraints_pin(lock: Path) -> None:
    constrained = pins(PINS)
    other = {name: version for name, version in pins(lock).items() if constrained.get(name, version) != version}
    assert not other


def test_every_constraint_is_in_a_lock() -> None:
    locked = {name for lock in [*LOCKS, *OF_PLUGINS] for name in pins(lock)}
    assert set(pins(PINS)) - locked - {"tflite-micro"} == set()  # of ecgedge-tflm, which has no environment of its own


def test_a_lock_without_hashes_says_why() -> None:
    for lock in set(OF_PLUGINS) - set(HASHED):
        assert "No hashes: " in read(lock).split("\n\n")[0]


# -- the audit, with pip-audit played by a module of a few lines

FAKE = "import sys\nprint({out!r})\nprint('why not', file=sys.stderr)\nsys.exit({code})\n"
SKIPPED = {"name": "b", "skip_reason": "not found"}
CLEAN = {"name": "a", "version": "1.0", "vulns": []}
VULNERABLE = {"name": "c", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}
ANSWERS = {
    "no answer": (None, 0, "not audited, pip-audit could not ask: why not"),
    "nothing known": ([SKIPPED], 0, "not audited: the advisory service knows none of its 1 packages from here"),
    "clean": ([CLEAN, SKIPPED], 0, "1 packages audited, 0 vulnerabilities known, 1 could not be asked for"),
    "vulnerable": ([CLEAN, VULNERABLE], 1, "c 2.0: PYSEC-1, mended in 2.1"),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_the_audit_tells_a_finding_from_nobody_to_ask(tmp_path: Path, what: str) -> None:
    packages, code, told = ANSWERS[what]
    out = "" if packages is None else json.dumps({"dependencies": packages})
    (tmp_path / "pip_audit.py").write_text(FAKE.format(out=out, code=bool(packages is None or code)))
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "audit.py", "locks/board.txt"],
        capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)}, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert done.stdout.splitlines()[0] == f"board.txt: {told}"
