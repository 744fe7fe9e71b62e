"""The skeleton of a model, and contracts of built-in parts with specimens that installed parts make."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.packages import install

for framework in ("torch", "onnxruntime"):
    pytest.importorskip(framework)


def test_the_skeleton_of_a_model_passes_its_contracts_at_once(ecgedge: Command, tmp_path: Path) -> None:
    assert ecgedge("plugins", "new", "acme", "--kind", "model").code == 0
    (tmp_path / "site").mkdir()
    install(tmp_path / "ecgedge-acme", tmp_path / "site")
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    checked = ecgedge("plugins", "check", "acme", PYTHONPATH=path, ECGEDGE_PLUGINS="acme")
    assert checked.code == 0, checked.out + checked.err
    assert "TestAcme, model acme: " in checked.out and "skipped" not in checked.out


def test_the_training_that_the_skeleton_shows_works(
    ecgedge: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an author would begin: the comment's marks are gone."""
    assert ecgedge("plugins", "new", "shown", "--kind", "model").code == 0
    folder = tmp_path / "ecgedge-shown"
    code, comment = (folder / "ecgedge_shown" / "part.py").read_text().split("    # heeds = ")
    code = code.replace(
        "import EcgEdgeError, Model", "import EcgEdgeError, Fitted, Model, TrainingContext, TrainingSet"
    )
    shown = ("    # heeds = " + comment).replace("    # ", "    ")
    (folder / "ecgedge_shown" / "part.py").write_text(code + shown)
    monkeypatch.syspath_prepend(folder)
    contract = importlib.import_module("ecgedge_shown.contracts").TestShown()
    assert contract.part.fits_itself and contract.part.heeds == ("epochs",)
    contract.test_a_training_of_its_own_works()
    contract.test_a_class_may_have_no_beats_to_train_on()


def test_built_in_parts_are_checked_with_a_specimen(ecgedge: Command) -> None:
    checked = ecgedge("plugins", "check", "onnx_exporter")
    assert checked.code == 0, checked.out + checked.err
    assert checked.out.startswith("TestOnnx, exporter onnx: ") and "skipped" not in checked.out
