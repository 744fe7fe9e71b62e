"""``ecgedge check``: a run holds, a changed one does not, and the reason names what was changed."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge.api import tasks
from ecgedge.api.artifact import Anomaly, Classification, task_record
from ecgedge.api.graph import KINDS, Graph, Node, Weight
from ecgedge.api.precisions import INTEGERS, Precision, find
from ecgedge.audit import check_run, graphs, stats
from ecgedge.audit.answers import Answers, examine
from ecgedge.audit.findings import Findings
from ecgedge.cli.check import told as closing
from ecgedge.errors import EcgEdgeError
from ecgedge.evaluate import arithmetic
from ecgedge.evaluate.intervals import bootstrap_auroc, holm, mcnemar, median_interval, paired_share, wilson
from ecgedge.report import Report
from ecgedge.report.files import write_files
from ecgedge.run.journal import read
from ecgedge.run.rows import noise_of, rows_of
from ecgedge.testing import judge_graph
from tests.conftest import Command, error_of
from tests.core.test_matrix import BAD_PARTS, NARROW
from tests.judging import judge_answers

TORCH, WHOLE, INT8 = (
    "fake.none.fake-runtime",
    "fake.fake-exporter.none.fake-runtime",
    "fake.fake-exporter.fake-int8.fake-runtime",
)


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of it to be spoilt."""
    return Path(shutil.copytree(made, tmp_path / "run"))


def reasons(run: Path) -> list[str]:
    found = check_run(run).reasons
    assert found, "it holds"
    return found


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def write_lines(file: Path, lines: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def edit_row(run: Path, cell: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a row in ``rows.jsonl``, and in ``report.csv`` as well."""
    rows = lines_of(run / "rows.jsonl")
    for row in rows:
        if row["id"] == cell:
            change(row)
    write_lines(run / "rows.jsonl", rows)
    with (run / "report.csv").open(newline="") as file:
        names = csv.DictReader(file).fieldnames
    with (run / "report.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names or [], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def edit_journal(run: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    records = lines_of(run / "journal.jsonl")
    change(records)
    write_lines(run / "journal.jsonl", records)


def scored(records: list[dict[str, Any]], cell: str) -> dict[str, Any]:
    return next(r for r in records if r["event"] == "scored" and r["cell"] == cell)


def rounds_of(run: Path) -> int:
    return 1 + max(r["round"] for r in lines_of(run / "journal.jsonl") if r["event"] == "block")


def edit_run(run: Path, **changes: Any) -> None:
    about = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(about | changes))


def artifact_of(run: Path, cell: str) -> Path:
    return run / next(row for row in lines_of(run / "rows.jsonl") if row["id"] == cell)["artifact"]


def spoil_npy(file: Path, change: Callable[[np.ndarray], Any]) -> None:
    values = np.load(file)
    change(values)
    np.save(file, values)


# -- a run that holds


def test_an_untouched_run_holds(ecgedge: Command, run: Path) -> None:
    result = ecgedge("check", run)
    assert (result.code, result.err) == (0, "")
    figures, _, rows = result.out.split()[:3]
    assert int(figures) > 150
    assert rows == "of"
    assert result.out.endswith("of 3 rows hold, 17 files' digests hold\n")
    # 3 artifacts, 4 of samples, 1 of beats; of each of 3 cells outputs, throughput and reference
    told = json.loads(ecgedge("check", run, "--json").out)
    assert (told["holds"], told["reasons"], told["not_checked"]) == (True, [], [])


def test_one_of_each_is_told_as_one() -> None:
    assert (
        closing(Findings(figures=1, digests=1, seen={"a": {"accuracy"}}))
        == "1 figure of 1 row holds, 1 file's digest holds"
    )
    assert (
        closing(Findings(figures=1200, seen={"a": {"accuracy"}, "b": {"accuracy"}}))
        == "1,200 figures of 2 rows hold, 0 files' digests hold"
    )


def test_a_folder_in_the_place_of_a_file_is_told_as_one(ecgedge: Command, run: Path) -> None:
    file = run / "cells" / f"{INT8}.outputs.npy"
    file.unlink()
    file.mkdir()
    result = ecgedge("check", run)
    assert result.code == 1
    assert f"{file.relative_to(run)} is a folder, no file" in result.out


def test_a_reason_is_a_line_and_exit_code_1(ecgedge: Command, run: Path) -> None:
    edit_row(run, INT8, lambda row: row.update(accuracy=0.999))
    result = ecgedge("check", run)
    assert result.code == 1
    assert any(line.startswith(f"{INT8}: accuracy: 0.999 is claimed, ") for line in result.out.splitlines())
    told = ecgedge("check", run, "--json")
    assert told.code == 1
    assert json.loads(told.out)["reasons"] == result.out.splitlines()


@pytest.mark.parametrize("content", [None, "", "[]", "{"])
def test_a_folder_that_is_no_run(ecgedge: Command, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    assert "holds no run" in error_of(ecgedge("check", tmp_path))


def test_a_file_is_no_run(run: Path) -> None:
    with pytest.raises(EcgEdgeError, match="holds no run"):
        check_run(run / "run.json")


def test_a_new_figure_is_named(ecgedge: Command, run: Path) -> None:
    edit_row(run, INT8, lambda row: row.update(watts=1.5))
    edit_journal(run, lambda records: scored(records, INT8)["row"].update(watts=1.5))
    text = (run / "report.csv").read_text().splitlines()
    values = [f"{line},{'1.5' if line.startswith(INT8) else ''}" for line in text[1:]]
    (run / "report.csv").write_text("\n".join([f"{text[0]},watts", *values]))
    result = ecgedge("check", run)
    assert result.code == 0, result.out
    assert "not checked: watts" in result.out.splitlines()


def test_rows_that_did_not_work_hold_as_well(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    (fakes / "bad.py").write_text(BAD_PARTS)
    (fakes / "narrow.py").write_text(NARROW)
    asked = ("--dataset", "synthetic", "--model", "fake", "--profile", "quick", "--format", "fake", "--out", "run")
    assert ecgedge("--plugins-dir", fakes, "matrix", *asked).code == 1
    found = {row["status"] for row in lines_of(tmp_path / "run" / "rows.jsonl")}
    assert found == {"ok", "failed", "rejected", "skipped"}
    result = ecgedge("check", "run")
    assert result.code == 0, result.out


def test_an_interrupted_run_is_not_finished_and_nothing_else(run: Path) -> None:
    """Killed before the third round of the last cell: no rows, no reports."""

    def forget(records: list[dict[str, Any]]) -> None:
        lost = [r for r in records if r["event"] == "block" and r["cell"] == INT8 and r["round"] > 2]
        os.truncate(run / "samples" / f"{INT8}.i64", lost[0]["offset"])
        for record in lost:
            records.remove(record)

    edit_journal(run, forget)
    for name in ("rows.jsonl", "report.csv", "report.md"):
        (run / name).unlink()
    missing = ", ".join(map(str, range(3, rounds_of(run))))  # a machine that changed its speed got more than six
    assert reasons(run) == [f"{INT8}: not finished, rounds {missing} are missing: resume it"]


def test_what_rows_say_of_the_machine_is_held_to_the_reference_kernel(run: Path) -> None:
    """A journal that tells of a neighbour in the first round: old rows no longer hold, those made anew do."""
    rounds, about = rounds_of(run), json.loads((run / "run.json").read_text())

    def plant(slow: int | None) -> None:
        def edit(records: list[dict[str, Any]]) -> None:
            for record in records:
                if record["event"] == "block":
                    record["reference_ns"] = [66_000 if record["round"] == slow else 33_000] * 2
                    record |= {"steal": 0.0, "waited": 0.0}

        edit_journal(run, edit)

    def remake() -> list[dict[str, Any]]:
        records = read(run)
        again = rows_of(records, about["rounds"], run)
        write_files(Report(run, about, again, noise_of(records, about["rounds"], run)))
        return [row.flat for row in again if row.status == "ok"]

    plant(None)
    assert {(row["blocks_quick"], row["unsteady"]) for row in remake()} == {(rounds, False)}
    assert check_run(run).reasons == []
    plant(0)
    assert any(reason.startswith(f"{INT8}: blocks_quick: {rounds} is claimed") for reason in reasons(run))
    assert {(row["blocks_quick"], row["unsteady"]) for row in remake()} == {(rounds - 1, rounds == 6)}
    assert check_run(run).reasons == []
    edit_row(run, INT8, lambda row: row.update(unsteady=not row["unsteady"]))
    assert any(reason.startswith(f"{INT8}: unsteady: ") for reason in reasons(run))


# -- a run that was changed


def change_accuracy(run: Path) -> None:
    edit_row(run, INT8, lambda row: row.update(accuracy=0.999))


def change_accuracy_everywhere(run: Path) -> None:
    change_accuracy(run)
    edit_journal(run, lambda records: scored(records, INT8)["row"].update(accuracy=0.999))


def change_csv_only(run: Path) -> None:
    file = run / "report.csv"
    file.write_text(file.read_text().replace(f"{INT8},fake,", f"{INT8},mine,"))


def flip_a_decision(run: Path) -> None:
    def swap(outputs: np.ndarray) -> None:
        outputs[0, (outputs[0].argmax() + 1) % 5] = outputs[0].max() + 1

    spoil_npy(run / "cells" / f"{INT8}.outputs.npy", swap)


def change_the_reference(run: Path) -> None:
    spoil_npy(run / "cells" / "fake.reference.npy", lambda outputs: outputs.__iadd__(np.float32(1e-3)))


def lose_outputs(run: Path) -> None:
    (run / "cells" / f"{INT8}.outputs.npy").unlink()


def lose_beats(run: Path) -> None:
    file = run / "cells" / f"{INT8}.outputs.npy"
    np.save(file, np.load(file)[:-1])


def outputs_become_nan(run: Path) -> None:
    spoil_npy(run / "cells" / f"{INT8}.outputs.npy", lambda outputs: outputs.fill(np.nan))


def delete_samples(run: Path) -> None:
    (run / "samples" / f"{INT8}.i64").unlink()


def change_a_sample(run: Path) -> None:
    file = run / "samples" / f"{INT8}.i64"
    content = bytearray(file.read_bytes())
    content[8] ^= 1
    file.write_bytes(content)


def cut_samples(run: Path) -> None:
    file = run / "samples" / f"{INT8}.i64"
    os.truncate(file, file.stat().st_size - 16)


def add_samples(run: Path) -> None:
    with (run / "samples" / f"{INT8}.i64").open("ab") as file:
        file.write(bytes(32))


def add_a_samples_file(run: Path) -> None:
    (run / "samples" / "other.i64").write_bytes(bytes(16))


def drop_a_block(run: Path) -> None:
    edit_journal(run, lambda records: records.remove(find_block(records, 2)))


def repeat_a_round(run: Path) -> None:
    edit_journal(run, lambda records: find_block(records, 2).update(round=1))


def find_block(records: list[dict[str, Any]], number: int) -> dict[str, Any]:
    return next(r for r in records if r["event"] == "block" and r["cell"] == INT8 and r["round"] == number)


def drop_the_twin(run: Path) -> None:
    edit_journal(run, lambda records: records.remove(next(r for r in records if r["event"] == "twin")))


def swap_artifacts(run: Path) -> None:
    shutil.copy(artifact_of(run, WHOLE), artifact_of(run, INT8))


def claim_another_artifact(run: Path) -> None:
    other = str(artifact_of(run, WHOLE).relative_to(run))
    digest = next(row for row in lines_of(run / "rows.jsonl") if row["id"] == WHOLE)["digest"]
    edit_row(run, INT8, lambda row: row.update(artifact=other, digest=digest))
    edit_journal(run, lambda records: scored(records, INT8)["row"].update(artifact=other, digest=digest))


def swap_the_whole_artifact(run: Path) -> None:
    def swap(records: list[dict[str, Any]]) -> None:
        one, other = scored(records, INT8), scored(records, WHOLE)
        one["artifact"] = other["artifact"]
        one["row"] |= {name: other["row"][name] for name in ("artifact", "digest", "size_bytes")}

    edit_journal(run, swap)
    row = scored(lines_of(run / "journal.jsonl"), INT8)["row"]
    edit_row(run, INT8, lambda old: old.update(row))


def truncate_an_artifact(run: Path) -> None:
    os.truncate(artifact_of(run, INT8), 100)


def spoil_a_checkpoint(run: Path) -> None:
    file = artifact_of(run, TORCH) / "weights.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")


def lose_an_artifact(run: Path) -> None:
    artifact_of(run, INT8).unlink()


def change_latency(run: Path) -> None:
    edit_row(run, INT8, lambda row: row.update(latency_p50_us=row["latency_p50_us"] * 0.9))


def change_the_ratio(run: Path) -> None:
    edit_row(run, INT8, lambda row: row["time_ratio"].update(ratio=0.25, low=0.2, high=0.3, result="faster"))


def change_throughput(run: Path) -> None:
    edit_row(run, INT8, lambda row: row.update(throughput_64_per_s=row["throughput_64_per_s"] + 1))


def change_the_noise(run: Path) -> None:
    edit_row(run, INT8, lambda row: row.update(noise_floor=row["noise_floor"] + 0.1))


def negative_memory(run: Path) -> None:
    edit_row(run, INT8, lambda row: row.update(memory_kib=-1))


def lose_a_figure(run: Path) -> None:
    edit_row(run, INT8, lambda row: row.pop("macro_f1"))


def remove_a_row(run: Path) -> None:
    write_lines(run / "rows.jsonl", [row for row in lines_of(run / "rows.jsonl") if row["id"] != INT8])


def add_a_row(run: Path) -> None:
    rows = lines_of(run / "rows.jsonl")
    write_lines(run / "rows.jsonl", [*rows, rows[0] | {"id": "fake.other.fake-runtime"}])


def add_a_row_everywhere(run: Path) -> None:
    def add(records: list[dict[str, Any]]) -> None:
        record = json.loads(json.dumps(scored(records, TORCH)))
        record["cell"] = record["row"]["id"] = "fake.other.fake-runtime"
        records.append(record)

    edit_journal(run, add)
    add_a_row(run)


def skip_a_cell(run: Path) -> None:
    edit_journal(run, lambda records: scored(records, INT8)["row"].update(status="skipped", reason="no reason"))


def hide_a_failure(run: Path) -> None:
    """Outputs far from the trained model's, all figures made anew, and still ``ok``."""
    file = run / "cells" / f"{INT8}.outputs.npy"
    spoil_npy(file, lambda outputs: outputs.__setitem__(slice(None), np.roll(outputs, 1, axis=0)))


def reject_for_nothing(run: Path) -> None:
    edit_row(run, INT8, lambda row: row.update(status="rejected", reason="because"))
    edit_journal(run, lambda records: scored(records, INT8)["row"].update(status="rejected", reason="because"))


def another_version(run: Path) -> None:
    about = json.loads((run / "run.json").read_text())
    edit_run(run, versions=about["versions"] | {"ecgedge": "9.9"})


def another_source(run: Path) -> None:
    edit_run(run, sources={"fake": "0" * 64})


def more_beats(run: Path) -> None:
    edit_run(run, beats=501)


def plant_a_test_beat(run: Path) -> None:
    with np.load(run / "beats.npz") as arrays:
        beats = dict(arrays)
    beats["calibration"][7] = beats["x"][100]
    np.savez_compressed(run / "beats.npz", **beats)


def plant_a_calibration_beat(run: Path) -> None:
    with np.load(run / "beats.npz") as arrays:
        beats = dict(arrays)
    beats["x"][100] = beats["calibration"][7]
    np.savez_compressed(run / "beats.npz", **beats)


def spoil_the_beats(run: Path) -> None:
    os.truncate(run / "beats.npz", 1000)


def tear_the_journal(run: Path) -> None:
    os.truncate(run / "journal.jsonl", (run / "journal.jsonl").stat().st_size - 5)


def forget_a_cell(run: Path) -> None:
    edit_journal(run, lambda records: [records.remove(r) for r in [*records] if r.get("cell", "").startswith(INT8)])


def another_schema(run: Path) -> None:
    edit_run(run, schema=99)


def lose_a_board_of_no_cell(run: Path) -> None:
    row = {"id": "other@pi4", "status": "failed", "stage": "board", "reason": "gone"}
    edit_journal(run, lambda records: records.append({"event": "lost", "cell": "other@pi4", "row": row}))


def time_it_in_two_boots(run: Path) -> None:
    def tell(records: list[dict[str, Any]]) -> None:
        for record in records:
            if record["event"] == "warm":
                record["boot"] = "second" if record["cell"] == INT8 else "first"

    edit_journal(run, tell)


def name_no_board(run: Path) -> None:
    edit_journal(run, lambda records: scored(records, INT8)["row"].update(board=["pi4"]))


def tell_boards_as_a_list(run: Path) -> None:
    edit_run(run, boards=["pi4"])


CHANGES = {
    change_accuracy: f"{INT8}: accuracy: 0.999 is claimed, 0.",
    change_accuracy_everywhere: f"{INT8}: accuracy: 0.999 is claimed, 0.",
    change_csv_only: f"{INT8}: model: report.csv says mine, rows.jsonl fake",
    flip_a_decision: f"{INT8}: equal_decisions: ",
    change_the_reference: f"{INT8}: mean_abs_diff: ",
    lose_outputs: f"{INT8}: its outputs cannot be checked: {INT8}.outputs.npy is missing",
    lose_beats: f"{INT8}: status: ok is claimed, and outputs of shape (499, 5) for 500 beats",
    outputs_become_nan: f"{INT8}: status: ok is claimed, and outputs that are not finite",
    delete_samples: f"{INT8}: samples/{INT8}.i64 is missing",
    change_a_sample: f"{INT8}: the samples of round 0 are not those of the journal",
    cut_samples: f"{INT8}: the samples of round ",
    add_samples: f"{INT8}: 32 bytes at the end of its samples belong to no block",
    add_a_samples_file: "other: it has samples, and is neither",
    drop_a_block: f"{INT8}: not finished, rounds 2 are missing: resume it",
    repeat_a_round: f"{INT8}: round 1 is there twice",
    drop_the_twin: "fake: not finished, none of its cells was timed twice",
    swap_artifacts: f"{INT8}: digest of its artifact: ",
    claim_another_artifact: f"{INT8}: digest of its artifact: ",
    swap_the_whole_artifact: f"{INT8}: precision of its artifact: full-int8 is claimed, fp32 was found",
    truncate_an_artifact: f"{INT8}: digest of its artifact: ",
    spoil_a_checkpoint: f"{TORCH}: digest of its artifact: ",
    lose_an_artifact: f"{INT8}: its artifact artifacts/",
    change_latency: f"{INT8}: latency_p50_us: ",
    change_the_ratio: f"{INT8}: time_ratio.ratio: 0.25 is claimed, ",
    change_throughput: f"{INT8}: throughput_64_per_s: ",
    change_the_noise: f"{INT8}: noise_floor: ",
    negative_memory: f"{INT8}: memory_kib: -1 cannot be",
    lose_a_figure: f"{INT8}: macro_f1: nothing is claimed, 0.",
    remove_a_row: f"{INT8}: it is in the journal and not in rows.jsonl",
    add_a_row: "fake.other.fake-runtime: it is in rows.jsonl and not in the journal",
    add_a_row_everywhere: "fake.other.fake-runtime: it was not planned",
    skip_a_cell: f"{INT8}: it was planned, and is said to be skipped",
    hide_a_failure: f"{INT8}: status: ok is claimed, and the cosine of its outputs is ",
    reject_for_nothing: f"{INT8}: status: rejected is claimed (because), and nothing wrong was found",
    another_version: f"{WHOLE}: its artifact was made with ecgedge 0.1.0, run.json says 9.9",
    another_source: f"{WHOLE}: its artifact was not made of the model 000000000000",
    more_beats: "beats.npz: 501 beats are claimed, 500 are in x",
    plant_a_test_beat: "beats.npz: 1 of the calibration beats are test beats",
    plant_a_calibration_beat: "beats.npz: 1 of the calibration beats are test beats",
    spoil_the_beats: "beats.npz: it cannot be checked: ",
    tear_the_journal: "journal.jsonl: line ",
    forget_a_cell: f"{INT8}: not finished, it was not scored: resume it",
    lose_a_board_of_no_cell: "other@pi4: its board is said to be lost, and it was not planned",
    time_it_in_two_boots: "fake: on None it was timed partly before that was started anew",
    name_no_board: f"{INT8}: not finished, it was not scored",
    tell_boards_as_a_list: "run.json: its boards are no table",
    another_schema: "run.json: its schema is 99, only 3 can be checked",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_found(run: Path, change: Callable[[Path], None]) -> None:
    change(run)
    found = reasons(run)
    assert any(reason.startswith(CHANGES[change]) for reason in found), found


def test_a_torn_line_is_named_with_its_number(run: Path) -> None:
    count = len(lines_of(run / "journal.jsonl"))
    tear_the_journal(run)
    assert f"journal.jsonl: line {count} is not whole" in reasons(run)


def test_recorded_digests_of_files_are_held(run: Path) -> None:
    name = f"cells/{INT8}.outputs.npy"
    with (run / name).open("ab") as file:
        file.write(b"more")  # that no figure depends on
    assert reasons(run)[0].startswith(f"{INT8}: {name}: SHA-256 ")
    (run / name).unlink()
    assert any(name.rpartition("/")[2] in reason for reason in reasons(run))


# -- the second way to each figure and the first one agree


@pytest.mark.parametrize("seed", range(5))
def test_statistics_agree(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, other = rng.normal(size=(2, 300)).round(1)  # with ties
    positive = rng.random(300) < 0.3
    here, was = rng.random((2, 300)) < 0.9
    assert stats.auroc(scores, positive) == pytest.approx(tasks.auroc(scores, positive), abs=1e-12)
    assert stats.auprc(scores, positive) == pytest.approx(tasks.average_precision(scores, positive), abs=1e-12)
    assert stats.wilson(290 + seed, 300) == pytest.approx(wilson(290 + seed, 300), abs=1e-12)
    assert stats.mcnemar(here, was) == pytest.approx(mcnemar(int((here & ~was).sum()), int((was & ~here).sum())))
    assert stats.paired(here, was) == pytest.approx(paired_share(here, was), abs=1e-12)
    assert stats.holm([0.01, 0.04, 0.01, 0.9]) == pytest.approx(holm([0.01, 0.04, 0.01, 0.9]))
    assert stats.quantile(scores, 0.97) == pytest.approx(np.quantile(scores, 0.97))
    for count in (3, 6, 9, 20, 37):
        assert stats.order_interval([*scores[:count]]) == pytest.approx(median_interval(scores[:count]))
    drawn = bootstrap_auroc(scores, positive, seed, other)
    one, two = stats.bootstrap([scores, other], positive, seed)
    assert drawn.change
    assert (stats.quantile(one, 0.025), stats.quantile(one, 0.975)) == pytest.approx((drawn.low, drawn.high))
    assert stats.quantile(one - two, 0.025) == pytest.approx(drawn.change.low)


def far(outputs: np.ndarray) -> np.ndarray:
    return np.roll(outputs, 1, axis=0)


def in_another_order(outputs: np.ndarray) -> np.ndarray:
    return outputs[:, [1, 2, 0, 3]]


def without_a_class(outputs: np.ndarray) -> np.ndarray:
    return outputs - np.array([0, 9, 0, 0], np.float32)


def worse(outputs: np.ndarray) -> np.ndarray:
    return outputs + np.random.default_rng(1).normal(0, 0.6, outputs.shape).astype(np.float32)


def higher(outputs: np.ndarray) -> np.ndarray:
    return outputs * np.float32(1.2)


def not_finite(outputs: np.ndarray) -> np.ndarray:
    return outputs * np.float32(np.nan)


SPOILERS = (np.copy, far, in_another_order, without_a_class, worse, higher, not_finite)


def agree(answers: Answers, judged: dict[str, Any], precision: str) -> None:
    """The same figures, and the same verdict on the row."""
    found, fault = examine(answers, judged | {"precision": precision}, seed=3)
    assert bool(fault) == (judged["status"] == "rejected"), (fault, judged["reason"])
    for words in (*judged.get("gates", []), judged.get("verdict") or {}):
        words.pop("text", None)
    assert set(found) == set(judged) - {"status", "reason"}
    for name, value in found.items():
        assert same(value, judged[name]), (name, value, judged[name])


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == (pytest.approx(other, abs=1e-12) if isinstance(other, float) else other)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "full-int8", "int3"])
@pytest.mark.parametrize("spoil", SPOILERS)
def test_classes_are_judged_alike(spoil: Callable[[np.ndarray], np.ndarray], precision: str) -> None:
    rng = np.random.default_rng(5)
    y, beats = rng.integers(0, 4, 400), rng.normal(size=(400, 1, 20)).astype(np.float32)
    expected = (3 * np.eye(4)[y] + rng.normal(size=(400, 4))).astype(np.float32)
    outputs, task = spoil(expected), Classification(("a", "b", "c", "d"))
    judged = judge_answers(outputs, expected, beats, y, task, precision, seed=3)
    record = {"kind": "classification", "labels": list(task.labels)}
    agree(Answers(record, outputs, expected, beats[:, 0], y, np.arange(400), None), judged, precision)


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("precision", ["fp32", "dynamic"])
@pytest.mark.parametrize("spoil", [each for each in SPOILERS if each not in (in_another_order, without_a_class)])
def test_anomalies_are_judged_alike(spoil: Callable[[np.ndarray], np.ndarray], precision: str, window: int) -> None:
    rng = np.random.default_rng(6)
    y, train_y = rng.integers(0, 3, (2, 300))
    beats, train = rng.normal(size=(2, 300, 1, 20)).astype(np.float32)
    noise = rng.normal(size=(2, 300, 1, 20)) * (0.3 + 0.1 * np.minimum([y, train_y], 1))[:, :, None, None]
    expected, known = (np.stack([beats, train]) + noise).astype(np.float32)
    task = Anomaly({1: 0.11, 4: 0.028}[window], 0.95, "a", ("a", "b", "c"), window)
    outputs, train_outputs = spoil(expected), spoil(known)
    judged = judge_answers(
        outputs, expected, beats, y, task, precision, seed=3,
        training=(train_outputs, train, train_y),
    )  # fmt: skip
    record = task_record(task)
    flat, was = outputs.reshape(300, -1), expected.reshape(300, -1)
    of_training = train_outputs.reshape(300, -1), train[:, 0], train_y
    agree(Answers(record, flat, was, beats[:, 0], y, np.arange(300), of_training), judged, precision)


def kept(told: Graph) -> dict[str, Any]:
    """As a run has it in ``cells/CELL.graph.json``."""
    return json.loads(json.dumps(arithmetic.kept(told)))


def graph(op: str, takes: str, gives: str, constants: tuple[int, ...], weight: str, size: int) -> Graph:
    nodes = (
        Node("first", op, "XNNPACK", "cpu", tuple(takes.split()), (gives,), constants),
        Node("last", "RESHAPE", "CPU", "cpu", (gives,), (gives,), (0,)),
    )
    weights = (Weight("w", weight, size, "d"), Weight("b", "float32", 40), Weight("shape", "int64", 16))
    return Graph(nodes, weights, partitions=1, delegate="XNNPACK", input="float32", output="float32")


GRAPHS = [
    graph("CONV_2D", "float32 float32", "float32", (0, 2048), "float32", 8192),
    graph("CONV_2D", "float32 float16", "float32", (0, 2048), "float16", 4096),
    graph("CONV_2D", "float32 int8", "float32", (0, 2048), "int8", 2048),
    graph("CONV_2D", "int8 int8", "int8", (0, 2048), "int8", 2048),
    graph("CONV_2D", "int8 float32", "int8", (), "int8", 100),
    graph("CONV_2D", "int16 int8", "int16", (0, 2048), "int8", 2048),
    graph("CONV_2D", "int16 int4", "int16", (0, 2048), "int4", 1024),
    graph("DEQUANTIZE", "int4", "float32", (2048,), "int4", 1024),
    graph("CONV_2D", "float16 float16", "float16", (0, 2048), "float16", 4096),
    graph("ADD", "int16", "int16", (0,), "int8", 2048),
    graph("TRANSPOSE_CONV", "int32 int8 int16", "int16", (4, 2048, 0), "int8", 2048),
    graph("Conv", "float32 float32", "float32", (0, 4), "int8", 2048),
    graph("MEAN", "float32", "float32", (0,), "int8", 2048),
    graph("DEQUANTIZE", "int8", "float32", (2048,), "int8", 2048),
    graph("DynamicQuantizeLinear", "float32", "uint8", (0,), "uint8", 2048),
]
GRAPHS += [  # one of a name that nobody knows, and of one that says otherwise
    replace(each, nodes=tuple(replace(node, kind=kind) for node in each.nodes[:told]) + each.nodes[told:])
    for kind in KINDS
    for told in (1, 2)
    for each in (
        graph("Zap", "float32 int8", "float32", (0, 2048), "int8", 2048),
        graph("Zap", "int8 int8", "int8", (0, 2048), "int8", 2048),
        graph("RESHAPE", "int8 float32", "float32", (0, 2048), "float32", 8192),
    )
]


GRAPHS += [  # that quantizes while it runs, by its runtime's word alone
    replace(each, nodes=(replace(each.nodes[0], kind="quantizes", dynamic=True), *each.nodes[1:]))
    for each in (graph("Convert", "float32", "int8", (0,), "int8", 2048), GRAPHS[-1])
]

OWN = (
    Precision("w8a16", "", ("int8", "int32"), "int8", ("int16", "int32", "int64"), cosine=0.99),
    Precision("w8", "", ("int8",)),
    Precision("w4", "", ("int4", "float32"), "int4"),
    Precision("half", "", ("float16",), "", ("float16",)),
    Precision("integers", "", (), "int8", INTEGERS),
)
CLAIMS = [*map(find, ("fp32", "fp16", "dynamic", "full-int8", "int3")), *OWN]


@pytest.mark.parametrize("precision", CLAIMS, ids=lambda each: each.name)
@pytest.mark.parametrize("number", range(len(GRAPHS)))
def test_graphs_are_judged_alike(number: int, precision: Precision) -> None:
    told = GRAPHS[number]
    for device, parent in (("cpu", None), ("cuda", None), ("cpu", GRAPHS[0]), ("cpu", told)):
        judged = judge_graph(told, precision, device, parent)
        record = kept(told)
        claim = graphs.claim_of(precision.name, {each.name: each.record() for each in OWN})
        found = graphs.examine(record, claim)
        before = parent and kept(parent)
        fault = graphs.fault_of(record, precision.name, claim, device, before)
        assert bool(fault) == (judged["status"] == "rejected"), (fault, judged["reason"])
        assert {name: judged[name] for name in found} == found | {
            "weight_shares": pytest.approx(found["weight_shares"], abs=1e-4)
        }


def node_of_shapes(op: str, device: str, shapes: tuple, made: tuple) -> Node:
    """One that takes constants of 2,048 elements behind its first input."""
    takes, constants = ("float32",) * len(shapes), (0,) + (2048,) * (len(shapes) - 1)
    return Node(f"{op} {device}", op, "x", device, takes, ("float32",), constants, shapes, (made,))


# Each on the GPU beside a matrix product on the CPU: the numbers of products stand in the comments.
MIXTURES = [
    node_of_shapes("Conv", "cuda", ((1, 4, 14), (8, 4, 5)), (1, 8, 10)),  # 80 x 20 = 1,600
    node_of_shapes("Conv", "cuda", ((1, 4, 14), (4, 1, 5)), (1, 4, 10)),  # grouped: 40 x 5 = 200
    node_of_shapes("ConvTranspose", "cuda", ((1, 4, 10), (4, 8, 5)), (1, 8, 14)),  # 40 x 40 = 1,600
    node_of_shapes("TRANSPOSE_CONV", "cuda", ((4,), (8, 1, 5, 4), (1, 1, 10, 4)), (1, 1, 14, 8)),  # 40 x 40 = 1,600
    node_of_shapes("DEPTHWISE_CONV_2D", "cuda", ((1, 1, 14, 8), (1, 1, 5, 8)), (1, 1, 10, 8)),  # 80 x 5 = 400
    node_of_shapes("FULLY_CONNECTED", "cuda", ((1, 100), (10, 100)), (1, 10)),  # 1,000
    node_of_shapes("MatMul", "cuda", ((2, 5, 100), (100, 10)), (2, 5, 10)),  # 10,000
    node_of_shapes("Gemm", "cuda", ((100, 5), (100, 10)), (5, 10)),  # the first transposed: 5,000
    node_of_shapes("LSTM", "cuda", ((1, 1, 9), (4, 4)), (1, 1, 4)),  # not known
]


@pytest.mark.parametrize("products", [150, 300, 900, 1500, 1700, 4900, 5100, 9900, 10100])
@pytest.mark.parametrize("number", range(len(MIXTURES)))
def test_work_on_two_devices_is_judged_alike(number: int, products: int) -> None:
    other = node_of_shapes("MatMul", "cpu", ((1, products), (products, 1)), (1, 1))
    told = Graph((MIXTURES[number], other), None)
    judged = judge_graph(told, "int3", "cuda")
    record = kept(told)
    fault = graphs.fault_of(record, "int3", {}, "cuda", None)
    assert bool(fault) == (judged["status"] == "rejected"), (fault, judged["reason"])
    expected = [1600, 200, 1600, 1600, 400, 1000, 10000, 5000, None][number]
    assert [node["macs"] for node in record["nodes"]] == [expected, products]
    assert bool(fault) == (expected is not None and expected < products)


def test_a_kind_that_there_is_not_is_no_kind() -> None:
    record = kept(GRAPHS[0])
    record["nodes"][0]["kind"] = "rests"
    with pytest.raises(ValueError, match="first is of the kind 'rests'"):
        graphs.examine(record, {})


def test_a_run_keeps_what_operations_were_taken_for_and_who_said_so() -> None:
    named = node_of_shapes("TRANSPOSE_CONV", "cpu", ((4,), (8, 1, 5, 4), (1, 1, 10, 4)), (1, 1, 14, 8))
    own = Node("zap", "Zap", "x", "cpu", ("float32",), ("int8",), kind="quantizes", macs=0, dynamic=True)
    told = Graph((named, own, replace(named, op="DynamicQuantizeLinear")), None)
    found = [{key: node[key] for key in ("kind", "macs", "dynamic", "data", "told")} for node in kept(told)["nodes"]]
    assert found == [
        {"kind": "multiplies", "macs": 1600, "dynamic": False, "data": 2, "told": []},
        {"kind": "quantizes", "macs": 0, "dynamic": True, "data": 0, "told": ["kind", "macs", "dynamic"]},
        {"kind": "quantizes", "macs": 0, "dynamic": True, "data": 0, "told": []},
    ]
    assert Graph.from_record(kept(told)) == told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FileNotFoundError(2, "No such file", "run/cells/a.npy"), "a.npy is missing"),
        (FileNotFoundError(2, "No such file", b"run/a.npy"), "a.npy is missing"),
        (FileNotFoundError("no beat is left"), "FileNotFoundError: no beat is left"),
    ],
)
def test_what_is_missing_is_named_or_told_in_its_own_words(error: Exception, told: str) -> None:
    findings = Findings()
    with findings.reading("row", "it"):
        raise error
    assert findings.reasons == [f"row: it cannot be checked: {told}"]
