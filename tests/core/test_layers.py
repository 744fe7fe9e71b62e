"""Imports run one way, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ecgedge

ROOT = Path(ecgedge.__file__).parent
HEAVY = (
    "torch", "tensorflow", "onnx", "onnx_ir", "onnxruntime", "ai_edge_litert", "onnx2tf", "matplotlib", "sklearn",
    "scipy",
)  # fmt: skip

# What each module may import of ecgedge; a folder stands for all modules in it.
BASE = {
    "errors", "strict_json", "schema", "tensors", "artifacts", "graph", "profile", "records", "kinds", "parity",
    "passes",
}  # fmt: skip
MAY_IMPORT = {
    "errors": set(),
    "escape": set(),
    "strict_json": {"errors"},
    "schema": set(),
    "tensors": set(),
    "artifacts": {"tensors", "schema", "strict_json"},
    "graph": set(),
    "profile": set(),
    "macs": {"graph"},
    "truth": {"graph", "macs"},
    "records": {"errors", "tensors", "artifacts", "schema", "strict_json"},
    "readers": {"errors"},
    "fetch": {"errors", "escape", "locks", "readers"},
    "parity": {"errors"},
    "kinds": {"errors", "artifacts", "graph", "profile"},
    "passes": {"errors", "artifacts", "kinds", "tensors"},
    "checkpoint": BASE,
    "bundle": {"errors", "escape", "tensors", "artifacts", "records", "synthetic", "tasks", "bundle", "locks"},
    "hookspecs": {"kinds"},
    "plan": BASE,
    "measure": BASE | {"memory", "nvidia"},
    "store": BASE | {"environments", "locks"},
    "upkeep": BASE | {"store"},
    "dataset": BASE | {"readers", "fetch", "synthetic", "cache"},
    "cache": set(),
    "environments": {"errors", "cache", "locks"},
    "launch": set(),  # it runs before ecgedge is there
    "standins": BASE | {"process"},
    "synthetic": set(),
    "tasks": BASE,
    "intervals": set(),
    "verdicts": {"artifacts", "parity", "tasks", "intervals"},
    "report": {"artifacts", "choice", "escape", "intervals", "journal", "locks", "run", "tasks"},
    "check": {"errors", "strict_json"},  # it shares nothing with what made the figures that it checks
    "comparison": BASE
    | {"choice", "escape", "results", "run", "steadiness", "intervals", "tasks", "verdicts", "report"},
    "process": BASE | {"launch", "locks"},
    "processor": set(),
    "nvidia": set(),
    "machine": {"nvidia", "store", "processor"},
    "locks": set(),
    "memory": set(),
    "run": {"errors", "strict_json", "schema", "artifacts", "records"},
    "journal": {"errors", "locks", "run"},
    "steadiness": {"intervals"},
    "results": {"intervals", "journal", "steadiness"},
    "choice": {"errors", "artifacts", "intervals", "results", "run", "tasks", "verdicts"},
    "lab": BASE | {"plan", "store", "dataset", "process", "locks"},
    "matrix": BASE
    | {"plan", "lab", "locks", "measure", "journal", "machine", "run", "verdicts", "truth", "process", "results"}
    | {"memory", "steadiness"},
    "turns": BASE | {"locks", "measure", "process", "results", "steadiness"},
    "explain": BASE | {"machine", "macs", "process", "truth", "turns"},
    "training": BASE | {"escape", "dataset", "tasks", "checkpoint", "processor"},
    "tracking": {"errors", "escape", "artifacts", "records", "tensors"},
    "plugins": BASE | {"hookspecs", "environments", "process"},
    "worker": BASE | {"bundle", "explain", "launch", "locks", "measure", "plugins", "process", "steadiness", "tasks"},
    # nobody imports it: it may look at whatever a part under test meets
    "testing": BASE | {"checkpoint", "dataset", "measure", "plan", "plugins", "synthetic", "standins"},
    "skeleton": {"errors", "testing"},  # files of a third party
    "builtin": {"builtin", "tasks"},  # and the names that ecgedge itself offers, as a third party has them
    "__init__": BASE | {"checkpoint", "measure", "processor", "tasks"},
    "__main__": {"cli"},
}
ONLY_CLI_AND_WORKER_IMPORT_PLUGINS = {"cli", "worker"}


def imported(file: Path) -> set[str]:
    """The modules of ecgedge that a file imports when it runs, anywhere in it, by their first name."""
    found = set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "ecgedge":
            _, _, rest = node.module.partition(".")
            names = [rest] if rest else [alias.name for alias in node.names]
            found |= {name.split(".")[0] for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("ecgedge.")}
    return found & MODULES


def module_of(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


MODULES = {module_of(file) for file in ROOT.rglob("*.py")} - {"__init__"}
FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_run_one_way(file: Path) -> None:
    module = module_of(file)
    wrong = set() if module == "cli" else imported(file) - MAY_IMPORT[module] - {module}
    assert not wrong, f"{file.relative_to(ROOT)} must not import {wrong}"
    if module != "builtin":
        assert "builtin" not in imported(file), "the built-ins are loaded by name only"


def test_the_rules_name_only_what_exists() -> None:
    assert set(MAY_IMPORT) - {"__init__"} <= MODULES
    assert MODULES - {"cli"} <= set(MAY_IMPORT)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["plugins"], ["matrix", "--help"], ["--version"], ["store", "ls"], ["env", "ls"]]
)
def test_no_framework_is_imported(arguments: list[str]) -> None:
    probe = (
        f"import sys\nsys.argv = ['ecgedge', *{arguments!r}]\n"
        "from ecgedge.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, env=os.environ, timeout=60)
    assert done.stdout.splitlines()[-1] == "LOADED []", done.stdout + done.stderr
