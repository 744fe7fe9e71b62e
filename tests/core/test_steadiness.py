"""A machine that changes its speed: which blocks count, when more are timed, and what is said where too few do."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ecgedge.audit.states import quick_blocks
from ecgedge.cli import main
from ecgedge.data.dataset import Dataset
from ecgedge.measure.bench import PROFILES
from ecgedge.measure.steadiness import Reading, about_block, enough_blocks, most_rounds, quick_readings, reference
from ecgedge.measure.steadiness import kernel as kernel_module
from ecgedge.report.decision import unsteady_notes
from ecgedge.run.journal import Journal, read, samples
from ecgedge.run.rounds import Rounds
from ecgedge.run.rows import blocks_of, noise_of, rows_of
from ecgedge.run.turns import pair_of, quick_rounds
from tests.conftest import Command, Result
from tests.core.synthetic_run import ROUNDS, State, write_run

SLOW = 1.8  # how much longer all takes beside a neighbour


def machine(state: State, names: int, rounds: int, noise: float = 0.005, seed: int = 0) -> list[Reading]:
    """Readings of a kernel of 33 us: what the machine does, and Gaussian noise."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(rounds):
        for name in map(str, range(names)):
            before, after = 33_000 * state(name, number) * np.exp(rng.normal(0, noise, 2))
            found.append(Reading(name, "a model", number, "a kernel", float(before), float(after)))
    return found


def rounds_that_are(slow: set[int]) -> State:
    return lambda _, number: SLOW if number in slow else 1.0


# -- the states


@pytest.mark.parametrize("noise", [0.001, 0.005, 0.01, 0.02])
@pytest.mark.parametrize(("names", "rounds"), [(2, 20), (12, 6), (12, 20)])
def test_a_steady_machine_loses_no_rounds(names: int, rounds: int, noise: float) -> None:
    """Of 50 machines with one state, fewer than one block in a thousand is taken for another."""
    lost = 0
    for seed in range(50):
        lost += names * rounds - len(quick_readings(machine(lambda *_: 1.0, names, rounds, noise, seed)))
    assert lost <= 50 * names * rounds / 1000


@pytest.mark.parametrize("slower", [1.15, 1.3, 1.8])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.7])
def test_two_levels_are_told_apart_block_by_block(share: float, slower: float) -> None:
    rng = np.random.default_rng(1)
    slow = rng.random((12, 20)) < share
    found = quick_readings(machine(lambda name, number: slower if slow[int(name), number] else 1.0, 12, 20))
    right = {(str(name), number) for name, number in zip(*np.nonzero(~slow))}
    assert found == right


def test_a_few_percent_are_no_other_state() -> None:
    """However quiet the kernel is: a clock that wanders by 4% would else cost half of the rounds."""
    readings = machine(lambda _, number: 1.04 if number % 2 else 1.0, 4, 20, noise=0.0005)
    assert len(quick_readings(readings)) == 80


def test_a_block_that_was_slow_at_one_end_is_not_quick() -> None:
    readings = machine(lambda *_: 1.0, 4, 10)
    odd = readings[7]
    readings[7] = Reading(odd.name, odd.group, odd.round, odd.kernel, odd.before, SLOW * odd.after)
    readings[20] = Reading("0", "a model", 5, "a kernel", SLOW * 33_000, 33_000)
    assert {(each.name, each.round) for each in readings} - quick_readings(readings) == {
        (odd.name, odd.round),
        ("0", 5),
    }


def test_a_block_that_others_interrupted_is_not_quick_however_quick_the_kernel_beside_it() -> None:
    """A neighbour on the same processor half of the time: it takes turns, and the kernel ran between two of them."""
    readings = machine(lambda *_: 1.0, 4, 20)
    shared = [replace(each, lost=0.5 if each.round % 2 else 0.004) for each in readings]
    assert quick_readings(shared) == {(each.name, each.round) for each in readings if each.round % 2 == 0}
    assert len(quick_readings([replace(each, lost=0.05 * (each.round % 2)) for each in readings])) == 80
    assert len(quick_readings([replace(each, lost=0.5) for each in readings])) == 80, "one state, for all one knows"


def test_what_a_cell_loses_to_its_own_threads_in_all_rounds_is_no_state() -> None:
    readings = [replace(each, lost=0.4 if each.name == "2" else 0.0) for each in machine(lambda *_: 1.0, 4, 20)]
    assert len(quick_readings(readings)) == 80
    beside = [replace(each, lost=each.lost + 0.3 * (each.round == 7)) for each in readings]
    assert {number for _, number in {(r.name, r.round) for r in readings} - quick_readings(beside)} == {7}


def test_what_a_process_does_to_the_kernel_in_all_rounds_is_no_state() -> None:
    """Threads that still spin after each block of a cell: nobody's neighbour."""
    assert len(quick_readings(machine(lambda name, _: 1.4 if name == "2" else 1.0, 6, 20))) == 120


def test_processes_of_different_interpreters_are_not_compared() -> None:
    readings = machine(lambda *_: 1.0, 4, 10)
    other = [Reading(f"other {r.name}", r.group, r.round, "another", 2 * r.before, 2 * r.after) for r in readings]
    assert len(quick_readings([*readings, *other])) == 80


def test_a_drifting_machine_keeps_what_is_near_its_quick_end() -> None:
    """Throttled by 40% in the course of a run: the blocks that count are within a state's width of each other."""
    readings = machine(lambda _, number: 1 + 0.4 * number / 20, 4, 20)
    quick = quick_readings(readings)
    counted = [each.log for each in readings if (each.name, each.round) in quick]
    assert max(counted) - min(counted) < 0.13
    assert min(counted) < math.log(33_000) + 0.02
    assert 0 < len(quick) < 40


def test_a_model_that_was_slow_all_the_time_is_found_out_by_the_others() -> None:
    """Within itself it is as steady as can be."""
    readings = machine(lambda *_: 1.0, 4, 10)
    late = [Reading(f"late {r.name}", "another model", r.round, r.kernel, SLOW * r.before, SLOW * r.after)
            for r in machine(lambda *_: 1.0, 4, 10, seed=1)]  # fmt: skip
    assert quick_readings([*readings, *late]) == {(r.name, r.round) for r in readings}
    drifted = [Reading(r.name, r.group, r.round, r.kernel, 1.05 * r.before / SLOW, 1.05 * r.after / SLOW) for r in late]
    assert len(quick_readings([*readings, *drifted])) == 80, "5% between two models is no other state"


def test_one_block_alone_is_quick() -> None:
    assert quick_readings(machine(lambda *_: 1.0, 1, 1)) == {("0", 0)}
    assert quick_readings([]) == set()
    assert (enough_blocks(1), enough_blocks(6), enough_blocks(20), most_rounds(20)) == (1, 6, 15, 60)


def test_the_audit_finds_the_same_states() -> None:
    """It is written apart; on machines of all kinds both say the same."""
    rng = np.random.default_rng(2)
    for seed in range(60):
        names, rounds = int(rng.integers(1, 9)), int(rng.integers(1, 25))
        levels = rng.choice([1.0, 1.1, 1.6], (names, rounds), p=rng.dirichlet(np.ones(3)))
        own = np.where(rng.random(names) < 0.2, 1.3, 1.0)
        drift = rng.choice([0, 0, 0.3])
        readings = machine(
            lambda name, number, a=levels, b=own, c=drift: a[int(name), number] * b[int(name)] * (1 + c * number / 20),
            names, rounds, float(rng.choice([0.002, 0.02])), seed,
        )  # fmt: skip
        readings = [
            replace(r, group=f"model {int(r.name) % 2}", lost=float(rng.choice([0, 0.01, 0.5]) + 0.2 * (r.name == "3")))
            for r in readings
        ]
        blocks = [
            (
                {"cell": r.name, "round": r.round, "kernel": r.kernel}
                | {"reference_ns": [r.before, r.after], "waited": r.lost}
            )
            for r in readings
        ]
        audited = quick_blocks([(f"model {int(block['cell']) % 2}", block) for block in blocks])
        assert audited == quick_readings(readings)


# -- the kernel


def test_the_kernel_tells_how_long_a_piece_takes_and_for_whom_that_holds() -> None:
    found = reference()
    assert 1_000 < found["ns"] < 10_000_000
    assert "CPython" in found["kernel"] or "PyPy" in found["kernel"]
    told = about_block(found, reference())
    assert len(told["reference_ns"]) == 2
    assert told.get("steal", 0.0) >= 0 and told.get("waited", 0.0) >= 0


def test_what_the_system_tells_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From files as Linux has them: half of the time stolen, a quarter waited, 2.4 GHz, 61 degrees."""
    for number in (0, 1):
        (tmp_path / f"clock{number}").write_text(f"{2_300_000 + 200_000 * number}\n")
        (tmp_path / f"thermal_zone{number}").mkdir()
        (tmp_path / f"thermal_zone{number}" / "temp").write_text(f"{60_000 + 1_000 * number}\n")
    monkeypatch.setattr(kernel_module, "processors", lambda: [0, 1])
    for name, value in (
        ("CLOCK", str(tmp_path / "clock{}")), ("ZONES", tmp_path), ("STAT", tmp_path / "stat"), ("TICKS", 100),
        ("SCHEDULER", tmp_path / "schedstat"),
    ):  # fmt: skip
        monkeypatch.setattr(kernel_module, name, value)

    def read_at(at: int, ticks: int, waited: int) -> dict[str, Any]:
        lines = ["cpu  1 1 1 1 1 1 1 999 0 0", *(f"cpu{i} 1 1 1 1 1 1 1 {ticks} 0 0" for i in (0, 1)), "intr 5"]
        (tmp_path / "stat").write_text("\n".join(lines) + "\n")
        (tmp_path / "schedstat").write_text(f"1000 {waited} 7\n")
        return reference() | {"at": at}

    told = about_block(read_at(0, 10, 0), read_at(1_000_000_000, 60, 250_000_000))
    assert (told["steal"], told["waited"], told["clock_mhz"], told["celsius"]) == (0.5, 0.25, 2400.0, 61.0)


def test_where_the_system_tells_nothing_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STAT", "ZONES", "SCHEDULER"):
        monkeypatch.setattr(kernel_module, name, tmp_path / "none")
    monkeypatch.setattr(kernel_module, "CLOCK", str(tmp_path / "none{}"))
    assert about_block(reference(), reference()).keys() == {"reference_ns", "kernel"}


# -- rows

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, few_beats: Dataset) -> Make:
    """A run on synthetic beats, of a machine in given states."""

    def write(state: State | None, rounds: int = ROUNDS, name: str = "run") -> Path:
        write_run(tmp_path / name, few_beats, state=state, rounds=rounds)
        return tmp_path / name

    return write


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    return {row["id"]: row for row in found if row["status"] == "ok"}


def test_figures_are_from_the_blocks_that_were_quick(make: Make) -> None:
    """Half of the rounds are slow: each figure is what the quick ones alone give, and near that of a quiet machine."""
    folder = make(rounds_that_are({0, 2, 3, 5, 8, 11}), rounds=12)
    quiet = rows(make(rounds_that_are(set()), name="quiet"))
    for name, row in rows(folder).items():
        assert (row["blocks"], row["blocks_quick"], row["unsteady"]) == (12, 6, False)
        blocks = [samples(folder, block)[:, 0] / 1e3 for block in blocks_of(read(folder))[name]]
        quick = [block for number, block in enumerate(blocks) if number in {1, 4, 6, 7, 9, 10}]
        assert row["latency_p50_us"] == pytest.approx(np.median([np.median(block) for block in quick]), abs=1e-3)
        assert row["latency_p95_us"] == pytest.approx(np.percentile(np.concatenate(quick), 95), abs=1e-3)
        assert row["timed_calls"] == sum(map(len, quick))
        assert row["latency_p50_us"] == pytest.approx(quiet[name]["latency_p50_us"], rel=0.03)
        if "time_ratio" in row:
            assert row["time_ratio"]["rounds"] == 6
            assert row["time_ratio"]["ratio"] == pytest.approx(quiet[name]["time_ratio"]["ratio"], rel=0.03)
            assert row["time_ratio"]["result"] == quiet[name]["time_ratio"]["result"]
    null = noise_of(read(folder), ROUNDS, folder)
    assert all(pair.ratio.rounds == 6 and pair.floor < 0.03 for pair in null.values())


def test_a_cell_with_two_speeds_on_a_steady_machine_keeps_both(make: Make) -> None:
    """Only the kernel classes blocks: what the file itself does is not hidden."""
    folder = make(rounds_that_are(set()), rounds=12)
    name = next(name for name in rows(folder) if ".tflite." in name)
    file = folder / "samples" / f"{name}.i64"
    calls = np.fromfile(file, dtype="<i8").reshape(12, -1, 2)
    calls[::2, :, 0] *= 2
    calls.tofile(file)
    [row] = [row.flat for row in rows_of(read(folder), ROUNDS, folder) if row.id == name]
    assert (row["blocks_quick"], row["unsteady"]) == (12, False)
    medians = np.median(calls[:, :, 0], axis=1) / 1e3
    assert row["latency_p50_us"] == pytest.approx(np.median(medians), abs=1e-3)
    assert row["latency_p50_high_us"] > 1.7 * row["latency_p50_low_us"]


def test_too_few_quick_blocks_are_unsteady(make: Make) -> None:
    folder = make(rounds_that_are(set(range(3, 18))), rounds=18)
    for row in rows(folder).values():
        assert (row["blocks"], row["blocks_quick"], row["unsteady"]) == (18, 3, True)
        assert row["timed_calls"] == 18 * 40, "all blocks, since the quick ones are too few"
        assert row.get("time_ratio", {"result": "unsteady"})["result"] == "unsteady"
    assert all(pair.result == "unsteady" for pair in noise_of(read(folder), ROUNDS, folder).values())


def test_slow_all_the_time_is_one_state(make: Make) -> None:
    """Nothing in the run tells that it could be quicker."""
    assert not any(row["unsteady"] for row in rows(make(lambda *_: SLOW)).values())


def test_a_run_without_references_is_read_as_before(make: Make) -> None:
    folder = make(None)
    for row in rows(folder).values():
        assert not {"blocks_quick", "unsteady"} & row.keys()
        assert (row["blocks"], row["timed_calls"]) == (6, 240)
        assert "rounds" not in row.get("time_ratio", {})
    assert command("report", folder).code == 0


# -- what is told of it


def command(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(main, [str(each) for each in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Result(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def unsteady(make: Make) -> Path:
    return make(rounds_that_are(set(range(3, 18))), rounds=18)


def test_the_reports_say_so(unsteady: Path) -> None:
    told = command("report", unsteady).out
    assert "unsteady: pca-ae, 6 of its rows: 3 of 18 blocks in the machine's usual quick state" in told
    lines = [line for line in told.splitlines() if line.startswith("pca-ae") and " int8 " not in line]
    assert all(line.endswith("unsteady") for line in lines if "failed" not in line and "skipped" not in line) and lines
    assert any(" ?0." in line for line in lines), "time x"
    page = command("report", unsteady, "--output", "html", "-o", unsteady / "page.html")
    assert page.code == 0
    text = (unsteady / "page.html").read_text()
    assert "Unsteady: 6 rows of pca-ae have 3 of 18 blocks" in text, "with the choice"
    assert "its times are unsteady: 3 of 18 blocks were timed in the machine&#39;s usual quick state" in text
    flat = list(csv.DictReader(io.StringIO(command("report", unsteady, "--output", "csv").out)))
    assert {row["unsteady"] for row in flat if row["status"] == "ok"} == {"True"}
    assert "- unsteady: pca-ae" in (unsteady / "report.md").read_text()


def test_a_choice_says_what_it_cannot_tell(unsteady: Path) -> None:
    asked = ("--require", "task==anomaly", "--require", "latency_p50<=1ms", "--optimize", "latency_p50")
    told = command("choose", unsteady, *asked).out
    assert "against the runner-up: cannot be told: unsteady" in told
    assert (
        "unsteady: 6 rows of pca-ae have 3 of 18 blocks in the machine's usual quick state; their times decide" in told
    )
    assert "is unsteady, and may not meet latency_p50<=1ms" in told
    [choice] = json.loads(command("choose", unsteady, *asked, "--output", "json").out)["choices"]
    assert len(choice["unsteady"]) == 6
    assert choice["winner_against_runner_up"]["result"] == "unsteady"


def test_one_unsteady_row_is_named_within_a_line() -> None:
    odd = SimpleNamespace(
        id="fake.fake-exporter.fake-int8.fake-runtime", model="fake", times=SimpleNamespace(blocks_quick=13, blocks=20)
    )
    [line] = unsteady_notes([odd])  # type: ignore[list-item]
    assert odd.id in line and "13 of 20 blocks" in line and len(line) <= 120


def test_a_steady_row_wins_against_an_unsteady_one(make: Make) -> None:
    """The quickest form by the figures is one that was timed while the machine changed its speed."""
    odd = "m11.tflite.full-int8.tflite"
    folder = make(lambda name, number: 1.15 if name == odd and number > 4 else 1.0, rounds=18)
    assert [name for name, row in rows(folder).items() if row["unsteady"]] == [odd]
    asked = ("--require", "task==anomaly", "--require", "precision!=dynamic", "--optimize", "latency_p50")
    [choice] = json.loads(command("choose", folder, *asked, "--output", "json").out)["choices"]
    assert choice["winner"]["id"] == "m8.onnx.full-int8.cpu"
    assert rows(folder)[odd]["latency_p50_us"] < choice["winner"]["latency_p50_us"]
    assert odd in choice["qualified"] and choice["unsteady"] == [odd]


# -- more rounds


def run_of(folder: Path) -> Rounds:
    """A model's run as it is taken up again, to be asked how many rounds it wants."""
    journal = Journal(folder)
    names = [name for name in rows(folder) if int(name[1:].partition(".")[0]) > 5]  # of the second model
    cells = [
        SimpleNamespace(
            id=name,
            model="pca-ae",
            precision=name.split(".")[2],
            route=(),
            format=name,
            runtime="",
            board=None,
            is_whole=name.split(".")[2] == "fp32",
        )
        for name in names
    ]
    timed = {cell.id: cell for cell in cells}
    return Rounds(timed, None, journal, PROFILES["quick"], None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("slow", "rounds", "wanted"),
    [
        (set(), 6, 6),  # all in one state
        ({1}, 6, 7),  # one short
        ({1}, 7, 7),
        (set(range(3, 17)), 17, 18),
        (set(range(3, 18)), 18, 18),  # as many as there may be
    ],
)
def test_rounds_are_added_until_there_are_enough_or_time_is_up(
    make: Make, slow: set[int], rounds: int, wanted: int
) -> None:
    run = run_of(make(rounds_that_are(slow), rounds=rounds))
    assert run.wanted() == wanted
    run.journal.close()


def test_a_pair_of_files_is_timed_by_the_same_rules() -> None:
    rng = np.random.default_rng(3)
    slow = {1, 2, 5, 7, 8}
    factors = np.array([SLOW if number in slow else 1.0 for number in range(12)])
    medians = np.stack([100 * factors, 80 * factors], axis=1) * rng.lognormal(0, 0.002, (12, 2))
    medians[3, 0] *= SLOW  # a flip in the middle of a round
    state = rounds_that_are(slow)
    readings = machine(lambda name, number: SLOW if (name, number) == ("0", 3) else state(name, number), 2, 12)
    quick = quick_rounds(readings)
    assert quick == [0, 4, 6, 9, 10, 11]
    pair = pair_of(medians, quick, enough_blocks(6))
    assert (pair.rounds, pair.timed, pair.result) == (6, 12, "faster")
    assert (pair.first, pair.second) == (pytest.approx(100, rel=0.01), pytest.approx(80, rel=0.01))
    assert pair_of(medians, quick[:5], enough_blocks(6)).result == "unsteady"


# -- a whole run beside a neighbour that is planted: the kernel's first pieces in each process are slow

PLANTED = """
import os
from ecgedge.measure.steadiness import kernel

count = 0

def piece():
    global count
    count += 1
    block = (count - 1) // (2 * (kernel.SETTLING + kernel.PIECES))
    return 60_000 if block < int(os.environ["SLOW_BLOCKS"]) else 33_000

kernel.piece = piece
kernel.waited = kernel.stolen = lambda: None  # what else runs beside the test is not planted
"""


def test_a_matrix_goes_on_until_it_has_six_quick_rounds(at_length: Command, fakes: Path, tmp_path: Path) -> None:
    (fakes / "planted.py").write_text(PLANTED)
    asked = ("--dataset", "synthetic", "--model", "fake", "--profile", "quick", "--runtime", "fake-runtime")
    run = tmp_path / "run"
    done = at_length("--plugins-dir", fakes, "matrix", *asked, "--out", run, SLOW_BLOCKS="3")
    assert done.code == 0, done.err
    assert {(row["blocks"], row["blocks_quick"], row["unsteady"]) for row in rows(run).values()} == {(9, 6, False)}
    assert at_length("check", run).code == 0
    kept = sum(block["calls"] for each in blocks_of(read(run)).values() for block in each)
    assert sum(file.stat().st_size for file in (run / "samples").iterdir()) == 16 * kept, "of all rounds"

    journal = run / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-2]) + lines[-2][:30])  # killed in the ninth round
    unfinished = at_length("check", run)
    assert unfinished.code == 1 and "rounds 8 are missing: resume it" in unfinished.out
    again = at_length("--plugins-dir", fakes, "matrix", "--resume", run, SLOW_BLOCKS="0")
    assert again.code == 0, again.err
    assert {(row["blocks"], row["blocks_quick"]) for row in rows(run).values()} == {(9, 6)}
    assert all([b["round"] for b in each] == list(range(9)) for each in blocks_of(read(run)).values()), "each once"
    assert at_length("check", run).code == 0


def test_a_matrix_ends_where_the_machine_never_becomes_steady(at_length: Command, fakes: Path, tmp_path: Path) -> None:
    (fakes / "planted.py").write_text(PLANTED.replace("block < int(os.environ", "block % 5 > int(os.environ"))
    asked = ("--dataset", "synthetic", "--model", "fake", "--profile", "quick", "--runtime", "fake-runtime")
    run = tmp_path / "run"
    done = at_length("--plugins-dir", fakes, "matrix", *asked, "--out", run, SLOW_BLOCKS="0")
    assert done.code == 0, done.err
    assert {(row["blocks"], row["blocks_quick"], row["unsteady"]) for row in rows(run).values()} == {(18, 4, True)}
    assert "unsteady: fake, 3 of its rows: 4 of 18 blocks" in done.out
    assert at_length("check", run).code == 0
