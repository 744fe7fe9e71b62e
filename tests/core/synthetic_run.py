"""A run's folder as ``ecgedge matrix`` leaves it, on synthetic beats, made without measuring anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api.artifact import Anomaly, Classification, Task, task_record
from ecgedge.data.dataset import Dataset
from ecgedge.report import Report
from ecgedge.report.files import write_files
from ecgedge.run import MatrixRequest
from ecgedge.run.journal import Journal, read
from ecgedge.run.rows import noise_of, rows_of
from tests.judging import judge_answers

ROUNDS, CALLS = 6, 40
FORMS = (  # format, precision, runtime, microseconds a call, bytes, spread of the noise on the outputs
    ("torch", "fp32", "torch", 400, 70_000, 0.0),
    ("onnx", "fp32", "cpu", 120, 69_000, 0.0),
    ("onnx", "full-int8", "cpu", 50, 20_000, 0.05),
    ("tflite", "fp32", "tflite", 110, 69_500, 0.0),
    ("tflite", "dynamic", "tflite", 45, 19_000, 0.02),
    ("tflite", "full-int8", "tflite", 40, 19_500, 0.05),
)
HOSTILE = "<script>document.title = 'taken'</script> & \"quoted\""


State = Callable[[str, int], float]  # of a name's block in a round: how much slower the machine is than when quick


def write_run(
    folder: Path,
    beats: Dataset,
    works: bool = True,
    forms: tuple[Any, ...] = FORMS,
    state: State | None = None,
    rounds: int = ROUNDS,
) -> Report:
    """Two models in each of ``forms``, with one cell that failed and one that was skipped.

    Args:
        works: else no cell does.
        state: of the machine; None: the blocks have no reference, as in older runs.
        rounds: that were timed; ``ROUNDS`` were asked for.
    """
    for name in ("cells", "artifacts", "samples"):
        (folder / name).mkdir(parents=True)
    test = beats.test
    np.savez(folder / "beats.npz", x=test.x, y=test.y, index=np.arange(len(test)))
    journal, ids = Journal(folder), []
    for model, task, outputs in fitted(beats):
        for number, form in enumerate(forms):
            ids.append(f"m{len(ids)}.{form[0]}.{form[1]}.{form[2]}")
            row = scored(journal, ids[-1], model, task, form, outputs, beats, works)
            if row["status"] == "ok":
                timed(journal, ids[-1], form[3], len(ids), state, rounds)
                if number == 0:
                    journal.append("twin", cell=ids[-1], name=f"{ids[-1]}.twin")
                    timed(journal, f"{ids[-1]}.twin", form[3], 99, state, rounds)
        for status, why in (("failed", HOSTILE), ("skipped", "runtime cuda: no such device")):
            lost = identity(f"{ids[-1]}.{status}", model, task, ("onnx", None, "cuda"))
            journal.append("scored", cell=lost["id"], row=lost | {"status": status, "reason": why, "stage": "convert"})
    journal.close()
    run = about(beats, ids)
    (folder / "run.json").write_text(json.dumps(run))
    records = read(folder)
    report = Report(folder, run, rows_of(records, ROUNDS, folder), noise_of(records, ROUNDS, folder))
    write_files(report)
    return report


Fitted = tuple[tuple[str, Task, np.ndarray], ...]
FITTED: dict[int, tuple[Dataset, Fitted, dict[Any, dict[str, Any]]]] = {}  # beside it its beats, so that no other is it


def fitted(beats: Dataset) -> Fitted:
    """Name, task and outputs of both models, fitted once to the same beats."""
    if id(beats) not in FITTED:
        models = ((HOSTILE, Classification(beats.labels), scores(beats)), detector(beats))
        FITTED[id(beats)] = beats, models, {}
    return FITTED[id(beats)][1]


def judged(
    here: np.ndarray, outputs: np.ndarray, beats: Dataset, model: str, task: Task, precision: str
) -> dict[str, Any]:
    """What is found of a form's answers to these beats, judged once."""
    found, key = FITTED[id(beats)][2], (model, precision, here.tobytes())
    if key not in found:
        found[key] = judge_answers(here, outputs.astype(np.float32), beats.test.x, beats.test.y, task, precision)
    return deepcopy(found[key])


def scores(beats: Dataset) -> np.ndarray:
    """Of a classifier that looks for the nearest mean."""
    train, test = beats.train, beats.test
    means = np.stack([train.x[train.y == c, 0].mean(axis=0) for c in range(beats.classes)])
    return -((test.x - means[None]) ** 2).mean(axis=2)


def detector(beats: Dataset) -> tuple[str, Task, np.ndarray]:
    """An autoencoder that knows the first principal components of normal beats."""
    normal = beats.train.x[beats.train.y == 0, 0]
    mean = normal.mean(axis=0)
    axes = np.linalg.svd(normal - mean, full_matrices=False)[2][:8]
    centred = beats.test.x[:, 0] - mean
    outputs = (centred @ axes.T @ axes + mean)[:, None]
    threshold = float(np.quantile(((outputs - beats.test.x) ** 2).mean(axis=(1, 2))[beats.test.y == 0], 0.95))
    return "pca-ae", Anomaly(threshold, 0.95, beats.labels[0], beats.labels), outputs


def identity(name: str, model: str, task: Task, form: tuple[Any, ...]) -> dict[str, Any]:
    format, precision, runtime, *_ = form
    return {
        "id": name, "model": model, "task": task.kind, "format": format, "precision": precision, "runtime": runtime,
        "device": "cpu", "route": [format], "quantizer": precision or "-", "batch": 1, "threads": 1,
    }  # fmt: skip


def scored(
    journal: Journal,
    name: str,
    model: str,
    task: Task,
    form: tuple[Any, ...],
    outputs: np.ndarray,
    beats: Dataset,
    works: bool,
) -> dict[str, Any]:
    """The row of a cell, and its outputs beside it."""
    *_, size, spread = form
    rng = np.random.default_rng(1)
    here = (outputs + spread * rng.standard_normal(outputs.shape)).astype(np.float32)
    np.save(journal.folder / "cells" / f"{name}.outputs.npy", here)
    row = identity(name, model, task, form)
    row |= judged(here, outputs, beats, model, task, form[1])
    row |= {
        "size_bytes": size,
        "artifact": f"artifacts/{name}",
        "memory_kib": 9000,
        "throughput_64_per_s": 1e6 / form[3],
    }
    if form[0] == "tflite":
        row["figures"] = {"arena_bytes": 15248, "fits": HOSTILE}
    if not works:
        row |= {"status": "failed", "stage": "load", "reason": HOSTILE}
    packed = {"path": row["artifact"], "record": {"task": task_record(task)}, "model": None}
    journal.append("scored", cell=name, row=row, artifact=packed)
    return row


def timed(
    journal: Journal, name: str, microseconds: float, seed: int, state: State | None = None, rounds: int = ROUNDS
) -> None:
    """All rounds of a cell, with a few calls that took much longer; a kernel beside them has noise of 0.3%."""
    journal.append("warm", cell=name, warm_up_calls=10, stable=True, load=0.5)
    rng = np.random.default_rng(seed)
    noise = np.random.default_rng([seed, 1])
    for number in range(rounds):
        slower = state(name, number) if state else 1.0
        reference = (33_000 * slower * noise.lognormal(0, 0.003, 2)).round().astype(int).tolist()
        told = {"reference_ns": reference, "kernel": "a kernel"} if state else {}
        model = 1e3 * microseconds * slower * rng.lognormal(0, 0.02, CALLS) * np.where(rng.random(CALLS) < 0.05, 1.6, 1)
        pairs = np.stack([model, np.full(CALLS, 900.0)], axis=1).astype("<i8")
        journal.block(name, number, pairs.tobytes(), cpu_share=1.0, **told)


def about(beats: Dataset, ids: list[str]) -> dict[str, Any]:
    machine = {
        "cpu": "a processor", "isa": ["avx2"], "cores": 2, "governor": None, "load": 0.5,
        "energy": "not measured: no counter", "system": "Linux x86_64",
    }  # fmt: skip
    return {
        "schema": 3, "command": "ecgedge matrix --dataset synthetic", "data": beats.describe(),
        "data_source": beats.source, "data_digest": beats.digest,
        "labels": list(beats.labels), "beats": len(beats.test), "profile": "full", "rounds": ROUNDS, "seed": 0,
        "threads": 1, "cells": ids, "skips": [], "machine": machine, "versions": {"python": "3.11", "ecgedge": "0.1.0"},
        "started": "2026-01-02T03:04:05+0000", "sources": {},
        "request": MatrixRequest(place=".").record(),
    }  # fmt: skip
