"""The notebooks of the documentation, carried out as Jupyter does it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.brief import BRIEFLY
from tests.pages import DOCS, page_id

if not os.environ.get("CI"):
    pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = sorted(DOCS.rglob("*.ipynb"))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=page_id)
def test_a_notebook_works_and_is_kept_without_outputs(file: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells and all(not cell.outputs and cell.execution_count is None for cell in cells)
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "brief.py").write_text(BRIEFLY)
    place = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(notebook, timeout=300, resources=place)
    client.execute(env=os.environ | {"IPYTHONDIR": str(tmp_path / "ipython")})
    shown = [output for cell in cells for output in cell.outputs]
    assert all(output.output_type == "execute_result" for output in shown), "nothing is printed"
    [table] = [output.data["text/html"] for output in shown if "text/html" in output.data]
    assert table.count("<tr>") == 3, "a head and two forms"
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
