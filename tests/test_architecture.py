"""docs/architecture.md against the import graph: all modules are there, the layers hold, and so does each arrow."""

from __future__ import annotations

import re

import pytest

from tests.core.test_layers import FILES, MODULES, ROOT, imported, module_of
from tests.pages import DOCS, blocks, read

PAGE = DOCS / "architecture.md"
BESIDE = {"builtin"}  # the layers


def imports() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for file in FILES:
        module = module_of(file)
        graph.setdefault(module, set()).update(imported(file) - {module})
    return graph


def rows(head: str) -> list[list[str]]:
    """The cells of the table that starts with ``head``."""
    lines = read(PAGE).split(head)[1].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]


def names(text: str) -> list[str]:
    return re.findall(r"`(\w+)`", text)


LAYERS = [names(modules) for _, modules in rows("| layer | modules |")]
ARROWS = [(names(start)[0], names(end)[0], by) for start, end, _, by in rows("| from | to | what goes | made by |")]
GRAPH = imports()


def test_every_module_is_in_one_layer() -> None:
    told = [name for layer in LAYERS for name in layer]
    assert sorted([*told, *BESIDE]) == sorted(MODULES | {"__main__"})
    assert all(f"`{name}`" in read(PAGE) for name in BESIDE)


@pytest.mark.parametrize("number", range(len(LAYERS)))
def test_a_layer_imports_lower_ones_only(number: int) -> None:
    lower = {name for layer in LAYERS[number + 1 :] for name in layer}
    wrong = {name: GRAPH[name] - lower for name in LAYERS[number] if GRAPH[name] - lower}
    assert not wrong


@pytest.mark.parametrize(("start", "end", "by"), ARROWS, ids=[f"{start}-{end}" for start, end, _ in ARROWS])
def test_an_arrow_is_a_call_that_is_made(start: str, end: str, by: str) -> None:
    if process := re.search(r"python -m ecgedge\.(\w+)", by):
        assert process[1] == end and f'"ecgedge.{end}"' in read(ROOT / f"{start}.py")
        return
    [maker] = names(by)
    assert {start, end} <= GRAPH[maker] | {maker}, f"{maker} imports {sorted(GRAPH[maker])}"


def test_the_picture_has_the_modules_of_the_arrows() -> None:
    [picture] = [block.text for block in blocks(PAGE) if block.language == "text"]
    assert set(re.findall(r"\[(\w+)\]", picture)) == {name for start, end, _ in ARROWS for name in (start, end)}


def test_who_imports_plugins_is_told() -> None:
    [told] = re.findall(r"Only (.*?) import\s+`plugins`", read(PAGE), re.DOTALL)
    assert set(names(told)) == {name for name in GRAPH if "plugins" in GRAPH[name]}
