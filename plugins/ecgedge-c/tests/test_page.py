"""The page on microcontrollers, and the command that it shows, as they are written."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from ecgedge_c.contracts import exported
from ecgedge_c.targets import targets

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "microcontrollers.md"
OURS = re.compile(r"<!-- not run: needs ecgedge-c[^>]*-->\s+```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
MISSING = [name for name in ("torch", "onnx", "onnx2tf", "tensorflow") if not find_spec(name)]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "ecgedge_c", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True)


def needed() -> str:
    """What the page needs and is not here; empty where all is."""
    cores = filter(None, (target.missing() for target in targets()))
    return next(cores, "") or (f"{MISSING[0]} is not installed" if MISSING else "")


@pytest.mark.skipif(bool(needed()), reason=needed() or "all is there")
def test_the_page_goes_from_a_model_to_a_linked_image(tmp_path: Path) -> None:
    blocks = OURS.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) >= 3
    (tmp_path / "bin").mkdir()
    python = Path(sys.executable)
    (tmp_path / "bin" / "ecgedge").write_text(f'#!/bin/sh\nexec {python} -m ecgedge "$@"\n')
    (tmp_path / "bin" / "ecgedge").chmod(0o755)
    script = f'set -e\nPATH="{tmp_path}/bin:{python.parent}:$PATH"\n' + "\n".join(blocks)
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 of 8 beats as they have to be" in done.stdout
    assert (tmp_path / "image.elf").read_bytes()[:4] == b"\x7fELF"


def test_the_command_tells_of_a_core(tmp_path: Path) -> None:
    made = exported("full-int8", tmp_path)
    told = command(made.path, "--target", "cortex-m4", "--image", tmp_path / "image.elf")
    assert told.returncode == 0, told.stderr
    if shutil.which("qemu-system-arm") and shutil.which("arm-none-eabi-gcc"):
        assert re.search(r"flash 1\d,\d{3} B, RAM 5,\d{3} B .* instructions a beat; 5 of 5 beats as here", told.stdout)
        assert "fits nano-33-ble-sense, stm32f411, stm32g431" in told.stdout
        assert (tmp_path / "image.elf").is_file()
    else:
        assert "not run" in told.stdout


def test_a_bundle_takes_the_folder(tmp_path: Path) -> None:
    made = exported("full-int8", tmp_path).path
    line = [sys.executable, "-m", "ecgedge", "bundle", str(made), "--trust", "-o", str(tmp_path / "bundle")]
    told = subprocess.run(line, capture_output=True, text=True)
    assert told.returncode == 0 and "its own check passed on 20 beats" in told.stdout, told.stderr
    tested = subprocess.run(["make", "-C", tmp_path / "bundle", "test"], capture_output=True, text=True)
    assert tested.returncode == 0 and "8 of 8 beats" in tested.stdout, tested.stderr
    assert (tmp_path / "bundle" / "model.c").read_bytes() == (made / "model.c").read_bytes()


def test_the_mistakes_of_users_are_one_line_and_exit_code_2(tmp_path: Path) -> None:
    made = exported("full-int8", tmp_path).path
    for arguments in (("absent",), (made, "--target", "z80"), (made, "--image", tmp_path / "image.elf")):
        told = command(*arguments)
        assert told.returncode == 2 and told.stderr.startswith("error: "), told.stderr
        assert "Traceback" not in told.stderr and told.stdout == ""
