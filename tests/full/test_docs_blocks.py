"""Every code block of the pages is carried out, in order, as a reader would.

A block with the comment ``<!-- file: NAME -->`` is written there, other Python is run, and so are the lines of shell.
What cannot be run here is marked ``<!-- not run: REASON -->``; test_docs.py holds its commands to the command line.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import forked
from tests.brief import BRIEFLY
from tests.full.conftest import Once
from tests.pages import DOCS, ROOT, Block, blocks, page_id

for framework in ("torch", "onnxruntime", "tensorflow", "onnx2tf", "ai_edge_litert"):
    if not find_spec(framework):  # not imported: no test here needs it in this process
        pytest.skip(f"{framework} is not installed", allow_module_level=True)

GUIDES = sorted([*DOCS.glob("tutorials/*.md"), *DOCS.glob("how-to/*.md"), DOCS / "why-int8-can-be-slower.md"])
REFERENCE = [page for page in (*sorted(DOCS.glob("*.md")), ROOT / "data" / "README.md") if page not in GUIDES]
SHOWN = {"text", "yaml", "toml"}  # outputs, and what other programs read
PLAN = 'ecgedge() { case $1 in matrix) command ecgedge "$@" --dry-run;; *) command ecgedge "$@";; esac; }\n'


@pytest.mark.parametrize("page", GUIDES, ids=page_id)
def test_the_blocks_of_a_guide_work(page: Path, tmp_path: Path) -> None:
    """Each begins with nothing."""
    if page.stem == "microcontrollers" and not shutil.which("cc"):
        pytest.skip("needs a C compiler")
    for block in blocks(page):
        carry_out(block, tmp_path)


@pytest.fixture(scope="module")
def at_work(ecg5000: Path, once: Once, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that a user has who reads reference pages, under the names that are used there."""

    def fill(folder: Path) -> None:
        shell("ecgedge convert cnn-ae --to onnx -o theirs.onnx --dataset synthetic; cp theirs.onnx tcn.onnx", folder)
        shell(
            "ecgedge matrix --model base-cnn --format onnx --runtime cpu --quantizer none --quantizer full-int8"
            " --profile quick --dataset synthetic --out runs/int8",
            folder,
        )
        for name in ("before", "after", "baseline", "now"):
            shutil.copytree(folder / "runs" / "int8", folder / "runs" / name)

    folder = shutil.copytree(once("at-work", fill), tmp_path_factory.mktemp("reader") / "at-work")
    (folder / "data").mkdir()
    (folder / "data" / "ECG5000").symlink_to(ecg5000)
    (folder / "data" / "samples").symlink_to(ROOT / "data" / "samples")
    board = ROOT / "tests" / "board"
    for name in ("tcn.tflite", "tcn-int8.tflite"):
        shutil.copy(board / "tcn-int8.tflite", folder / name)
    [plugin] = [block for block in blocks(DOCS / "plugins.md") if block.mark == "example: nearest_mean.py"]
    (folder / "my-plugins").mkdir()
    (folder / "my-plugins" / "nearest_mean.py").write_text(plugin.text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("page", [page for page in REFERENCE if blocks(page)], ids=page_id)
def test_the_blocks_of_a_reference_page_work(page: Path, at_work: Path) -> None:
    """In the user's folder. A matrix is planned there, not measured: test_matrix.py does that."""
    for block in blocks(page):
        carry_out(block, at_work, PLAN)


def carry_out(block: Block, folder: Path, before: str = "") -> None:
    if not block.runs or block.language in SHOWN or block.mark.startswith("example: "):
        return  # examples: test_docs.py
    if block.file:
        (folder / block.file).parent.mkdir(exist_ok=True)
        (folder / block.file).write_text(block.text, encoding="utf-8")
    elif block.language == "python":
        carried_out([sys.executable, "-c", (BRIEFLY if "run_matrix" in block.text else "") + block.text], folder)
    else:
        assert block.language == "bash", f"a block in no language: {block.text}"
        shell(before + block.text, folder)


def shell(lines: str, folder: Path) -> None:
    carried_out(["bash", "-euo", "pipefail", "-c", lines], folder)


def carried_out(command: list[str], folder: Path) -> None:
    """Here ``ecgedge`` is that of ``brief.py``: no page is about the times of this machine."""
    path = os.pathsep.join([str(ROOT / "tests" / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path}
    told, files = forked.for_scripts(environment)
    done = subprocess.run(
        command, cwd=folder, env=environment | told, pass_fds=files, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
