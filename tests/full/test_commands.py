"""The smaller commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Command, error_of

pytest.importorskip("torch")


def test_summary(here: Command) -> None:
    told = here("summary", "inception").out
    assert "463,429" in told
    assert "[1, 5]" in told
    assert "needs beats of at least 32 samples" in error_of(here("summary", "vgg", "--length", "31"))
    assert "base-cnn" in error_of(here("summary", "resnet"))


def test_evaluate_prints_a_report(here: Command) -> None:
    told = here("evaluate", "base-cnn", "--dataset", "synthetic").out
    assert any(line.startswith("accuracy 0.") and len(line) == len("accuracy 0.1234") for line in told.splitlines())
    assert "support" in told
    assert "2,630" in told
    told = here("evaluate", "cnn-ae", "--dataset", "synthetic").out
    for word in ("AUROC 0.", "AUPRC 0.", "F1 0.", "precision 0.", "recall 0.", "at the threshold"):
        assert word in told
    assert "does not take torch" in error_of(here("evaluate", "tcn", "--runtime", "tflite", "--dataset", "synthetic"))
    assert "choose from: cpu, cuda" in error_of(here("evaluate", "tcn", "--runtime", "x", "--dataset", "synthetic"))


def test_version_names_the_libraries(ecgedge: Command) -> None:
    told = ecgedge("--version").out.splitlines()
    assert any(line.startswith("ecgedge 0.") for line in told)
    assert any(line.startswith("torch 2.") for line in told)


def test_the_synthetic_model_is_the_one_that_the_training_beats_give(ecg5000: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    import ecgedge

    root = Path(ecgedge.__file__).parents[1]
    script = root / "data" / "fit_synthetic.py"
    subprocess.run([sys.executable, script, ecg5000, tmp_path / "fitted.npz"], check=True)
    with np.load(tmp_path / "fitted.npz") as fresh, np.load(root / "ecgedge" / "data" / "synthetic.npz") as shipped:
        assert set(fresh) == set(shipped)
        for key in fresh:
            if key != "factors":  # those are free in sign
                np.testing.assert_allclose(fresh[key].astype(float), shipped[key].astype(float), atol=2e-3)
        gram = [
            np.einsum("crl,crm->clm", m["factors"].astype(float), m["factors"].astype(float)) for m in (fresh, shipped)
        ]
        np.testing.assert_allclose(*gram, atol=2e-2)
