"""``ecgedge check`` never accuses the innocent: runs of machines as noisy as may be, their rows made by the run's own
code, hold."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge.api.artifact import Classification
from ecgedge.api.graph import Graph, Weight
from ecgedge.audit import check_run, graphs
from ecgedge.evaluate import arithmetic, gates
from ecgedge.measure import bench
from ecgedge.measure.steadiness import most_rounds
from ecgedge.report import Report
from ecgedge.report.files import write_files
from ecgedge.run.journal import read
from ecgedge.run.rows import noise_of, rows_of
from ecgedge.testing import judge_graph
from tests.judging import judge_answers

JOURNALS = 100
Record = dict[str, Any]


def noisy_run(whole: Path, folder: Path, seed: int) -> Path:
    """A run whose timed blocks are drawn anew: states, drifts, spikes, clocks of few digits, neighbours, slow calls.

    What is drawn is in the journal and the samples; rows and reports are made from these.
    """
    rng = np.random.default_rng(seed)
    run = Path(shutil.copytree(whole, folder / f"run-{seed}"))
    about = json.loads((run / "run.json").read_text())
    about["rounds_most"] = most_rounds(about["rounds"])  # this one is noisy, however briefly the other was measured
    (run / "run.json").write_text(json.dumps(about))
    kept = [record for record in read(run) if record["event"] != "block"]
    names = [record["cell"] for record in kept if record["event"] == "warm"]
    answer_with_noise(run, kept, about, rng)
    ends = dict.fromkeys(names, 0)
    for name in names:
        (run / "samples" / f"{name}.i64").write_bytes(b"")
    for number, name, facts, samples in blocks(names, rng):
        with (run / "samples" / f"{name}.i64").open("ab") as file:
            file.write(samples.tobytes())
        told = {"event": "block", "cell": name, "round": number, "offset": ends[name], "calls": len(samples)}
        kept.append(told | {"sha256": hashlib.sha256(samples.tobytes()).hexdigest(), **facts})
        ends[name] += samples.nbytes
    (run / "journal.jsonl").write_text("".join(json.dumps(record) + "\n" for record in kept))
    records, rounds = read(run), about["rounds"]
    write_files(Report(run, about, rows_of(records, rounds, run), noise_of(records, rounds, run)))
    return run


def blocks(names: list[str], rng: np.random.Generator) -> Iterator[tuple[int, str, Record, np.ndarray]]:
    """Round after round a block of each name: its number, its name, its facts, and nanoseconds ``(calls, 2)``."""
    rounds = int(rng.integers(6, 19))
    speeds = np.round(rng.uniform(20e3, 400e3, len(names)), -3)
    if rng.random() < 0.4:  # two that tie, or are exactly 2% apart
        speeds[:] = speeds[0] * rng.choice([1.0, 1.02, 1 / 1.02, 1.05], len(names))
    states = rng.choice([1.0, 1.3, 1.8, 2.5], (rounds, len(names)), p=rng.dirichlet(np.ones(4)))
    drift = np.exp(np.linspace(0, rng.choice([0.0, 0.02, 0.3]), rounds))
    clock, spread = rng.choice([1, 50, 1000]), rng.choice([0.0, 0.003, 0.05, 0.5])
    kernel_noise, is_old, has_energy = rng.choice([0.0, 0.002, 0.05, 0.3, 3]), rng.random() < 0.1, rng.random() < 0.3
    if rng.random() < 0.25:  # nothing but the clock's grid: what is equal is equal to the last bit
        states[:], drift[:], spread, kernel_noise = 1.0, 1.0, 0.0, rng.choice([0.0, 0.002])
    for number in range(rounds):
        for i in rng.permutation(len(names)):
            slower = states[number, i] * drift[number]
            calls = int(rng.integers(100, 130)) if rng.random() < 0.95 else int(rng.integers(10, 90))
            model = speeds[i] * slower * rng.lognormal(0, spread, calls) * np.where(rng.random(calls) < 0.03, 20, 1)
            samples = np.stack([model, rng.uniform(500, 2000, calls)], axis=1)
            samples = np.maximum(np.round(samples / clock) * clock, [1, 0]).astype("<i8")
            reference = (
                np.maximum(np.round(33_000 * slower * rng.lognormal(0, kernel_noise, 2)), 1).astype(int).tolist()
            )
            facts: Record = {"cpu_share": round(float(rng.uniform(0.1, 1)), 4)}
            if calls < bench.BLOCK_CALLS:  # others had their turn between its calls
                facts["seconds"] = round(10 + float(rng.uniform(0, 3)), 4)
            if not is_old:
                facts |= {"reference_ns": reference, "kernel": "a kernel", "steal": 0.0}
                facts["waited"] = round(float(rng.choice([0.0, 0.0123, 0.1, 0.1123, 0.2, 0.65])), 4)
            if has_energy:
                facts["active_uj"] = round(float(rng.normal(5000, 6000)), 1)
            yield number, names[i], facts, samples


def answer_with_noise(run: Path, records: list[Record], about: Record, rng: np.random.Generator) -> None:
    """Other answers of the cells that are no fp32, where they stay those of the model; some lose 2% of a class."""
    with np.load(run / "beats.npz") as beats:
        x, y, index = beats["x"], beats["y"], beats["index"]
    task = Classification(tuple(about["labels"]))
    for record in records:
        if record["event"] != "scored" or record["row"]["precision"] in ("fp32", None):
            continue
        row, file = record["row"], f"cells/{record['cell']}.outputs.npy"
        expected = np.load(run / "cells" / f"{row['model']}.reference.npy")
        outputs = expected + rng.normal(0, rng.choice([1e-3, 0.02, 0.1]), expected.shape).astype(np.float32)
        for c in range(len(task.labels)):
            mine = np.flatnonzero((y == c) & (outputs.argmax(axis=1) == c))
            lost = mine[: int(rng.choice([0, 0.02, 0.04]) * (y == c).sum())]
            outputs[lost] = np.roll(outputs[lost], 1, axis=1)
        told = judge_answers(outputs, expected, x, y, task, row["precision"], seed=about["seed"], index=index)
        if told["status"] == "ok":
            np.save(run / file, outputs)
            record["files"][file] = hashlib.sha256((run / file).read_bytes()).hexdigest()
            row |= told | {"runtime_computes": row["runtime_computes"]}


@pytest.mark.parametrize("tens", range(JOURNALS // 10))
def test_a_noisy_run_holds(tens: int, made: Path, tmp_path: Path) -> None:
    for seed in range(10 * tens, 10 * tens + 10):
        run = noisy_run(made, tmp_path, seed)
        found = check_run(run)
        assert found.reasons == [], f"seed {seed}"
        assert found.figures > 150
        shutil.rmtree(run)


def test_a_figure_that_is_off_by_more_than_its_last_digit_does_not_hold(made: Path, tmp_path: Path) -> None:
    run = noisy_run(made, tmp_path, 3)
    lines = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
    for line in lines:
        if "noise_floor" in line:
            line["noise_floor"] += 1.1e-4
    (run / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert any("noise_floor: " in reason for reason in check_run(run).reasons)


def test_a_class_that_lost_exactly_what_is_allowed_has_no_gate() -> None:
    """20 of 1,000: the difference of two means is 2% and one bit, and that bit decided."""
    y = np.zeros(1000, dtype=np.int64)
    here = np.where(np.arange(1000) < 20, 1, 0)
    task = Classification(("a", "b"))
    assert gates.recall_change(here, y, y, task)["a"] == -0.02
    assert not gates.recall_gates(here, y, y, task)
    assert gates.recall_gates(np.where(np.arange(1000) < 21, 1, 0), y, y, task)


def test_the_share_of_int8_weights_is_judged_before_it_is_rounded() -> None:
    """0.89996 is less than 0.9, and was 0.9 in the row."""
    weights = (Weight("a", "int8", 89_996, "1"), Weight("b", "float32", 10_004, "2"))
    graph = Graph((), weights, input="float32", output="float32")
    told = judge_graph(graph, "dynamic", "cpu")
    assert told["weight_shares"] == {"int8": 0.9, "float32": 0.1}
    assert told["status"] == "rejected"
    record = json.loads(json.dumps(arithmetic.kept(graph)))
    assert graphs.fault_of(record, "dynamic", graphs.EXPECTED["dynamic"], "cpu", None)


def test_times_exactly_two_percent_apart_are_a_tie_to_both(made: Path, tmp_path: Path) -> None:
    """51,000 and 50,000 ns in each round: the logarithm of their ratio is a bit more than that of 1.02."""
    run = Path(shutil.copytree(made, tmp_path / "run"))
    records, about = read(run), json.loads((run / "run.json").read_text())
    for record in records:
        if record["event"] == "block":
            nanoseconds = 51_000 if "int8" in record["cell"] else 50_000
            samples = np.full((record["calls"], 2), nanoseconds, "<i8").tobytes()
            with (run / "samples" / f"{record['cell']}.i64").open("r+b") as file:
                file.seek(record["offset"])
                file.write(samples)
            quiet = {"reference_ns": [33_000, 33_000], "steal": 0.0, "waited": 0.0}
            record |= quiet | {"sha256": hashlib.sha256(samples).hexdigest()}
    (run / "journal.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    rows = rows_of(records, about["rounds"], run)
    write_files(Report(run, about, rows, noise_of(records, about["rounds"], run)))
    [ratio] = [row.time_ratio for row in rows if "int8" in row.id]
    assert ratio and (ratio.ratio, ratio.result) == (1.02, "tie")
    assert check_run(run).reasons == []
