"""What a device measures itself, by a clock and meters of its own, and the blocks that a runtime asks for.

The boards here count: each call takes 1 ms and a microsecond for each call before it in the same block, and 10 us for
each time that the board was asked what it measured. So what a row must say is arithmetic.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ecgedge import (
    Artifact,
    Blocks,
    Classification,
    ConversionError,
    EcgEdgeError,
    Measured,
    Runtime,
    Session,
    TensorSpec,
)  # fmt: skip
from ecgedge.audit import check_run
from ecgedge.choose import Evidence
from ecgedge.data.dataset import Dataset
from ecgedge.measure import bench
from ecgedge.measure.bench import PROFILES, Bench
from ecgedge.plugins.checks import check_part
from ecgedge.run import RunFolder
from ecgedge.run.journal import read, samples
from ecgedge.run.metrics import METRICS
from ecgedge.run.rows import noise_of
from ecgedge.run.turns import common_clock
from ecgedge.testing import FakeRuntime, write_fake_checkpoint
from tests.conftest import FAKES, Command, rows_of, run_command

CLOCK, SHUNT, MAP = "cycle counter of a board at 32 MHz", "shunt of the board", "linker's map"
CALLS, ROUNDS, PAUSE = 20, 7, 0.03
MEMORY = 15_936  # bytes

BOARDS = (
    f"""
CLOCK, SHUNT, MAP, MEMORY = {(CLOCK, SHUNT, MAP, MEMORY)!r}
CALLS, ROUNDS, PAUSE = {(CALLS, ROUNDS, PAUSE)!r}
"""
    + """
import json, os, time
from pathlib import Path
from ecgedge import Blocks, Graph, Measured, Node, Weight, hookimpl
from ecgedge.testing import FakeRuntime
from ecgedge.testing.fakes import FakeSession

def note(**told):
    with Path(os.environ["BOARD_LOG"]).open("a") as file:
        file.write(json.dumps({"process": os.getpid(), "at": time.monotonic(), **told}) + "\\n")

class BoardSession(FakeSession):
    clock = os.environ.get("BOARD_CLOCK", CLOCK)

    def __init__(self, weights):
        super().__init__(weights)
        self.taken, self.asked = [], 0

    def invoke(self):
        super().invoke()
        self.taken.append(1_000_000 + 1_000 * len(self.taken) + 10_000 * self.asked)

    def measured(self):
        taken, self.taken = tuple(self.taken), []
        self.asked += 1
        note(gave=taken)
        return Measured(taken, self.clock, 3.0 * len(taken), SHUNT, MEMORY, MAP)

class Board(FakeRuntime):
    device, accepts, session = "board", ("fake",), BoardSession

    def load(self, artifact, threads):
        note(loaded=artifact.path.name)
        return self.session(super().load(artifact, threads).weights)

class MeterSession(FakeSession):
    calls = 0

    def invoke(self):
        super().invoke()
        self.calls += 1

    def measured(self):
        calls, self.calls = self.calls, 0
        return Measured(energy_uj=5 * calls, energy_source="meter at the plug")

class Meter(Board):
    device, session = "cpu", MeterSession

class Short(BoardSession):
    "Loses the last of its times."

    def measured(self):
        found = super().measured()
        return Measured(found.latencies_ns[:-1], self.clock)

class Changing(BoardSession):
    def measured(self):
        found = super().measured()
        return Measured(found.latencies_ns, self.clock if self.asked < 9 else "another")

NODE = Node("m", "MatMul", "board", "board", ("float32", "float32"), ("float32",), (0, 700))

class Telling(BoardSession):
    def graph(self):
        return Graph((NODE,), (Weight("w", "float32", 2800),))

def made(name, kind, **fields):
    runtime = kind(name)
    vars(runtime).update(fields)
    return runtime

@hookimpl
def ecgedge_runtimes():
    yield made("board", Board, blocks=Blocks(calls=CALLS, rounds=ROUNDS, pause_s=PAUSE, reload=False))
    yield made("meter", Meter, blocks=Blocks(rounds=ROUNDS))
    yield made("short", Board, session=Short, on_request=True)
    yield made("changing", Board, session=Changing, on_request=True)
    yield made("telling", Board, accepts=("numpy",), session=Telling, blocks=Blocks(calls=30, rounds=6))
"""
)
ASKED = ("--dataset", "synthetic", "--model", "fake", "--format", "fake", "--profile", "quick")
WHOLE, INT8 = "fake.fake-exporter.none.{}", "fake.fake-exporter.fake-int8.{}"


def boards(folder: Path, beats: Dataset) -> Path:
    """A folder of plugins with the fakes and the boards."""
    (folder / "plugins").mkdir()
    checkpoint = write_fake_checkpoint(folder / "fake-checkpoint", beats)
    (folder / "plugins" / "fakes.py").write_text(FAKES.format(folder=str(checkpoint)))
    (folder / "plugins" / "boards.py").write_text(BOARDS)
    return folder / "plugins"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, beats: Dataset) -> Path:
    """The folder in which a run was made on the board, on the meter and by this machine's clock alone; not to be
    changed."""
    folder = tmp_path_factory.mktemp("boards")
    boards(folder, beats)
    runtimes = [word for name in ("board", "meter", "fake-runtime") for word in ("--runtime", name)]
    asked = ("--plugins-dir", "plugins", "matrix", *ASKED, *runtimes, "--out", "run")
    done = run_command(*asked, folder=folder, BOARD_LOG=str(folder / "log"))
    assert done.code == 0, done.err
    (folder / "printed").write_text(done.out)
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy to be spoilt."""
    return Path(shutil.copytree(whole / "run", tmp_path / "run"))


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in rows_of(folder)}


def log_of(folder: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    return sorted(found, key=lambda each: each["at"])


def blocks_given(folder: Path) -> list[np.ndarray]:
    """What the board itself says of its blocks: nanoseconds ``(ROUNDS, CALLS)`` for each process that timed it."""
    given: dict[int, list[Any]] = {}
    for each in log_of(folder):
        if len(each.get("gave", ())) == CALLS:
            given.setdefault(each["process"], []).append(each["gave"])
    return [np.array(found[-ROUNDS:]) for found in given.values()]


# -- a row by a device's clock


def test_the_samples_are_the_devices_own(whole: Path) -> None:
    given = blocks_given(whole)
    cells = {record["cell"] for record in read(whole / "run") if record["event"] == "block" and "clock" in record}
    assert len(cells) == len(given) == 3 and sum(name.endswith(".twin") for name in cells) == 1
    for cell in cells:
        blocks = [record for record in read(whole / "run") if record["event"] == "block" and record["cell"] == cell]
        kept = np.array([samples(whole / "run", block)[:, 0] for block in blocks])
        assert any(np.array_equal(kept, each) for each in given), cell
        assert {block["clock"] for block in blocks} == {CLOCK}
        assert not any({"reference_ns", "kernel", "active_uj"} & block.keys() for block in blocks)


@pytest.mark.parametrize("name", [WHOLE, INT8])
def test_the_figures_are_those_of_the_samples(name: str, whole: Path) -> None:
    """A block is 20 calls, a microsecond apart; the next one is 20 us later, since it was asked twice between."""
    row = rows(whole / "run")[name.format("board")]
    assert (row["status"], row["clock"], row["blocks"], row["timed_calls"]) == ("ok", CLOCK, ROUNDS, ROUNDS * CALLS)
    first = row["latency_p50_low_us"]
    assert (first - 1009.5) % 10 == 0, "1 ms, the middle of 0 to 19 us, and tens of how often it was asked"
    assert (row["latency_p50_us"], row["latency_p50_high_us"]) == (first + 60, first + 120), "seven blocks, 20 us apart"
    # 140 calls in order: 20 in each range of 20 us, from the fastest, ``first`` less 9.5, on
    fastest = first - 9.5
    assert row["latency_p95_us"] == pytest.approx(fastest + 0.95 * 139, abs=1e-9)
    assert row["latency_p90_us"] == pytest.approx(fastest + 0.90 * 139, abs=1e-9)
    assert row["latency_p99_us"] is None
    assert 0 < row["host_p50_us"] < 1000, "bind and fetch are this machine's"
    assert not {"blocks_quick", "unsteady"} & row.keys()


def test_memory_energy_and_throughput_are_its_own_as_well(whole: Path) -> None:
    found = rows(whole / "run")
    row, ours = found[WHOLE.format("board")], found[WHOLE.format("fake-runtime")]
    assert (row["memory_kib"] * 1024, row["memory_base_kib"], row["memory_source"]) == (MEMORY, None, MAP)
    assert (row["energy_uj_per_beat"], row["energy_source"]) == (3.0, SHUNT)
    for size, taken in np.load(whole / "run" / "cells" / f"{row['id']}.throughput.npz").items():
        assert len(taken) >= 5 and (np.diff(taken) == 1_000).all() and taken[0] % 10_000 == 0
        middle = (taken[0] + taken[-1]) / 2
        assert row[f"throughput_{size}_per_s"] == pytest.approx(int(size) * 1e9 / middle, abs=0.06)
    assert not {"clock", "memory_source", "energy_source", "blocks_asked"} & ours.keys()


def test_a_meter_alone_leaves_the_clock_as_it_is(whole: Path) -> None:
    row = rows(whole / "run")[WHOLE.format("meter")]
    assert (row["energy_uj_per_beat"], row["energy_source"]) == (5.0, "meter at the plug")
    assert "clock" not in row and {"blocks_quick", "unsteady"} <= row.keys()
    assert row["blocks"] == ROUNDS == row["blocks_asked"]["rounds"]


def test_noise_and_ratios_stay_within_a_clock(whole: Path) -> None:
    found = rows(whole / "run")
    twins = [record["cell"] for record in read(whole / "run") if record["event"] == "twin"]
    assert sorted(found[name].get("clock", "") for name in twins) == ["", CLOCK]
    assert {row["noise_floor"] for row in found.values() if row.get("clock")} != {
        row["noise_floor"] for row in found.values() if not row.get("clock")
    }
    for runtime in ("board", "meter", "fake-runtime"):
        assert found[INT8.format(runtime)]["time_ratio"]["to"] == WHOLE.format(runtime)
    ratio = found[INT8.format("board")]["time_ratio"]
    one, other = (
        np.array([np.median(samples(whole / "run", block)[:, 0]) for block in blocks_of(whole / "run", name)])
        for name in (INT8.format("board"), WHOLE.format("board"))
    )
    assert ratio["ratio"] == pytest.approx(np.median(one / other), abs=5e-5)
    assert ratio["result"] != "unsteady" and "rounds" not in ratio, "nothing is known of the board's state"
    assert "rounds" in found[INT8.format("fake-runtime")]["time_ratio"]


def test_a_twin_whose_samples_are_lost_takes_nothing_from_other_clocks(run: Path) -> None:
    [lost] = [file for file in (run / "samples").glob("*.twin.i64") if ".board." in file.name]
    before = noise_of(read(run), 6, run)
    lost.unlink()
    assert noise_of(RunFolder.read(run).with_samples(), 6, run) == {"fake": before["fake"]}
    assert before["fake"].ratio.rounds is not None and [*before] != ["fake"]


def blocks_of(folder: Path, cell: str) -> list[dict[str, Any]]:
    return [record for record in read(folder) if record["event"] == "block" and record["cell"] == cell]


def test_every_table_says_whose_clock_it_was(ecgedge: Command, whole: Path, tmp_path: Path) -> None:
    printed, run = (whole / "printed").read_text(), whole / "run"
    board = [line for line in printed.splitlines() if " board " in line and line.startswith("fake")]
    others = [line for line in printed.splitlines() if line.startswith("fake") and " board " not in line]
    assert len(board) == 2 and all(line.count("*") == 4 for line in board), "RAM, p50, p95, beats/s"
    assert not any("*" in line for line in others)
    told = f"* of board: times by {CLOCK}; RAM by {MAP}; energy by {SHUNT}; all else is by this machine"
    assert told in " ".join(printed.split()) and "* of meter: energy by meter at the plug" in printed
    assert f"noise: fake by {CLOCK}: a file timed twice" in printed
    assert f"times by {CLOCK}" in (run / "report.md").read_text()
    flat = {row["id"]: row for row in csv.DictReader(io.StringIO((run / "report.csv").read_text()))}
    assert {flat[WHOLE.format(name)]["clock"] for name in ("board", "fake-runtime")} == {CLOCK, ""}
    assert ecgedge("report", run, "--output", "html", "-o", "page.html").code == 0
    page = (tmp_path / "page.html").read_text()
    assert "measured by" in page and f"times by {CLOCK}; RAM by" in page
    assert page.count(f" By {CLOCK}: fake fp32 on board, fake full-int8 on board.") == 2, "below both pictures"
    chosen = ecgedge("choose", run, "--optimize", "latency_p50")
    assert chosen.code == 0 and f"times are by several clocks: {CLOCK} (board); that of this machine" in chosen.out


def test_a_choice_takes_two_clocks_unpaired_and_says_so(whole: Path) -> None:
    """Be they timed in the same rounds."""
    folder = RunFolder.read(whole / "run")
    found, compare = {row.id: row for row in folder.rows()}, Evidence(folder)
    board, meter = (found[WHOLE.format(name)] for name in ("board", "meter"))
    told = compare(METRICS["latency_p50"], board, meter)
    assert told.result == ("unsteady" if meter.unsteady else "worse"), "a millisecond against microseconds"
    assert told.why.endswith(f"; by two clocks, {CLOCK} and that of this machine")
    assert "same rounds" not in told.why
    assert "timed in the same rounds" in compare(METRICS["latency_p50"], board, found[INT8.format("board")]).why
    assert "clocks" not in compare(METRICS["size"], board, meter).why


def test_runs_by_two_clocks_cannot_be_compared(ecgedge: Command, whole: Path, run: Path) -> None:
    same = ecgedge("compare", whole / "run", run)
    assert same.code == 0 and "times are by" not in same.out
    change_journal(run, lambda record: rename(record, "another"))
    change_lines(run / "rows.jsonl", lambda row: row.update(clock="another") if "clock" in row else None)
    told = ecgedge("compare", whole / "run", run)
    assert told.code == 0, told.err
    assert f"cannot tell: {WHOLE.format('board')}: times are by {CLOCK} in A and by another in B" in told.out
    assert f"{WHOLE.format('fake-runtime')}: times" not in told.out


def rename(record: dict[str, Any], clock: str) -> None:
    for told in (record, record.get("row", {})):
        if "clock" in told:
            told["clock"] = clock


# -- ``ecgedge check``


def change_lines(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        change(line)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def change_journal(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    change_lines(run / "journal.jsonl", change)


def test_the_check_holds(ecgedge: Command, whole: Path) -> None:
    found = check_run(whole / "run")
    assert (found.reasons, found.unchecked) == ([], [])
    assert ecgedge("check", whole / "run").code == 0


BOARD = WHOLE.format("board")


def of_block(**changes: Any) -> Callable[[Path], None]:
    """Change the first block of the board's fp32 cell in the journal; None takes a field away."""

    def change(run: Path) -> None:
        def one(record: dict[str, Any]) -> None:
            if (record["event"], record.get("cell"), record.get("round")) == ("block", BOARD, 0):
                record.update(changes)
                for key in [key for key, value in changes.items() if value is None]:
                    del record[key]

        change_journal(run, one)

    return change


def of_cell(**changes: Any) -> Callable[[Path], None]:
    """Change what the board's fp32 row says, in the journal and in the rows."""

    def change(run: Path) -> None:
        def one(record: dict[str, Any]) -> None:
            row = record.get("row", record)
            if row.get("id") == BOARD:
                row.update(changes)

        change_journal(run, one)
        change_lines(run / "rows.jsonl", one)

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (of_block(clock="another"), f"{BOARD}: round 0 was timed by another, its row says by {CLOCK}"),
        (of_block(clock=None), f"{BOARD}: round 0 was timed by this machine's clock, its row says by {CLOCK}"),
        (of_block(energy_uj=100.0), f"{BOARD}: energy_uj_per_beat: 3.0 is claimed"),
        (of_block(energy_uj=None), f'{BOARD}: energy_uj_per_beat: 3.0 is claimed, "not measured" was found'),
        (of_cell(clock="another"), f"{BOARD}: round 0 was timed by {CLOCK}, its row says by another"),
        (of_cell(energy_source=""), f"{BOARD}: energy_source: nothing is said of the meter"),
        (of_cell(latency_p95_us=1001.0), f"{BOARD}: latency_p95_us: 1001.0 is claimed"),
        (of_cell(blocks_quick=7), f"{BOARD}: blocks_quick: it is claimed, and nothing that it could come from"),
        (of_cell(blocks_asked={"calls": 30, "rounds": 7}), f"{BOARD}: round 0 has 20 calls, 30 were asked for"),
        (of_cell(blocks_asked={"calls": 20, "rounds": 6}), f"{BOARD}: round 6 is there twice, or was not asked for"),
        (of_cell(blocks_asked={"calls": 20, "rounds": 8}), f"{BOARD}: not finished, rounds 7 are missing"),
    ],
)
def test_what_was_changed_is_found(change: Callable[[Path], None], reason: str, run: Path) -> None:
    change(run)
    reasons = check_run(run).reasons
    assert any(each.startswith(reason) for each in reasons), reasons


# -- blocks that a runtime asks for


def test_between_two_blocks_of_a_runtime_passes_its_pause(whole: Path) -> None:
    """Whatever the cell: by the board's own record of when it was asked, before a block and after it."""
    asked = [each for each in log_of(whole) if "gave" in each][-2 * 3 * ROUNDS :]
    assert [len(each["gave"]) for each in asked] == [0, CALLS] * (3 * ROUNDS)
    assert len({each["process"] for each in asked}) == 3
    gaps = [begun["at"] - ended["at"] for ended, begun in zip(asked[1::2], asked[2::2])]
    assert min(gaps) >= PAUSE


def test_no_file_is_loaded_anew_where_none_is_asked_for(whole: Path) -> None:
    log = log_of(whole)
    first = next(each["at"] for each in [each for each in log if "gave" in each][-2 * 3 * ROUNDS :])
    board = {each["process"] for each in log if "gave" in each}
    loads = [each for each in log if "loaded" in each]
    assert not [each for each in loads if each["process"] in board and each["at"] > first]
    assert [each for each in loads if each["process"] not in board and each["at"] > first], "the meter's are"


def test_each_runtime_gets_its_own_rounds(whole: Path) -> None:
    counts = {row["runtime"]: row["blocks"] for row in rows_of(whole / "run")}
    assert counts["board"] == counts["meter"] == ROUNDS and counts["fake-runtime"] >= 6
    sizes = {name: {block["calls"] for block in blocks_of(whole / "run", WHOLE.format(name))} for name in counts}
    assert sizes["board"] == {CALLS} and min(sizes["meter"] | sizes["fake-runtime"]) >= 100


def test_explain_keeps_to_them_and_says_whose_clock_it_was(ecgedge: Command, tmp_path: Path, beats: Dataset) -> None:
    plugins, log = boards(tmp_path, beats), {"BOARD_LOG": str(tmp_path / "log")}
    told = ecgedge("--plugins-dir", plugins, "explain", "fake", "--runtime", "telling", "--against", "fake", **log)
    assert told.code == 0, told.err
    assert f"times of whole calls are by {CLOCK}" in told.out
    lengths = [len(each["gave"]) for each in log_of(tmp_path) if "gave" in each]
    assert lengths[:2] == [2, 30], "one that brings answers, one that warms up, and a block"
    assert lengths[-2:] == [0, 30] and lengths.count(30) == 1 + 2 * 6, "of two in turns six blocks each"


def test_times_by_two_clocks_have_no_ratio() -> None:
    ours, theirs = SimpleNamespace(clock=None), SimpleNamespace(clock=CLOCK)
    assert common_clock((ARTIFACT, ARTIFACT), [ours, ours]) is None
    assert common_clock((ARTIFACT, ARTIFACT), [theirs, theirs]) == CLOCK
    told = f"times by two clocks have no ratio: none by the clock of this machine and none by {CLOCK}"
    with pytest.raises(EcgEdgeError, match=re.escape(told)):
        common_clock((ARTIFACT, ARTIFACT), [ours, theirs])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"calls": 20}, "must be ecgedge.Blocks or None"),
        (Blocks(calls=0), "calls must be a whole number from 1 to 1,000,000, it is 0"),
        (Blocks(calls=2.5), "calls must be a whole number"),  # type: ignore[arg-type]
        (Blocks(rounds=True), "rounds must be a whole number from 6 to 10,000, it is True"),
        (Blocks(rounds=5), "rounds must be a whole number from 6 to 10,000, it is 5"),
        (Blocks(pause_s=-1), "pause_s must be seconds from 0 to 3,600, it is -1"),
        (Blocks(pause_s=float("nan")), "pause_s must be seconds"),
        (Blocks(reload=0), "reload must be True or False"),  # type: ignore[arg-type]
    ],
)
def test_blocks_that_cannot_be_are_told(asked: Any, told: str) -> None:
    runtime = FakeRuntime()
    runtime.blocks = asked
    with pytest.raises(TypeError, match=told):
        check_part(runtime)


def test_blocks_that_can_be() -> None:
    runtime = FakeRuntime()
    for asked in (None, Blocks(), Blocks(1, 6, 0, False), Blocks(20, 6, 0.5)):
        runtime.blocks = asked
        check_part(runtime)


# -- what cannot be is refused


def test_a_runtime_that_lies_fails_its_rows_alone(ecgedge: Command, tmp_path: Path, beats: Dataset) -> None:
    plugins = boards(tmp_path, beats)
    runtimes = [word for name in ("short", "changing", "fake-runtime") for word in ("--runtime", name)]
    done = ecgedge("--plugins-dir", plugins, "matrix", *ASKED, "--quantizer", "none", *runtimes, "--out", "run",
                   BOARD_LOG=str(tmp_path / "log"))  # fmt: skip
    assert done.code == 1, done.err
    found = {row["runtime"]: row for row in rows_of(tmp_path / "run")}
    assert {name: row["status"] for name, row in found.items()} == {
        "short": "failed", "changing": "failed", "fake-runtime": "ok",
    }  # fmt: skip
    reason = "what the session measured itself cannot be: "
    assert found["short"]["reason"] == f"{reason}20 times for 21 calls" and found["short"]["stage"] == "load"
    assert found["changing"]["reason"] == f"{reason}it is by 'another', and was by '{CLOCK}' at first"
    assert not any("latency_p50_us" in found[name] for name in ("short", "changing"))
    assert check_run(tmp_path / "run").reasons == []


def test_a_run_goes_on_by_the_same_clock_only(ecgedge: Command, run: Path, whole: Path, tmp_path: Path) -> None:
    lines = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    end = next(i for i, line in enumerate(lines) if json.loads(line).get("round") == ROUNDS - 1)
    (run / "journal.jsonl").write_text("".join(lines[:end]))  # the last round of the board is lost
    log = {"BOARD_LOG": str(tmp_path / "log")}
    other = Path(shutil.copytree(run, tmp_path / "other"))
    again = ecgedge("--plugins-dir", whole / "plugins", "matrix", "--resume", run, **log)
    assert again.code == 0, again.err
    assert rows(run)[BOARD]["timed_calls"] == CALLS * ROUNDS and check_run(run).reasons == []
    done = ecgedge("--plugins-dir", whole / "plugins", "matrix", "--resume", other, BOARD_CLOCK="a faster one", **log)
    assert done.code == 1, done.err
    found = rows(other)
    told = f"it is measured by another clock: by '{CLOCK}' when it was scored, by 'a faster one' now"
    assert {found[name.format("board")]["reason"] for name in (WHOLE, INT8)} == {told}
    assert found[WHOLE.format("meter")]["status"] == "ok"


SPEC = TensorSpec("x", (None, 1, 8), "float32", "NCL")
ARTIFACT = Artifact(Path("none"), "none", "fp32", Classification(("a", "b")), SPEC, SPEC, "none")
BEATS = np.random.default_rng(0).standard_normal((50, 1, 8)).astype(np.float32)


class Counting(Session):
    """A millisecond a call; ``spoil`` changes what is given, once it was asked so often."""

    def __init__(self, spoil: Callable[[tuple[int, ...]], Any], after: int):
        self.spoil, self.after = spoil, after
        self.calls = self.asked = 0

    def bind(self, x: np.ndarray) -> None:
        self.x = x

    def invoke(self) -> None:
        self.calls += 1

    def fetch(self) -> np.ndarray:
        return self.x[:, 0, :2]

    def measured(self) -> Any:
        given, self.calls = (1_000_000,) * self.calls, 0
        self.asked += 1
        return self.spoil(given) if self.asked > self.after else Measured(given, "a clock")


class Counter(Runtime):
    name, accepts = "counter", ("none",)

    def __init__(self, spoil: Callable[[tuple[int, ...]], Any] = lambda given: None, after: int = 10**9):
        self.spoil, self.after = spoil, after

    def load(self, artifact: Artifact, threads: int) -> Session:
        return Counting(self.spoil, self.after)


def bench_of(runtime: Runtime) -> Bench:
    return Bench(runtime, ARTIFACT, 1, BEATS, seed=1)


def by(latencies: Any, clock: Any = "a clock", **others: Any) -> Callable[[tuple[int, ...]], Measured]:
    return lambda given: Measured(latencies(given), clock, **others)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (by(lambda given: given[1:]), "99 times for 100 calls"),
        (by(lambda given: (*given, 5)), "101 times for 100 calls"),
        (by(lambda given: (*given[1:], 0)), r"latencies_ns\[99\] is 0, and no whole number above 0"),
        (by(lambda given: (*given[1:], -5)), r"latencies_ns\[99\] is -5"),
        (by(lambda given: (*given[1:], 2.5)), r"latencies_ns\[99\] is 2.5"),
        (by(lambda given: (*given[1:], float("nan"))), r"latencies_ns\[99\] is nan"),
        (by(lambda given: (*given[1:], True)), r"latencies_ns\[99\] is True"),
        (by(lambda given: (*given[1:], 10**17)), r"latencies_ns\[99\] is 1000"),
        (by(lambda given: 5), "latencies_ns is 5, and no tuple"),
        (by(lambda given: None), "there is no time by 'a clock'"),
        (by(lambda given: given, ""), "clock does not say by what"),
        (by(lambda given: given, "another"), "it is by 'another', and was by 'a clock' at first"),
        (by(lambda given: given, "two\nlines"), "clock is 'two.*lines', and no name of 80 characters at most"),
        (by(lambda given: given, "x" * 81), "and no name of 80 characters"),
        (by(lambda given: given, 32), "clock is 32, and no name"),
        (by(lambda given: given, energy_uj=1.0), "energy_source does not say by what"),
        (by(lambda given: given, memory_bytes=1), "memory_source does not say by what"),
        (lambda given: None, "it is by 'nothing', and was by 'a clock' at first"),
        (lambda given: given, r"measured\(\) gave \(1000000, .*: ecgedge.Measured, or None"),
    ],
)
def test_what_cannot_have_been_measured_is_no_block(spoil: Any, told: str) -> None:
    made = bench_of(Counter(spoil, after=2))  # of loading, and before the block
    with pytest.raises(ConversionError, match=told) as caught:
        made.block(0.0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"energy_uj": -1.0}, "energy_uj is -1.0, which is no amount"),
        ({"energy_uj": float("nan")}, "energy_uj is nan, which is no amount"),
        ({"energy_uj": "3"}, "energy_uj is '3', and not a number"),
        ({"memory_bytes": -1}, "memory_bytes is -1, which is no amount"),
        ({"memory_bytes": 1.5}, "memory_bytes is 1.5, and not a whole number"),
    ],
)
def test_what_cannot_be_an_amount(others: dict[str, Any], told: str) -> None:
    sources = {"energy_source": "a meter", "memory_source": "a map"}
    with pytest.raises(ConversionError, match=told):
        bench_of(Counter(by(lambda given: given, **sources, **others), after=0))


def test_numbers_of_numpy_are_whole_ones() -> None:
    made = bench_of(Counter(by(lambda given: np.array(given, dtype=np.int32)), after=0))
    assert set(made.block(0.0)[0][0]) == {1_000_000}


def test_a_meter_that_is_silent_for_a_block_makes_no_figure() -> None:
    made = bench_of(Counter(by(lambda given: given, energy_source="a meter"), after=0))
    assert "energy_uj" not in made.block(0.0)[1]


def test_warm_up_and_throughput_are_by_the_clock() -> None:
    made = bench_of(Counter())
    assert made.warm_up()["stable"]
    taken = made.throughput({}, BEATS, PROFILES["quick"])
    assert [*taken] == ["1", "16", "64"] and {int(each) for times in taken.values() for each in times} == {1_000_000}


def test_a_block_that_is_asked_for_is_not_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where it lasts longer than any other may: here a second goes by at each look at the clock."""
    seconds = iter(range(10**9))
    monkeypatch.setattr(bench, "perf_counter_ns", lambda: next(seconds) * 10**9)
    made = bench_of(Counter())
    assert made.block(0.05, calls=30)[0].shape == (2, 30)
    samples, told = made.block(0.05)
    assert samples.shape[1] < 30 and "seconds" in told
