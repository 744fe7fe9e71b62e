"""The main job on the full stack, through the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Command, error_of, rows_of

for framework in ("torch", "onnxruntime", "tensorflow", "onnx2tf", "ai_edge_litert"):
    pytest.importorskip(framework)

FORMS = {
    ("torch", "fp32", "torch"),
    *(("onnx", precision, "cpu") for precision in ("fp32", "fp16", "dynamic", "full-int8")),
    *(("tflite", precision, "tflite") for precision in ("fp32", "fp16", "dynamic", "full-int8")),
}


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def test_every_form_of_a_classifier_and_of_the_autoencoder(ecgedge: Command, tmp_path: Path) -> None:
    arguments = ("--dataset", "synthetic", "--model", "base-cnn", "--model", "cnn-ae", "--profile", "quick")
    result = ecgedge("matrix", *arguments, "--out", "run")
    assert result.code == 0, result.out + result.err
    for model, figures in (("base-cnn", ("accuracy", "macro_f1")), ("cnn-ae", ("auroc", "auprc", "f1"))):
        rows = [row for row in rows_of(tmp_path / "run") if row["model"] == model]
        ok = {(row["format"], row["precision"], row["runtime"]): row for row in rows if row["status"] == "ok"}
        skipped = [row for row in rows if row["status"] == "skipped"]
        assert set(ok) >= FORMS
        if not has_gpu():
            assert set(ok) == FORMS
            assert [row["runtime"] for row in skipped] == ["cuda"]
            assert "no NVIDIA GPU" in skipped[0]["reason"]
        for row in ok.values():
            assert all(0.5 < row[key] <= 1 or key == "macro_f1" for key in figures)
            assert row["max_abs_diff"] < (1e-4 if row["precision"] == "fp32" else 5)
        for format in ("onnx", "tflite"):
            sizes = [ok[form]["size_bytes"] for form in sorted(ok) if form[0] == format]
            whole = max(sizes)
            small = [row["size_bytes"] for form, row in ok.items() if form[0] == format and form[1] != "fp32"]
            assert all(size < 0.9 * whole for size in small)
    assert max(map(len, result.out.splitlines())) <= 120


def test_an_impossible_combination_says_what_is_possible(ecgedge: Command) -> None:
    result = ecgedge("matrix", "--dataset", "synthetic", "--format", "onnx", "--runtime", "tflite")
    assert "format onnx: runtimes cpu, cuda; precisions dynamic, fp16, fp32, full-int8" in error_of(result)


def test_fp32_decides_as_torch_on_every_real_beat(ecgedge: Command, ecg5000: Path, tmp_path: Path) -> None:
    arguments = ("--quantizer", "fp32", "--runtime", "cpu", "--runtime", "tflite", "--out", "run")
    result = ecgedge("matrix", "--dataset", "ecg5000", *arguments, ECGEDGE_DATA=str(ecg5000))
    assert result.code == 0, result.out + result.err
    rows = rows_of(tmp_path / "run")
    assert len(rows) == 10
    for row in rows:
        assert (row["status"], row["beats"], row["dataset"]) == ("ok", 4500, "ecg5000")
        assert row["max_abs_diff"] < 1e-4
        assert len(row["changed"]) == row["changed_decisions"]
        assert all(change["margin"] < 1e-4 for change in row["changed"]), row["changed"]
