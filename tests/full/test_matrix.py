"""The main job on the full stack, through the command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from ecgedge.api import tasks
from ecgedge.data import finding
from tests.conftest import Command, error_of, rows_of, script, write_beats
from tests.full.conftest import MODELS, read_card

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


@pytest.mark.parametrize("model", MODELS)
def test_every_form_of_every_model(quick_run: Path, model: str) -> None:
    rows = [row for row in rows_of(quick_run / "run") if row["model"] == model]
    ok = {(row["format"], row["precision"], row["runtime"]): row for row in rows if row["status"] == "ok"}
    assert set(ok) >= FORMS
    if not has_gpu():
        assert set(ok) == FORMS
        [skipped] = [row for row in rows if row["status"] != "ok"]
        assert (skipped["status"], skipped["runtime"]) == ("skipped", "cuda")
        assert "no NVIDIA GPU" in skipped["reason"]
    for row in ok.values():
        assert row["auroc" if model == "cnn-ae" else "accuracy"] > 0.85
        assert row["max_abs_diff"] < (1e-4 if row["precision"] == "fp32" else 5)
        assert min(row[f"throughput_{batch}_per_s"] for batch in (1, 16, 64)) > 0
    for format in ("onnx", "tflite"):
        sizes = {form[1]: row["size_bytes"] for form, row in ok.items() if form[0] == format}
        assert all(size < 0.9 * sizes["fp32"] for precision, size in sizes.items() if precision != "fp32")


@pytest.mark.parametrize("model", MODELS)
def test_full_int8_tflite_is_int8_at_both_ends_and_in_one_piece(quick_run: Path, inspect, parts, model: str) -> None:
    [row] = [row for row in rows_of(quick_run / "run") if row["id"].startswith(f"{model}.") and is_int8_tflite(row)]
    artifact = inspect(quick_run / "run" / row["artifact"])
    assert (artifact.input.dtype, artifact.output.dtype) == ("int8", "int8")
    assert (artifact.name, artifact.precision) == (model, "full-int8")
    assert row["placement"].startswith("1 partition, all ")


@pytest.mark.parametrize(
    "form", [("base-cnn", "onnx", "dynamic"), ("cnn-ae", "onnx", "full-int8"), ("cnn-ae", "tflite", "full-int8")]
)
def test_a_bundle_answers_as_the_matrix_did(
    here: Command, quick_run: Path, inspect, tmp_path: Path, form: tuple[str, str, str]
) -> None:
    run = quick_run / "run"
    rows = [row for row in rows_of(run) if row["status"] == "ok"]
    [row] = [row for row in rows if (row["model"], row["format"], row["precision"]) == form]
    assert here("bundle", run / row["artifact"], "-o", "made").code == 0
    beats, measured = np.load(run / "beats.npz")["x"], np.load(run / "cells" / f"{row['id']}.outputs.npy")
    told = script(sys.executable, tmp_path / "made" / "predict.py", write_beats(tmp_path / "beats.csv", beats)).stdout
    answers = [line.split(",") for line in told.splitlines()[1:]]
    task = inspect(run / row["artifact"]).task
    decided = tasks.decide(measured, beats, task)
    if task.kind == "anomaly":
        scores = tasks.anomaly_scores(measured, beats, task.window)
        assert [answer[1] for answer in answers] == [f"{score:.6g}" for score in scores]
        assert [int(answer[2]) for answer in answers] == decided.tolist()
    else:
        assert [answer[1] for answer in answers] == [task.labels[index] for index in decided]


def is_int8_tflite(row: dict) -> bool:
    return (row["format"], row["precision"]) == ("tflite", "full-int8")


def test_the_bundle_of_a_row_states_what_was_measured(here: Command, quick_run: Path, tmp_path: Path) -> None:
    run = quick_run / "run"
    [row] = [row for row in rows_of(run) if row["id"].startswith("tcn.") and is_int8_tflite(row)]
    done = here("bundle", run, "tcn", "tflite", "full-int8", "-o", tmp_path / "tcn")
    assert done.code == 0, done.err
    assert (tmp_path / "tcn" / "model.tflite").read_bytes() == (run / row["artifact"]).read_bytes()
    card = (tmp_path / "tcn" / "MODEL_CARD.md").read_text().replace("\\", "")
    about = json.loads((run / "run.json").read_text())
    for told in (row["id"], f"accuracy {row['accuracy']:.4f}", f"latency_p50 {row['latency_p50_us']:.1f}",
                 about["data_digest"], about["machine"]["cpu"], "trained model: tcn"):  # fmt: skip
        assert told in card, told


def test_the_table_fits_and_names_its_data(quick_run: Path) -> None:
    told = (quick_run / "out.txt").read_text()
    assert max(len(line) for line in told.splitlines() if str(quick_run) not in line) <= 120  # it is a long path here
    assert "data: synthetic, 500 training and 4,500 test beats" in told
    assert "about 0:" in (quick_run / "err.txt").read_text()


def test_an_impossible_combination_says_what_is_possible(here: Command) -> None:
    result = here("matrix", "--dataset", "synthetic", "--format", "onnx", "--runtime", "tflite")
    precisions = "dynamic, fp16, fp32, full-int8, mixed"
    assert f"there are: formats onnx; precisions {precisions}; runtimes cpu, cuda" in error_of(result)


@pytest.mark.parametrize("model", MODELS)
def test_onnx_and_tflite_reproduce_the_cards_of_the_weights(
    quick_run: Path, ecg5000: Path, shipped, torch_on_ecg5000, model: str
) -> None:
    """The fp32 files of the matrix, run by their libraries themselves on every real beat, decide as torch does but for
    near-ties that the cards list; so do the figures."""
    trained, test = shipped(model), finding.load(str(ecg5000))[0].test
    assert len(test) == 4500
    card, x = read_card(trained.path), test.x.astype(np.float32)
    expected = torch_on_ecg5000(model)
    rows = [row for row in rows_of(quick_run / "run") if (row["model"], row["precision"]) == (model, "fp32")]
    files = {row["format"]: quick_run / "run" / row["artifact"] for row in rows if row["status"] == "ok"}
    for format, answers_of in (("onnx", onnxruntime_answers), ("tflite", litert_answers)):
        outputs = answers_of(files[format], x).reshape(expected.shape)
        assert np.abs(outputs - expected).max() < 1e-4
        was, here = (tasks.decide(each, test.x, trained.task) for each in (expected, outputs))
        changed = set(np.flatnonzero(was != here).tolist())
        assert changed <= card.near_ties
        figures = tasks.evaluate(outputs, test.x, test.y, trained.task)
        for name, told in [] if changed else card.figures.items():
            assert figures[name] == pytest.approx(told, abs=6e-5), name


def onnxruntime_answers(file: Path, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    [given] = session.get_inputs()
    size = given.shape[0] if isinstance(given.shape[0], int) else len(x)
    parts = [session.run(None, {given.name: x[at : at + size]})[0] for at in range(0, len(x), size)]
    return np.concatenate(parts)


def litert_answers(file: Path, x: np.ndarray) -> np.ndarray:
    """TFLite puts the leads last."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file), num_threads=1)
    interpreter.allocate_tensors()
    [given], [told] = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for beat in x:
        interpreter.set_tensor(given["index"], beat.reshape(given["shape"]))
        interpreter.invoke()
        found.append(interpreter.get_tensor(told["index"]).copy())
    return np.stack(found)


def test_a_full_matrix_scores_every_real_beat(ecgedge: Command, ecg5000: Path, tmp_path, shipped) -> None:
    arguments = ("--model", "tcn", "--quantizer", "fp32", "--runtime", "cpu", "--out", "run")
    result = ecgedge("matrix", "--dataset", "ecg5000", *arguments, ECGEDGE_DATA=str(ecg5000))
    assert result.code == 0, result.out + result.err
    [row] = rows_of(tmp_path / "run")
    assert (row["status"], row["beats"], row["dataset"], row["profile"]) == ("ok", 4500, "ecg5000", "full")
    card = read_card(shipped("tcn").path)
    assert len(row["changed"]) == row["changed_decisions"]
    assert {change["beat"] for change in row["changed"]} <= card.near_ties
    assert row["accuracy"] == pytest.approx(card.figures["accuracy"], abs=1e-3)
