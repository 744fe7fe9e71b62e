"""Imports run one way, as docs/architecture.md shows it, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import ecgedge
from tests.pages import DOCS, blocks

ROOT = Path(ecgedge.__file__).parent
PAGE = DOCS / "architecture.md"
HEAVY = (
    "torch", "tensorflow", "onnx", "onnx_ir", "onnxruntime", "ai_edge_litert", "onnx2tf", "matplotlib", "sklearn",
    "scipy",
)  # fmt: skip
SCAFFOLD = ROOT / "plugins" / "scaffold"  # files of third parties, in the making
FILES = sorted(file for file in ROOT.rglob("*.py") if file == SCAFFOLD / "__init__.py" or SCAFFOLD not in file.parents)


def folder_of(file: Path) -> str:
    """The first folder on the way to a file, or for want of one the file itself."""
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


@cache
def imported(file: Path) -> set[str]:
    """All that a file imports, anywhere in it, dotted; what only the type checker reads is left out."""
    found = set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in (node for node in ast.walk(tree) if node not in for_types):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def folders(file: Path) -> set[str]:
    """The folders of ecgedge that a file imports from."""
    named = (name.split(".") for name in imported(file))
    return {words[1] for words in named if words[0] == "ecgedge" and len(words) > 1} & {*TREE} - {folder_of(file)}


def of_folder(name: str) -> set[str]:
    """The folders that any file of one imports from."""
    return {found for file in FILES if folder_of(file) == name for found in folders(file)}


TREE = [
    name
    for block in blocks(PAGE)
    if block.text.startswith("ecgedge/")
    for name in re.findall(r"^  (\w+)[./]", block.text, re.MULTILINE)
]


def test_the_tree_shows_all_there_is() -> None:
    there = {folder_of(file) for file in FILES} | {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert sorted(TREE) == sorted(there - {"__init__", "__main__", "__pycache__", "weights"})


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_folder_imports_from_those_above_it(file: Path) -> None:
    folder = folder_of(file)
    above = TREE[: TREE.index(folder)] if folder in TREE else TREE  # ecgedge itself offers names of any
    assert folders(file) <= {*above}


def test_what_is_pure_imports_no_work() -> None:
    assert of_folder("api") <= {"errors", "files"}
    assert of_folder("evaluate") <= {"errors", "files", "api"}
    assert of_folder("plan") <= {"errors", "api"}


def test_the_audit_shares_nothing_with_what_it_checks() -> None:
    assert of_folder("audit") <= {"errors", "files"}


def test_builtins_are_plugins_like_any() -> None:
    offered = {f"ecgedge.{name}" for name in ecgedge.__all__} | {"ecgedge.hookimpl"}
    for file in (file for file in FILES if folder_of(file) == "builtin"):
        ours = {name for name in imported(file) if name.startswith("ecgedge.")}
        assert {name for name in ours if not name.startswith("ecgedge.builtin.")} <= offered, file.name


def test_the_core_has_no_names_of_packages_beside_it() -> None:
    """Those under ``plugins/``, and the libraries that only these bring: what a part knows, it tells."""
    libraries = re.compile(r"openvino|ncnn|nncf|executorch|tflm|tflite.?micro|litert.?torch", re.IGNORECASE)
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in sorted(ROOT.rglob("*.py"))
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if libraries.search(line)
    ]
    assert not found, found


@pytest.mark.parametrize("name", ["builtin", "cli", "testing"])
def test_nobody_imports_it(name: str) -> None:
    users = {folder_of(file) for file in FILES if name in folders(file)}
    assert users <= ({"__main__"} if name == "cli" else set())


def test_only_the_command_line_calls_commands() -> None:
    users = {folder_of(file) for file in FILES if "commands" in folders(file)}
    assert users == {"cli"}  # and ecgedge itself by ``PLACES``, which offers them to scripts


def test_parts_are_handed_down() -> None:
    users = {folder_of(file) for file in FILES if "plugins" in folders(file)}
    assert users == {"workers", "testing", "commands", "cli"}


@pytest.mark.parametrize("name", ["bundle", "tracking"])
def test_what_is_handed_over_knows_no_run(name: str) -> None:
    assert of_folder(name) <= {"errors", "files", "api"}


def test_only_the_command_line_knows_click() -> None:
    users = {folder_of(file) for file in FILES if any(name.split(".")[0] == "click" for name in imported(file))}
    assert users == {"cli"}


@pytest.mark.parametrize("name", ["launch.py", "keeper.py"])
def test_what_comes_before_ecgedge_imports_none_of_it(name: str) -> None:
    assert not folders(ROOT / "devices" / name)
    theirs = {dotted.split(".")[0] for dotted in imported(ROOT / "devices" / name)}
    assert theirs <= sys.stdlib_module_names


def test_a_worker_needs_numpy_and_pluggy_alone() -> None:
    probe = (
        "import sys\n"
        "before = {*sys.modules}\n"
        "import ecgedge.workers.server as server\n"
        "from ecgedge import plugins\n"
        "plugins.load()\n"
        "new = {name.partition('.')[0] for name in {*sys.modules} - before} - {*sys.stdlib_module_names}\n"
        "print(sorted(name for name in new if getattr(sys.modules.get(name), '__file__', None)))"
    )
    alone = os.environ | {"ECGEDGE_GUESTS": '{"places": {}, "points": []}', "ECGEDGE_PLUGINS_DIR": ""}
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, env=alone, timeout=60)
    assert done.stdout.splitlines()[-1] == "['ecgedge', 'numpy', 'pluggy']", done.stdout + done.stderr


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


def test_help_is_told_without_numpy() -> None:
    """Its import alone takes longer than all the rest, and starts threads."""
    lines = ["import sys", "from ecgedge.cli import main", "try:", "    main(['--help'])", "finally:"]
    probe = "\n".join([*lines, "    print('numpy' in sys.modules)"])
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, env=os.environ, timeout=60)
    assert done.stdout.splitlines()[-1] == "False", done.stdout + done.stderr


def test_what_is_offered_is_told_alike_to_python_and_to_the_type_checker() -> None:
    """The type checker reads imports that Python never carries out, and Python a table."""
    offered = {
        alias.asname or alias.name: (each.module, alias.name)
        for each in ast.walk(ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8")))
        if isinstance(each, ast.ImportFrom) and str(each.module).startswith("ecgedge")
        for alias in each.names
    }
    assert offered == ecgedge.ORIGINS
    assert {*ecgedge.__all__} == {*ecgedge.ORIGINS} - {"__version__"}


@pytest.mark.parametrize("name", ["convert", "diverge", "evaluate", "explain", "portability"])
@pytest.mark.parametrize("first", ["package", "function"])
def test_a_function_keeps_its_name_beside_the_package_of_that_name(name: str, first: str) -> None:
    lines = [f"import ecgedge.{name}", f"from ecgedge import {name}"]
    proof = f"assert callable({name}) and ecgedge.{name} is {name}"
    probe = "\n".join([*(lines if first == "package" else reversed(lines)), "import ecgedge", proof])
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, env=os.environ, timeout=60)
    assert not done.returncode, done.stderr


def test_what_scripts_call_is_imported_when_it_is_asked_for_and_imports_no_framework() -> None:
    probe = (
        "import sys, ecgedge\n"
        "print([name for name in sys.modules if name.startswith(('ecgedge.commands.', 'ecgedge.run.'))])\n"
        f"print(all(getattr(ecgedge, name) for name in {ecgedge.__all__!r}))\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, env=os.environ, timeout=60)
    assert done.stdout.splitlines() == ["[]", "True", "[]"], done.stdout + done.stderr
