"""``ecgedge check`` on real files: graphs, folders, reconstructions, thresholds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge.audit import check_run

for framework in ("torch", "onnxruntime", "tensorflow", "onnx2tf", "ai_edge_litert"):
    pytest.importorskip(framework)

BEATS = "cnn-ae.onnx.onnx2tf.tflite-full-int8.tflite"


@pytest.fixture
def made(quick_run: Path) -> Path:
    return quick_run / "run"


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def test_an_untouched_run_holds(made: Path) -> None:
    found = check_run(made)
    assert (found.reasons, found.unchecked) == ([], [])
    assert found.figures > 3000
    assert found.rows >= 45  # with a GPU there are more


def edit_json(file: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def edit_row(run: Path, cell: str, change: Callable[[dict[str, Any]], Any]) -> None:
    rows = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
    for row in rows:
        if row["id"] == cell:
            change(row)
    (run / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def change_a_weight(run: Path) -> None:
    edit_json(run / "cells" / f"{BEATS}.graph.json", lambda graph: graph["weights"][0].update(dtype="float32"))


def change_a_node(run: Path) -> None:
    pool = {"op": "MEAN", "kind": "computes", "takes": ["float32"], "gives": ["float32"], "constants": [0]}
    edit_json(run / "cells" / f"{BEATS}.graph.json", lambda graph: graph["nodes"][0].update(pool))


def lose_a_graph(run: Path) -> None:
    (run / "cells" / f"{BEATS}.graph.json").unlink()


def copy_the_parent(run: Path) -> None:
    shutil.copy(
        run / "cells" / "cnn-ae.onnx.onnx2tf.tflite-fp32.tflite.graph.json", run / "cells" / f"{BEATS}.graph.json"
    )


def change_auroc(run: Path) -> None:
    edit_row(run, BEATS, lambda row: row.update(auroc=row["auroc"] + 1e-6))


def change_the_interval(run: Path) -> None:
    edit_row(run, BEATS, lambda row: row.update(auroc_low=row["auroc_low"] + 1e-6))


def change_p(run: Path) -> None:
    edit_row(run, BEATS, lambda row: row["verdict"].update(p=row["verdict"]["p"] / 2))


def change_what_the_threshold_rests_on(run: Path) -> None:
    file = run / "cells" / f"{BEATS}.train.npy"
    np.save(file, np.load(file) * np.float32(1.1))


def spoil_a_checkpoint(run: Path) -> None:
    [folder] = run.glob("artifacts/*-cnn-ae.torch")
    with (folder / "weights.safetensors").open("ab") as file:
        file.write(b"\0")


def another_library(run: Path) -> None:
    edit_json(run / "run.json", lambda about: about["versions"].update(tensorflow="1.0"))


CHANGES = {
    change_a_weight: f"{BEATS}: weight_shares.",
    change_a_node: f"{BEATS}: computes.",
    lose_a_graph: f"{BEATS}: computes: there is no graph that tells it",
    copy_the_parent: f"{BEATS}: status: ok is claimed, and it has the very weights of its fp32 parent",
    change_auroc: f"{BEATS}: auroc: ",
    change_the_interval: f"{BEATS}: auroc_low: ",
    change_p: f"{BEATS}: verdict.p: ",
    change_what_the_threshold_rests_on: f"{BEATS}: threshold_refitted: ",
    spoil_a_checkpoint: "cnn-ae.none.torch: digest of its artifact: ",
    another_library: f"{BEATS}: its artifact was made with tensorflow 2.",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_found(run: Path, change: Callable[[Path], None]) -> None:
    change(run)
    found = check_run(run).reasons
    assert any(reason.startswith(CHANGES[change]) for reason in found), found
